//! What the node tells the apiserver of itself. Owns the loop that looks at the published state every second, and what was written last;
//! what is said is made by `cnr`, `capacity` and `happenings`, when it is said by `pace`. All three are pure.

mod capacity;
mod cnr;
mod happenings;
mod pace;
mod promised;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cluster::Client;
use cluster::events::Events;
use cluster::node::{NodeHeard, OwnNode};
use cluster::pods::PodsHeard;
use cluster::write::{self, CNR, Kind, NODE, Part, WriteError};
use model::plan::{Finding, Severity};
use model::pod::Declared;
use model::policy::Mode;
use runtime::pauses;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use self::happenings::Happenings;
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
    trouble: Option<String>,
}

/// What was told, and how it went.
struct Reporter<'a> {
    client: Client,
    config: &'a ApiserverConfig,
    events: Events,
    promised: Promised,
    happenings: Happenings,
    cnr: Way,
    cnr_status: Way,
    node: Way,
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
        happenings: Happenings::default(),
        cnr: Way::default(),
        cnr_status: Way::default(),
        node: Way::default(),
        is_withdrawn: false,
    };
    loop {
        sleep(LOOK_EVERY).await;
        let state = heard.state.borrow().clone();
        let node = heard.node.borrow().clone();
        let pods = heard.pods.borrow().clone();
        if let (Some(state), Some(own)) = (state, &node.node) {
            let declared = pods.pods.clone().unwrap_or_default();
            reporter.round(&state, own, &declared).await;
        }
        let faults = [("pods", pods.fault), ("the Node", node.fault)];
        let faults = faults.into_iter().filter_map(|(of, fault)| Some(not_heard(of, &fault?)));
        told(faults.chain(reporter.troubles()).collect());
    }
}

/// Whether there is something to take back.
pub(super) fn shows_promise(heard: &NodeHeard) -> bool {
    heard.node.as_deref().is_some_and(capacity::shows)
}

/// Nobody is here any more who would hold reclaimed pods down: no more of them are to come. The fields that were ours go, whatever wrote
/// them in an earlier life.
pub(super) async fn withdraw(config: &ApiserverConfig) {
    let nothing = capacity::nothing(&config.node);
    let told = match cluster::connect(&config.access).await {
        Ok(client) => {
            let applied = write::apply(&client, NODE, Part::Status, &config.node, &nothing).await;
            applied.map_err(|error| kit::chain(&error).to_string())
        }
        Err(error) => Err(kit::chain(&error).to_string()),
    };
    match told {
        Ok(()) => info!("Nothing is promised to reclaimed pods any more"),
        Err(error) => warn!(%error, "What was promised to reclaimed pods is not taken back"),
    }
}

impl Reporter<'_> {
    async fn round(&mut self, state: &NodeState, own: &OwnNode, declared: &Declared) {
        let is_silent = state.mode == Mode::Observe && !self.config.report_in_observe;
        if is_silent && capacity::shows(own) && !self.is_withdrawn {
            // Once: somebody else may promise the same.
            self.is_withdrawn = true;
            withdraw(self.config).await;
        }
        // A machine of which nothing is known yet would be told as one that has nothing.
        if is_silent || state.snapshot.topology.nodes.is_empty() {
            return;
        }
        self.is_withdrawn = false;
        let now = collector::clock::now();
        self.promised.look(now, state.plan.advice.headroom.as_ref());
        let (name, report) = (&self.config.node, self.config.report);
        if report.cnr && self.cnr.pace.is_open(now) {
            let main = cnr::main(name, &own.uid, state);
            send(&self.client, &mut self.cnr, (CNR, Part::Main, name), main, now).await;
        }
        if report.cnr && self.cnr.trouble.is_none() && self.cnr_status.pace.is_open(now) {
            let wall = cluster::wall_clock();
            let status = cnr::status(name, state, &self.promised, declared, &wall);
            send(&self.client, &mut self.cnr_status, (CNR, Part::Status, name), status, now).await;
        }
        if let (true, Some(content)) =
            (report.capacity, capacity::status(name, &self.promised, &state.findings))
        {
            // A kubelet that starts anew sets what it does not know to zero.
            if !capacity::stands(own, &self.promised) {
                self.node.pace.overwritten();
            }
            self.node.pace.of(&own.uid);
            send(&self.client, &mut self.node, (NODE, Part::Status, name), content, now).await;
        }
        if report.events {
            for (pod, event) in self.happenings.look(now, state, declared) {
                if let Err(error) = self.events.tell(&pod, &event).await {
                    warn!(%error, "An event is lost");
                }
            }
        }
    }

    fn troubles(&self) -> impl Iterator<Item = Finding> {
        let ways = [&self.cnr, &self.cnr_status, &self.node];
        ways.into_iter().filter_map(|way| way.trouble.as_deref()).map(not_reported)
    }
}

async fn send(
    client: &Client,
    way: &mut Way,
    (kind, part, name): (Kind, Part, &str),
    content: Content,
    now: model::Timestamp,
) {
    if !way.pace.is_due(now, &content) {
        return;
    }
    let object: Value = content.object();
    let result = write::apply(client, kind, part, name, &object).await;
    let (written, trouble) = match &result {
        Ok(()) => (Written::Taken, None),
        Err(error @ WriteError::NotThere { .. }) => (Written::NotThere, Some(error)),
        Err(error) => (Written::Failed, Some(error)),
    };
    way.pace.wrote(now, content, written, pauses::random());
    let trouble = trouble.map(|error| kit::chain(error).to_string());
    match (&way.trouble, &trouble) {
        (None, Some(error)) => warn!(%error, "The apiserver does not take a report"),
        (Some(_), None) => info!(kind = kind.kind, name, "The apiserver takes reports again"),
        _ => {}
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
