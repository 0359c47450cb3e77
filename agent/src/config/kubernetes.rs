//! `[kubernetes]`: where the node's container runtime is heard, and what becomes of pods that find no place. The section turns it on.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::ConfigError;
use super::check::Checker;

/// A node of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// The runtime's, as the agent sees it.
    pub nri_socket: PathBuf,
    pub on_unplaceable: OnUnplaceable,
}

/// What becomes of a pod that cannot get what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnplaceable {
    /// It runs with the others of its level.
    Degrade,
    /// Its containers are not made; the kubelet tries again for ever, since nothing in Kubernetes takes
    /// a pod back that a node has accepted.
    Fail,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKubernetes {
    nri_socket: Option<Spanned<String>>,
    on_unplaceable: Option<Spanned<String>>,
}

pub(super) fn read(
    check: &Checker<'_>,
    raw: RawKubernetes,
) -> Result<KubernetesConfig, ConfigError> {
    let socket =
        check.absolute("kubernetes.nri_socket", raw.nri_socket, "/var/run/nri/nri.sock")?;
    Ok(KubernetesConfig {
        nri_socket: socket.into(),
        on_unplaceable: match raw.on_unplaceable {
            None => OnUnplaceable::Degrade,
            Some(text) => match text.get_ref().as_str() {
                "degrade" => OnUnplaceable::Degrade,
                "fail" => OnUnplaceable::Fail,
                _ => {
                    let allowed = "\"degrade\" or \"fail\"";
                    return Err(check.refuse("kubernetes.on_unplaceable", &text, allowed));
                }
            },
        },
    })
}
