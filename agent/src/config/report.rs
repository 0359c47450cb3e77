//! `[report]`: which endpoints of a control plane are told of this node, under which name, and what the agent shows to
//! be believed. Without endpoints nothing leaves the node. Files are read when a connection is made, not here.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use model::Nanos;
use serde::Deserialize;
use toml::Spanned;
use tonic::transport::Uri;

use super::ConfigError;
use super::check::Checker;

/// Each endpoint is told the same: more of them are a load balancer's work.
const MAX_ENDPOINTS: usize = 8;
/// The intake of a control plane takes no longer name.
const MAX_NAME_BYTES: usize = 253;
/// The state of the node changes every second.
pub const MIN_INTERVAL: Nanos = Nanos::from_secs(1);
/// A node that is silent for longer is taken for dead by anybody.
pub const MAX_INTERVAL: Nanos = Nanos::from_secs(600);

/// Where reports go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportConfig {
    /// At least one; no two are equal.
    pub endpoints: Vec<String>,
    pub cluster: String,
    /// `None`: the host's name.
    pub node: Option<String>,
    /// Until an endpoint asks for another one.
    pub interval: Nanos,
    /// The authority of the servers' certificates.
    pub ca_file: Option<PathBuf>,
    pub identity: Option<IdentityFiles>,
    pub token_file: Option<PathBuf>,
}

/// The agent's own certificate, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReport {
    endpoints: Option<Spanned<Vec<Spanned<String>>>>,
    cluster: Option<Spanned<String>>,
    node: Option<Spanned<String>>,
    interval_ms: Option<Spanned<i64>>,
    ca_file: Option<Spanned<String>>,
    certificate_file: Option<Spanned<String>>,
    key_file: Option<Spanned<String>>,
    token_file: Option<Spanned<String>>,
}

/// `None` without endpoints; what stands beside them is checked all the same. `object` is what the node is called without the key.
pub(super) fn read(
    check: &Checker<'_>,
    raw: RawReport,
    object: Option<String>,
) -> Result<Option<ReportConfig>, ConfigError> {
    let ca_file = file(check, "report.ca_file", raw.ca_file)?;
    let endpoints = endpoints(check, raw.endpoints, ca_file.is_some())?;
    let interval_ms = check.int("report.interval_ms", raw.interval_ms, 5000, 1000..=600_000)?;
    let config = ReportConfig {
        endpoints,
        cluster: name(check, "report.cluster", raw.cluster)?
            .unwrap_or_else(|| "default".to_owned()),
        node: name(check, "report.node", raw.node)?.or(object),
        interval: Nanos::from_millis(interval_ms),
        ca_file,
        identity: identity(check, raw.certificate_file, raw.key_file)?,
        token_file: file(check, "report.token_file", raw.token_file)?,
    };
    Ok(Some(config).filter(|config| !config.endpoints.is_empty()))
}

fn endpoints(
    check: &Checker<'_>,
    raw: Option<Spanned<Vec<Spanned<String>>>>,
    has_ca: bool,
) -> Result<Vec<String>, ConfigError> {
    const KEY: &str = "report.endpoints";
    let Some(raw) = raw else { return Ok(Vec::new()) };
    if raw.get_ref().len() > MAX_ENDPOINTS {
        let texts: Vec<&String> = raw.get_ref().iter().map(Spanned::get_ref).collect();
        let many = Spanned::new(raw.span(), texts);
        return Err(check.refuse(KEY, &many, &format!("at most {MAX_ENDPOINTS} endpoints")));
    }
    let mut known = BTreeSet::new();
    for endpoint in raw.into_inner() {
        let text = plain(endpoint.get_ref()).map_err(|why| check.refuse(KEY, &endpoint, why))?;
        if text.starts_with("https:") && !has_ca {
            let allowed = "https://HOST[:PORT] together with report.ca_file";
            return Err(check.refuse(KEY, &endpoint, allowed));
        }
        if !known.insert(text) {
            return Err(check.refuse(KEY, &endpoint, "each endpoint once"));
        }
    }
    Ok(known.into_iter().collect())
}

/// An endpoint without what does not belong there, or what is allowed.
fn plain(text: &str) -> Result<String, &'static str> {
    const ALLOWED: &str = "https://HOST[:PORT], or http://HOST[:PORT] for a loopback address";
    let uri: Uri = text.parse().map_err(|_malformed| ALLOWED)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(ALLOWED);
    };
    let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
    let is_allowed = match scheme {
        "https" => true,
        "http" => is_loopback(authority.host()),
        _ => false,
    };
    match is_bare && is_allowed && !authority.host().is_empty() && !text.contains('@') {
        true => Ok(format!("{scheme}://{authority}")),
        false => Err(ALLOWED),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A name that fits into a certificate's `/cluster/CLUSTER/node/NAME`.
fn name(
    check: &Checker<'_>,
    key: &str,
    value: Option<Spanned<String>>,
) -> Result<Option<String>, ConfigError> {
    let Some(value) = value else { return Ok(None) };
    let text = value.get_ref();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(is_plain) {
        true => Ok(Some(value.into_inner())),
        false => Err(check.refuse(key, &value, "1 to 253 letters, digits, '-', '_' and '.'")),
    }
}

fn identity(
    check: &Checker<'_>,
    certificate: Option<Spanned<String>>,
    key: Option<Spanned<String>>,
) -> Result<Option<IdentityFiles>, ConfigError> {
    const CERTIFICATE: &str = "report.certificate_file";
    const KEY: &str = "report.key_file";
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), None) => {
            Err(check.refuse(CERTIFICATE, &certificate, "a file together with report.key_file"))
        }
        (None, Some(key)) => {
            Err(check.refuse(KEY, &key, "a file together with report.certificate_file"))
        }
        (certificate, key) => Ok(Some(IdentityFiles {
            certificate: check.absolute(CERTIFICATE, certificate, "/")?.into(),
            key: check.absolute(KEY, key, "/")?.into(),
        })),
    }
}

fn file(
    check: &Checker<'_>,
    key: &str,
    value: Option<Spanned<String>>,
) -> Result<Option<PathBuf>, ConfigError> {
    match value {
        None => Ok(None),
        value => check.absolute(key, value, "/").map(|path| Some(path.into())),
    }
}

#[cfg(test)]
mod tests;
