//! Reports of nodes in the store: agents report over gRPC, and `/berth/nodes/NAME` says what they said last, so that every client of etcd
//! can watch the fleet. Owns the flags and the wiring; who may report is `kit::nodes`'.
//!
//! Agents have a port of their own. Whoever signs the certificates of nodes would on the port of clients let every node into the store.

mod document;
mod keeper;
mod listener;
mod metrics;
mod pace;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kit::nodes::{AllowedNode, Config, Deps, Peers, Reporting, by_certificate, reporting};
use metastore::server::tls::{Certificates, Files};
use metastore::store::Store;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tracing::{error, info};

use self::document::{LEAST_BYTES, Pods};
use self::keeper::{Keeper, Settings};
use self::metrics::Metrics;
use self::pace::Pace;
use super::listen::address;
use super::values::duration;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Reports of nodes")]
#[group(skip)]
pub(super) struct Args {
    /// Where agents report to, with certificates: https://ADDRESS:PORT; http:// on a loopback address only. Nobody reports when left out
    #[arg(long, value_name = "URL")]
    listen_report_url: Option<String>,
    /// Who signs the certificates of nodes; not to be who signs those of the store's clients
    #[arg(long, value_name = "FILE", requires = "listen_report_url")]
    report_ca_file: Option<PathBuf>,
    /// The cluster whose nodes report; those of another one are refused
    #[arg(long, value_name = "NAME", default_value = "default")]
    report_cluster: String,
    /// How often agents are told to report; a node that is silent for three of them has no key any more
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    report_interval: Duration,
    /// The key of a node is not written more often, whatever changes; and once in six times as long where nothing does
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10s")]
    node_report_min_interval: Duration,
    /// The longest value of a key, 16384 at least
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 10)]
    node_report_max_bytes: usize,
    /// Write pods one by one instead of their number
    #[arg(long)]
    node_report_pods: bool,
}

/// A port that agents may come to.
pub(super) struct Reports {
    socket: TcpListener,
    certificates: Option<Arc<Certificates>>,
    settings: Settings,
}

impl Reports {
    /// `None` where nobody is to report. `own` are certificate and key of the server.
    pub(super) async fn listen(
        args: &Args,
        own: Option<(&Path, &Path)>,
    ) -> Result<Option<Reports>, String> {
        let Some(url) = &args.listen_report_url else { return Ok(None) };
        let said = |why: &str| format!("--listen-report-url {url}: {why}");
        let (address, is_tls) = address("--listen-report-url", url)?;
        let certificates = match (is_tls, own, &args.report_ca_file) {
            (true, Some(own), Some(authority)) => Some(certificates(own, authority)?),
            (true, None, _) => return Err(said("https:// needs --cert-file and --key-file")),
            (true, _, None) => return Err(said("https:// needs --report-ca-file")),
            (false, ..) if !address.ip().is_loopback() => {
                return Err(said("without https:// only a loopback address is listened to"));
            }
            (false, ..) => None,
        };
        let socket = TcpListener::bind(address).await.map_err(|error| said(&error.to_string()))?;
        let pace = Pace {
            min_interval: args.node_report_min_interval,
            report_interval: args.report_interval,
        };
        let pods = if args.node_report_pods { Pods::Listed } else { Pods::Counted };
        let most_bytes = args.node_report_max_bytes.max(LEAST_BYTES);
        let settings = Settings { cluster: args.report_cluster.clone(), pace, pods, most_bytes };
        Ok(Some(Reports { socket, certificates, settings }))
    }

    /// Registers its series in `registry` and begins when the store is open.
    pub(super) fn begin(
        self,
        registry: &mut Registry,
        store: impl Future<Output = Option<Arc<Store>>> + Send + 'static,
    ) {
        let config = Config {
            report_interval: self.settings.pace.report_interval,
            // As long as the lease.
            expiry_intervals: 3,
            ..Config::default()
        };
        // Policy comes to nodes from elsewhere.
        let (_policy, none) = watch::channel(None);
        let peers = match &self.certificates {
            Some(_) => by_certificate(Some(self.settings.cluster.clone())),
            None => anybody(),
        };
        let kit_registry = registry.sub_registry_with_prefix("reporting");
        let parts = reporting(&config, Deps { peers, policy: none, registry: kit_registry });
        let metrics = Metrics::registered(registry);
        tokio::spawn(async move {
            if let Some(store) = store.await {
                self.serve(parts, store, metrics).await;
            }
        });
    }

    async fn serve(self, parts: Reporting, store: Arc<Store>, metrics: Metrics) {
        let Reports { socket, certificates, settings } = self;
        let address = socket.local_addr().map(|address: SocketAddr| address.to_string());
        let address = address.unwrap_or_default();
        info!(%address, cluster = %settings.cluster, "Agents are listened to");
        tokio::spawn(parts.keeper.run());
        tokio::spawn(Keeper::new(store, settings, metrics).run(parts.table));
        let server = Server::builder().http2_keepalive_interval(Some(Duration::from_secs(30)));
        let ended = match certificates {
            Some(certificates) => {
                let agents = listener::agents(socket, certificates);
                server.serve_with_incoming(parts.server, agents).await
            }
            None => server.serve_with_incoming(parts.server, TcpListenerStream::new(socket)).await,
        };
        if let Err(error) = ended {
            error!(error = %kit::chain(&error), "Agents are listened to no more");
        }
    }
}

/// On a loopback address, where who may connect is settled by who may log in.
fn anybody() -> Peers {
    Arc::new(|_| Ok(AllowedNode::Any))
}

fn certificates(own: (&Path, &Path), authority: &Path) -> Result<Arc<Certificates>, String> {
    let files = Files {
        certificate: own.0.to_owned(),
        key: own.1.to_owned(),
        authority: Some(authority.to_owned()),
        needs_client: true,
    };
    let loaded = Certificates::load(files).map_err(|error| kit::chain(&error).to_string())?;
    Ok(Arc::new(loaded))
}

/// The store, when it is open.
pub(super) async fn opened(store: oneshot::Receiver<Arc<Store>>) -> Option<Arc<Store>> {
    store.await.ok()
}
