//! The alerts on agents, as Prometheus reads them: they are valid, and fire for scrapes of agents with which something is wrong and for
//! no other. The scrapes are made by the tests of the agent's metrics, which see to it that the file is fresh.

use std::path::Path;

use testkit::promtool;

#[track_caller]
fn check(words: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/monitoring");
    let output = promtool().unwrap().args(words).current_dir(folder).output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "promtool {words:?}: {said}");
    said
}

#[test]
fn rules_are_valid() {
    let said = check(&["check", "rules", "alerts.yaml"]);
    assert!(said.contains("SUCCESS"), "{said}");
}

#[test]
fn each_fault_fires_its_alert_and_no_other() {
    check(&["test", "rules", "alerts.test.yaml"]);
}
