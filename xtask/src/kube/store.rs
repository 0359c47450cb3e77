//! The store that somebody names for a cluster, looked at before an apiserver waits half a minute for it.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, bail};

/// A server on this machine answers in a millisecond.
const LIMIT: Duration = Duration::from_secs(2);

/// Is it an endpoint that an apiserver of the bench can use, and does somebody listen there?
pub(super) fn check(endpoint: &str) -> anyhow::Result<()> {
    let listens = match endpoint.split_once("://") {
        Some(("http", address)) if has_port(address) => connect(address.trim_end_matches('/')),
        Some(("unix", path)) if path.starts_with('/') => {
            UnixStream::connect(path).map(drop).context("connect")
        }
        _ => bail!(
            "--store {endpoint:?} is no endpoint: http://HOST:PORT or unix:///PATH of one server that speaks etcd's protocol \
             (etcd, kine), without TLS, for which the bench has no certificates"
        ),
    };
    listens.with_context(|| format!("nobody listens at --store {endpoint}; start the store first"))
}

fn has_port(address: &str) -> bool {
    let port = address.trim_end_matches('/').rsplit_once(':').map(|(_, port)| port);
    port.is_some_and(|port| port.parse::<u16>().is_ok())
}

fn connect(address: &str) -> anyhow::Result<()> {
    let mut places = address.to_socket_addrs().context("resolve its name")?;
    let place = places.next().context("its name has no address")?;
    TcpStream::connect_timeout(&place, LIMIT).map(drop).context("connect")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::check;

    #[test]
    fn only_an_endpoint_at_which_somebody_listens_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        check(&endpoint).unwrap();
        check(&format!("{endpoint}/")).unwrap();
        drop(listener);
        let said = format!("{:#}", check(&endpoint).unwrap_err());
        assert!(said.contains("start the store first") && said.contains("refused"), "{said}");
        let absent = check("unix:///nowhere/store.sock").unwrap_err().to_string();
        assert!(absent.contains("start the store first"), "{absent}");
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_what_is_one() {
        for text in
            ["", "etcd", "127.0.0.1:2379", "https://127.0.0.1:2379", "http://localhost", "unix://"]
        {
            let said = check(text).unwrap_err().to_string();
            assert!(
                said.contains(&format!("{text:?}")) && said.contains("http://HOST:PORT"),
                "{said}"
            );
        }
    }
}
