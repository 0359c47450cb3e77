//! Every kind of refusal by its message, and that the example configurations are accepted.

use std::path::Path;

use expect_test::{Expect, expect};
use model::policy::{Mode, Reserve};

use super::parse;

#[track_caller]
fn check_refused(text: &str, expect: Expect) {
    let error = parse(Path::new("agent.toml"), text).expect_err(text);
    expect.assert_eq(&error.to_string());
}

#[test]
fn an_empty_file_is_the_safe_default() {
    let config = parse(Path::new("agent.toml"), "").expect("empty");
    assert_eq!(config.policy.mode, Mode::Observe);
    assert_eq!(config.policy.reserve, Reserve::Count(0));
    assert_eq!(config.agent.socket, Path::new("/run/berth/agent.sock"));
    assert!(config.workloads.is_empty());
}

#[test]
fn a_full_file_is_read() {
    let text = r#"
        mode = "enforce"
        [host]
        managed_cgroup = "/"
        [agent]
        runtime_dir = "/run/berth-test/"
        listen = "off"
        [reserve]
        cpuset = "0-1"
        [[workload]]
        cgroup = "/batch/*"
        name = "batch"
        qos = "reclaimed_cores"
        [[workload]]
        cgroup = "/services/api"
        name = "api"
        qos = "shared_cores"
        request_milli_cpu = 500
        target_p99_us = 3000
    "#;
    let config = parse(Path::new("agent.toml"), text).expect("full");
    assert_eq!(config.agent.socket, Path::new("/run/berth-test/agent.sock"));
    assert_eq!(config.agent.listen, None);
    assert_eq!(config.workloads[1].spec.request.0, 500);
}

#[test]
fn nonsense_values_name_key_value_range_and_line() {
    check_refused(
        "mode = \"enfroce\"",
        expect![[r#"agent.toml:1: mode = "enfroce": allowed is "observe" or "enforce""#]],
    );
    check_refused(
        "\n[agent]\ntick_ms = 5\n",
        expect!["agent.toml:3: agent.tick_ms = 5: allowed is 100 to 3000"],
    );
    check_refused(
        "[reclaim]\nweight = -1",
        expect!["agent.toml:2: reclaim.weight = -1: allowed is 1 to 10000"],
    );
    check_refused(
        "[share]\nusage_margin = nan",
        expect!["agent.toml:2: share.usage_margin = NaN: allowed is 1 to 10"],
    );
    check_refused(
        "[reserve]\ncpus = 1\ncpuset = \"0\"",
        expect![[
            r#"agent.toml:3: reserve.cpuset = "0": allowed is either reserve.cpus or reserve.cpuset"#
        ]],
    );
    check_refused(
        "[reserve]\ncpuset = \"3-1\"",
        expect![[
            r#"agent.toml:2: reserve.cpuset = "3-1": allowed is a CPU list such as "0,8" or "0-1" ("3-1" runs backwards or has an impossible stride)"#
        ]],
    );
    check_refused(
        "[host]\nmanaged_cgroup = \"/a/../b\"",
        expect![[
            r#"agent.toml:2: host.managed_cgroup = "/a/../b": allowed is an absolute path without . and .."#
        ]],
    );
    check_refused(
        "[[workload]]\ncgroup = \"/a\"\nname = \"a\"\nqos = \"gold\"",
        expect![[
            r#"agent.toml:4: workload.qos = "gold": allowed is one of dedicated_cores, shared_cores, reclaimed_cores, system_cores"#
        ]],
    );
}

#[test]
fn unknown_keys_and_broken_toml_name_the_line() {
    for (text, word, line) in [
        ("\nsupression = 1", "supression", "line 2"),
        ("[agent]\ntick = 5", "tick", "line 2"),
        ("[[workload]]\ncgroup = \"/a\"\nqos = \"shared_cores\"", "name", "line 1"),
        ("mode = ", "mode = ", "line 1"),
        ("[agent]\ntick_ms = \"fast\"", "tick_ms", "line 2"),
    ] {
        let error = parse(Path::new("agent.toml"), text).expect_err(text).to_string();
        assert!(error.contains(word) && error.contains(line), "{text:?} gave: {error}");
    }
}
