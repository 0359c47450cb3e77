//! Dashboard and alerts name nothing that the agent does not have: metrics and labels, against what was scraped. Every panel shows
//! something where all scrapes are one agent's: that is a case of promtool's file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use super::scrape::Sample;
use super::{RULES, TARGET, linear};

const DASHBOARD: &str = include_str!("../../../../../deploy/monitoring/dashboard.json");

/// What a Prometheus adds by itself.
const OF_TARGET: [&str; 3] = ["job", "instance", "alertstate"];

type Known = BTreeMap<String, BTreeSet<String>>;

pub(super) fn check_all(seen: &[Sample]) {
    let mut known = Known::new();
    for sample in seen {
        let labels = known.entry(sample.name().to_owned()).or_default();
        labels.extend(label_names(sample.labels()));
    }
    for (file, text) in [("alerts.yaml", RULES), ("dashboard.json", DASHBOARD)] {
        let faults = faults(&text.replace("\\\"", "\""), &known);
        assert!(faults.is_empty(), "{file}: {faults:#?}\nknown: {known:#?}");
    }
    let used = |name: &str| RULES.contains(name) || DASHBOARD.contains(name);
    assert!(known.keys().filter(|name| used(name)).count() > 25, "{known:#?}");
}

/// What the panels ask for, with every instance chosen.
fn panels() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let asked = targets.map(|target| target["expr"].as_str().expect("an expression"));
    asked.map(|asked| asked.replace("$instance", ".*")).collect()
}

pub(super) fn panels_case(seen: &[Sample]) -> String {
    let all: BTreeMap<String, f64> =
        seen.iter().map(|one| (one.with_labels(TARGET), one.value)).collect();
    let is_used = |series: &str| series.split('{').next().is_some_and(|it| DASHBOARD.contains(it));
    let mut text = String::from("  # the dashboard\n  - interval: 1m\n    input_series:\n");
    let up = (format!("up{{{TARGET}}}"), 1.0);
    for (series, value) in all.into_iter().filter(|(series, _)| is_used(series)).chain([up]) {
        let first = if is_counter(&series) { 0.0 } else { value };
        writeln!(text, "      - {{ series: '{series}', values: '{}' }}", linear(first, value))
            .expect("a String");
    }
    text += "    promql_expr_test:\n";
    for asked in panels() {
        let shows = Value::from(format!("count({asked}) > bool 0"));
        writeln!(text, "      - expr: {shows}\n        eval_time: 115m").expect("a String");
        text += "        exp_samples: [{ labels: '{}', value: 1 }]\n";
    }
    text
}

fn is_counter(series: &str) -> bool {
    let name = series.split('{').next().unwrap_or_default();
    ["_total", "_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end))
}

/// The names before `=`, `!=`, `=~` and `!~` in a list of matchers.
fn label_names(matchers: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = matchers;
    while let Some((name, after)) = rest.split_once(['=', '!']) {
        names.push(name.trim_matches([',', ' ']).to_owned());
        // The value ends at the next quote that nothing escapes.
        let Some((_, value)) = after.split_once('"') else { break };
        let end = value.match_indices('"').find(|(at, _)| !value[..*at].ends_with('\\'));
        rest = end.map_or("", |(at, _)| &value[at + 1..]);
    }
    names
}

fn faults(text: &str, known: &Known) -> Vec<String> {
    let mut faults = Vec::new();
    for (at, _) in text.match_indices("berth_agent_") {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let rest = &text[at..];
        let name = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
        let Some(labels) = known.get(name) else {
            faults.push(format!("no metric {name}"));
            continue;
        };
        let matchers = rest[name.len()..].strip_prefix('{').and_then(|it| it.split_once('}'));
        for label in matchers.map(|(matchers, _)| label_names(matchers)).into_iter().flatten() {
            if !labels.contains(&label) && !OF_TARGET.contains(&label.as_str()) {
                faults.push(format!("{name} has no label {label}"));
            }
        }
    }
    let all: BTreeSet<&str> = known.values().flatten().map(String::as_str).collect();
    for list in text.split(" by (").skip(1).filter_map(|rest| rest.split(')').next()) {
        for label in list.split(',').map(str::trim) {
            if !all.contains(label) && !OF_TARGET.contains(&label) {
                faults.push(format!("no metric has the label {label} of by ({list})"));
            }
        }
    }
    faults
}

#[test]
fn wrong_names_are_noticed() {
    let known = Known::from([("berth_agent_x".to_owned(), ["pool".to_owned()].into())]);
    let check = |text: &str, expect: &[&str]| assert_eq!(faults(text, &known), expect, "{text}");
    check("sum by (pool, instance) (berth_agent_x{pool=\"a\",job!=\"c\"})", &[]);
    check("berth_agent_y", &["no metric berth_agent_y"]);
    check("rate(berth_agent_x{pol=~\"a\"}[5m])", &["berth_agent_x has no label pol"]);
    check("sum by (node) (berth_agent_x)", &["no metric has the label node of by (node)"]);
}
