//! What probes, preflights and scrapers ask over plain HTTP: `/version`, `/health`, `/livez`, `/readyz`, `/metrics`.

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};

use crate::metrics;
use crate::store::Store;

/// kubeadm compares it (its preflight `ExternalEtcdVersion`).
const VERSIONS: &str = r#"{"etcdserver":"3.7.3","etcdcluster":"3.7.0","storage":"3.7.0"}"#;

pub(super) fn answer(store: &Store, method: &Method, path: &str) -> Response<String> {
    let (status, text) = match path {
        _ if *method != Method::GET && *method != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, "this is read with GET\n".to_owned())
        }
        "/version" => (StatusCode::OK, VERSIONS.to_owned()),
        "/health" => match store.is_serving() {
            true => (StatusCode::OK, r#"{"health":"true","reason":""}"#.to_owned()),
            false => (
                StatusCode::SERVICE_UNAVAILABLE,
                r#"{"health":"false","reason":"the log takes no more writes"}"#.to_owned(),
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
