//! Reports of nodes: takes them in over gRPC (`proto/berth/v1/node.proto`), keeps the newest state of every node and
//! publishes all of them as one [`NodeTable`]. Every service of the control plane can have one.
//!
//! ```text
//! stream of reports -> service   who is the peer, one question and one answer at a time
//!                        |  Ask
//!                        v
//!                      keeper    the only owner of the Intake: a bounded queue in, the table out, at most every 200 ms
//!                        |  report, now
//!                        v
//!                      intake    PURE: accepted, repeated, a full one wanted, refused
//! ```
//!
//! The table holds the messages as they came; whoever reads it converts at its own edge. Nothing is stored: after a
//! restart every agent is asked for a full report.

mod intake;
mod keeper;
mod limits;
mod metrics;
mod peer;
mod reported;
mod service;
mod table;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use proto::v1;
use proto::v1::node_reporting_server::NodeReportingServer;
use tokio::sync::watch;

pub use intake::{Answer, Intake};
pub use keeper::Keeper;
pub use limits::{Limits, Refusal, Rival};
pub use peer::{AllowedNode, Denied, Peer, Peers, by_certificate, of_certificate};
pub use reported::ReportedState;
pub use service::Service;
pub use table::{Node, NodeTable};

/// What an operator may choose.
#[derive(Clone, Debug)]
pub struct Config {
    /// What agents are told.
    pub report_interval: Duration,
    /// A node that was silent for so many intervals is forgotten.
    pub expiry_intervals: u32,
    /// The table is published at most this often: one snapshot costs a pointer per node.
    pub publish_every: Duration,
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            report_interval: Duration::from_secs(5),
            // Half a minute: a server or an agent that restarts loses nothing.
            expiry_intervals: 6,
            publish_every: Duration::from_millis(200),
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// How long a node may be silent.
    pub fn expiry(&self) -> Duration {
        self.report_interval.saturating_mul(self.expiry_intervals)
    }
}

/// What comes from outside.
pub struct Deps<'a> {
    /// Says which node a peer may report.
    pub peers: Peers,
    /// What agents should follow; `None` leaves them to their file.
    pub policy: watch::Receiver<Option<Arc<v1::PolicyDocument>>>,
    pub registry: &'a mut Registry,
}

impl std::fmt::Debug for Deps<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deps").finish_non_exhaustive()
    }
}

/// The three parts of an intake of reports.
#[derive(Debug)]
pub struct Reporting {
    /// Goes to a gRPC server with its limits set.
    pub server: NodeReportingServer<Service>,
    /// [`Keeper::run`] has to run for anything to be answered. It ends when the service is gone.
    pub keeper: Keeper,
    pub table: watch::Receiver<Arc<NodeTable>>,
}

/// Connects the parts; starts nothing.
pub fn reporting(config: &Config, deps: Deps<'_>) -> Reporting {
    let metrics = metrics::Metrics::registered(deps.registry);
    let (asks, keeper, table) = keeper::keeper(config, metrics);
    let service = Service::new(config, asks, deps.peers, deps.policy);
    let server =
        NodeReportingServer::new(service).max_decoding_message_size(config.limits.max_report_bytes);
    Reporting { server, keeper, table }
}
