//! A scraped page as series for promtool. Owns how two scrapes become two hours: counters go on as they went, gauges stay.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::cases::{Pace, Scrapes};

/// Longer than any alert waits.
const MINUTES: usize = 120;
const TARGET: &str = "instance=\"store-1:2379\",job=\"berth-metastore\"";
/// Gauges that only grow, as counters do.
const GROWING: [&str; 2] =
    ["etcd_debugging_mvcc_current_revision", "etcd_debugging_mvcc_compact_revision"];

/// Values by series.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        Some((series.to_owned(), value.parse().ok()?))
    };
    lines.filter_map(sample).collect()
}

fn name(series: &str) -> &str {
    series.split('{').next().unwrap_or_default()
}

pub(super) fn names(page: &str) -> Vec<String> {
    samples(page).into_keys().map(|series| name(&series).to_owned()).collect()
}

/// Names of series of ours in rules or a dashboard.
pub(super) fn used(text: &str) -> Vec<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_word(c));
    let ours = ["etcd_", "berth_metastore_", "process_"];
    words.filter(|word| ours.iter().any(|it| word.starts_with(it))).map(str::to_owned).collect()
}

fn values(pace: Pace, series: &str, first: f64, second: f64) -> String {
    let is_growing = GROWING.contains(&name(series))
        || ["_total", "_bucket", "_count", "_sum"].iter().any(|end| name(series).ends_with(end))
            && name(series) != "etcd_debugging_mvcc_slow_watcher_total";
    match pace {
        Pace::Restarts => format!("{first} {second} ").repeat(MINUTES / 2).trim_end().to_owned(),
        Pace::Steady if is_growing => {
            format!("{first}+{}x{MINUTES}", (second - first).max(0.0))
        }
        _ => format!("{second}+0x{MINUTES}"),
    }
}

fn line(series: &str, values: &str) -> String {
    let inner = series.split_once('{').and_then(|(_, rest)| rest.strip_suffix('}'));
    let separator = if inner.is_some_and(|inner| !inner.is_empty()) { "," } else { "" };
    let (name, inner) = (name(series), inner.unwrap_or_default());
    format!("      - {{ series: '{name}{{{TARGET}{separator}{inner}}}', values: '{values}' }}\n")
}

fn input(case: &Scrapes, rules: &str) -> String {
    let up = |is_up: i32| line("up", &format!("{is_up}+0x{MINUTES}"));
    let (first, second) = match (&case.first, &case.second) {
        _ if case.pace == Pace::NeverThere => {
            return "      - { series: 'up{job=\"etcd\"}', values: '1+0x120' }\n".to_owned();
        }
        (Some(first), Some(second)) => (samples(first), samples(second)),
        _ => return up(0),
    };
    let wanted = second.iter().filter(|(series, _)| rules.contains(name(series)));
    let wanted = wanted.map(|(series, value)| {
        // What is counted for the first time was none before.
        let before = first.get(series).copied().unwrap_or_default();
        line(series, &values(case.pace, series, before, *value))
    });
    up(1) + &wanted.collect::<String>()
}

/// One case of promtool's file.
pub(super) fn rendered(case: &Scrapes, rules: &str) -> String {
    let mut text = format!("  # {}\n  - interval: 1m\n    input_series:\n", case.name);
    text += &input(case, rules);
    text += "    promql_expr_test:\n      - expr: count by (alertname) (ALERTS{alertstate=\"firing\"})\n";
    let none = if case.fires.is_empty() { " []" } else { "" };
    writeln!(text, "        eval_time: 115m\n        exp_samples:{none}").unwrap();
    for alert in case.fires {
        writeln!(text, "          - {{ labels: '{{alertname=\"{alert}\"}}', value: 1 }}").unwrap();
    }
    text
}

/// What the panels of a dashboard ask for, with every instance chosen.
fn panels(dashboard: &str) -> Vec<String> {
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let asked = targets.map(|target| target["expr"].as_str().unwrap());
    asked.map(|asked| asked.replace("$instance", ".*")).collect()
}

/// A case in which every panel of a dashboard shows something: all these pages are one metastore's.
pub(super) fn of_panels(scrapes: &[Scrapes], dashboard: &str) -> String {
    let pages = scrapes.iter().filter_map(|case| case.second.as_deref());
    let all: BTreeMap<String, f64> = pages.flat_map(samples).collect();
    let mut text = String::from("  # the dashboard\n  - interval: 1m\n    input_series:\n");
    for (series, value) in all.iter().filter(|(series, _)| dashboard.contains(name(series))) {
        text += &line(series, &values(Pace::Steady, series, 0.0, *value));
    }
    text += "    promql_expr_test:\n";
    for asked in panels(dashboard) {
        let shows = Value::from(format!("count({asked}) > bool 0"));
        writeln!(text, "      - expr: {shows}\n        eval_time: 115m").unwrap();
        text += "        exp_samples: [{ labels: '{}', value: 1 }]\n";
    }
    text
}
