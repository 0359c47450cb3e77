//! A connection to a server of etcd's API, by one of several URLs.

use std::time::Duration;

use anyhow::Context as _;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::usage;
use crate::credentials::Credentials;

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);

/// To the first of some URLs that answers. `etcd://` is plain, as `http://` is, unless there are credentials.
pub(super) async fn connect(urls: &str, credentials: &Credentials) -> anyhow::Result<Channel> {
    let mut failed = Vec::new();
    for url in urls_of(urls, credentials)? {
        match endpoint(&url, credentials)?.connect().await {
            Ok(channel) => return Ok(channel),
            Err(error) => failed.push(format!("{url}: {}", kit::chain(&error))),
        }
    }
    anyhow::bail!("no server answers: {}", failed.join("; "))
}

/// Whether a server says that it has no such call. kine says so in words only.
pub(super) fn has_no_such_call(status: &Status) -> bool {
    let is_told = status.code() == Code::Unknown && status.message().ends_with("is not supported");
    status.code() == Code::Unimplemented || is_told
}

fn endpoint(url: &str, credentials: &Credentials) -> anyhow::Result<Endpoint> {
    let endpoint = Endpoint::from_shared(url.to_owned()).with_context(|| format!("{url:?}"))?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_LIMIT)
        .http2_keep_alive_interval(KEEPALIVE_EVERY)
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(8 << 20);
    if !url.starts_with("https://") {
        return Ok(endpoint);
    }
    endpoint.tls_config(credentials.tls()?).with_context(|| format!("certificates for {url}"))
}

fn urls_of(urls: &str, credentials: &Credentials) -> anyhow::Result<Vec<String>> {
    let has_credentials = credentials.cacert.is_some() || credentials.cert.is_some();
    let (scheme, hosts) = match urls.split_once("://") {
        Some(("etcd", hosts)) if has_credentials => ("https", hosts),
        Some(("etcd", hosts)) => ("http", hosts),
        Some((scheme @ ("http" | "https"), hosts)) => (scheme, hosts),
        _ => {
            return usage(format!(
                "{urls}: etcd://, http:// or https:// and HOST:PORT, several with commas between"
            ));
        }
    };
    // Each of them may have the scheme again, as in etcd's flags.
    let url = |host: &str| {
        let host = host.rsplit("://").next().unwrap_or(host);
        format!("{scheme}://{host}")
    };
    Ok(hosts.split(',').map(|host| url(host.trim_end_matches('/'))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_does_not_have() {
        for (status, expected) in [
            (Status::unimplemented(""), true),
            // As kine 0.17 answers.
            (Status::unknown("snapshot is not supported"), true),
            (Status::unknown("lease leases is not supported"), true),
            (Status::unknown("the disk is full"), false),
            (Status::unavailable("this is not supported"), false),
        ] {
            assert_eq!(has_no_such_call(&status), expected, "{status}");
        }
    }

    #[test]
    fn urls() {
        let none = Credentials::default();
        let some = Credentials { cacert: Some("ca".into()), ..none.clone() };
        for (urls, credentials, all) in [
            ("etcd://a:1,b:2", &none, "http://a:1 http://b:2"),
            ("etcd://a:1,b:2", &some, "https://a:1 https://b:2"),
            ("http://a:1/", &some, "http://a:1"),
            ("https://a:1,https://b:2", &none, "https://a:1 https://b:2"),
        ] {
            assert_eq!(urls_of(urls, credentials).unwrap().join(" "), all);
        }
        assert!(urls_of("a:1", &none).unwrap_err().to_string().contains("etcd://"));
    }
}
