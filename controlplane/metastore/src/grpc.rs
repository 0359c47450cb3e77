//! The services of etcd's API over one store. Owns which service has which path, and what a refusal is on the wire; what is done is the
//! store's.

mod access;
mod auth;
mod cluster;
mod kv;
mod lease;
mod maintenance;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use proto::etcd::etcdserverpb::auth_server::AuthServer;
use proto::etcd::etcdserverpb::cluster_server::ClusterServer;
use proto::etcd::etcdserverpb::lease_server::LeaseServer;
use proto::etcd::etcdserverpb::maintenance_server::MaintenanceServer;
use tonic::Status;

pub use self::access::Caller;
pub(crate) use self::access::is_admin;
use crate::refusal::{Code, Refusal};
use crate::store::{Denial, Store};

/// What clients are told of the server, and what they may ask of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Of the one member.
    pub name: String,
    pub client_urls: Vec<String>,
    /// etcd's `--max-request-bytes`.
    pub max_request_bytes: usize,
    /// etcd's `--max-txn-ops`.
    pub max_txn_ops: usize,
    /// etcd's `--quota-backend-bytes`; 0 for none.
    pub quota_bytes: u64,
    /// Between two words to watchers that want to know how far they are.
    pub progress_every: Duration,
    /// How much may wait for one stream of watches before it reads from the store.
    pub stream_bytes: usize,
}

/// Beside the value of a put, which may be as large as a request (etcd's `grpcOverheadBytes`).
const OVERHEAD_BYTES: usize = 512 << 10;

/// What every service holds.
#[derive(Clone, Debug)]
pub struct Shared {
    pub store: Arc<Store>,
    pub settings: Arc<Settings>,
}

/// All services.
#[derive(Clone, Debug)]
pub struct Services {
    pub(crate) kv: kv::KvService,
    pub(crate) watch: watch::WatchService,
    pub(crate) lease: LeaseServer<lease::Leases>,
    pub(crate) cluster: ClusterServer<cluster::Cluster>,
    pub(crate) maintenance: MaintenanceServer<maintenance::Maintenance>,
    pub(crate) auth: AuthServer<auth::Auth>,
}

impl Services {
    pub fn new(store: Arc<Store>, settings: Settings) -> Services {
        let shared = Shared { store, settings: Arc::new(settings) };
        Services {
            kv: kv::KvService::new(shared.clone()),
            watch: watch::WatchService(shared.clone()),
            lease: LeaseServer::new(lease::Leases(shared.clone())),
            cluster: ClusterServer::new(cluster::Cluster(shared.clone())),
            maintenance: MaintenanceServer::new(maintenance::Maintenance(shared)),
            auth: AuthServer::new(auth::Auth),
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        let code = match refusal.code() {
            Code::InvalidArgument => tonic::Code::InvalidArgument,
            Code::NotFound => tonic::Code::NotFound,
            Code::PermissionDenied => tonic::Code::PermissionDenied,
            Code::ResourceExhausted => tonic::Code::ResourceExhausted,
            Code::FailedPrecondition => tonic::Code::FailedPrecondition,
            Code::OutOfRange => tonic::Code::OutOfRange,
            Code::Unimplemented => tonic::Code::Unimplemented,
            Code::Unavailable => tonic::Code::Unavailable,
            Code::DataLoss => tonic::Code::DataLoss,
        };
        Status::new(code, refusal.to_string())
    }
}

/// A limit of a prefix is told with its name. Neither an apiserver nor etcd's client tries such a write again by itself: whoever asked the
/// apiserver hears of it and does.
impl From<Denial> for Status {
    fn from(denial: Denial) -> Status {
        match denial {
            Denial::Refused(refusal) => refusal.into(),
            Denial::Exceeded(exceeded) => Status::resource_exhausted(exceeded.to_string()),
        }
    }
}

/// A value of the log that cannot be read. The words of etcd are all that a client knows; why is in the log of the server.
fn unreadable(error: &impl std::fmt::Display) -> Status {
    tracing::error!(%error, "A value of the log cannot be read");
    Refusal::Corrupt.into()
}
