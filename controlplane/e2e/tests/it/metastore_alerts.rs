//! Every alert of `deploy/monitoring/metastore/alerts.yaml` provoked on a real metastore: its page is scraped before and after a minute of
//! the fault (made shorter), what a Prometheus would have read in two hours of it goes to promtool, and exactly the alerts that are meant
//! fire. Owns what is compared; the faults are in `cases`.

mod cases;
mod page;
mod store;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use testkit::{Bench, promtool};

use self::cases::Scrapes;
use self::page::{of_panels, rendered};

const RULES: &str = include_str!("../../../../deploy/monitoring/metastore/alerts.yaml");
const DASHBOARD: &str = include_str!("../../../../deploy/monitoring/metastore/dashboard.json");
const PAGE: &str = include_str!("../../../../docs/metastore.md");

/// Of the rules, in their order.
fn alert_names() -> Vec<&'static str> {
    RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

#[test]
fn every_alert_of_a_metastore_says_what_to_do() {
    let headings = PAGE.lines().filter_map(|line| line.strip_prefix("### BerthMetastore"));
    let headings: Vec<String> = headings.map(|rest| format!("BerthMetastore{rest}")).collect();
    assert_eq!(headings, alert_names(), "in the order of the file");
    for alert in alert_names() {
        let link = format!("runbook: docs/metastore.md#{}\n", alert.to_lowercase());
        assert!(RULES.contains(&link), "{link}");
    }
}

/// What promtool says of the rules, when these scrapes are all there is, and of the dashboard, whose panels all show something.
fn promtool_says(folder: &Path, scrapes: &[Scrapes]) -> Result<(), String> {
    fs::write(folder.join("alerts.yaml"), RULES).unwrap();
    let mut file = String::from("rule_files: [alerts.yaml]\nevaluation_interval: 1m\ntests:\n");
    for scrapes in scrapes {
        file += &rendered(scrapes, RULES);
    }
    file += &of_panels(scrapes, DASHBOARD);
    fs::write(folder.join("alerts.test.yaml"), file).unwrap();
    let mut promtool = promtool().unwrap();
    let output = promtool.args(["test", "rules", "alerts.test.yaml"]).current_dir(folder).output();
    let output = output.unwrap();
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    if output.status.success() { Ok(()) } else { Err(said.concat()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_a_metastore_fires_its_alert_and_no_other() {
    let bench = Bench::of_test().unwrap();
    let folder = bench.own_folder("metastores").unwrap();
    let scrapes = cases::all(&folder).await;
    if let Err(said) = promtool_says(&folder, &scrapes) {
        panic!("{said}");
    }
    let fired: BTreeSet<&str> = scrapes.iter().flat_map(|case| case.fires).copied().collect();
    let all: BTreeSet<&str> = alert_names().into_iter().collect();
    assert_eq!(fired, all, "every alert has a fault that fires it");
    let healthy = scrapes.iter().filter_map(|case| case.second.as_deref());
    let known: BTreeSet<String> = healthy.flat_map(page::names).collect();
    for (file, text) in [("alerts.yaml", RULES), ("dashboard.json", DASHBOARD)] {
        let unknown: Vec<_> =
            page::used(text).into_iter().filter(|name| !known.contains(name)).collect();
        assert!(unknown.is_empty(), "{file}: a metastore has no {unknown:?}");
    }
}
