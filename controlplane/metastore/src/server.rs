//! The listener: HTTP/2 with gRPC for clients, HTTP/1 for probes and scrapers, on one port. Owns connections and which path goes where.

mod caller;
mod calls;
pub mod pages;
mod stats;
pub mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tower::Service as _;
use tracing::{Instrument as _, debug, warn};

use self::calls::Calls;
use self::tls::Certificates;
use crate::grpc::{Caller, Services, is_admin};
use crate::store::Store;

/// Lists and watches share a connection: with HTTP/2's own 64 KiB one starves the other (etcd#15402).
const WINDOW_BYTES: u32 = 8 << 20;
/// One for each watch of each client behind one connection.
const MOST_STREAMS: u32 = 1 << 20;
/// Longer than any client takes to say who it is.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// For answers that are on their way when the store ends.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(1);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(7200);

/// What a connection needs.
#[derive(Clone, Debug)]
pub struct Server {
    pub services: Services,
    pub store: Arc<Store>,
    /// `None` is plain HTTP.
    pub certificates: Option<Arc<Certificates>>,
}

impl Server {
    /// Until `stopping` is true; connections that are open end with the process.
    pub async fn serve(self, listener: TcpListener, mut stopping: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let server = self.clone();
                        let serving = server.connection(stream, peer, stopping.clone());
                        tokio::spawn(serving.in_current_span());
                    }
                    Err(error) => {
                        // Mostly too many open files: the next try may find one closed.
                        warn!(%error, "No connection can be taken");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                () = stopped(&mut stopping) => return,
            }
        }
    }

    async fn connection(
        self,
        stream: TcpStream,
        peer: SocketAddr,
        mut stopping: watch::Receiver<bool>,
    ) {
        // Answers are small and somebody waits for each.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, %peer, "A connection keeps its delay");
        }
        let Some(certificates) = self.certificates.clone() else {
            return self.serve_on(stream, (peer, Caller::default()), &mut stopping).await;
        };
        let accepting = TlsAcceptor::from(certificates.current()).accept(stream);
        match tokio::time::timeout(HANDSHAKE_LIMIT, accepting).await {
            Ok(Ok(stream)) => {
                let caller = caller::of(stream.get_ref().1);
                self.serve_on(stream, (peer, caller), &mut stopping).await;
            }
            Ok(Err(error)) => debug!(%error, %peer, "A client is not let in"),
            Err(_) => debug!(%peer, "A client does not say who it is"),
        }
    }

    async fn serve_on(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        (peer, caller): (SocketAddr, Caller),
        stopping: &mut watch::Receiver<bool>,
    ) {
        let server = Arc::new(self);
        let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(caller.clone());
            let server = Arc::clone(&server);
            async move { server.answer(request).await }
        });
        let mut calls = Calls::default();
        let mut builder = Builder::new(calls.begun.clone());
        builder
            .http2()
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_concurrent_streams(MOST_STREAMS)
            .keep_alive_interval(KEEPALIVE_EVERY);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = calls.run(connection.as_mut()) => ended,
            () = stopped(stopping) => {
                connection.as_mut().graceful_shutdown();
                let ended = calls.run(connection);
                tokio::time::timeout(LAST_WORDS_LIMIT, ended).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            debug!(%error, %peer, "A connection ended");
        }
    }

    async fn answer(
        &self,
        request: hyper::Request<Incoming>,
    ) -> Result<hyper::Response<Body>, Infallible> {
        let services = &self.services;
        let path = request.uri().path();
        let service = path.strip_prefix("/etcdserverpb.").and_then(|path| path.split('/').next());
        match service {
            Some("KV") => services.kv.clone().call(request).await,
            Some("Watch") => services.watch.clone().call(request).await,
            Some("Lease") => services.lease.clone().call(request).await,
            Some("Cluster") => services.cluster.clone().call(request).await,
            Some("Maintenance") => services.maintenance.clone().call(request).await,
            Some("Auth") => services.auth.clone().call(request).await,
            None if path == stats::PATH => {
                let page = match is_admin(&self.store, request.extensions()) {
                    true => {
                        stats::answer(&self.store, request.method(), request.uri().query()).await
                    }
                    false => stats::refusal(),
                };
                Ok(page.map(|text| Body::new(http_body_util::Full::from(text).map_err(never))))
            }
            _ => {
                let page = pages::answer(&self.store, request.method(), request.uri());
                Ok(page.map(|text| Body::new(http_body_util::Full::from(text).map_err(never))))
            }
        }
    }
}

/// Also when nobody can say so any more.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
}

fn never(never: Infallible) -> tonic::Status {
    match never {}
}
