//! What the node tells the apiserver of itself. Owns the loop that looks at the published state every second, and what was written last;
//! what is said is made by `cnr`, `zones`, `capacity` and `happenings`, when it is said by `pace`. All of these are pure.

mod capacity;
mod cnr;
mod happenings;
mod left;
mod occupied;
mod pace;
mod promised;
mod settled;
mod zones;

use std::convert::Infallible;
use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;

use cluster::Client;
use cluster::events::Events;
use cluster::node::{NodeHeard, OwnNode};
use cluster::pods::PodsHeard;
use cluster::write::{self, CNR, Kind, NODE, Part, TOPOLOGY, WriteError};
use model::Timestamp;
use model::plan::{Finding, Severity};
use model::pod::Declared;
use model::policy::Mode;
use runtime::pauses;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use self::capacity::PlacedSince;
use self::happenings::Happenings;
pub(super) use self::left::{Left, withdraw};
use self::pace::{Content, Pace, Result as Written};
use self::promised::Promised;
use crate::config::ApiserverConfig;
use crate::node_state::NodeState;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Everything that is heard.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) state: watch::Receiver<Option<Arc<NodeState>>>,
    pub(super) pods: watch::Receiver<PodsHeard>,
    pub(super) node: watch::Receiver<NodeHeard>,
}

/// One object's way to the apiserver.
#[derive(Debug, Default)]
struct Way {
    pace: Pace,
    trouble: Option<WriteError>,
}

/// What was told, and how it went.
struct Reporter<'a> {
    client: Client,
    config: &'a ApiserverConfig,
    events: Events,
    promised: Promised,
    placed_since: PlacedSince,
    happenings: Happenings,
    cnr: Way,
    cnr_status: Way,
    node: Way,
    topology: Way,
    is_withdrawn: bool,
}

/// Reports for as long as it is polled; `told` hears what is wrong with it.
pub(super) async fn run(
    client: Client,
    config: &ApiserverConfig,
    heard: Heard,
    told: impl Fn(Vec<Finding>),
) -> Infallible {
    let mut reporter = Reporter {
        events: Events::new(client.clone(), &config.node),
        client,
        config,
        promised: Promised::default(),
        placed_since: PlacedSince::default(),
        happenings: Happenings::default(),
        cnr: Way::default(),
        cnr_status: Way::default(),
        node: Way::default(),
        topology: Way::default(),
        is_withdrawn: false,
    };
    loop {
        sleep(LOOK_EVERY).await;
        let state = heard.state.borrow().clone();
        let node = heard.node.borrow().clone();
        let pods = heard.pods.borrow().clone();
        if let (Some(state), Some(own)) = (state, &node.node) {
            let declared = pods.pods.clone().unwrap_or_default();
            let left = Left::by(config, &node);
            reporter.round(&state, own, left, &declared).await;
        }
        let faults = [("pods", pods.fault), ("the Node", node.fault)];
        let faults = faults.into_iter().filter_map(|(of, fault)| Some(not_heard(of, &fault?)));
        told(faults.chain(reporter.troubles()).collect());
    }
}

impl Reporter<'_> {
    async fn round(&mut self, state: &NodeState, own: &OwnNode, left: Left, declared: &Declared) {
        let is_silent = state.mode == Mode::Observe && !self.config.report_in_observe;
        if is_silent && left.is_something() && !self.is_withdrawn {
            // Once: somebody else may promise the same.
            self.is_withdrawn = true;
            withdraw(self.config, left).await;
            self.topology.pace.overwritten();
        }
        // A machine of which nothing is known yet would be told as one that has nothing.
        if is_silent || state.snapshot.topology.nodes.is_empty() {
            return;
        }
        self.is_withdrawn = false;
        let now = collector::clock::now();
        self.promised.look(now, state.plan.advice.headroom.as_ref());
        self.placed_since.look(&state.findings, cluster::wall_clock);
        let report = self.config.report;
        if report.cnr {
            self.tell_cnr(now, state, own, declared).await;
        }
        if report.topology && self.topology.pace.is_open(now) {
            let name = &self.config.node;
            let zones = zones::zones(name, &own.uid, state);
            send(&self.client, &mut self.topology, (TOPOLOGY, Part::Main, name), zones, now).await;
        }
        if report.capacity {
            self.tell_capacity(now, state, own).await;
        }
        if report.events {
            for (pod, event) in self.happenings.look(now, state, declared) {
                if let Err(error) = self.events.tell(&pod, &event).await {
                    warn!(%error, "An event is lost");
                }
            }
        }
    }

    async fn tell_cnr(
        &mut self,
        now: Timestamp,
        state: &NodeState,
        own: &OwnNode,
        declared: &Declared,
    ) {
        let name = &self.config.node;
        if self.cnr.pace.is_open(now) {
            let main = cnr::main(name, &own.uid, state);
            send(&self.client, &mut self.cnr, (CNR, Part::Main, name), main, now).await;
        }
        if self.cnr.trouble.is_none() && self.cnr_status.pace.is_open(now) {
            let wall = cluster::wall_clock();
            let times = (wall.as_str(), self.placed_since.at());
            let status = cnr::status(name, state, &self.promised, declared, times);
            send(&self.client, &mut self.cnr_status, (CNR, Part::Status, name), status, now).await;
            // Somebody took the object away, which its first half does not hear of.
            if matches!(self.cnr_status.trouble, Some(WriteError::NotThere { .. })) {
                self.cnr.pace.overwritten();
            }
        }
    }

    async fn tell_capacity(&mut self, now: Timestamp, state: &NodeState, own: &OwnNode) {
        let name = &self.config.node;
        let findings = (state.findings.as_slice(), self.placed_since.at());
        let Some(content) = capacity::status(name, &self.promised, findings) else { return };
        // A kubelet that starts anew sets what it does not know to zero.
        if !capacity::stands(own, &self.promised) {
            self.node.pace.overwritten();
        }
        self.node.pace.of(&own.uid);
        send(&self.client, &mut self.node, (NODE, Part::Status, name), content, now).await;
    }

    fn troubles(&self) -> impl Iterator<Item = Finding> {
        let ways = [&self.cnr, &self.cnr_status, &self.node, &self.topology];
        let troubles = ways.into_iter().filter_map(|way| way.trouble.as_ref());
        troubles.map(|error| not_reported(&kit::chain(error).to_string()))
    }
}

async fn send(
    client: &Client,
    way: &mut Way,
    (kind, part, name): (Kind, Part, &str),
    content: Content,
    now: Timestamp,
) {
    if !way.pace.is_due(now, &content) {
        return;
    }
    let object: Value = content.object();
    let result = write::apply(client, kind, part, name, &object).await;
    let written = match &result {
        Ok(()) => Written::Taken,
        Err(WriteError::NotServed { .. }) => Written::NotServed,
        Err(_) => Written::Failed,
    };
    way.pace.wrote(now, content, written, pauses::random());
    let trouble = result.err();
    let same = |one: &WriteError, other: &WriteError| discriminant(one) == discriminant(other);
    match (&way.trouble, &trouble) {
        (Some(old), Some(new)) if same(old, new) => {}
        (_, Some(error)) => {
            warn!(error = %kit::chain(error), "The apiserver does not take a report");
        }
        (Some(_), None) => info!(kind = kind.kind, name, "The apiserver takes reports again"),
        (None, None) => {}
    }
    way.trouble = trouble;
}

fn not_heard(of: &str, fault: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        rule: "apiserver-not-heard",
        subject: "node".to_owned(),
        message: format!("{of} are known as they were when the apiserver was last heard: {fault}"),
    }
}

pub(crate) fn not_reported(error: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        rule: "apiserver-refuses",
        subject: "node".to_owned(),
        message: error.to_owned(),
    }
}

#[cfg(test)]
mod tests;
