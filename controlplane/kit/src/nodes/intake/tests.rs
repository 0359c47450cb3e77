//! The intake as a table: what is said to each report of a script, and what is known after it.
//!
//! A report is `SECOND NODE UID BOOT START@STARTED SEQUENCE KIND PARTS`: `0 n1 u1 b1 s1@10 1 full a=5 b=6` tells pods a
//! and b with their usage, `-a` in a delta removes one, `head=9` is headroom, `why=7` is a decision. `0 expire` forgets.

use std::fmt::Write as _;

use proto::v1::{NodeAmount, PodReport};

use super::*;

pub(super) fn limits() -> Limits {
    Limits { max_nodes: 2, max_pods_per_node: 3, max_report_bytes: 100, max_table_bytes: 150 }
}

fn pod(uid: &str, usage: &str) -> PodReport {
    let usage_milli_cpu = Some(usage.parse().unwrap());
    PodReport { uid: uid.to_owned(), usage_milli_cpu, ..PodReport::default() }
}

/// Identity and report of the words behind the second.
fn report(words: &[&str]) -> (Arc<NodeIdentity>, NodeReport) {
    let [node, uid, boot, start, sequence, kind, parts @ ..] = words else { panic!("{words:?}") };
    let (start, started) = start.split_once('@').unwrap();
    let identity = NodeIdentity {
        cluster: "c".to_owned(),
        node: (*node).to_owned(),
        node_uid: (*uid).to_owned(),
        boot_id: (*boot).to_owned(),
        agent_start_id: start.to_owned(),
        agent_started_mono_ns: started.parse().unwrap(),
    };
    let mut delta = NodeDelta::default();
    let mut decisions = Vec::new();
    for part in parts {
        match part.split_once('=') {
            None => delta.removed_pods.push(part.strip_prefix('-').unwrap().to_owned()),
            Some(("head", value)) => {
                let milli_cpu = Some(value.parse().unwrap());
                delta.headroom = Some(NodeAmount { milli_cpu, ..NodeAmount::default() });
            }
            Some(("why", value)) => {
                let sequence = value.parse().unwrap();
                decisions.push(Decision { sequence, ..Decision::default() });
            }
            Some((uid, usage)) => delta.pods.push(pod(uid, usage)),
        }
    }
    let content = match *kind {
        "full" => Some(node_report::Content::Full(NodeState {
            headroom: delta.headroom,
            pods: delta.pods,
            ..NodeState::default()
        })),
        "delta" => Some(node_report::Content::Delta(delta)),
        _ => None,
    };
    let sequence = sequence.parse().unwrap();
    let report = NodeReport { sequence, content, decisions, ..NodeReport::default() };
    (Arc::new(identity), report)
}

fn said(answer: Result<Answer, Refusal>) -> String {
    match answer {
        Ok(Answer::Accepted { acknowledged }) => format!("accepted {acknowledged}"),
        Ok(Answer::Repeated { acknowledged }) => format!("repeated {acknowledged}"),
        Ok(Answer::FullWanted { acknowledged, reason }) => {
            format!("full wanted, {acknowledged} in force: {}", reason.as_str_name())
        }
        Err(refusal) => refusal.to_string(),
    }
}

fn shown(table: &NodeTable, now: Instant) -> String {
    let mut text = String::new();
    for node in table {
        let NodeIdentity { node: name, agent_start_id, .. } = &*node.identity;
        let age = node.age(now).as_secs();
        let _ = write!(text, "{name} {agent_start_id} {} age {age}", node.sequence);
        let headroom = node.state.headroom.as_ref().and_then(|amount| amount.milli_cpu);
        let _ = headroom.map(|milli| write!(text, " head={milli}"));
        for pod in node.state.pods() {
            let _ = write!(text, " {}={}", pod.uid, pod.usage_milli_cpu.unwrap());
        }
        for decision in &*node.decisions {
            let _ = write!(text, " why={}", decision.sequence);
        }
        let _ = node.behind.map(|reason| write!(text, " behind: {}", reason.as_str_name()));
        text.push('\n');
    }
    text
}

/// Reports that came before with their answers, and the table at the time of the last one.
#[track_caller]
fn check(script: &[(&str, &str)], expect: &str) {
    let began = Instant::now();
    let mut now = began;
    let mut intake = Intake::new(limits(), Duration::from_secs(30));
    for (step, answer) in script {
        let words: Vec<&str> = step.split_whitespace().collect();
        now = began + Duration::from_secs(words[0].parse().unwrap());
        let got = if words[1] == "expire" {
            format!("{} gone", intake.expire(now))
        } else {
            let (identity, report) = report(&words[1..]);
            said(intake.take(&identity, report, now))
        };
        assert_eq!(got, *answer, "to {step}");
        let bytes: usize = intake.table().iter().map(|node| node.state.n_bytes()).sum();
        assert_eq!((intake.n_nodes(), intake.n_bytes()), (intake.table().len(), bytes));
    }
    assert_eq!(shown(&intake.table(), now).trim_end(), expect);
}

const FIRST: (&str, &str) = ("0 n1 u1 b1 s1@10 1 full a=1 b=2 head=9", "accepted 1");

#[test]
fn nothing_is_known_before_a_report() {
    check(&[], "");
    check(&[("0 expire", "0 gone")], "");
}

#[test]
fn deltas_change_what_the_last_report_said() {
    check(&[FIRST], "n1 s1 1 age 0 head=9 a=1 b=2");
    check(&[FIRST, ("5 n1 u1 b1 s1@10 2 delta", "accepted 2")], "n1 s1 2 age 0 head=9 a=1 b=2");
    check(
        &[FIRST, ("5 n1 u1 b1 s1@10 2 delta -a b=3 c=4 head=8", "accepted 2")],
        "n1 s1 2 age 0 head=8 b=3 c=4",
    );
    check(&[FIRST, ("5 n1 u1 b1 s1@10 2 full c=1", "accepted 2")], "n1 s1 2 age 0 c=1");
}

#[test]
fn a_repeated_report_is_acknowledged_and_ignored_and_makes_nothing_younger() {
    let second = ("5 n1 u1 b1 s1@10 2 delta a=7", "accepted 2");
    let known = "n1 s1 2 age 4 head=9 a=7 b=2";
    check(&[FIRST, second, ("9 n1 u1 b1 s1@10 2 delta a=8", "repeated 2")], known);
    check(&[FIRST, second, ("9 n1 u1 b1 s1@10 1 full z=1", "repeated 2")], known);
    check(&[FIRST, second, ("9 n1 u1 b1 s1@10 2 full z=1", "repeated 2")], known);
}

#[test]
fn after_a_gap_the_last_known_state_stays_until_a_full_report() {
    let gap = ("9 n1 u1 b1 s1@10 3 delta a=7", "full wanted, 1 in force: FULL_REASON_GAP");
    check(&[FIRST, gap], "n1 s1 1 age 9 head=9 a=1 b=2 behind: FULL_REASON_GAP");
    check(&[FIRST, gap, ("12 n1 u1 b1 s1@10 4 full a=8", "accepted 4")], "n1 s1 4 age 0 a=8");
    // The missing one came late, so there is no gap.
    check(
        &[FIRST, gap, ("12 n1 u1 b1 s1@10 2 delta a=6", "accepted 2")],
        "n1 s1 2 age 0 head=9 a=6 b=2",
    );
    // A full report needs nothing before it.
    check(&[FIRST, ("9 n1 u1 b1 s1@10 7 full a=5", "accepted 7")], "n1 s1 7 age 0 a=5");
}

#[test]
fn a_delta_needs_its_base() {
    let unknown = "full wanted, 0 in force: FULL_REASON_UNKNOWN_NODE";
    check(&[("0 n1 u1 b1 s1@10 1 delta a=1", unknown)], "");
    check(&[("0 n1 u1 b1 s1@10 9 delta", unknown)], "");
    let other = "full wanted, 1 in force: FULL_REASON_OTHER_BASE";
    check(
        &[FIRST, ("2 n1 u1 b1 s1@10 2 delta a=5 -z", other)],
        "n1 s1 1 age 2 head=9 a=1 b=2 behind: FULL_REASON_OTHER_BASE",
    );
    check(
        &[FIRST, ("2 n1 u1 b1 s1@10 2 delta -a -a", other)],
        "n1 s1 1 age 2 head=9 a=1 b=2 behind: FULL_REASON_OTHER_BASE",
    );
}

#[test]
fn a_new_start_begins_with_a_full_report() {
    let wanted = "full wanted, 0 in force: FULL_REASON_NEW_START";
    let behind = "n1 s1 1 age 5 head=9 a=1 b=2 behind: FULL_REASON_NEW_START";
    check(&[FIRST, ("5 n1 u1 b1 s2@20 1 delta a=1", wanted)], behind);
    check(&[FIRST, ("5 n1 u1 b2 s2@3 2 delta a=1", wanted)], behind);
    check(&[FIRST, ("5 n1 u1 b1 s2@20 1 full a=3", "accepted 1")], "n1 s2 1 age 0 a=3");
    // A reboot sets the clock back.
    check(&[FIRST, ("5 n1 u1 b2 s2@3 4 full a=3", "accepted 4")], "n1 s2 4 age 0 a=3");
    // The same start id in another boot is another start.
    check(&[FIRST, ("5 n1 u1 b2 s1@10 1 full a=3", "accepted 1")], "n1 s1 1 age 0 a=3");
}

#[test]
fn a_late_report_of_an_old_start_is_refused() {
    let second = ("5 n1 u1 b1 s2@20 1 full a=3", "accepted 1");
    let late = "agent start s1 of node n1 of cluster c was followed by s2, which reported last \
                1.0 s ago";
    let known = "n1 s2 1 age 1 a=3";
    check(&[FIRST, second, ("6 n1 u1 b1 s1@10 2 delta", late)], known);
    check(&[FIRST, second, ("6 n1 u1 b1 s1@10 2 full b=1", late)], known);
    // Two starts at one time cannot be told apart: the known one stays.
    let twin = "agent start s3 of node n1 of cluster c was followed by s2, which reported last \
                1.0 s ago";
    check(&[FIRST, second, ("6 n1 u1 b1 s3@20 1 full", twin)], known);
    let reboot = ("5 n1 u1 b2 s2@3 1 full a=3", "accepted 1");
    check(&[FIRST, reboot, ("6 n1 u1 b1 s1@10 2 full b=1", late)], known);
    // Once the newer one is silent for long, anything may come.
    check(&[FIRST, second, ("35 n1 u1 b1 s1@10 3 full b=1", "accepted 3")], "n1 s1 3 age 0 b=1");
}

#[test]
fn the_older_living_machine_keeps_the_name() {
    let other = "node n1 of cluster c is reported by machine u1, last 29.0 s ago; machine u2 may \
                 have the name when that one was silent for 30.0 s";
    let known = "n1 s1 1 age 29 head=9 a=1 b=2";
    check(&[FIRST, ("29 n1 u2 b9 s9@99 1 full z=1", other)], known);
    check(&[FIRST, ("29 n1 u2 b9 s9@99 1 delta z=1", other)], known);
    check(&[FIRST, ("30 n1 u2 b9 s9@5 1 full z=1", "accepted 1")], "n1 s9 1 age 0 z=1");
    let unknown = "full wanted, 0 in force: FULL_REASON_UNKNOWN_NODE";
    // What is forgotten is still shown, until it is swept out.
    check(&[FIRST, ("30 n1 u2 b9 s9@5 1 delta z=1", unknown)], "n1 s1 1 age 30 head=9 a=1 b=2");
}

#[test]
fn who_is_silent_is_forgotten() {
    check(&[FIRST, ("29 expire", "0 gone")], "n1 s1 1 age 29 head=9 a=1 b=2");
    check(&[FIRST, ("30 expire", "1 gone")], "");
    let second = ("20 n2 u2 b2 s2@1 1 full", "accepted 1");
    check(&[FIRST, second, ("30 expire", "1 gone")], "n2 s2 1 age 10");
    let unknown = "full wanted, 0 in force: FULL_REASON_UNKNOWN_NODE";
    check(&[FIRST, ("31 n1 u1 b1 s1@10 2 delta", unknown), ("31 expire", "1 gone")], "");
    // Asking in vain keeps nobody alive.
    let gap = ("29 n1 u1 b1 s1@10 5 delta", "full wanted, 1 in force: FULL_REASON_GAP");
    check(&[FIRST, gap, ("30 expire", "1 gone")], "");
}

#[test]
fn every_bound_is_named_with_value_and_limit() {
    let many = "node n3 would be node 3, at most 2 are kept";
    let second = ("1 n2 u2 b2 s2@1 1 full", "accepted 1");
    let known = "n1 s1 1 age 2 head=9 a=1 b=2\nn2 s2 1 age 1";
    check(&[FIRST, second, ("2 n3 u3 b3 s3@1 1 full", many)], known);
    let pods = "4 pods on node n1, at most 3 are taken";
    let known = "n1 s1 1 age 2 head=9 a=1 b=2";
    check(&[FIRST, ("2 n1 u1 b1 s1@10 2 delta c=1 d=1", pods)], known);
    check(&[FIRST, ("2 n1 u1 b1 s1@10 2 full a=1 b=1 c=1 d=1", pods)], known);
    check(
        &[FIRST, ("2 n1 u1 b1 s1@10 2 delta -a c=1 d=1", "accepted 2")],
        "n1 s1 2 age 0 head=9 b=2 c=1 d=1",
    );
    let long = format!("2 n1 u1 b1 s1@10 2 delta {}=1", "x".repeat(100));
    let bytes = "the state of node n1 has 116 bytes, at most 100 are kept";
    check(&[FIRST, (&long, bytes)], known);
    let wide = format!("2 n1 u1 b1 s1@10 1 full {}=1", "x".repeat(80));
    let sum = format!("2 n2 u1 b1 s1@10 1 full {}=1", "x".repeat(80));
    let all = "with node n2 all states have 168 bytes, at most 150 are kept";
    let known = format!("n1 s1 1 age 0 {}=1", "x".repeat(80));
    check(&[(&wide, "accepted 1"), (&sum, all)], &known);
}

#[test]
fn a_report_that_contradicts_itself_is_refused() {
    let known = "n1 s1 1 age 1 head=9 a=1 b=2";
    let rows = [
        ("1 n1 u1 b1 s1@10 0 full", "sequence is 0, reports are counted from 1"),
        ("1 n1 u1 b1 s1@10 2 nothing", "report 2 is neither full nor a delta"),
        ("1 n1 u1 b1 s1@10 2 full x=1 x=2", "pod \"x\" is told twice in report 2"),
        ("1 n1 u1 b1 s1@10 2 delta x=1 x=2", "pod \"x\" is told twice in report 2"),
        ("1 n1 u1 b1 s1@10 2 delta -a a=2", "pod \"a\" is both told and removed in report 2"),
        ("1 n1 u1 b1 s1@10 2 delta =2", "pod uid is empty"),
        ("1 n1 u1 b1 @10 2 delta", "agent_start_id is empty"),
    ];
    for row in rows {
        check(&[FIRST, row], known);
    }
    let long = format!("1 {} u1 b1 s1@10 2 delta", "n".repeat(254));
    check(&[FIRST, (&long, "node has 254 bytes, at most 253 are allowed")], known);
}

#[test]
fn decisions_are_kept_once_and_of_one_start() {
    let first = ("0 n1 u1 b1 s1@10 1 full why=1 why=2", "accepted 1");
    let next = ("1 n1 u1 b1 s1@10 2 delta why=2 why=4 why=3", "accepted 2");
    check(&[first, next], "n1 s1 2 age 0 why=1 why=2 why=3 why=4");
    let full = ("2 n1 u1 b1 s1@10 3 full why=5", "accepted 3");
    check(&[first, next, full], "n1 s1 3 age 0 why=1 why=2 why=3 why=4 why=5");
    let start = ("2 n1 u1 b1 s2@20 1 full why=1", "accepted 1");
    check(&[first, next, start], "n1 s2 1 age 0 why=1");
}

#[test]
fn no_more_decisions_are_kept_than_the_bound() {
    let told =
        |from: u64| (from..from + 50).map(|sequence| Decision { sequence, ..Decision::default() });
    let kept = with_newest(Arc::default(), told(1).collect());
    let kept = with_newest(kept, told(51).collect());
    let newest = kept.iter().map(|decision| decision.sequence);
    assert!(newest.eq(37..=100));
    let result = "r".repeat(KEPT_DECISIONS_BYTES);
    let huge = Decision { sequence: 101, result, ..Decision::default() };
    assert!(with_newest(kept, vec![huge]).is_empty());
}

#[test]
fn a_table_tells_only_what_changed_since_the_last_one() {
    let began = Instant::now();
    let mut intake = Intake::new(limits(), Duration::from_secs(30));
    assert!(intake.changed_table().is_none());
    let (identity, full) = report(&"n1 u1 b1 s1@10 1 full a=1".split(' ').collect::<Vec<_>>());
    assert_eq!(said(intake.take(&identity, full.clone(), began)), "accepted 1");
    let table = intake.changed_table().expect("a node came");
    assert_eq!(said(intake.take(&identity, full, began)), "repeated 1");
    assert!(intake.changed_table().is_none());
    let node = table.get("c", "n1").expect("is there");
    assert_eq!(node.state.pod("a").and_then(|pod| pod.usage_milli_cpu), Some(1));
    assert!(table.get("c", "n2").is_none() && table.get("d", "n1").is_none());
    assert_eq!((table.of_cluster("c").len(), table.of_cluster("d").len()), (1, 0));
    // A table that was handed out does not change.
    let (identity, delta) = report(&"n1 u1 b1 s1@10 2 delta a=2".split(' ').collect::<Vec<_>>());
    assert_eq!(said(intake.take(&identity, delta, began)), "accepted 2");
    assert_eq!(node.state.pod("a").and_then(|pod| pod.usage_milli_cpu), Some(1));
    assert_eq!(intake.expire(began + Duration::from_secs(30)), 1);
    assert!(intake.changed_table().is_some_and(|table| table.is_empty()));
}
