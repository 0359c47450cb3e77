//! The admin port: `/healthz`, `/readyz`, `/metrics` over plain HTTP/1 on a listener the caller
//! bound, and a port for `/metrics` alone, which more people may see. Owns limits and answers; what
//! "ready" means and which metrics exist comes from outside.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{Instrument, debug, info_span, warn};

use crate::chain;

/// A scraper, a kubelet and a few people; more wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 16;
/// hyper refuses less than 8 KiB. Request line and headers of a scraper are under 1 KiB.
const MAX_HEADER_BYTES: usize = 8 * 1024;
/// A peer that sends its headers slower than this is not one of ours.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Bounds how long a reader that does not read may hold a connection slot.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// What open connections get to finish their answer at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
/// Under file-descriptor exhaustion `accept` fails at once; do not spin on it.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// One named condition of health or readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    /// `Err` carries the reason, one sentence; `Ok` a remark, or nothing.
    pub result: Result<String, String>,
}

/// Asked at every request, so it must be quick and must not block.
pub type Checks = Arc<dyn Fn() -> Vec<Check> + Send + Sync>;

/// What the port answers from.
#[derive(Clone)]
pub struct Admin {
    /// False means "restart me".
    pub health: Checks,
    /// False means "I run, but do not rely on me"; the body says why.
    pub readiness: Checks,
    pub registry: Arc<Registry>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

/// What one listener answers.
#[derive(Clone)]
enum Answers {
    All(Admin),
    Metrics(Arc<Registry>),
}

/// Answers until `shutdown`, then lets open connections finish for a moment.
pub async fn serve(listener: TcpListener, admin: Admin, shutdown: impl Future<Output = ()>) {
    serve_port(listener, Answers::All(admin), shutdown).await;
}

/// The same with `/metrics` and nothing else.
pub async fn serve_metrics(
    listener: TcpListener,
    registry: Arc<Registry>,
    shutdown: impl Future<Output = ()>,
) {
    serve_port(listener, Answers::Metrics(registry), shutdown).await;
}

async fn serve_port(listener: TcpListener, port: Answers, shutdown: impl Future<Output = ()>) {
    let mut connections = JoinSet::new();
    tokio::select! {
        () = accept_forever(&listener, &port, &mut connections) => {}
        () = shutdown => {}
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN_GRACE, finished).await.is_err() {
        debug!("Dropping admin connections that did not finish");
    }
}

async fn accept_forever(listener: &TcpListener, port: &Answers, connections: &mut JoinSet<()>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, peer)) => {
                let port = port.clone();
                let task = async move {
                    answer_connection(stream, port).await;
                    drop(slot);
                };
                connections.spawn(task.instrument(info_span!("admin", %peer)));
            }
            Err(error) => {
                warn!(error = %chain(&error), "Cannot accept an admin connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// One request per connection: no idle connection ever holds a slot.
async fn answer_connection(stream: TcpStream, port: Answers) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = answer(request.method(), request.uri().path(), &port);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(error = %chain(&error), "Admin connection ended early"),
        Err(_) => debug!("Admin connection took too long"),
    }
}

fn answer(method: &Method, path: &str, port: &Answers) -> Response<Full<Bytes>> {
    let known = match port {
        Answers::All(_) => matches!(path, "/healthz" | "/readyz" | "/metrics"),
        Answers::Metrics(_) => path == "/metrics",
    };
    if known && method != Method::GET && method != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match (path, port) {
        ("/healthz", Answers::All(admin)) => verdict(&(admin.health)()),
        ("/readyz", Answers::All(admin)) => verdict(&(admin.readiness)()),
        ("/metrics", Answers::All(Admin { registry, .. }) | Answers::Metrics(registry)) => {
            metrics(registry)
        }
        (_, Answers::All(_)) => {
            text(StatusCode::NOT_FOUND, "try /healthz, /readyz or /metrics\n".to_owned())
        }
        (_, Answers::Metrics(_)) => text(StatusCode::NOT_FOUND, "try /metrics\n".to_owned()),
    }
}

/// 200 when every check holds, else 503; the body names each in the manner of kube-apiserver.
fn verdict(checks: &[Check]) -> Response<Full<Bytes>> {
    let mut body = String::new();
    for Check { name, result } in checks {
        // writing to a String cannot fail
        let _ = match result {
            Ok(remark) if remark.is_empty() => writeln!(body, "[+] {name}"),
            Ok(remark) => writeln!(body, "[+] {name}: {remark}"),
            Err(reason) => writeln!(body, "[-] {name}: {reason}"),
        };
    }
    let all_hold = checks.iter().all(|check| check.result.is_ok());
    body.push_str(if all_hold { "ok\n" } else { "failed\n" });
    text(if all_hold { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, body)
}

fn metrics(registry: &Registry) -> Response<Full<Bytes>> {
    let mut body = String::new();
    if prometheus_client::encoding::text::encode(&mut body, registry).is_err() {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "a metric cannot be encoded\n".to_owned());
    }
    let mut response = text(StatusCode::OK, body);
    let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(open_metrics));
    response
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests;
