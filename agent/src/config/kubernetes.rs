//! `[kubernetes]`: where the node's container runtime, its kubelet and the apiserver are heard, what is told to the last, and what becomes of
//! pods that find no place. The section turns it on. Owns what a pod's environment says of its node.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use cluster::Access;
use cluster::configz::Configz;
use serde::Deserialize;
use toml::Spanned;
use tonic::transport::Uri;

use super::ConfigError;
use super::check::Checker;

/// A node of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// The runtime's, as the agent sees it.
    pub nri_socket: PathBuf,
    /// The kubelet's `podresources`.
    pub kubelet_socket: PathBuf,
    pub on_unplaceable: OnUnplaceable,
    /// `None`: everything is known from runtime and kubelet only, and nothing is reported.
    pub apiserver: Option<ApiserverConfig>,
}

/// What is asked of the apiserver and told to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiserverConfig {
    pub access: Access,
    /// The name of this node's Node object.
    pub node: String,
    /// Where the kubelet is asked for its configuration, as whom the apiserver is asked; `None` asks nobody.
    pub configz: Option<Configz>,
    pub report: Report,
    /// Also in observe mode.
    pub report_in_observe: bool,
}

/// Which objects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// `CustomNodeResource`, where its kind is installed.
    pub cnr: bool,
    /// What reclaimed pods may ask for, as capacity of the Node.
    pub capacity: bool,
    /// Events of pods.
    pub events: bool,
    /// `NodeResourceTopology`, where its kind is installed.
    pub topology: bool,
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
    kubelet_socket: Option<Spanned<String>>,
    on_unplaceable: Option<Spanned<String>>,
    apiserver: Option<Spanned<String>>,
    node: Option<Spanned<String>>,
    configz: Option<Spanned<String>>,
    report: Option<Vec<Spanned<String>>>,
    report_in_observe: Option<bool>,
}

/// What the environment of a pod says; the manifest sets the first two, the kubelet the last.
#[derive(Clone, Debug, Default)]
pub(super) struct Surroundings {
    pub(super) node: Option<String>,
    /// Of the node, in its own network.
    pub(super) host_ip: Option<IpAddr>,
    pub(super) has_account: bool,
}

/// Where a pod's account is mounted.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

impl Surroundings {
    pub(super) fn read() -> Surroundings {
        let is_set = |name: &str| std::env::var_os(name).is_some();
        Surroundings {
            node: std::env::var("NODE_NAME").ok().filter(|name| !name.is_empty()),
            host_ip: std::env::var("HOST_IP").ok().and_then(|ip| ip.parse().ok()),
            has_account: is_set("KUBERNETES_SERVICE_HOST") && Path::new(ACCOUNT).exists(),
        }
    }
}

pub(super) fn read(
    check: &Checker<'_>,
    raw: RawKubernetes,
    around: &Surroundings,
) -> Result<KubernetesConfig, ConfigError> {
    let nri = check.absolute("kubernetes.nri_socket", raw.nri_socket, "/var/run/nri/nri.sock")?;
    let kubelet = check.absolute(
        "kubernetes.kubelet_socket",
        raw.kubelet_socket,
        "/var/lib/kubelet/pod-resources/kubelet.sock",
    )?;
    let on_unplaceable = on_unplaceable(check, raw.on_unplaceable)?;
    let access = access(check, raw.apiserver.as_ref(), around)?;
    let configz = configz(check, raw.configz, (access.as_ref(), &kubelet), around)?;
    let apiserver = match access {
        None => None,
        Some(access) => Some(ApiserverConfig {
            access,
            configz,
            node: node(check, raw.node, raw.apiserver.as_ref(), around)?,
            report: report(check, raw.report)?,
            report_in_observe: raw.report_in_observe.unwrap_or(false),
        }),
    };
    Ok(KubernetesConfig {
        nri_socket: nri.into(),
        kubelet_socket: kubelet.into(),
        on_unplaceable,
        apiserver,
    })
}

fn on_unplaceable(
    check: &Checker<'_>,
    raw: Option<Spanned<String>>,
) -> Result<OnUnplaceable, ConfigError> {
    let Some(text) = raw else { return Ok(OnUnplaceable::Degrade) };
    match text.get_ref().as_str() {
        "degrade" => Ok(OnUnplaceable::Degrade),
        "fail" => Ok(OnUnplaceable::Fail),
        _ => {
            let allowed = "\"degrade\" or \"fail\"";
            Err(check.refuse("kubernetes.on_unplaceable", &text, allowed))
        }
    }
}

fn access(
    check: &Checker<'_>,
    raw: Option<&Spanned<String>>,
    around: &Surroundings,
) -> Result<Option<Access>, ConfigError> {
    let Some(text) = raw else { return Ok(around.has_account.then_some(Access::Pod)) };
    match text.get_ref().as_str() {
        "off" => Ok(None),
        "pod" => Ok(Some(Access::Pod)),
        path if path.starts_with('/') => Ok(Some(Access::Kubeconfig(path.into()))),
        _ => {
            let allowed =
                "\"off\", \"pod\" (its service account) or the absolute path of a kubeconfig";
            Err(check.refuse("kubernetes.apiserver", text, allowed))
        }
    }
}

/// A kubelet's own port.
const KUBELET_PORT: u16 = 10250;

/// Without the key it is `auto`: where the environment says which address the node has.
fn configz(
    check: &Checker<'_>,
    raw: Option<Spanned<String>>,
    (access, socket): (Option<&Access>, &str),
    around: &Surroundings,
) -> Result<Option<Configz>, ConfigError> {
    const KEY: &str = "kubernetes.configz";
    let at = |url| {
        let access = access.cloned()?;
        Some(Configz { url, access, socket: socket.into() })
    };
    let auto = || around.host_ip.and_then(|ip| at(base(ip, KUBELET_PORT)));
    let Some(text) = raw else { return Ok(auto()) };
    match text.get_ref().as_str() {
        "auto" => Ok(auto()),
        "off" => Ok(None),
        url => {
            let allowed = "\"auto\" ($HOST_IP), \"off\" or https://ADDRESS[:10250] with an address of this node";
            let url = kubelet_at(url).ok_or_else(|| check.refuse(KEY, &text, allowed))?;
            let alone = "\"off\" where kubernetes.apiserver is off: the kubelet asks who we are";
            at(url).map(Some).ok_or_else(|| check.refuse(KEY, &text, alone))
        }
    }
}

/// An address in numbers: a name might lead to another node, and the account's token with it.
fn kubelet_at(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !text.contains('@');
    let bare = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    let ip: IpAddr = bare.parse().ok()?;
    let port = uri.port_u16().unwrap_or(KUBELET_PORT);
    (is_bare && uri.scheme_str() == Some("https")).then(|| base(ip, port))
}

fn base(ip: IpAddr, port: u16) -> String {
    format!("https://{}", std::net::SocketAddr::new(ip, port))
}

/// Names of objects are those of DNS (RFC 1123), at most 253 characters.
fn node(
    check: &Checker<'_>,
    raw: Option<Spanned<String>>,
    apiserver: Option<&Spanned<String>>,
    around: &Surroundings,
) -> Result<String, ConfigError> {
    let allowed = "the name of this node's Node object: lower-case letters, digits, - and ., at \
                   most 253; without the key it is $NODE_NAME";
    let is_name = |name: &str| {
        let fits =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        !name.is_empty() && name.len() <= 253 && name.bytes().all(fits)
    };
    match (raw, &around.node) {
        (Some(name), _) if is_name(name.get_ref()) => Ok(name.into_inner()),
        (Some(name), _) => Err(check.refuse("kubernetes.node", &name, allowed)),
        (None, Some(name)) if is_name(name) => Ok(name.clone()),
        (None, name) => {
            let span = apiserver.map(Spanned::span).unwrap_or_default();
            let found = Spanned::new(span, name.clone().unwrap_or_default());
            Err(check.refuse("kubernetes.node", &found, allowed))
        }
    }
}

fn report(check: &Checker<'_>, raw: Option<Vec<Spanned<String>>>) -> Result<Report, ConfigError> {
    let Some(names) = raw else {
        return Ok(Report { cnr: true, capacity: true, events: true, topology: false });
    };
    let mut report = Report { cnr: false, capacity: false, events: false, topology: false };
    for name in names {
        match name.get_ref().as_str() {
            "cnr" => report.cnr = true,
            "capacity" => report.capacity = true,
            "events" => report.events = true,
            "topology" => report.topology = true,
            _ => {
                let allowed = "any of \"cnr\", \"capacity\", \"events\", \"topology\"";
                return Err(check.refuse("kubernetes.report", &name, allowed));
            }
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests;
