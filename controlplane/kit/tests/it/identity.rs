//! Mutual TLS with certificates made here: a peer reports the node that its certificate names.

use kit::nodes::by_certificate;
use proto::v1::NodeReport;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};

use crate::authority::{Authority, Issued};
use crate::reporter::{Talk, full, identity, state};
use crate::server::{Choice, Server};

async fn start(authority: &Authority) -> Server {
    let peers = by_certificate(Some("c".to_owned()));
    Server::start(Choice { peers, tls: Some(authority.server_tls()), ..Choice::default() }).await
}

async fn connected(
    server: &Server,
    trusted: &Authority,
    own: Option<Issued>,
) -> Result<Channel, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new().ca_certificate(trusted.certificate());
    if let Some(own) = own {
        tls = tls.identity(own.identity());
    }
    let endpoint = Endpoint::from_shared(format!("https://{}", server.address))?;
    endpoint.tls_config(tls)?.connect().await
}

/// The first report of node n1 from a peer with this certificate.
async fn first_report(channel: Channel) -> Result<u64, Status> {
    let mut talk = Talk::open(channel).await?;
    let report = NodeReport { identity: Some(identity("n1")), ..full(1, state(1, &[])) };
    talk.ask(report).await.map(|directive| directive.acknowledged)
}

#[tokio::test]
async fn a_certificate_reports_its_own_node_only() {
    let authority = Authority::new();
    let server = start(&authority).await;
    let check = async |own: Option<Issued>, expect: Result<u64, (Code, &str)>| {
        let channel = connected(&server, &authority, own).await.expect("a connection");
        let got = first_report(channel).await;
        let got = got.as_ref().map_err(|status| (status.code(), status.message()));
        assert_eq!(got.copied(), expect);
    };
    let plain = "spiffe://berth.dev/x";
    check(Some(authority.client("system:node:n1", plain)), Ok(1)).await;
    check(Some(authority.client("x", "spiffe://berth.dev/cluster/c/node/n1")), Ok(1)).await;
    let other = "this peer is node n2, it may not report node n1";
    let n2 = authority.client("system:node:n2", plain);
    check(Some(n2), Err((Code::PermissionDenied, other))).await;
    let cluster = "this peer is of cluster c, it may not report nodes of cluster d";
    let elsewhere = authority.client("x", "spiffe://berth.dev/cluster/d/node/n1");
    check(Some(elsewhere), Err((Code::PermissionDenied, cluster))).await;
    let none = "the connection has no client certificate";
    check(None, Err((Code::Unauthenticated, none))).await;
    let nameless = "the client certificate names no node: neither system:node:NAME in \
                    system:nodes nor spiffe://DOMAIN/cluster/CLUSTER/node/NAME";
    let admin = authority.client("admin", plain);
    check(Some(admin), Err((Code::PermissionDenied, nameless))).await;
    assert_eq!(server.table_with(|table| !table.is_empty()).await.len(), 1);
}

#[tokio::test]
async fn a_certificate_of_another_authority_gets_no_connection() {
    let authority = Authority::new();
    let server = start(&authority).await;
    let stranger = Authority::new().client("system:node:n1", "spiffe://berth.dev/x");
    // TLS 1.3: the client finds out with its first bytes.
    let ended = match connected(&server, &authority, Some(stranger)).await {
        Ok(channel) => first_report(channel).await.is_err(),
        Err(_) => true,
    };
    assert!(ended);
    assert!(server.table.borrow().is_empty());
}
