//! `simulate` on documents: the YAML in `tests/scenarios/NAME.yaml`, the answers beside it in
//! `NAME.json` (`UPDATE_EXPECT=1` records them; read the difference before committing).

use expect_test::expect_file;
use proptest::prelude::*;
use sim::{Transcript, simulate};

fn run(text: &str) -> Transcript {
    simulate(text, &|tree| Err(format!("no tree {tree} in tests")))
}

macro_rules! scenario {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let text = include_str!(concat!("../scenarios/", stringify!($name), ".yaml"));
            let first = run(text);
            assert!(!first.is_refused, "{}", first.lines);
            expect_file![concat!("../scenarios/", stringify!($name), ".json")]
                .assert_eq(&first.lines);
            for _ in 0..100 {
                assert_eq!(run(text), first);
            }
        }
    )*};
}

scenario! {
    allocate
    allocate_defaults
    allocate_overlap
    hints
    hints_twelve_nodes
    hints_spreading
    hints_packing
    hints_dynamic_packing
    lifecycle
    capacity
    bad_input
    provision
    one_cpu
    nodes_without_memory
    hybrid
    topology_policies
    headroom
    headroom_memory
    memory
    bursts
}

/// The document is refused as a whole, with one line that says why.
#[track_caller]
fn check_refused(text: &str, expect: &str) {
    let transcript = run(text);
    assert!(transcript.is_refused, "{text}");
    assert!(transcript.lines.starts_with("{\"step\":0,\"kind\":\"setup\",\"ok\":false"));
    let line: serde_json::Value = serde_json::from_str(&transcript.lines).expect("JSON");
    let error = line["error"].as_str().expect("a reason");
    assert!(error.contains(expect), "{text:?}: {error}");
}

#[test]
fn documents_that_are_refused() {
    let machine = "machine: {cores_per_numa: 4}\n";
    check_refused("", "empty");
    check_refused("a: [", "not YAML");
    check_refused("steps: []", "machine: missing");
    check_refused("machine: {}", "machine.cores_per_numa: missing");
    check_refused("machine: {cores_per_numa: 0}", "machine.cores_per_numa: 0 is not allowed");
    check_refused("machine: {cores_per_numa: 2000}", "allowed are whole numbers 1..=1024");
    check_refused("machine: {cores_per_numa: 600, sockets: 2}", "1200 CPUs");
    check_refused("machine: {cores_per_numa: 3, llc_per_numa: 2}", "2 does not divide 3");
    check_refused("machine: {tree: /none}", "machine.tree: no tree /none in tests");
    check_refused("machine: {cores_per_numa: 4, cpus: 9}", "machine.cpus: no such key (value 9)");
    check_refused(&format!("{machine}extra: 1"), "extra: no such key (value 1)");
    let policy = |text: &str| format!("{machine}policy: {{{text}}}");
    check_refused(
        &policy("reserved_cpus: \"0-3\""),
        "policy.reserved_cpus: reserved CPUs 0-3 and forbidden CPUs  leave none",
    );
    check_refused(&policy("reserved_cpus: \"a\""), "policy.reserved_cpus: \"a\" is not a CPU");
    check_refused(&policy("reclaim_enabled: maybe"), "policy.reclaim_enabled: \"maybe\"");
    check_refused(&policy("ramp_up_seconds: -1"), "policy.ramp_up_seconds: -1 is not allowed");
    check_refused(&policy("ramp_up_seconds: .inf"), "policy.ramp_up_seconds: inf");
    check_refused(&policy("numa_hint_policy: best"), "spreading, packing, dynamic_packing");
    check_refused(&policy("topology_policy: best"), "none, best-effort, restricted");
    check_refused(&policy("qos_selectors: {gold: {a: b}}"), "policy.qos_selectors: \"gold\"");
    check_refused(&policy("headroom: {cpu: 1}"), "policy.headroom.cpu: no such key (value 1)");
    check_refused(
        &policy("headroom: {cpu_report: {window_size: 65}}"),
        "policy.headroom.cpu_report.window_size: 65 is not allowed; allowed are whole numbers 1..=64",
    );
    check_refused(
        &policy("headroom: {cpu_oversell: {target_util: 2}}"),
        "policy.headroom.cpu_oversell.target_util: 2 is not allowed; allowed are numbers 0..=1",
    );
    check_refused(&policy("headroom: {memory_rule: best}"), "canonical, util, numa_aware");
    check_refused(
        &policy("headroom: {memory_report: {smooth: p101}}"),
        "policy.headroom.memory_report.smooth: \"p101\"",
    );
    check_refused(&policy("memory: {guard_high_percent: 101}"), "policy.memory.guard_high_percent");
    check_refused(&policy("burst: {busy_over: -1}"), "policy.burst.busy_over: -1");
    check_refused(&policy("speed: 1"), "policy.speed: no such key (value 1)");
}

#[test]
fn a_pod_of_a_thousand_containers_is_answered() {
    let containers: Vec<String> = (0..1000)
        .map(|n| format!("{{name: c{n}, resources: {{requests: {{cpu: 1m}}}}}}"))
        .collect();
    let text = format!(
        "machine: {{cores_per_numa: 4}}\nsteps: [{{admit: {{pod: {{metadata: {{name: p}}, spec: \
         {{containers: [{}]}}}}}}}}]",
        containers.join(", ")
    );
    let line: serde_json::Value = serde_json::from_str(&run(&text).lines).expect("JSON");
    assert_eq!(line["result"]["containers"].as_array().map(Vec::len), Some(1000));
}

proptest! {
    #[test]
    fn no_text_panics(text in "[-a-z0-9:,{}\\[\\]\"'\\n &*!|>#.]{0,80}", any in ".{0,40}") {
        run(&text);
        run(&any);
    }

    /// Pieces of a good document in a wrong order, with values that do not belong there.
    #[test]
    fn no_document_panics(
        machine in "(1|4|-1|\"2\"|\\[\\]|\\{\\}|null|1e9|.nan)",
        policy in "(0|\"0,2\"|\"0-3\"|\\[1\\]|true|~|\"\")",
        steps in proptest::collection::vec("(admit|hints|resize|remove|tick|show|offline): (\\{usage: \\{a: 1\\}\\}|\\{samples: \\{memory: \\{0: \\{\\}\\}\\}\\}|\\{samples: \\{cpu_busy_ratio: 1\\}\\}|\\[headroom, memory, bursts\\]|\\{\\}|1|\\[\\]|\\{pod: 1\\}|\\{pod: \\{\\}\\}|\\{seconds: 9e99\\}|\\{cpus: [0-9],?[0-9]?\\}|\\{pod: \\{name: a, containers: \\[\\{\\}\\]\\}\\}|\\{pod: a, hint: 3\\})", 0..6),
    ) {
        let steps: String = steps.iter().map(|step| format!("  - {step}\n")).collect();
        let text = format!(
            "machine: {{cores_per_numa: {machine}}}\npolicy: {{reserved_cpus: {policy}}}\nsteps:\n{steps}"
        );
        let transcript = run(&text);
        for line in transcript.lines.lines() {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            prop_assert_eq!(line["ok"].as_bool(), Some(line["error"].is_null()));
        }
    }
}
