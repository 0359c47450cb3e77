//! Any mixture of changes, lost messages, broken connections and servers that forget, played against the intake of a
//! control plane itself: nothing that the machine says is refused there, and what is in force there is always a state
//! that the node was in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kit::nodes::{Answer, Intake, Limits};
use proptest::prelude::*;
use proto::v1::{FullReportWanted, NodeAmount, PodReport};

use super::*;

#[derive(Clone, Debug)]
enum Event {
    /// The node is another one: headroom may be unknown.
    Change {
        headroom: Option<u64>,
        pods: Vec<(String, u64)>,
    },
    Decide,
    /// Time goes on and the machine does what it wants; the report or its answer may be lost with the connection.
    Turn {
        seconds: u64,
        lost: Option<Lost>,
    },
    Break,
    /// The server starts anew.
    Forget,
    Interval {
        ms: u32,
    },
}

#[derive(Clone, Copy, Debug)]
enum Lost {
    Report,
    Answer,
}

fn any_event() -> impl Strategy<Value = Event> {
    let pods = proptest::collection::btree_map("[a-d]", 0_u64..4, 0..4);
    let lost = prop_oneof![
        8 => Just(None),
        1 => Just(Some(Lost::Report)),
        1 => Just(Some(Lost::Answer)),
    ];
    prop_oneof![
        5 => (proptest::option::weighted(0.8, 0_u64..3), pods)
            .prop_map(|(headroom, pods)| Event::Change { headroom, pods: pods.into_iter().collect() }),
        3 => Just(Event::Decide),
        10 => (0_u64..40, lost).prop_map(|(seconds, lost)| Event::Turn { seconds, lost }),
        1 => Just(Event::Break),
        1 => Just(Event::Forget),
        1 => any::<u32>().prop_map(|ms| Event::Interval { ms }),
    ]
}

fn state_of(headroom: Option<u64>, pods: &[(String, u64)]) -> NodeState {
    let amount = |milli_cpu| NodeAmount { milli_cpu: Some(milli_cpu), ..NodeAmount::default() };
    let pod = |(uid, usage): &(String, u64)| PodReport {
        uid: uid.clone(),
        usage_milli_cpu: Some(*usage),
        ..PodReport::default()
    };
    NodeState {
        headroom: headroom.map(amount),
        pods: pods.iter().map(pod).collect(),
        ..NodeState::default()
    }
}

/// The machine with the only server it knows.
struct World {
    talk: Talk,
    identity: Arc<NodeIdentity>,
    intake: Intake,
    began: Instant,
    now: Timestamp,
    state: Arc<NodeState>,
    n_decisions: u64,
    interval_ms: Option<u32>,
    is_connected: bool,
}

const EXPIRY: Duration = Duration::from_secs(60);

impl World {
    fn new() -> World {
        let name = |text: &str| text.to_owned();
        let identity = NodeIdentity {
            cluster: name("c"),
            node: name("n"),
            node_uid: name("u"),
            boot_id: name("b"),
            agent_start_id: name("s"),
            agent_started_mono_ns: 1,
        };
        World {
            talk: Talk::new(identity.clone(), Nanos::from_secs(5), Timestamp(1)),
            identity: Arc::new(identity),
            intake: Intake::new(Limits::default(), EXPIRY),
            began: Instant::now(),
            now: Timestamp(1),
            state: Arc::default(),
            n_decisions: 0,
            interval_ms: None,
            is_connected: false,
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Change { headroom, pods } => self.state = Arc::new(state_of(headroom, &pods)),
            Event::Decide => self.n_decisions += 1,
            Event::Turn { seconds, lost } => self.turn(seconds, lost),
            Event::Break => self.end(),
            Event::Forget => {
                self.end();
                self.intake = Intake::new(Limits::default(), EXPIRY);
            }
            Event::Interval { ms } => self.interval_ms = Some(ms),
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.is_connected) {
            self.talk.close();
        }
    }

    fn turn(&mut self, seconds: u64, lost: Option<Lost>) {
        self.now = self.now.after(Nanos::from_secs(seconds));
        if !std::mem::replace(&mut self.is_connected, true) {
            self.talk.open(self.now);
        }
        match self.talk.turn(self.now) {
            Ok(Turn::Report) => self.report(lost),
            Ok(Turn::Wait { until, .. }) => assert!(until > self.now),
            Err(fault) => panic!("every report was answered or its connection ended: {fault}"),
        }
    }

    fn report(&mut self, lost: Option<Lost>) {
        let made = |sequence| Decision { sequence, ..Decision::default() };
        let decisions = (self.talk.decided() + 1..=self.n_decisions).map(made).collect();
        let seen = Seen { state: Arc::clone(&self.state), decisions, n_lost_decisions: 0 };
        let report = self.talk.report(self.now, seen);
        if matches!(lost, Some(Lost::Report)) {
            return self.end();
        }
        let now = self.began + Duration::from_nanos(self.now.0);
        self.intake.expire(now);
        let answer = self.intake.take(&self.identity, report, now).expect("nothing is refused");
        if matches!(lost, Some(Lost::Answer)) {
            return self.end();
        }
        let directive = self.directive(answer);
        let heard = self.talk.hear(self.now, &directive).expect("no fault");
        assert_eq!(heard.is_taken, directive.full_wanted.is_none());
        if heard.is_taken {
            self.check_in_force();
        } else {
            assert_eq!(self.talk.turn(self.now), Ok(Turn::Report), "in full, at once");
            self.report(None);
        }
    }

    fn directive(&mut self, answer: Answer) -> NodeDirective {
        let (acknowledged, full_wanted) = match answer {
            Answer::Accepted { acknowledged } | Answer::Repeated { acknowledged } => {
                (acknowledged, None)
            }
            Answer::FullWanted { acknowledged, reason } => {
                (acknowledged, Some(FullReportWanted { reason: reason.into() }))
            }
        };
        let report_interval_ms = self.interval_ms.take();
        NodeDirective { acknowledged, report_interval_ms, full_wanted, policy: None }
    }

    /// Acknowledged is in force, as it is, with the newest decision.
    fn check_in_force(&self) {
        let table = self.intake.table();
        let node = table.get("c", "n").expect("it was acknowledged");
        let told = NodeState {
            headroom: node.state.headroom.as_deref().cloned(),
            pods: node.state.pods().iter().map(|pod| PodReport::clone(pod)).collect(),
            ..NodeState::default()
        };
        assert_eq!(told, *self.state);
        assert_eq!((node.behind, self.talk.decided()), (None, self.n_decisions));
        if let Some(newest) = node.decisions.back() {
            assert_eq!(newest.sequence, self.n_decisions);
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_lost_the_newest_acknowledged_state_is_in_force(
        events in proptest::collection::vec(any_event(), 0..80),
    ) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
        }
        // In the end a quiet connection tells all.
        world.end();
        world.turn(0, None);
        world.check_in_force();
    }
}
