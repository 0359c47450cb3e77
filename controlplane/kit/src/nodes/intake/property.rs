//! Any mixture of reports, repeated ones, lost ones and restarts, beside an oracle that keeps whole histories: it plays
//! back every report of the newest start that arrived in a chain, and shares no code with the intake.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proto::v1::PodReport;

use super::*;

/// What an agent has in it: usage by uid.
type Pods = BTreeMap<String, u64>;

/// One thing that happens to the only node.
#[derive(Clone, Debug)]
enum Event {
    /// The agent's pods become these and it reports, in full or not.
    Report {
        pods: Pods,
        full: bool,
        lost: bool,
    },
    /// A report that was sent before arrives again, or for the first time: the nth of all. What was lost before a
    /// reboot is lost: no connection outlives its machine.
    Again {
        nth: usize,
    },
    /// Another agent start, in the same boot or after a reboot.
    Restart {
        reboot: bool,
    },
    Later {
        seconds: u64,
    },
}

/// A report as the agent meant it.
#[derive(Clone, Debug)]
struct Sent {
    /// Counts starts over all boots.
    start: usize,
    boot: usize,
    sequence: u64,
    full: bool,
    /// All pods after it.
    pods: Pods,
    report: NodeReport,
}

fn any_event() -> impl Strategy<Value = Event> {
    let pods = proptest::collection::btree_map("[a-d]", 0_u64..4, 0..4);
    prop_oneof![
        8 => (pods, any::<bool>(), proptest::bool::weighted(0.2))
            .prop_map(|(pods, full, lost)| Event::Report { pods, full, lost }),
        3 => (0_usize..40).prop_map(|nth| Event::Again { nth }),
        1 => any::<bool>().prop_map(|reboot| Event::Restart { reboot }),
        1 => (0_u64..20).prop_map(|seconds| Event::Later { seconds }),
    ]
}

/// Plays the agent and hands out what arrives, with its time in seconds.
fn arrivals(events: Vec<Event>) -> Vec<(u64, Sent)> {
    let (mut start, mut boot, mut sequence, mut second) = (0, 0, 0, 0);
    let mut pods = Pods::new();
    let mut sent: Vec<Sent> = Vec::new();
    let mut arrived: Vec<(u64, Sent)> = Vec::new();
    for event in events {
        match event {
            Event::Report { pods: now, full, lost } => {
                sequence += 1;
                let report = report(sequence, full, &pods, &now);
                let pods_now = now.clone();
                let one = Sent { start, boot, sequence, full, pods: pods_now, report };
                sent.push(one.clone());
                pods = now;
                if !lost {
                    arrived.push((second, one));
                }
            }
            Event::Again { nth } => {
                let came = |one: &Sent| {
                    let mut came = arrived.iter();
                    came.any(|(_, it)| (it.start, it.sequence) == (one.start, one.sequence))
                };
                let can_come = sent.iter().filter(|one| one.boot == boot || came(one));
                let one = can_come.cycle().nth(nth).cloned();
                arrived.extend(one.map(|one| (second, one)));
            }
            Event::Restart { reboot } => {
                start += 1;
                // No more boots than are remembered.
                boot += usize::from(reboot && boot < 8);
                sequence = 0;
                pods.clear();
            }
            Event::Later { seconds } => second += seconds,
        }
    }
    arrived
}

fn report(sequence: u64, full: bool, before: &Pods, now: &Pods) -> NodeReport {
    let told = now.iter().filter(|(uid, usage)| full || before.get(*uid) != Some(usage));
    let pods = told
        .map(|(uid, usage)| PodReport {
            uid: uid.clone(),
            usage_milli_cpu: Some(*usage),
            ..PodReport::default()
        })
        .collect();
    let gone = before.keys().filter(|uid| !now.contains_key(*uid)).cloned().collect();
    let content = if full {
        node_report::Content::Full(NodeState { pods, ..NodeState::default() })
    } else {
        node_report::Content::Delta(NodeDelta { pods, removed_pods: gone, ..NodeDelta::default() })
    };
    NodeReport { sequence, content: Some(content), ..NodeReport::default() }
}

fn identity(sent: &Sent) -> Arc<NodeIdentity> {
    Arc::new(NodeIdentity {
        cluster: "c".to_owned(),
        node: "n".to_owned(),
        node_uid: "u".to_owned(),
        boot_id: format!("boot {}", sent.boot),
        agent_start_id: format!("start {}", sent.start),
        agent_started_mono_ns: sent.start as u64,
    })
}

/// From the whole history: the report that is in force, with the second in which it came.
///
/// A start is ruled out by a later one that told a full report; of the newest start everything counts that is full and
/// newer, or the very next. Boots are in the order in which they were first in force. Silence ends everything, also the
/// knowledge of that order.
fn in_force(history: &[(u64, Sent)], expiry: u64) -> Option<(u64, &Sent)> {
    let mut force: Option<(u64, &Sent)> = None;
    let mut boots: Vec<usize> = Vec::new();
    for (second, sent) in history {
        if force.is_some_and(|(at, _)| second - at >= expiry) {
            force = None;
            boots.clear();
        }
        let rank = |boot| boots.iter().position(|it| *it == boot).unwrap_or(boots.len());
        let takes = match force {
            None => sent.full,
            Some((_, known)) if sent.start == known.start && !sent.full => {
                sent.sequence == known.sequence + 1
            }
            Some((_, known)) => {
                let place = |it: &Sent| (rank(it.boot), it.start, it.sequence);
                sent.full && place(sent) > place(known)
            }
        };
        if takes {
            force = Some((*second, sent));
            if !boots.contains(&sent.boot) {
                boots.push(sent.boot);
            }
        }
    }
    force
}

proptest! {
    #[test]
    fn the_table_is_what_the_newest_start_said(
        events in proptest::collection::vec(any_event(), 0..60),
    ) {
        const EXPIRY: u64 = 30;
        let limits = Limits::default();
        let began = Instant::now();
        let mut intake = Intake::new(limits, Duration::from_secs(EXPIRY));
        let history = arrivals(events);
        for idx in 0..history.len() {
            let (second, sent) = &history[idx];
            let now = began + Duration::from_secs(*second);
            let answer = intake.take(&identity(sent), sent.report.clone(), now);
            let expect = in_force(&history[..=idx], EXPIRY);
            intake.expire(now);
            let table = intake.table();
            prop_assert_eq!(table.len(), usize::from(expect.is_some()));
            if let Some((at, known)) = expect {
                let node = table.get("c", "n").expect("one node");
                let pods: Pods = node
                    .state
                    .pods()
                    .iter()
                    .map(|pod| (pod.uid.clone(), pod.usage_milli_cpu.unwrap_or_default()))
                    .collect();
                prop_assert_eq!(&pods, &known.pods);
                prop_assert_eq!(node.sequence, known.sequence);
                prop_assert_eq!(&node.identity.agent_start_id, &format!("start {}", known.start));
                prop_assert_eq!(node.age(now).as_secs(), second - at);
                if let Ok(Answer::Accepted { acknowledged } | Answer::Repeated { acknowledged }) = answer {
                    prop_assert_eq!(acknowledged, node.sequence);
                }
            }
            let kept: usize = table.iter().map(|node| node.state.n_bytes()).sum();
            let counted: usize = table
                .iter()
                .flat_map(|node| node.state.pods())
                .map(|pod| pod.encoded_len())
                .sum();
            prop_assert_eq!((intake.n_bytes(), kept), (counted, counted));
        }
    }
}
