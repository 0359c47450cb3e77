//! A client of the apiserver: where it is and who we are. Owns no conversation.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use thiserror::Error;

/// How the apiserver is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// As a pod: the service's address from the environment, token and authority from the mounted account. The token is read again as it
    /// is renewed.
    Pod,
    /// By a file such as kubectl's, with its current context.
    Kubeconfig(PathBuf),
}

/// Why there is no client.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    #[error("read {}: {source}", path.display())]
    Kubeconfig { path: PathBuf, source: Box<kube::config::KubeconfigError> },
    #[error("use the pod's account: {0}")]
    Pod(#[source] Box<kube::config::InClusterError>),
    #[error("make a client of the apiserver: {0}")]
    Client(#[source] Box<kube::Error>),
}

/// An apiserver that does not take a connection within this is away.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// A watch is silent for up to five minutes; it ends then, and another one begins.
const READ_LIMIT: Duration = Duration::from_secs(305);
const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// Makes a client; nothing is asked of the apiserver yet.
pub async fn connect(access: &Access) -> Result<Client, ConnectError> {
    let mut config = config(access).await?;
    config.connect_timeout = Some(CONNECT_LIMIT);
    config.read_timeout = Some(READ_LIMIT);
    config.write_timeout = Some(WRITE_LIMIT);
    Client::try_from(config).map_err(|error| ConnectError::Client(Box::new(error)))
}

/// Where the apiserver is and who we are, as files and environment say now.
pub(crate) async fn config(access: &Access) -> Result<Config, ConnectError> {
    match access {
        Access::Pod => Config::incluster().map_err(|error| ConnectError::Pod(Box::new(error))),
        Access::Kubeconfig(path) => {
            let failed =
                |error| ConnectError::Kubeconfig { path: path.clone(), source: Box::new(error) };
            let file = Kubeconfig::read_from(path).map_err(failed)?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(file, &options).await.map_err(failed)
        }
    }
}
