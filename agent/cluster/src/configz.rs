//! The kubelet's configuration in force, asked at its own port (`GET /configz`). Owns the question, when it is asked again, and what is known
//! when no answer comes: the last that was heard.
//!
//! The account needs the right to `get` `nodes/configz`. A kubelet before Kubernetes 1.33 asks for `nodes/proxy` instead, with which one may
//! run commands in any pod: there the configuration is not told, and that is a state like others.
//!
//! # Any certificate is taken
//! Kubelets usually sign their certificates themselves, so there is no authority to ask. The address is that of the agent's own node: what
//! is said does not leave the node, and only its root could listen there, who can read the account's token from the pod anyway. No proxy is
//! asked for the way, and the address is a number, which no name server can turn elsewhere.

mod read;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri};
use kube::Client;
use kube::client::Body;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::connect::{Access, ConnectError, config};
use crate::{kubelet, watching};

pub use read::{KubeletConfig, ReadError};

/// What the kubelet told of its configuration.
#[derive(Clone, Debug, Default)]
pub struct ConfigHeard {
    /// As of the last word when there is a fault. `None`: no word yet.
    pub config: Option<Arc<KubeletConfig>>,
    /// One sentence, while it is not told.
    pub fault: Option<String>,
}

/// Where the kubelet is asked, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configz {
    /// `https://ADDRESS:PORT`, of this node.
    pub url: String,
    pub access: Access,
    /// Its `podresources`, which it makes anew whenever it starts.
    pub socket: PathBuf,
}

/// Why there is no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigzError {
    #[error("there is no account to show to the kubelet")]
    Account(#[source] ConnectError),
    #[error("{url} is no address of a kubelet")]
    NoAddress { url: String },
    #[error("make a client of the kubelet at {url}")]
    Client { url: String, source: Box<kube::Error> },
    #[error(
        "the kubelet at {url} does not know the account (401): it may have webhook authentication off"
    )]
    Unknown { url: String },
    #[error("the kubelet at {url} forbids it (403): the account has no right to get nodes/configz")]
    Forbidden { url: String },
    #[error(
        "the kubelet at {url} forbids it (403): one older than Kubernetes 1.33 asks for nodes/proxy, which the agent is not given"
    )]
    Older { url: String },
    #[error("the kubelet at {url} answers with status {status}")]
    Status { url: String, status: u16 },
    #[error("the kubelet at {url} is not reached")]
    Unreachable { url: String, source: Box<kube::Error> },
    #[error("the kubelet at {url} does not answer within {} s", LIMIT.as_secs())]
    Slow { url: String },
    #[error("the kubelet at {url} answers with more than {MAX_BYTES} bytes")]
    TooMuch { url: String },
    #[error("the kubelet's answer ends early")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the kubelet's answer cannot be read")]
    Unreadable(#[from] ReadError),
}

impl ConfigzError {
    /// It may be another one in a moment, as while a kubelet starts; else somebody has to change something first.
    const fn may_pass(&self) -> bool {
        matches!(
            self,
            ConfigzError::Unreachable { .. }
                | ConfigzError::Slow { .. }
                | ConfigzError::Status { .. }
                | ConfigzError::Broken(_)
        )
    }
}

/// From the first packet to the end of the answer. The kubelet itself asks the apiserver who we are.
const LIMIT: Duration = Duration::from_secs(5);
/// Some kilobytes on nodes of today.
const MAX_BYTES: usize = 1 << 20;
/// A configuration changes with a new start of the kubelet only, which is noticed; rights change at any time.
const ASK_EVERY: Duration = Duration::from_secs(300);
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// Between two looks whether the kubelet started anew.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Keeps `tell` at what the kubelet says, for as long as it is polled: asks it now, when it started anew, and now and then.
pub async fn follow(configz: &Configz, tell: &watch::Sender<ConfigHeard>) -> Infallible {
    loop {
        let (asked, life) = (Instant::now(), kubelet::life(&configz.socket));
        let told = configz.ask().await;
        let pause = match &told {
            Err(error) if error.may_pass() => TRY_AGAIN,
            _ => ASK_EVERY,
        };
        hear(tell, told);
        while asked.elapsed() < pause && kubelet::life(&configz.socket) == life {
            sleep(LOOK_EVERY.min(pause)).await;
        }
    }
}

fn hear(tell: &watch::Sender<ConfigHeard>, told: Result<KubeletConfig, ConfigzError>) {
    let (config, fault) = match told {
        Ok(config) => (Some(config), None),
        Err(error) => (None, Some(watching::fault(&error))),
    };
    tell.send_if_modified(|heard| {
        let same = heard.fault == fault
            && (config.is_none() || heard.config.as_deref() == config.as_ref());
        if !same {
            let config = config.map(Arc::new).or_else(|| heard.config.take());
            *heard = ConfigHeard { config, fault };
        }
        !same
    });
}

impl Configz {
    /// Asks once. The token is read anew each time, since tokens are renewed.
    pub async fn ask(&self) -> Result<KubeletConfig, ConfigzError> {
        let answer = timeout(LIMIT, self.answer()).await;
        let answer = answer.map_err(|_elapsed| ConfigzError::Slow { url: self.url.clone() })?;
        Ok(read::document(&answer?)?)
    }

    async fn answer(&self) -> Result<Bytes, ConfigzError> {
        let client = self.client().await?;
        let request = Request::get("/configz").body(Body::empty());
        let request =
            request.map_err(|_unparsed| ConfigzError::NoAddress { url: self.url.clone() })?;
        let unreachable =
            |source| ConfigzError::Unreachable { url: self.url.clone(), source: Box::new(source) };
        let answer = client.send(request).await.map_err(unreachable)?;
        let status = answer.status();
        let collected = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
        let body = collected.map_err(|error| match error.is::<LengthLimitError>() {
            true => ConfigzError::TooMuch { url: self.url.clone() },
            false => ConfigzError::Broken(error),
        })?;
        let body = body.to_bytes();
        match self.refusal(status, &body) {
            None => Ok(body),
            Some(refusal) => Err(refusal),
        }
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> Option<ConfigzError> {
        let url = self.url.clone();
        match status {
            StatusCode::OK => None,
            StatusCode::UNAUTHORIZED => Some(ConfigzError::Unknown { url }),
            // It names the rights that it has asked for.
            StatusCode::FORBIDDEN if String::from_utf8_lossy(body).contains("configz") => {
                Some(ConfigzError::Forbidden { url })
            }
            StatusCode::FORBIDDEN => Some(ConfigzError::Older { url }),
            status => Some(ConfigzError::Status { url, status: status.as_u16() }),
        }
    }

    async fn client(&self) -> Result<Client, ConfigzError> {
        let no_address = |_malformed| ConfigzError::NoAddress { url: self.url.clone() };
        let mut config = config(&self.access).await.map_err(ConfigzError::Account)?;
        config.cluster_url = self.url.parse::<Uri>().map_err(no_address)?;
        config.accept_invalid_certs = true;
        // None, rather than those of the system: an image may have none, and without any there would be no client.
        (config.root_cert, config.root_cert_file) = (Some(Vec::new()), None);
        (config.proxy_url, config.tls_server_name) = (None, None);
        // `LIMIT` is for all of it.
        (config.connect_timeout, config.read_timeout) = (None, None);
        config.default_retry = false;
        let failed =
            |source| ConfigzError::Client { url: self.url.clone(), source: Box::new(source) };
        Client::try_from(config).map_err(failed)
    }
}

#[cfg(test)]
mod tests;
