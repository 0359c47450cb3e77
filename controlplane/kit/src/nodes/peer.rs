//! Which node a peer may report. Owns the names in a certificate; whether the certificate is genuine, TLS has decided
//! before.

use std::sync::Arc;

use proto::v1::NodeIdentity;
use tonic::Extensions;
use tonic::metadata::MetadataMap;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The common name of a node's certificate in Kubernetes, and the organization beside it.
const NODE_USER: &str = "system:node:";
const NODE_GROUP: &str = "system:nodes";

/// What is known of who calls.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// Where a token would be.
    pub metadata: &'a MetadataMap,
    /// Where the connection's certificates are.
    pub extensions: &'a Extensions,
}

/// Says which node a peer may report.
pub type Peers = Arc<dyn Fn(&Peer<'_>) -> Result<AllowedNode, Denied> + Send + Sync>;

/// What a peer may report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedNode {
    /// Anything: who may connect is settled elsewhere, by a socket's group for instance.
    Any,
    /// Without a cluster the name may be used in each.
    Named { cluster: Option<String>, node: String },
}

/// Why a peer may not report.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    #[error("the connection has no client certificate")]
    NoCertificate,
    #[error("the client certificate cannot be read")]
    Unreadable {
        #[source]
        source: x509_parser::nom::Err<x509_parser::error::X509Error>,
    },
    #[error(
        "the client certificate names no node: neither {NODE_USER}NAME in {NODE_GROUP} nor \
         spiffe://DOMAIN/cluster/CLUSTER/node/NAME"
    )]
    NoNode,
    #[error("the client certificate names several nodes: {one} and {other}")]
    SeveralNodes { one: String, other: String },
    #[error("{node:?} is no name of a node: allowed are letters, digits, '-', '_' and '.'")]
    NodeName { node: String },
    #[error("this peer is node {allowed}, it may not report node {claimed}")]
    OtherNode { allowed: String, claimed: String },
    #[error("this peer is of cluster {allowed}, it may not report nodes of cluster {claimed}")]
    OtherCluster { allowed: String, claimed: String },
}

impl AllowedNode {
    /// Refuses who claims to be another, and a name that would be something else where names become keys or paths.
    pub fn check(&self, claimed: &NodeIdentity) -> Result<(), Denied> {
        if !is_name(&claimed.node) {
            return Err(Denied::NodeName { node: claimed.node.clone() });
        }
        let AllowedNode::Named { cluster, node } = self else { return Ok(()) };
        if *node != claimed.node {
            let (allowed, claimed) = (node.clone(), claimed.node.clone());
            return Err(Denied::OtherNode { allowed, claimed });
        }
        match cluster {
            Some(cluster) if *cluster != claimed.cluster => Err(Denied::OtherCluster {
                allowed: cluster.clone(),
                claimed: claimed.cluster.clone(),
            }),
            _ => Ok(()),
        }
    }
}

/// As an agent's configuration takes it; how long it may be is a matter of the limits.
fn is_name(node: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    node.bytes().all(is_plain)
}

/// By the certificate of mutual TLS on TCP. `cluster` is the one whose authority the listener trusts; without it a
/// certificate that names a node only is good for that name in every cluster.
pub fn by_certificate(cluster: Option<String>) -> Peers {
    Arc::new(move |peer| {
        let tls = peer.extensions.get::<TlsConnectInfo<TcpConnectInfo>>();
        let certificates = tls.and_then(TlsConnectInfo::peer_certs);
        let own = certificates.as_ref().and_then(|chain| chain.first());
        let named = of_certificate(own.ok_or(Denied::NoCertificate)?)?;
        within(cluster.as_deref(), named)
    })
}

fn within(cluster: Option<&str>, named: AllowedNode) -> Result<AllowedNode, Denied> {
    match (cluster, named) {
        (Some(trusted), AllowedNode::Named { cluster: Some(said), .. }) if said != trusted => {
            Err(Denied::OtherCluster { allowed: trusted.to_owned(), claimed: said })
        }
        (Some(trusted), AllowedNode::Named { node, .. }) => {
            Ok(AllowedNode::Named { cluster: Some(trusted.to_owned()), node })
        }
        (_, named) => Ok(named),
    }
}

/// The node that a certificate (DER) names, in the manner of Kubernetes or of SPIFFE.
pub fn of_certificate(der: &[u8]) -> Result<AllowedNode, Denied> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|source| Denied::Unreadable { source })?;
    let mut names = by_subject(&certificate).into_iter().chain(by_uri(&certificate));
    let one = names.next().ok_or(Denied::NoNode)?;
    match names.find(|other| *other != one) {
        None => Ok(AllowedNode::Named { cluster: one.0, node: one.1 }),
        Some(other) => Err(Denied::SeveralNodes { one: one.1, other: other.1 }),
    }
}

/// Cluster, node.
type Name = (Option<String>, String);

fn by_subject(certificate: &X509Certificate<'_>) -> Vec<Name> {
    let subject = certificate.subject();
    let mut groups = subject.iter_organization().filter_map(|group| group.as_str().ok());
    if !groups.any(|group| group == NODE_GROUP) {
        return Vec::new();
    }
    let users = subject.iter_common_name().filter_map(|user| user.as_str().ok());
    let nodes = users.filter_map(|user| user.strip_prefix(NODE_USER));
    nodes.filter(|node| !node.is_empty()).map(|node| (None, node.to_owned())).collect()
}

fn by_uri(certificate: &X509Certificate<'_>) -> Vec<Name> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => of_uri(uri),
        _ => None,
    });
    uris.collect()
}

fn of_uri(uri: &str) -> Option<Name> {
    let (domain, path) = uri.strip_prefix("spiffe://")?.split_once("/cluster/")?;
    let (cluster, node) = path.split_once("/node/")?;
    let parts = [domain, cluster, node];
    let is_plain = parts.iter().all(|part| !part.is_empty() && !part.contains('/'));
    is_plain.then(|| (Some(cluster.to_owned()), node.to_owned()))
}

#[cfg(test)]
mod tests;
