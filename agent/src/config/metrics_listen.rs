//! `agent.metrics_listen`: where scrapers of the cluster find the metrics. On Kubernetes that is the
//! pod's address, which is known when the pod runs only.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

pub(super) const ALLOWED: &str = "\"pod:PORT\", ADDRESS:PORT or \"off\"";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsListen {
    Off,
    At(SocketAddr),
    /// This port of the pod's address.
    Pod(u16),
}

/// The text is none of what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no address, no port of a pod")]
pub struct NotAnAddress;

impl FromStr for MetricsListen {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<MetricsListen, NotAnAddress> {
        if text == "off" {
            return Ok(MetricsListen::Off);
        }
        if let Some(port) = text.strip_prefix("pod:") {
            let port = port.parse().ok().filter(|port| *port > 0);
            return port.map(MetricsListen::Pod).ok_or(NotAnAddress);
        }
        text.parse().map(MetricsListen::At).map_err(|_not_an_address| NotAnAddress)
    }
}

impl MetricsListen {
    /// Where to listen; `pod_ip` is what the manifest says.
    pub fn address(self, pod_ip: Option<&str>) -> Result<Option<SocketAddr>, String> {
        match self {
            MetricsListen::Off => Ok(None),
            MetricsListen::At(address) => Ok(Some(address)),
            MetricsListen::Pod(port) => {
                let text = pod_ip.unwrap_or_default();
                let address: Result<IpAddr, _> = text.parse();
                let address = address.map_err(|_error| {
                    format!("POD_IP is {text:?}, which is no address: the manifest must set it")
                })?;
                Ok(Some(SocketAddr::new(address, port)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, pod_ip: Option<&str>, expect: Result<Option<&str>, &str>) {
        let read = text.parse().map_err(|error: NotAnAddress| error.to_string());
        let found = read.and_then(|listen: MetricsListen| listen.address(pod_ip));
        let found = found.map(|address| address.map(|address| address.to_string()));
        match expect {
            Ok(address) => assert_eq!(found, Ok(address.map(str::to_owned)), "{text}"),
            Err(why) => assert!(found.as_ref().is_err_and(|it| it.contains(why)), "{found:?}"),
        }
    }

    #[test]
    fn where_it_listens() {
        check("off", None, Ok(None));
        check("0.0.0.0:9911", None, Ok(Some("0.0.0.0:9911")));
        check("[::1]:9911", None, Ok(Some("[::1]:9911")));
        check("pod:9911", Some("10.1.2.3"), Ok(Some("10.1.2.3:9911")));
        check("pod:9911", Some("fd00::7"), Ok(Some("[fd00::7]:9911")));
        check("pod:9911", None, Err("POD_IP is \"\""));
        check("pod:9911", Some("web"), Err("POD_IP is \"web\""));
        for text in ["", "pod", "pod:", "pod:0", "pod:70000", "9911", "localhost:9911"] {
            check(text, Some("10.1.2.3"), Err("no address"));
        }
    }
}
