//! What probes, preflights and scrapers ask over plain HTTP: `/version`, `/health`, `/livez`, `/readyz`, `/metrics`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::metrics;
use crate::store::Store;

/// On a port of their own, in plain HTTP/1, until `stopping` is true.
pub async fn serve(store: Arc<Store>, listener: TcpListener, mut stopping: watch::Receiver<bool>) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "No connection can be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = super::stopped(&mut stopping) => return,
        };
        let store = Arc::clone(&store);
        let page = service_fn(move |request: Request<Incoming>| {
            let page = answer(&store, request.method(), request.uri());
            std::future::ready(Ok::<_, Infallible>(page))
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(READ_LIMIT);
        let connection = builder.serve_connection(TokioIo::new(stream), page);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "A connection for pages ended");
            }
        });
    }
}

/// Who says nothing for so long is let go.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// kubeadm compares it (its preflight `ExternalEtcdVersion`).
const VERSIONS: &str = r#"{"etcdserver":"3.7.3","etcdcluster":"3.7.0","storage":"3.7.0"}"#;

pub(super) fn answer(store: &Store, method: &Method, uri: &Uri) -> Response<String> {
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    let (status, text) = match path {
        _ if *method != Method::GET && *method != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, "this is read with GET\n".to_owned())
        }
        "/version" => (StatusCode::OK, VERSIONS.to_owned()),
        "/health" => match unhealthy(store, query) {
            None => (StatusCode::OK, r#"{"health":"true","reason":""}"#.to_owned()),
            Some(reason) => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!(r#"{{"health":"false","reason":"{reason}"}}"#),
            ),
        },
        "/livez" | "/readyz" => match store.is_serving() {
            true => (StatusCode::OK, "ok\n".to_owned()),
            false => (StatusCode::SERVICE_UNAVAILABLE, "the log takes no more writes\n".to_owned()),
        },
        "/metrics" => (StatusCode::OK, metrics::page(store)),
        _ => (
            StatusCode::NOT_FOUND,
            "there is /version, /health, /livez, /readyz and /metrics\n".to_owned(),
        ),
    };
    let mut response = Response::new(text);
    if path == "/metrics" {
        let text = HeaderValue::from_static(metrics::CONTENT_TYPE);
        response.headers_mut().insert(CONTENT_TYPE, text);
    }
    *response.status_mut() = status;
    response
}

/// Why, unless it is only what the query leaves out: `exclude=NOSPACE`, as etcd has it.
fn unhealthy(store: &Store, query: &str) -> Option<&'static str> {
    let is_left_out = query.split('&').any(|pair| pair == "exclude=NOSPACE");
    match store.no_space() {
        _ if !store.is_serving() => Some("the log takes no more writes"),
        Some(_) if !is_left_out => Some("ALARM NOSPACE"),
        _ => None,
    }
}
