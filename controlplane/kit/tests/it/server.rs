//! A server of reports on a port of its own, with a runtime of its own: dropping it is what a kill looks like to agents.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kit::nodes::{AllowedNode, Config, Deps, Limits, NodeTable, Peers, reporting};
use prometheus_client::registry::Registry;
use proto::v1;
use proto::v1::node_reporting_server::{NodeReporting, NodeReportingServer};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, ServerTlsConfig};

pub(crate) struct Server {
    runtime: Option<Runtime>,
    pub(crate) address: SocketAddr,
    pub(crate) table: watch::Receiver<Arc<NodeTable>>,
    pub(crate) policy: watch::Sender<Option<Arc<v1::PolicyDocument>>>,
    pub(crate) registry: Registry,
}

/// What differs between tests.
pub(crate) struct Choice {
    pub(crate) config: Config,
    pub(crate) peers: Peers,
    pub(crate) tls: Option<ServerTlsConfig>,
    pub(crate) port: u16,
}

impl Default for Choice {
    fn default() -> Choice {
        Choice {
            config: Config {
                publish_every: Duration::from_millis(10),
                limits: Limits { max_pods_per_node: 50, ..Limits::default() },
                ..Config::default()
            },
            peers: Arc::new(|_| Ok(AllowedNode::Any)),
            tls: None,
            port: 0,
        }
    }
}

impl Server {
    pub(crate) async fn start(choice: Choice) -> Server {
        let mut registry = Registry::default();
        let (policy, following) = watch::channel(None);
        let runtime = runtime();
        let deps = Deps { peers: choice.peers, policy: following, registry: &mut registry };
        let parts = reporting(&choice.config, deps);
        runtime.spawn(parts.keeper.run());
        let mut builder = tonic::transport::Server::builder();
        if let Some(tls) = choice.tls {
            builder = builder.tls_config(tls).expect("a configuration for TLS");
        }
        let (address, runtime) = serve(runtime, builder, parts.server, choice.port).await;
        Server { runtime: Some(runtime), address, table: parts.table, policy, registry }
    }

    /// As SIGKILL would: connections break, nobody says goodbye.
    pub(crate) fn kill(mut self) -> SocketAddr {
        self.end();
        self.address
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Waits for a table that fits.
    pub(crate) async fn table_with(
        &self,
        fits: impl FnMut(&Arc<NodeTable>) -> bool,
    ) -> Arc<NodeTable> {
        let mut table = self.table.clone();
        let wait = table.wait_for(fits);
        let found = tokio::time::timeout(Duration::from_secs(20), wait).await;
        Arc::clone(&found.expect("a table that fits").expect("a keeper"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// Any such service on a runtime.
async fn serve<N: NodeReporting>(
    runtime: Runtime,
    builder: tonic::transport::Server,
    service: NodeReportingServer<N>,
    port: u16,
) -> (SocketAddr, Runtime) {
    let bound = async move {
        let listener = bound_to(port).await;
        let address = listener.local_addr().expect("an address");
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(async move { builder.serve_with_incoming(service, incoming).await });
        address
    };
    let address = runtime.spawn(bound).await.expect("a listener");
    (address, runtime)
}

/// The port of a server that was just killed is free in a moment.
async fn bound_to(port: u16) -> TcpListener {
    for _ in 0..200 {
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
            return listener;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("port {port} is taken")
}

/// A service that is not ours.
pub(crate) async fn serve_alone<N: NodeReporting>(service: N) -> (SocketAddr, Running) {
    let builder = tonic::transport::Server::builder();
    let (address, runtime) = serve(runtime(), builder, NodeReportingServer::new(service), 0).await;
    (address, Running(Some(runtime)))
}

/// Ends its service when it is dropped.
pub(crate) struct Running(Option<Runtime>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A connection that is made when it is needed.
pub(crate) fn connection(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    endpoint.connect_lazy()
}
