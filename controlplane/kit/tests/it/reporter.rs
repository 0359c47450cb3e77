//! The agent's side as the contract asks for it: one report at a time, deltas to what was acknowledged, and a full one
//! whenever that is not certain.

use std::net::SocketAddr;

use proto::v1::node_reporting_client::NodeReportingClient;
use proto::v1::{
    NodeAmount, NodeDirective, NodeIdentity, NodeReport, NodeState, PodReport, node_report,
};
use proto::{delta, v1};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::server::connection;

pub(crate) fn identity(node: &str) -> NodeIdentity {
    NodeIdentity {
        cluster: "c".to_owned(),
        node: node.to_owned(),
        node_uid: format!("uid of {node}"),
        boot_id: "boot".to_owned(),
        agent_start_id: "start 1".to_owned(),
        agent_started_mono_ns: 1,
    }
}

/// A node with headroom and pods of these uids.
pub(crate) fn state(headroom_milli_cpu: u64, uids: &[&str]) -> NodeState {
    let amount = NodeAmount { milli_cpu: Some(headroom_milli_cpu), ..NodeAmount::default() };
    let pod = |uid: &&str| PodReport { uid: (*uid).to_owned(), ..PodReport::default() };
    NodeState {
        headroom: Some(amount),
        pods: uids.iter().map(pod).collect(),
        ..NodeState::default()
    }
}

pub(crate) fn full(sequence: u64, state: NodeState) -> NodeReport {
    let content = Some(node_report::Content::Full(state));
    NodeReport { sequence, content, ..NodeReport::default() }
}

pub(crate) fn delta(sequence: u64, delta: v1::NodeDelta) -> NodeReport {
    let content = Some(node_report::Content::Delta(delta));
    NodeReport { sequence, content, ..NodeReport::default() }
}

/// One open stream.
pub(crate) struct Talk {
    pub(crate) reports: mpsc::Sender<NodeReport>,
    pub(crate) directives: Streaming<NodeDirective>,
}

impl Talk {
    pub(crate) async fn open(channel: Channel) -> Result<Talk, Status> {
        let (reports, outgoing) = mpsc::channel(4);
        let mut client = NodeReportingClient::new(channel);
        let answer = client.report(ReceiverStream::new(outgoing)).await?;
        Ok(Talk { reports, directives: answer.into_inner() })
    }

    /// Says one thing and hears the answer.
    pub(crate) async fn ask(&mut self, report: NodeReport) -> Result<NodeDirective, Status> {
        // When the stream has ended, its status is the answer.
        let _ = self.reports.send(report).await;
        let ended = || Status::cancelled("the stream ended");
        self.directives.message().await?.ok_or_else(ended)
    }
}

/// An agent that goes on whatever its server does.
pub(crate) struct Reporter {
    channel: Channel,
    identity: NodeIdentity,
    talk: Option<Talk>,
    sequence: u64,
    /// What the server has for certain.
    base: Option<NodeState>,
    pub(crate) n_full: usize,
    pub(crate) n_deltas: usize,
}

impl Reporter {
    pub(crate) fn new(address: SocketAddr, identity: NodeIdentity) -> Reporter {
        let channel = connection(address);
        Reporter { channel, identity, talk: None, sequence: 0, base: None, n_full: 0, n_deltas: 0 }
    }

    /// Reports `now` once. After a failure the next report opens a stream and is a full one.
    pub(crate) async fn report(&mut self, now: &NodeState) -> Result<NodeDirective, Status> {
        let told = self.try_report(now).await;
        match &told {
            Ok(directive) if directive.full_wanted.is_none() => self.base = Some(now.clone()),
            Ok(_) => self.base = None,
            Err(_) => (self.base, self.talk) = (None, None),
        }
        told
    }

    async fn try_report(&mut self, now: &NodeState) -> Result<NodeDirective, Status> {
        let mut identity = None;
        if self.talk.is_none() {
            self.talk = Some(Talk::open(self.channel.clone()).await?);
            identity = Some(self.identity.clone());
        }
        let Some(talk) = &mut self.talk else { return Err(Status::internal("no stream")) };
        self.sequence += 1;
        let change = self.base.as_ref().and_then(|base| delta::between(base, now));
        let mut report = match change {
            Some(change) => delta(self.sequence, change),
            None => full(self.sequence, now.clone()),
        };
        let is_full = matches!(report.content, Some(node_report::Content::Full(_)));
        *(if is_full { &mut self.n_full } else { &mut self.n_deltas }) += 1;
        report.identity = identity;
        let directive = talk.ask(report).await?;
        if directive.acknowledged > self.sequence {
            let (said, sent) = (directive.acknowledged, self.sequence);
            let why = format!("report {said} was acknowledged, {sent} were sent");
            return Err(Status::new(Code::DataLoss, why));
        }
        if directive.full_wanted.is_none() && directive.acknowledged != self.sequence {
            return Err(Status::new(Code::DataLoss, "an old report was acknowledged"));
        }
        Ok(directive)
    }
}
