//! Recordings of scripts run again: every decision comes out byte for byte, damaged and altered ones
//! are told, and none makes a panic.

use proptest::prelude::*;
use sim::replay::{Ran, Replay, Tally};

/// Runs all lines; `Err` is the chain of what is wrong and the line it is on.
fn replay(lines: &[String]) -> Result<(Tally, Vec<String>), (usize, String)> {
    let mut replay = Replay::default();
    let mut differences = Vec::new();
    for (idx, line) in lines.iter().enumerate() {
        match replay.line(line) {
            Ok(Ran::Entry(told)) if !told.is_same() => differences.push(told.difference()),
            Ok(_) => {}
            Err(error) => {
                let mut text = error.to_string();
                let mut cause = std::error::Error::source(&error);
                while let Some(source) = cause {
                    text = format!("{text}: {source}");
                    cause = source.source();
                }
                return Err((idx, text));
            }
        }
    }
    Ok((replay.tally, differences))
}

#[track_caller]
fn check_same(script: &str) -> Tally {
    let recording = sim::record(script).expect("the script is understood");
    let (tally, differences) = replay(&recording.lines).expect("readable");
    assert_eq!(differences, Vec::<String>::new(), "{script}");
    let decided = |line: &&String| line.contains("\"decisions\":[");
    let n_with_decisions = recording.lines.iter().filter(decided).count() as u64;
    assert!(tally.n_decisions >= n_with_decisions, "{tally:?}");
    tally
}

const SCENARIOS: [&str; 8] = [
    include_str!("../scenarios/quiet_burst_quiet.txt"),
    include_str!("../scenarios/records_in_a_hold.txt"),
    include_str!("../scenarios/churn.txt"),
    include_str!("../scenarios/cpu_offline.txt"),
    include_str!("../scenarios/probe_frozen.txt"),
    include_str!("../scenarios/foreign_write.txt"),
    include_str!("../scenarios/two_cpu_node.txt"),
    include_str!("../scenarios/denied_writes.txt"),
];

#[test]
fn every_scenario_runs_again_the_same() {
    for script in SCENARIOS {
        assert!(check_same(script).n_decisions > 0, "{script}");
    }
}

/// A service that bursts every quarter of a minute beside batch work that comes and goes.
fn ten_minutes() -> String {
    let mut script = String::from(
        "node 2x4x2\npolicy hold 500\nworkload web shared 2000 500\nworkload db shared 1000 300\n\
         batch ml1 6000\nbatch ml2 6000\ntick 3\n",
    );
    for round in 0..40 {
        let demand = 1000 + round % 7 * 1500;
        script += &format!("demand web {demand}\nwait 300\nburst web ml1\nwait 200\ntick 6\n");
        match round % 4 {
            0 => script += "kill ml2\n",
            1 => script += "batch ml2 4000\n",
            2 => script += "offline 3\nburst db ml1\n",
            _ => script += "online 3\n",
        }
        script += "demand web 500\ntick 8\n";
    }
    script
}

#[test]
fn ten_virtual_minutes_run_again_the_same() {
    let tally = check_same(&ten_minutes());
    assert!(tally.n_decisions > 100 && tally.n_entries > 1200, "{tally:?}");
}

#[test]
fn after_a_gap_decisions_are_the_same_again() {
    let script = ten_minutes().replace("offline 3\n", "lose-records\noffline 3\n");
    let tally = check_same(&script);
    assert!(tally.n_lost > 10 && tally.n_decisions > 100, "{tally:?}");
}

/// The form of each schema, as an agent wrote it: it must be readable for ever. The second one is of a node of Kubernetes.
#[test]
fn every_schema_is_read() {
    let recordings = [
        (include_str!("../recordings/v1.jsonl"), 9, 3),
        (include_str!("../recordings/v2.jsonl"), 5, 0),
    ];
    for (text, n_decisions, n_lost) in recordings {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let (tally, differences) = replay(&lines).expect("readable");
        assert_eq!(differences, Vec::<String>::new());
        assert_eq!((tally.n_decisions, tally.n_lost), (n_decisions, n_lost), "{tally:?}");
    }
}

#[test]
fn an_altered_decision_is_told() {
    let mut lines = sim::record(SCENARIOS[0]).expect("understood").lines;
    let idx = lines.iter().position(|line| line.contains("suppress-begin")).expect("a burst");
    lines[idx] = lines[idx].replace("suppress-begin", "suppress-renew");
    let (tally, differences) = replay(&lines).expect("readable");
    assert_eq!((tally.n_different, differences.len()), (1, 1));
    let text = &differences[0];
    assert!(text.contains("\n- {") && text.contains("\n+ {"), "{text}");
    assert!(text.contains("slot 1 waits 5000 us on CPU 0 behind slot 2"), "{text}");
}

#[test]
fn what_is_missing_or_cut_is_told() {
    let lines = sim::record(SCENARIOS[0]).expect("understood").lines;
    for idx in 1..lines.len() - 1 {
        let mut without = lines.clone();
        without.remove(idx);
        let (at, text) = replay(&without).expect_err("a line is missing");
        assert_eq!(at, idx);
        assert!(text.contains("before any head") || text.contains("was expected"), "{text}");
        let mut cut = lines.clone();
        let half = cut[idx].len() / 2;
        cut[idx].truncate(half);
        let (at, text) = replay(&cut).expect_err("half a line");
        assert_eq!(at, idx);
        assert!(text.contains("not a line of a recording"), "{text}");
    }
    let (_, text) =
        replay(&["{\"kind\":\"finish\",\"n\":1,\"now_ns\":1}".to_owned()]).expect_err("x");
    assert!(text.contains("before any head"), "{text}");
    // A tick that ends without having begun.
    let mut lines = lines;
    let begin = lines.iter().position(|line| line.contains("\"begin\"")).expect("a tick");
    lines[begin] = lines[begin].replace("begin", "expire");
    let (_, text) = replay(&lines).expect_err("no tick");
    assert!(text.contains("ends a tick that did not begin"), "{text}");
}

fn arb_line() -> impl Strategy<Value = String> {
    let names = || proptest::sample::select(vec!["web", "db", "ml1", "ml2"]);
    let files = || proptest::sample::select(vec!["cpuset.cpus", "cpu.weight", "cpu.idle"]);
    prop_oneof![
        4 => (1u8..6).prop_map(|n| format!("tick {n}")),
        3 => (names(), 0u16..9000).prop_map(|(name, demand)| format!("demand {name} {demand}")),
        3 => (names(), names()).prop_map(|(victim, offender)| format!("burst {victim} {offender}")),
        2 => (1u16..2500).prop_map(|ms| format!("wait {ms}")),
        1 => (0u8..8).prop_map(|cpu| format!("offline {cpu}")),
        1 => (0u8..8).prop_map(|cpu| format!("online {cpu}")),
        1 => (names(), files()).prop_map(|(name, file)| format!("deny {name} {file}")),
        1 => (names(), files()).prop_map(|(name, file)| format!("allow {name} {file}")),
        1 => (names(), 1u16..200).prop_map(|(name, w)| format!("write {name} cpu.weight {w}")),
        1 => Just("freeze-probe".to_owned()),
        1 => Just("thaw-probe".to_owned()),
        1 => Just("lose-records".to_owned()),
    ]
}

fn arb_script() -> impl Strategy<Value = String> {
    let policy = proptest::sample::select(vec!["", "policy overlap off\n", "policy reserve 1\n"]);
    (policy, 50u16..3000, proptest::collection::vec(arb_line(), 1..40)).prop_map(
        |(policy, hold, lines)| {
            format!(
                "node 2x2x2\n{policy}policy hold {hold}\nworkload web shared 1000 200\n\
                 workload db shared 500 100\nbatch ml1 3000\nbatch ml2 3000\ntick 2\n{}\ntick 3\n",
                lines.join("\n")
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_script_runs_again_the_same(script in arb_script()) {
        let recording = sim::record(&script).expect("understood");
        let (_, differences) = replay(&recording.lines).expect("readable");
        prop_assert_eq!(differences, Vec::<String>::new());
    }

    /// The checksum of a line catches this; a recording without one must not bring the reader down.
    #[test]
    fn a_changed_byte_never_panics(at in any::<prop::sample::Index>(), byte in 0x20u8..0x7f) {
        let text = include_str!("../recordings/v1.jsonl");
        let mut bytes = text.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let text = String::from_utf8(bytes).expect("ASCII");
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let _ = replay(&lines);
    }
}
