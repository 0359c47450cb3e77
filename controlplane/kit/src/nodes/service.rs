//! `NodeReporting` over gRPC: one task per stream asks the keeper and passes its answer on. Owns what belongs to one
//! stream: the peer, the identity, the order of answers. Keeps no report.

use std::sync::Arc;
use std::time::Duration;

use proto::v1;
use proto::v1::node_reporting_server::NodeReporting;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};
use tracing::{Instrument, debug, info_span};

use super::Config;
use super::intake::Answer;
use super::keeper::Ask;
use super::limits::Refusal;
use super::peer::{AllowedNode, Denied, Peer, Peers};
use crate::chain;

/// Beside one stream per node: those of agents that came back before the old stream was found to be dead.
const SPARE_STREAMS: usize = 1024;

type Policy = watch::Receiver<Option<Arc<v1::PolicyDocument>>>;

/// The service of [`super::reporting`].
#[derive(Clone)]
pub struct Service {
    asks: mpsc::Sender<Ask>,
    peers: Peers,
    policy: Policy,
    report_interval_ms: u32,
    silence: Duration,
    max_streams: usize,
    slots: Arc<Semaphore>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl Service {
    pub(super) fn new(
        config: &Config,
        asks: mpsc::Sender<Ask>,
        peers: Peers,
        policy: Policy,
    ) -> Service {
        let max_streams = config.limits.max_nodes.saturating_add(SPARE_STREAMS);
        Service {
            asks,
            peers,
            policy,
            report_interval_ms: u32::try_from(config.report_interval.as_millis())
                .unwrap_or(u32::MAX),
            silence: config.expiry(),
            max_streams,
            slots: Arc::new(Semaphore::new(max_streams.min(Semaphore::MAX_PERMITS))),
        }
    }

    fn slot(&self) -> Result<OwnedSemaphorePermit, Status> {
        let slots = Arc::clone(&self.slots);
        slots.try_acquire_owned().map_err(|_none| {
            let limit = self.max_streams;
            Status::resource_exhausted(format!("{limit} streams of reports are open, the limit"))
        })
    }
}

#[tonic::async_trait]
impl NodeReporting for Service {
    type ReportStream = ReceiverStream<Result<v1::NodeDirective, Status>>;

    async fn report(
        &self,
        request: Request<Streaming<v1::NodeReport>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let peer = Peer { metadata: request.metadata(), extensions: request.extensions() };
        let allowed = (self.peers)(&peer).map_err(|denied| denial(&denied))?;
        let slot = self.slot()?;
        let (to_node, directives) = mpsc::channel(1);
        let session = Session {
            service: self.clone(),
            allowed,
            identity: None,
            told_interval: false,
            policy: SeenPolicy::default(),
        };
        let task = async move {
            session.run(request.into_inner(), to_node).await;
            drop(slot);
        };
        tokio::spawn(task.instrument(info_span!("report")));
        Ok(Response::new(ReceiverStream::new(directives)))
    }
}

/// One stream.
struct Session {
    service: Service,
    allowed: AllowedNode,
    identity: Option<Arc<v1::NodeIdentity>>,
    told_interval: bool,
    policy: SeenPolicy,
}

/// Hashes of the document that the agent has and of the last one it was sent.
#[derive(Default)]
struct SeenPolicy {
    at_node: Option<Vec<u8>>,
    sent: Option<Vec<u8>>,
}

impl Session {
    async fn run(
        mut self,
        mut reports: Streaming<v1::NodeReport>,
        to_node: mpsc::Sender<Result<v1::NodeDirective, Status>>,
    ) {
        loop {
            let next = tokio::time::timeout(self.service.silence, reports.message()).await;
            let answer = match next {
                Ok(Ok(Some(report))) => self.answer(report).await,
                Ok(Ok(None)) => return,
                Ok(Err(status)) => Err(status),
                Err(_) => Err(self.silent()),
            };
            if let Err(status) = &answer {
                debug!(status = %status, "Ending a stream of reports");
            }
            let is_end = answer.is_err();
            // Who takes no answer for so long reads no more.
            let sent = to_node.send_timeout(answer, self.service.silence).await;
            if sent.is_err() || is_end {
                return;
            }
        }
    }

    fn silent(&self) -> Status {
        let limit = self.service.silence.as_secs_f64();
        Status::deadline_exceeded(format!("no report for {limit:.1} s, the limit"))
    }

    async fn answer(&mut self, mut report: v1::NodeReport) -> Result<v1::NodeDirective, Status> {
        let identity = self.identity_of(report.identity.take())?;
        if let Some(hash) = policy_hash(&report) {
            self.policy.at_node = Some(hash);
        }
        let (reply, answer) = oneshot::channel();
        let gone = |()| Status::unavailable("this server is shutting down");
        let asked = self.service.asks.send(Ask { identity, report, reply }).await;
        asked.map_err(|_closed| gone(()))?;
        let answer = answer.await.map_err(|_closed| gone(()))?;
        answer.map(|answer| self.directive(answer)).map_err(|refusal| refused(&refusal))
    }

    /// The first report says who it is; a later one may say the same again.
    fn identity_of(
        &mut self,
        told: Option<v1::NodeIdentity>,
    ) -> Result<Arc<v1::NodeIdentity>, Status> {
        match (&self.identity, told) {
            (None, None) => {
                Err(Status::invalid_argument("the first report of a stream has no identity"))
            }
            (Some(known), None) => Ok(Arc::clone(known)),
            (Some(known), Some(told)) if **known == told => Ok(Arc::clone(known)),
            (Some(_), Some(_)) => {
                Err(Status::invalid_argument("the identity changed within a stream"))
            }
            (None, Some(told)) => {
                self.allowed.check(&told).map_err(|denied| denial(&denied))?;
                Ok(Arc::clone(self.identity.insert(Arc::new(told))))
            }
        }
    }

    fn directive(&mut self, answer: Answer) -> v1::NodeDirective {
        let (acknowledged, full_wanted) = match answer {
            Answer::Accepted { acknowledged } | Answer::Repeated { acknowledged } => {
                (acknowledged, None)
            }
            Answer::FullWanted { acknowledged, reason } => {
                (acknowledged, Some(v1::FullReportWanted { reason: reason.into() }))
            }
        };
        let is_first = !std::mem::replace(&mut self.told_interval, true);
        v1::NodeDirective {
            acknowledged,
            report_interval_ms: is_first.then_some(self.service.report_interval_ms),
            full_wanted,
            policy: self.policy.due(self.service.policy.borrow().as_deref()),
        }
    }
}

impl SeenPolicy {
    /// The document, when the agent has told that it has another and was not sent it.
    fn due(&mut self, document: Option<&v1::PolicyDocument>) -> Option<v1::PolicyDocument> {
        let document = document?;
        let is_known = self.at_node.as_ref().is_none_or(|hash| *hash == document.sha256);
        if is_known || self.sent.as_ref() == Some(&document.sha256) {
            return None;
        }
        self.sent = Some(document.sha256.clone());
        Some(document.clone())
    }
}

/// Of the policy document in force, where the report tells it.
fn policy_hash(report: &v1::NodeReport) -> Option<Vec<u8>> {
    let health = match report.content.as_ref()? {
        v1::node_report::Content::Full(full) => full.health.as_ref(),
        v1::node_report::Content::Delta(delta) => delta.health.as_ref(),
    };
    Some(health?.policy_sha256.clone())
}

fn denial(denied: &Denied) -> Status {
    let code = match denied {
        Denied::NoCertificate | Denied::Unreadable { .. } => Code::Unauthenticated,
        _ => Code::PermissionDenied,
    };
    Status::new(code, chain(denied).to_string())
}

fn refused(refusal: &Refusal) -> Status {
    let code = match refusal {
        Refusal::Empty { .. }
        | Refusal::Long { .. }
        | Refusal::SequenceZero
        | Refusal::NoContent { .. }
        | Refusal::TwicePod { .. }
        | Refusal::RemovedPod { .. } => Code::InvalidArgument,
        Refusal::ManyPods { .. }
        | Refusal::NodeBytes { .. }
        | Refusal::ManyNodes { .. }
        | Refusal::TableBytes { .. } => Code::ResourceExhausted,
        Refusal::OtherMachine { .. } | Refusal::Superseded { .. } => Code::FailedPrecondition,
    };
    Status::new(code, chain(refusal).to_string())
}
