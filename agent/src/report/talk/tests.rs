//! Conversations as scripts, one line per event; what the machine does is read as text.

use expect_test::{Expect, expect};
use proto::v1::{FullReportWanted, NodeAmount};

use super::*;

/// Seconds of the script.
const fn at(second: u64) -> Timestamp {
    Timestamp(second * 1_000_000_000)
}

fn state(milli_cpu: u64) -> Arc<NodeState> {
    let headroom = NodeAmount { milli_cpu: Some(milli_cpu), ..NodeAmount::default() };
    Arc::new(NodeState { headroom: Some(headroom), ..NodeState::default() })
}

fn talk() -> Talk {
    let identity = NodeIdentity { node: "n".to_owned(), ..NodeIdentity::default() };
    Talk::new(identity, Nanos::from_secs(5), at(0))
}

fn report_text(report: &NodeReport) -> String {
    let kind = match &report.content {
        Some(node_report::Content::Full(_)) => "full",
        Some(node_report::Content::Delta(delta)) if *delta == Default::default() => "empty delta",
        Some(node_report::Content::Delta(_)) => "delta",
        None => "nothing",
    };
    let who = if report.identity.is_some() { " with identity" } else { "" };
    let decisions: Vec<_> = report.decisions.iter().map(|it| it.sequence.to_string()).collect();
    let decisions = match decisions.is_empty() {
        true => String::new(),
        false => format!(", decisions {}", decisions.join(" ")),
    };
    format!("{kind} {}{who}{decisions}", report.sequence)
}

/// `SECOND open`, `close`, `turn`, `state N`, `decide N` (so many are made) or
/// `told ACKNOWLEDGED [interval=MS] [full] [policy]`.
fn play(script: &str) -> String {
    let (mut talk, mut now_state, mut n_decided, mut text) = (talk(), 1, 0, String::new());
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(' ').collect();
        let now = at(words[0].parse().expect("a second"));
        let number = || words[2].parse::<u64>().expect("a number");
        let said = match words[1] {
            "open" => {
                talk.open(now);
                continue;
            }
            "close" => {
                talk.close();
                continue;
            }
            "state" => {
                now_state = number();
                continue;
            }
            "decide" => {
                n_decided += number();
                continue;
            }
            "turn" => match talk.turn(now) {
                Ok(Turn::Wait { until, n_skipped }) => {
                    let skipped = if n_skipped > 0 {
                        format!(", {n_skipped} skipped")
                    } else {
                        String::new()
                    };
                    format!("wait until {}{skipped}", until.0 as f64 / 1e9)
                }
                Ok(Turn::Report) => {
                    let made = |sequence| Decision { sequence, ..Decision::default() };
                    let decisions = (talk.decided() + 1..=n_decided).map(made).collect();
                    let seen = Seen { state: state(now_state), decisions, n_lost_decisions: 0 };
                    report_text(&talk.report(now, seen))
                }
                Err(fault) => fault.to_string(),
            },
            "told" => {
                let directive = directive(number(), &words[3..]);
                match talk.hear(now, &directive) {
                    Ok(heard) => format!("{heard:?}"),
                    Err(fault) => fault.to_string(),
                }
            }
            other => panic!("{other}"),
        };
        text.push_str(&format!("{line}: {said}\n"));
    }
    text
}

fn directive(acknowledged: u64, words: &[&str]) -> NodeDirective {
    let mut directive = NodeDirective { acknowledged, ..NodeDirective::default() };
    for word in words {
        match word.split_once('=') {
            Some(("interval", ms)) => directive.report_interval_ms = ms.parse().ok(),
            _ if *word == "full" => directive.full_wanted = Some(FullReportWanted::default()),
            _ => {
                let (sha256, document) = (vec![7], vec![1, 2, 3]);
                directive.policy = Some(PolicyDocument { sha256, document });
            }
        }
    }
    directive
}

#[track_caller]
fn check(script: &str, expect: Expect) {
    expect.assert_eq(&play(script));
}

#[test]
fn a_connection_begins_in_full_and_goes_on_with_deltas() {
    check(
        "0 turn
         1 open
         1 turn
         1 turn
         1 told 1
         1 turn
         5 turn
         5 told 2
         6 state 2
         10 turn
         10 told 3",
        expect![[r#"
            0 turn: wait until 5
            1 turn: full 1 with identity
            1 turn: wait until 5
            1 told 1: Heard { is_taken: true, clamped: None, refused_policy: None }
            1 turn: wait until 5
            5 turn: empty delta 2
            5 told 2: Heard { is_taken: true, clamped: None, refused_policy: None }
            10 turn: delta 3
            10 told 3: Heard { is_taken: true, clamped: None, refused_policy: None }
        "#]],
    );
}

#[test]
fn while_an_answer_is_missing_newer_states_take_the_place_of_older_ones() {
    check(
        "0 open
         0 turn
         5 turn
         10 turn
         23 turn
         24 told 1
         24 turn
         25 turn",
        expect![[r#"
            0 turn: full 1 with identity
            5 turn: wait until 10
            10 turn: wait until 15, 1 skipped
            23 turn: wait until 25, 2 skipped
            24 told 1: Heard { is_taken: true, clamped: None, refused_policy: None }
            24 turn: empty delta 2
            25 turn: wait until 30
        "#]],
    );
}

#[test]
fn no_answer_for_half_a_minute_ends_the_stream_and_the_next_begins_in_full() {
    check(
        "0 open
         0 turn
         0 told 1
         5 turn
         34 turn
         35 turn
         35 close
         47 turn
         50 open
         50 turn",
        expect![[r#"
            0 turn: full 1 with identity
            0 told 1: Heard { is_taken: true, clamped: None, refused_policy: None }
            5 turn: empty delta 2
            34 turn: wait until 35, 4 skipped
            35 turn: report 2 was not answered within 30 s
            47 turn: wait until 50, 3 skipped
            50 turn: full 3 with identity
        "#]],
    );
}

#[test]
fn a_full_report_is_sent_at_once_when_a_delta_was_of_no_use() {
    check(
        "0 open
         0 turn
         0 told 1
         5 turn
         5 told 1 full
         5 turn
         5 told 3 full
         5 turn
         10 turn
         10 told 4
         15 turn",
        expect![[r#"
            0 turn: full 1 with identity
            0 told 1: Heard { is_taken: true, clamped: None, refused_policy: None }
            5 turn: empty delta 2
            5 told 1 full: Heard { is_taken: false, clamped: None, refused_policy: None }
            5 turn: full 3
            5 told 3 full: Heard { is_taken: true, clamped: None, refused_policy: None }
            5 turn: wait until 10
            10 turn: full 4
            10 told 4: Heard { is_taken: true, clamped: None, refused_policy: None }
            15 turn: empty delta 5
        "#]],
    );
}

#[test]
fn an_interval_is_followed_within_bounds() {
    check(
        "0 open
         0 turn
         0 told 1 interval=20000
         0 turn
         20 turn
         20 told 2 interval=1
         20 turn
         21 turn
         21 told 3 interval=4294967295
         21 turn",
        expect![[r#"
            0 turn: full 1 with identity
            0 told 1 interval=20000: Heard { is_taken: true, clamped: None, refused_policy: None }
            0 turn: wait until 20
            20 turn: empty delta 2
            20 told 2 interval=1: Heard { is_taken: true, clamped: Some((Nanos(1000000), Nanos(1000000000))), refused_policy: None }
            20 turn: wait until 21
            21 turn: empty delta 3
            21 told 3 interval=4294967295: Heard { is_taken: true, clamped: Some((Nanos(4294967295000000), Nanos(600000000000))), refused_policy: None }
            21 turn: wait until 600
        "#]],
    );
}

#[test]
fn a_directive_that_contradicts_the_stream_is_a_fault() {
    check(
        "0 open
         0 turn
         0 told 2",
        expect![[r#"
            0 turn: full 1 with identity
            0 told 2: report 2 was acknowledged, 1 were sent
        "#]],
    );
    check(
        "0 open
         0 turn
         0 told 0",
        expect![[r#"
            0 turn: full 1 with identity
            0 told 0: report 0 was acknowledged in answer to report 1
        "#]],
    );
    check(
        "0 open
         0 told 0
         0 turn
         0 told 1
         0 told 1",
        expect![[r#"
            0 told 0: a directive came without a report, acknowledging 0
            0 turn: full 1 with identity
            0 told 1: Heard { is_taken: true, clamped: None, refused_policy: None }
            0 told 1: a directive came without a report, acknowledging 1
        "#]],
    );
}

#[test]
fn decisions_are_told_until_they_are_acknowledged() {
    check(
        "0 decide 2
         0 open
         0 turn
         0 told 1
         1 decide 1
         5 turn
         5 told 1 full
         6 decide 1
         6 turn
         6 told 3
         10 turn
         11 close
         12 open
         12 turn",
        expect![[r#"
            0 turn: full 1 with identity, decisions 1 2
            0 told 1: Heard { is_taken: true, clamped: None, refused_policy: None }
            5 turn: empty delta 2, decisions 3
            5 told 1 full: Heard { is_taken: false, clamped: None, refused_policy: None }
            6 turn: full 3, decisions 3 4
            6 told 3: Heard { is_taken: true, clamped: None, refused_policy: None }
            10 turn: empty delta 4
            12 turn: full 5 with identity
        "#]],
    );
}

#[test]
fn a_policy_document_is_refused_for_as_long_as_the_connection_lasts() {
    let mut talk = talk();
    talk.open(at(0));
    let seen = || Seen { state: state(1), decisions: Vec::new(), n_lost_decisions: 0 };
    talk.report(at(0), seen());
    let heard = talk.hear(at(0), &directive(1, &["policy"])).expect("a directive");
    assert_eq!((heard.is_taken, heard.refused_policy), (true, Some(3)));
    assert_eq!(talk.refused_policy(), Some([7].as_slice()));
    talk.report(at(5), seen());
    talk.hear(at(5), &directive(2, &[])).expect("a directive");
    assert_eq!(talk.refused_policy(), Some([7].as_slice()));
    talk.open(at(6));
    assert_eq!(talk.refused_policy(), None);
}

#[test]
fn silence_is_told_after_five_intervals_and_half_a_minute() {
    let mut talk = talk();
    assert_eq!(talk.silent_for(at(30)), None);
    assert_eq!(talk.silent_for(at(31)), Some(Nanos::from_secs(31)));
    talk.open(at(40));
    talk.report(at(40), Seen { state: state(1), decisions: Vec::new(), n_lost_decisions: 0 });
    assert_eq!(talk.silent_for(at(40)), Some(Nanos::from_secs(40)));
    talk.hear(at(41), &directive(1, &["interval=60000"])).expect("a directive");
    assert_eq!(talk.silent_for(at(41 + 300)), None);
    assert_eq!(talk.silent_for(at(41 + 301)), Some(Nanos::from_secs(301)));
}
