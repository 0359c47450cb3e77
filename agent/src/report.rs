//! What leaves the node: the sending end of `berth.v1.NodeReporting`. Owns one conversation per endpoint of `[report]`,
//! all on one thread that gives way, and who the node says it is. Knows no workload that the published state does not
//! show, and changes nothing on the node: a directive may only ask for another interval or for a full report.
//!
//! ```text
//! published NodeState -> state   PURE: what a report says
//!                          |  at most once per published state, for all endpoints
//!                          v
//!                        talk    PURE: full or delta, sequence, what an answer means; one per endpoint
//!                          |  NodeReport, NodeDirective
//!                          v
//!                        send    one task per endpoint: connects (dial), sends, waits, tries again
//! ```
//!
//! An endpoint that is slow or dead holds up nobody: its task waits alone, and keeps two states of the node at most.

mod dial;
mod findings;
mod identity;
mod metrics;
mod send;
mod source;
mod state;
mod talk;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cluster::node::NodeHeard;
use model::Timestamp;
use model::plan::Finding;
use model::sample::PodOnNode;
use runtime::pauses::{Jitter, Pauses};
use tokio::sync::watch;
use tokio::task::LocalSet;

pub use identity::identity;
pub use metrics::Metrics;

use self::send::Line;
use self::source::Source;
use crate::config::ReportConfig;
use crate::node_state::NodeState;
use crate::priority;

/// A server that restarts is there again after a second or two; ten thousand agents that lost it together spread their
/// tries over a minute.
pub const PAUSES: Pauses = Pauses {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
    jitter: Jitter::Full,
};
/// Names are looked up on threads of their own; a name server that hangs must not hold up other endpoints.
const LOOKUP_THREADS: usize = 16;

/// What reports are made of, and where their story is told.
#[derive(Clone, Debug)]
pub struct Deps {
    /// `None` before the first tick.
    pub state: watch::Receiver<Option<Arc<NodeState>>>,
    /// Where somebody knows pods.
    pub pods: Option<watch::Receiver<Arc<Vec<PodOnNode>>>>,
    /// Where somebody asks for the Node object: its uid is that of the identity, and nothing is reported before it is known.
    pub node: Option<watch::Receiver<NodeHeard>>,
    pub metrics: Metrics,
    /// CLOCK_MONOTONIC.
    pub clock: fn() -> Timestamp,
    pub pauses: Pauses,
}

/// What there is to say of one endpoint.
pub type Told = watch::Receiver<Arc<Vec<Finding>>>;

/// Reports to every endpoint until `stopping` turns true.
pub fn start(
    config: &ReportConfig,
    identity: &proto::v1::NodeIdentity,
    deps: &Deps,
    stopping: watch::Receiver<bool>,
) -> std::io::Result<Vec<Told>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(LOOKUP_THREADS)
        .enable_all()
        .build()?;
    let (tellers, told): (Vec<_>, Vec<_>) =
        config.endpoints.iter().map(|_| watch::channel(Arc::default())).unzip();
    let (config, identity, deps) = (config.clone(), identity.clone(), deps.clone());
    let thread = std::thread::Builder::new().name("berth-report".to_owned());
    thread.spawn(move || {
        priority::give_way();
        let tasks = LocalSet::new();
        let source = Source::shared(&deps);
        for (endpoint, teller) in config.endpoints.iter().zip(tellers) {
            let line = Line::new(endpoint, &config, &identity, &deps, (Rc::clone(&source), teller));
            tasks.spawn_local(line.keep());
        }
        tasks.block_on(&runtime, until(stopping));
        // Whoever still looks up a name is not waited for.
        runtime.shutdown_background();
    })?;
    Ok(told)
}

async fn until(mut stopping: watch::Receiver<bool>) {
    // An error means that nobody will say so any more: stop as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}
