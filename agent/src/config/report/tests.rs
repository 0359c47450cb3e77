//! What `[report]` may say, and what is refused with line, key, value and what is allowed.

use std::path::Path;

use expect_test::{Expect, expect};

use super::ReportConfig;
use crate::config::parse;

fn read(text: &str) -> Option<ReportConfig> {
    let text = format!("[report]\n{text}");
    parse(Path::new("agent.toml"), &text).expect("a good section").report
}

#[track_caller]
fn check_refused(text: &str, expect: Expect) {
    let text = format!("[report]\n{text}");
    let error = parse(Path::new("agent.toml"), &text).expect_err("refused");
    expect.assert_eq(&error.to_string());
}

#[test]
fn without_endpoints_nothing_is_reported() {
    assert_eq!(parse(Path::new("agent.toml"), "").expect("empty").report, None);
    assert_eq!(read(""), None);
    assert_eq!(read("endpoints = []\ncluster = \"c\""), None);
}

#[test]
fn a_section_has_defaults() {
    let config = read("endpoints = [\"http://127.0.0.1:9920/\"]").expect("a section");
    assert_eq!(config.endpoints, ["http://127.0.0.1:9920"]);
    assert_eq!((config.cluster.as_str(), config.node), ("default", None));
    assert_eq!(config.interval.0, 5_000_000_000);
    assert_eq!((config.ca_file, config.identity, config.token_file), (None, None, None));
}

#[test]
fn a_full_section() {
    let text = r#"
        endpoints = ["https://b.example:9443", "https://[fd00::1]:9443", "http://localhost:1"]
        cluster = "eu-1"
        node = "n1.example"
        interval_ms = 600000
        ca_file = "/etc/berth/ca.crt"
        certificate_file = "/etc/berth/node.crt"
        key_file = "/etc/berth/node.key"
        token_file = "/var/run/secrets/berth/token"
    "#;
    let config = read(text).expect("a section");
    assert_eq!(config.endpoints.len(), 3);
    assert_eq!((config.cluster.as_str(), config.node.as_deref()), ("eu-1", Some("n1.example")));
    assert_eq!(config.interval, super::MAX_INTERVAL);
    let identity = config.identity.expect("both files");
    assert_eq!(identity.certificate, Path::new("/etc/berth/node.crt"));
    assert_eq!(identity.key, Path::new("/etc/berth/node.key"));
    assert_eq!(config.token_file.as_deref(), Some(Path::new("/var/run/secrets/berth/token")));
}

#[test]
fn endpoints_that_cannot_be_trusted_or_reached_are_refused() {
    for bad in [
        "n1:9443",
        "unix:///run/x",
        "http://10.0.0.1:80",
        "http://example.org",
        "https://u:p@h",
        "https://h/path",
        "https://h?q",
        "https://",
        "",
    ] {
        let text = format!("[report]\nca_file = \"/ca\"\nendpoints = [\"{bad}\"]");
        let error = parse(Path::new("agent.toml"), &text).expect_err(bad).to_string();
        let expect = format!(
            "agent.toml:3: report.endpoints = \"{bad}\": allowed is https://HOST[:PORT], or \
             http://HOST[:PORT] for a loopback address"
        );
        assert_eq!(error, expect);
    }
    check_refused(
        "\nendpoints = [\n\"https://h:1\"]",
        expect![[
            r#"agent.toml:4: report.endpoints = "https://h:1": allowed is https://HOST[:PORT] together with report.ca_file"#
        ]],
    );
    check_refused(
        "endpoints = [\"http://[::1]:1\", \"http://[::1]:1/\"]",
        expect![[
            r#"agent.toml:2: report.endpoints = "http://[::1]:1/": allowed is each endpoint once"#
        ]],
    );
    check_refused(
        "endpoints = [\"1\", \"2\", \"3\", \"4\", \"5\", \"6\", \"7\", \"8\", \"9\"]",
        expect![[
            r#"agent.toml:2: report.endpoints = ["1", "2", "3", "4", "5", "6", "7", "8", "9"]: allowed is at most 8 endpoints"#
        ]],
    );
}

#[test]
fn values_out_of_range_are_refused_without_endpoints_too() {
    check_refused(
        "interval_ms = 999",
        expect!["agent.toml:2: report.interval_ms = 999: allowed is 1000 to 600000"],
    );
    check_refused(
        "interval_ms = 600001",
        expect!["agent.toml:2: report.interval_ms = 600001: allowed is 1000 to 600000"],
    );
    check_refused(
        "cluster = \"\"",
        expect![[
            r#"agent.toml:2: report.cluster = "": allowed is 1 to 253 letters, digits, '-', '_' and '.'"#
        ]],
    );
    check_refused(
        "node = \"a/b\"",
        expect![[
            r#"agent.toml:2: report.node = "a/b": allowed is 1 to 253 letters, digits, '-', '_' and '.'"#
        ]],
    );
    check_refused(
        "key_file = \"/k\"",
        expect![[
            r#"agent.toml:2: report.key_file = "/k": allowed is a file together with report.certificate_file"#
        ]],
    );
    check_refused(
        "certificate_file = \"/c\"",
        expect![[
            r#"agent.toml:2: report.certificate_file = "/c": allowed is a file together with report.key_file"#
        ]],
    );
    check_refused(
        "token_file = \"token\"",
        expect![[
            r#"agent.toml:2: report.token_file = "token": allowed is an absolute path without . and .."#
        ]],
    );
}
