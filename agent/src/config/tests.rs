//! Every kind of refusal by its message, and that the example configurations are accepted.

use std::path::Path;

use expect_test::{Expect, expect};
use model::placement::NumaHintPolicy;
use model::policy::{Mode, Reserve};

use super::{MetricsListen, Report, parse};

#[track_caller]
fn check_refused(text: &str, expect: Expect) {
    let error = parse(Path::new("agent.toml"), text).expect_err(text);
    expect.assert_eq(&error.to_string());
}

#[test]
fn an_empty_file_is_the_safe_default() {
    let config = parse(Path::new("agent.toml"), "").expect("empty");
    assert_eq!(config.recording, None);
    assert_eq!(config.policy.mode, Mode::Observe);
    assert_eq!(config.policy.placement.reserve, Reserve::Count(0));
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
        metrics_listen = "pod:9911"
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
        [[workload]]
        cgroup = "/services/db"
        name = "db"
        qos = "dedicated_cores"
        request_milli_cpu = 4000
        memory_request = "2Gi"
        enhancements = { numa_binding = true, numa_number = 2, cpu_burst_policy = "static" }
        [memory]
        guard = true
        keep_free = "1Gi"
        protection = true
        min_percent = 50
        [provision]
        rule = "pid"
        usage_ratio = 0.7
        [headroom]
        sample_every_ms = 5000
        cpu_oversell_target = 0.6
        [burst]
        max_percent = 40
        [recording]
        path = "/var/lib/berth/recording"
        max_mib = 8
        [placement]
        interrupt_cpus = "7"
        numa_hint_policy = "packing"
    "#;
    let config = parse(Path::new("agent.toml"), text).expect("full");
    assert_eq!(config.agent.socket, Path::new("/run/berth-test/agent.sock"));
    assert_eq!(config.agent.listen, None);
    assert_eq!(config.agent.metrics_listen, MetricsListen::Pod(9911));
    let recording = config.recording.expect("asked for");
    assert_eq!(recording.path, Path::new("/var/lib/berth/recording"));
    assert_eq!(recording.max_bytes, 8 << 20);
    assert_eq!(config.workloads[1].spec.request.0, 500);
    let db = &config.workloads[2].spec;
    assert_eq!((db.memory_request.0, db.wish.numa_number), (2 << 30, Some(2)));
    assert!(db.wish.numa_binding && !db.wish.numa_exclusive);
    let policy = &config.policy;
    assert_eq!(policy.provision.rules, [model::provision::SizeRule::Pid]);
    assert_eq!(policy.provision.share_targets.usage_ratio, Some(0.7));
    assert_eq!(policy.memory.guard.keep_free.0, 1 << 30);
    assert_eq!(policy.memory.protection.min_percent, 50);
    assert_eq!(policy.headroom.cpu_report.window.ttl, model::Nanos::from_secs(25));
    assert_eq!((policy.burst.max_percent, policy.burst.static_percent), (40, 100));
    assert_eq!(config.policy.placement.numa_hint, NumaHintPolicy::Packing);
    assert_eq!(config.policy.placement.forbidden.to_string(), "7");
}

/// With a kubeconfig: what is told to the apiserver.
#[track_caller]
fn check_report(line: &str, expect: Report) {
    let text = format!("[kubernetes]\napiserver = \"/k\"\nnode = \"n\"\n{line}");
    let config = parse(Path::new("agent.toml"), &text).expect(line);
    let apiserver = config.kubernetes.and_then(|kubernetes| kubernetes.apiserver);
    assert_eq!(apiserver.map(|apiserver| apiserver.report), Some(expect), "{line}");
}

#[test]
fn zones_are_told_only_where_that_is_asked_for() {
    let usual = Report { cnr: true, capacity: true, events: true, topology: false };
    check_report("", usual);
    check_report("report = [\"cnr\", \"capacity\", \"events\"]", usual);
    let nothing = Report { cnr: false, capacity: false, events: false, topology: false };
    check_report("report = []", nothing);
    check_report("report = [\"topology\"]", Report { topology: true, ..nothing });
    check_refused(
        "[kubernetes]\napiserver = \"/k\"\nnode = \"n\"\nreport = [\"zones\"]",
        expect![[
            r#"agent.toml:4: kubernetes.report = "zones": allowed is any of "cnr", "capacity", "events", "topology""#
        ]],
    );
}

fn workload(more: &str) -> String {
    format!("[[workload]]\ncgroup = \"/a\"\nname = \"a\"\nqos = \"reclaimed_cores\"\n{more}")
}

#[test]
fn wishes_of_a_workload_are_checked() {
    check_refused(
        &workload("enhancements = { numa_bindin = true }"),
        expect![[
            r#"agent.toml:5: workload.enhancements.numa_bindin = "true": allowed is a key of cpuset_pool, numa_share, cpu_burst_policy, cpu_burst_percent, cpu_burst_threshold, align_by_socket, distribute_evenly_across_numa, full_pcpus_pairing, numa_binding, numa_exclusive, oom_priority, suppression_tolerance_rate, numa_number, numa_ids"#
        ]],
    );
    check_refused(
        &workload("enhancements = { numa_number = 0 }"),
        expect![[
            r#"agent.toml:5: workload.enhancements.numa_number = "0": allowed is whole numbers from 1 to 64"#
        ]],
    );
    check_refused(
        &workload("enhancements = { numa_binding = [1] }"),
        expect![[
            r#"agent.toml:5: workload.enhancements.numa_binding = "a list or a table": allowed is a text, a number, true or false"#
        ]],
    );
    check_refused(
        "[memory]\nmin_percent = 101",
        expect!["agent.toml:2: memory.min_percent = 101: allowed is 0 to 100"],
    );
    check_refused(
        "[provision]\nrule = \"quota\"",
        expect![[
            r#"agent.toml:2: provision.rule = "quota": allowed is runq, pid, canonical, dynamic_quota, requests"#
        ]],
    );
    check_refused(
        "[provision]\nlend_exclusive = true",
        expect![[
            r#"agent.toml:2: provision.lend_exclusive = true: allowed is true with rule = "pid", "canonical" or "dynamic_quota" only"#
        ]],
    );
    check_refused(
        "[provision]\nrule = \"requests\"\nisolation = { enabled = true }",
        expect![[
            r#"agent.toml:3: provision.isolation.enabled = true: allowed is false with rule = "requests", which follows no measurement"#
        ]],
    );
    check_refused(
        "[provision.isolation]\nmax_cpu_ratio = 1.5",
        expect!["agent.toml:2: provision.isolation.max_cpu_ratio = 1.5: allowed is 0 to 1"],
    );
    check_refused(
        "[headroom]\ncpu_oversell_target = 2.0",
        expect!["agent.toml:2: headroom.cpu_oversell_target = 2.0: allowed is 0.1 to 1"],
    );
    check_refused(
        &workload("memory_request = \"2Gib\""),
        expect![[
            r#"agent.toml:5: workload.memory_request = "2Gib": allowed is a quantity such as "2Gi" ("2Gib" is not a quantity (a number with one of n u m k M G T P E Ki Mi Gi Ti Pi Ei, or an exponent))"#
        ]],
    );
    check_refused(
        "[placement]\nnuma_hint_policy = \"random\"",
        expect![[
            r#"agent.toml:2: placement.numa_hint_policy = "random": allowed is spreading, packing, dynamic_packing"#
        ]],
    );
    check_refused(
        "[placement]\ninterrupt_cpus = \"a\"",
        expect![[
            r#"agent.toml:2: placement.interrupt_cpus = "a": allowed is a CPU list such as "0,8" or "0-1" ("a" is not a CPU, a range N-M or a stride N-M:USED/GROUP)"#
        ]],
    );
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

#[test]
fn recordings_that_make_no_sense() {
    check_refused(
        "[recording]\npath = \"here\"",
        expect![[
            r#"agent.toml:2: recording.path = "here": allowed is an absolute path without . and .."#
        ]],
    );
    check_refused(
        "[recording]\nmax_mib = 0",
        expect!["agent.toml:2: recording.max_mib = 0: allowed is 1 to 65536"],
    );
}
