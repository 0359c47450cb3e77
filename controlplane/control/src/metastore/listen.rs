//! Sockets and certificates of the listened URLs.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use metastore::server::tls::{Certificates, Files};
use metastore::service::Listener;
use tokio::net::TcpListener;

use super::args::Args;

/// For clients.
pub(super) async fn listeners(args: &Args) -> Result<Vec<Listener>, String> {
    let certificates = certificates(args)?;
    if certificates.is_some() && args.without_effect.allows_insecure() {
        return Err(
            "--allow-insecure: plain HTTP and TLS do not share a port here; give both with \
                    --listen-client-urls https://ADDRESS:PORT,http://ADDRESS:OTHER"
                .to_owned(),
        );
    }
    let mut listeners = Vec::new();
    for url in args.client_urls() {
        let (address, is_tls) = address("--listen-client-urls", &url)?;
        let certificates = certificates.clone().filter(|_| is_tls);
        if is_tls && certificates.is_none() {
            return Err(format!(
                "--listen-client-urls {url}: https:// needs --cert-file and --key-file"
            ));
        }
        listeners.push(Listener { socket: bound(address, &url).await?, certificates });
    }
    Ok(listeners)
}

/// For scrapers and probes.
pub(super) async fn pages(args: &Args) -> Result<Vec<TcpListener>, String> {
    let mut sockets = Vec::new();
    for url in args.metrics_urls() {
        let (address, is_tls) = address("--listen-metrics-urls", &url)?;
        if is_tls {
            return Err(format!("--listen-metrics-urls {url}: only http:// is served there"));
        }
        sockets.push(bound(address, &url).await?);
    }
    Ok(sockets)
}

async fn bound(address: SocketAddr, url: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| format!("listen at {url}: {error}"))
}

fn certificates(args: &Args) -> Result<Option<Arc<Certificates>>, String> {
    let (Some(certificate), Some(key)) = (&args.cert_file, &args.key_file) else { return Ok(None) };
    let files = Files {
        certificate: certificate.clone(),
        key: key.clone(),
        authority: args.trusted_ca_file.clone(),
        needs_client: args.client_cert_auth,
    };
    let loaded = Certificates::load(files).map_err(|error| kit::chain(&error).to_string())?;
    Ok(Some(Arc::new(loaded)))
}

/// And whether it is one of TLS.
pub(super) fn address(flag: &str, url: &str) -> Result<(SocketAddr, bool), String> {
    let (host, is_tls) = match url.split_once("://") {
        Some(("http", host)) => (host, false),
        Some(("https", host)) => (host, true),
        _ => {
            let allowed = "http://ADDRESS:PORT and https://ADDRESS:PORT can be listened to";
            return Err(format!("{flag} {url}: {allowed}"));
        }
    };
    let mut addresses = host
        .trim_end_matches('/')
        .to_socket_addrs()
        .map_err(|error| format!("{flag} {url}: {error}"))?;
    let address = addresses.next().ok_or_else(|| format!("{flag} {url}: no such address"))?;
    Ok((address, is_tls))
}
