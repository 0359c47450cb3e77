//! Every alert of `deploy/monitoring/alerts.yaml` provoked: a state goes wrong, is published as the loop does, followed and scraped
//! through the real port. What a Prometheus would have read stands in `alerts.test.yaml`, which promtool runs in the e2e tier.
//! Owns the cases and the form of that file; the alerts themselves are the file's.

mod cases;
mod names;
mod scrape;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use expect_test::expect_file;

use self::cases::{Case, Pace};
use self::scrape::{Agent, Sample, samples};

pub(super) const RULES: &str = include_str!("../../../../deploy/monitoring/alerts.yaml");
const PAGE: &str = include_str!("../../../../docs/alerts.md");

/// Two hours of a scrape a minute: longer than any alert waits.
const MINUTES: usize = 120;
const TARGET: &str = "instance=\"node-1:9911\",job=\"berth-agent\"";

/// Of the rules, in their order.
fn alert_names() -> Vec<&'static str> {
    RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

/// Two scrapes, a minute of sixty ticks between them; `None` where nobody answers.
async fn two_scrapes(case: &Case) -> [Option<String>; 2] {
    let mut agent = Agent::start(0).await;
    agent.minute(case).await;
    let first = agent.scrape().await;
    match case.pace {
        Pace::Steady => agent.minute(case).await,
        Pace::LoopStops => agent.minute_without_ticks(case),
        Pace::Restarts => {
            agent = Agent::start(60).await;
            agent.minute(case).await;
        }
        Pace::Ends | Pace::NeverThere => agent.end().await,
    }
    let second = agent.scrape().await;
    [first, second]
}

/// `from`, and on as it went from `from` to `to`.
fn linear(from: f64, to: f64) -> String {
    let step = to - from;
    let sign = if step < 0.0 { '-' } else { '+' };
    format!("{from}{sign}{}x{MINUTES}", step.abs())
}

/// To and fro, as with an agent that begins anew each minute.
fn alternating(one: f64, other: f64) -> String {
    let both = format!("{one} {other} ");
    both.repeat(MINUTES / 2).trim_end().to_owned()
}

fn series(pace: Pace, first: &Sample, second: &Sample) -> String {
    assert_eq!(first.series, second.series, "the same series in both");
    let values = match pace {
        Pace::Restarts => alternating(first.value, second.value),
        _ => linear(first.value, second.value),
    };
    format!("      - {{ series: '{}', values: '{values}' }}\n", first.with_labels(TARGET))
}

fn input(case: &Case, scrapes: &[Option<String>; 2]) -> String {
    let up = |is_up: bool| {
        format!(
            "      - {{ series: 'up{{{TARGET}}}', values: '{}+0x{MINUTES}' }}\n",
            i32::from(is_up)
        )
    };
    match (scrapes, case.pace) {
        (_, Pace::NeverThere) => {
            "      - { series: 'up{instance=\"etcd:2379\",job=\"etcd\"}', values: '1+0x120' }\n"
                .to_owned()
        }
        ([Some(first), Some(second)], _) => {
            let wanted = |sample: &Sample| RULES.contains(sample.name());
            let pairs = samples(first).into_iter().zip(samples(second));
            // A kind of call that never came adds nothing to any sum.
            let never = |one: &Sample, two: &Sample| {
                one.name().ends_with("_bucket") && one.value + two.value == 0.0
            };
            let pairs = pairs.filter(|(one, two)| wanted(one) && !never(one, two));
            up(true) + &pairs.map(|(one, two)| series(case.pace, &one, &two)).collect::<String>()
        }
        _ => up(false),
    }
}

fn rendered(case: &Case, scrapes: &[Option<String>; 2]) -> String {
    let mut text = format!("  # {}\n  - interval: 1m\n    input_series:\n", case.name);
    text += &input(case, scrapes);
    text += "    promql_expr_test:\n      - expr: count by (alertname) (ALERTS{alertstate=\"firing\"})\n";
    let expect = if case.fires.is_empty() { " []" } else { "" };
    writeln!(text, "        eval_time: 115m\n        exp_samples:{expect}").expect("a String");
    for alert in case.fires {
        writeln!(text, "          - {{ labels: '{{alertname=\"{alert}\"}}', value: 1 }}")
            .expect("a String");
    }
    text
}

/// The whole file for promtool, and every series that any case had.
async fn provoke_all() -> (String, Vec<Sample>) {
    let mut file = String::from(
        "# Made by the tests of the agent's metrics (UPDATE_EXPECT=1 cargo test -p agent --lib alerts), do not edit: scrapes of agents\n\
         # with which something is wrong, and the alerts that they must fire, no more and no fewer. `promtool test rules` runs it.\n\
         rule_files: [alerts.yaml]\nevaluation_interval: 1m\ntests:\n",
    );
    let mut seen = Vec::new();
    for case in cases::all() {
        let scrapes = two_scrapes(&case).await;
        file += &rendered(&case, &scrapes);
        seen.extend(scrapes.iter().flatten().flat_map(|page| samples(page)));
    }
    file += &names::panels_case(&seen);
    (file, seen)
}

#[tokio::test]
async fn every_alert_has_a_case_that_fires_it() {
    let (file, seen) = provoke_all().await;
    names::check_all(&seen);
    expect_file!["../../../../deploy/monitoring/alerts.test.yaml"].assert_eq(&file);
    let fired: BTreeSet<&str> = cases::all().iter().flat_map(|case| case.fires).copied().collect();
    let alerts: BTreeSet<&str> = alert_names().into_iter().collect();
    assert_eq!(fired, alerts);
}

#[test]
fn every_alert_has_a_heading_and_every_heading_an_alert() {
    let headings = PAGE.lines().filter_map(|line| line.strip_prefix("### "));
    let headings: Vec<&str> = headings.filter(|heading| heading.starts_with("Berth")).collect();
    assert_eq!(headings, alert_names(), "in the order of the file");
    for alert in alert_names() {
        let link = format!("runbook: docs/alerts.md#{}\n", alert.to_lowercase());
        assert!(RULES.contains(&link), "{link}");
    }
}

/// Written once, for who runs the Prometheus operator and who does not.
#[test]
fn the_operators_object_holds_the_same_rules() {
    let (_, groups) = RULES.split_once("groups:\n").expect("groups");
    let indent = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") };
    let groups: String = groups.lines().map(indent).collect();
    let object = format!(
        "# Made from alerts.yaml by the tests of the agent's metrics (UPDATE_EXPECT=1 cargo test -p agent --lib alerts), do not edit.\n\
         apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: berth-agent\n  namespace: berth-system\n  \
         labels: {{ app.kubernetes.io/name: berth-agent }}\nspec:\n  groups:\n{groups}"
    );
    expect_file!["../../../../deploy/monitoring/prometheusrule.yaml"].assert_eq(&object);
}
