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
            crate::schema::check(text, &first.lines);
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
    evict
    zones
    pid
    quota
    isolation
    isolation_reclaim_off
    assembly
    caches
    spellings
    odd_pods
    node_without_cpus
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
    check_refused("a: [", "not one document of YAML: error: line 1 column 4");
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
    check_refused(
        &policy("speed: 1"),
        "policy.speed: no such key (value 1); allowed are reserved_cpus",
    );
    check_refused(&policy("reserved_cpus: 9"), "policy.reserved_cpus: reserved CPUs 0-3");
    let strange = "CPUs 9 are not on this machine; allowed are 0-3";
    check_refused(&policy("reserved_cpus: \"0,9\""), &format!("policy.reserved_cpus: {strange}"));
    check_refused(&policy("interrupt_cpus: [9]"), &format!("policy.interrupt_cpus: {strange}"));
    check_refused(&policy("reclaim_reserved_cpus: \"0,9\""), strange);
    let defaults = |text: &str| policy(&format!("qos_enhancement_defaults: {{{text}}}"));
    check_refused(&defaults("numa_exclusiv: true"), "numa_exclusiv: no such key (value \"true\")");
    check_refused(&defaults("numa_exclusive: maybe"), "allowed are \"true\" and \"false\"");
    check_refused(&defaults("cpu_enhancement: '{'"), "defaults.cpu_enhancement: ");
}

#[test]
fn a_document_is_one_map_of_machine_policy_and_steps() {
    check_refused("just text", "the document: \"just text\" is not allowed; allowed are maps");
    check_refused("- a", "the document: a list of 1");
    let two = "machine: {cores_per_numa: 2}\n---\nmachine: {cores_per_numa: 4}\n";
    check_refused(two, "line 3 column 1: only single YAML document expected");
    check_refused("machine: {cores_per_numa: 2}\nmachine: {}", "duplicate mapping key `machine`");
    check_refused("machine: {cores_per_numa: 2}\nsteps: {show: 1}", "steps: a map of 1");
    check_refused("machine: {cores_per_numa: 2, tree: x}", "a tree or a shape, not both");
    let allowed = "allowed are whole numbers 1..=1024";
    for huge in ["1000000000", "1e9", "1e300", "-1", "99999999999999999999999999999999999999999"] {
        check_refused(&format!("machine: {{sockets: {huge}, cores_per_numa: 1}}"), allowed);
    }
    let all = "sockets: 1024, numa_per_socket: 1024, cores_per_numa: 1024, threads_per_core: 1024";
    check_refused(&format!("machine: {{{all}}}"), "allowed are 1024 in 64");
    check_refused("machine: {sockets: 65, cores_per_numa: 1}", "65 CPUs in 65 NUMA nodes");
    check_refused("machine: {cores_per_numa: 2, efficiency_cpus: 7}", "allowed are 0-1");
}

/// Neither nesting nor aliases make the reader work for ever.
#[test]
fn documents_that_explode_are_refused() {
    check_refused(&format!("machine: {}{}", "[".repeat(5000), "]".repeat(5000)), "recursion limit");
    let level = |n: u8| {
        let (name, below) = (char::from(b'b' + n), char::from(b'a' + n));
        format!("{name}: &{name} [{}]\n", vec![format!("*{below}"); 9].join(", "))
    };
    let bomb: String = (0..12).map(level).collect();
    check_refused(&format!("a: &a [x]\n{bomb}"), "too large or too complex");
}

#[test]
fn documents_without_steps_print_nothing() {
    for steps in ["", "steps:", "steps: []", "policy:\nsteps: ~", "policy: {}"] {
        let said = run(&format!("machine: {{cores_per_numa: 2}}\n{steps}"));
        assert_eq!(said, Transcript { lines: String::new(), is_refused: false }, "{steps}");
    }
}

/// The same document with other ends of lines, marks and anchors.
#[test]
fn the_form_of_yaml_does_not_matter() {
    let plain = "machine: {cores_per_numa: 2}\nsteps:\n- show: [pools]\n- show: [pools]\n";
    let expect = run(plain);
    for text in [
        format!("\u{feff}{}", plain.replace('\n', "\r\n")),
        format!("%YAML 1.2\n---\n{plain}...\n"),
        "machine: {cores_per_numa: 2.0}\nsteps: [&s {show: [pools]}, *s]".to_owned(),
        "machine: &m {cores_per_numa: 2}\nsteps: [show: [pools], show: pools]\n# end".to_owned(),
        r#"{"machine": {"cores_per_numa": "2"}, "steps": [{"show": ["pools"]}, {"show": "pools"}]}"#
            .to_owned(),
    ] {
        assert_eq!(run(&text), expect, "{text}");
    }
    let merged = "machine: {cores_per_numa: 2}\nsteps:\n- admit: {pod: &p {name: a, containers: \
                  [{name: c}]}}\n- admit: {pod: {<<: *p, name: b}}\n- remove: {pod: b}\n";
    assert!(run(merged).lines.ends_with("{\"removed\":\"default/b\"}}\n"));
}

/// A step that is refused leaves the node as it was, whatever it is.
#[test]
fn steps_that_are_refused_change_nothing() {
    let before = "machine: {cores_per_numa: 4}\npolicy: {reclaim_enabled: true}\nsteps:\n\
                  - admit: {pod: {name: a, containers: [{name: c, resources: {requests: {cpu: 1}}}]}}\n\
                  - tick: {seconds: 1, usage: {a: 1}}\n";
    let shown = "- show: [pods, pools, headroom, memory, bursts, zones]\n";
    let last = |text: &str| {
        let said = run(text).lines;
        let line = said.lines().last().unwrap_or_default().to_owned();
        line.split_once(",\"kind\"").map(|(_, rest)| rest.to_owned())
    };
    let expect = last(&format!("{before}{shown}"));
    for step in [
        "admit: {pod: {name: b, containers: [{name: c, resources: {requests: {cpu: 9}}}]}}",
        "admit: {pod: {name: b}}",
        "resize: {pod: {name: a, containers: [{name: c, resources: {requests: {cpu: 9}}}]}}",
        "resize: {pod: {name: a, containers: [{name: c, resources: {requests: {cpu: 1n}}}]}}",
        "remove: {pod: b}",
        "evict: {pod: b}",
        "tick: {seconds: -1}",
        "tick: {seconds: 9, usage: {a: 1, b: 1}}",
        "tick: {seconds: 9, samples: {cpus: {0: 0.5, 9: 0.5}}}",
        "offline: {cpus: \"3,9\"}",
        "offline: {cpus: \"0-3\"}",
        "online: {cpus: 9}",
        "show: [pools, moon]",
        "evict: 1",
        "{admit: 1, show: 1}",
        "7",
    ] {
        let text = format!("{before}- {step}\n{shown}");
        assert!(run(&text).lines.contains("\"ok\":false"), "{step}");
        assert_eq!(last(&text), expect, "{step}");
    }
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

    /// Pods that come, come again and go leave nothing behind, in whatever order they go.
    #[test]
    fn a_node_forgets_pods_that_left(
        pods in proptest::collection::vec((0usize..6, 0u64..5000, any::<bool>(), any::<prop::sample::Index>()), 1..8),
        overlap: bool,
    ) {
        let kind = [
            "",
            "memory_enhancement: '{\"numa_binding\":\"true\"}'",
            "qos_level: dedicated_cores, katalyst.kubewharf.io/memory_enhancement: '{\"numa_binding\":\"true\"}'",
            "qos_level: dedicated_cores",
            "qos_level: reclaimed_cores, katalyst.kubewharf.io/memory_enhancement: '{\"numa_binding\":\"true\"}'",
            "qos_level: system_cores",
        ];
        let pod = |idx: usize, kind: &str, milli: u64, phase: bool| {
            let annotations = if kind.is_empty() { String::new() } else { format!("katalyst.kubewharf.io/{kind}") };
            let phase = if phase { "Running" } else { "Pending" };
            format!(
                "- admit: {{pod: {{name: p{idx}, status: {{phase: {phase}}}, annotations: {{{annotations}}}, \
                 containers: [{{name: c, resources: {{requests: {{cpu: {milli}m}}}}}}]}}}}\n"
            )
        };
        let head = format!(
            "machine: {{sockets: 2, numa_per_socket: 2, cores_per_numa: 2, threads_per_core: 2}}\npolicy: \
             {{reserved_cpus: \"0,2\", reclaim_enabled: true, overlap_shared_reclaim: {overlap}}}\nsteps:\n"
        );
        let show = "- show: [pools, pods, zones]\n";
        let last = |text: &str| {
            let lines = run(text).lines;
            let line = lines.lines().last().unwrap_or_default();
            line.split_once("\"kind\"").map(|(_, rest)| rest.to_owned())
        };
        let mut text = head.clone();
        for (idx, (level, milli, phase, _)) in pods.iter().enumerate() {
            let admit = pod(idx, kind[*level], *milli, *phase);
            text.push_str(&admit);
            // again: the same answer
            let twice = run(&format!("{text}{admit}")).lines;
            let answers: Vec<&str> =
                twice.lines().rev().take(2).filter_map(|line| line.split_once("\"kind\"")).map(|it| it.1).collect();
            prop_assert_eq!(answers[0], answers[1]);
        }
        let mut left: Vec<usize> = (0..pods.len()).collect();
        for (_, _, _, pick) in &pods {
            let idx = left.remove(pick.index(left.len()));
            text.push_str(&format!("- remove: p{idx}\n"));
        }
        prop_assert_eq!(last(&format!("{text}{show}")), last(&format!("{head}{show}")));
    }
}
