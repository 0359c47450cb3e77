//! Mutual TLS with certificates made here: a peer reports the node that its certificate names.

use std::net::{IpAddr, Ipv4Addr};

use kit::nodes::by_certificate;
use proto::v1::NodeReport;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use tonic::transport::{
    Certificate, Channel, ClientTlsConfig, Endpoint, Identity, ServerTlsConfig,
};
use tonic::{Code, Status};

use crate::reporter::{Talk, full, identity, state};
use crate::server::{Choice, Server};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    fn certificate(&self) -> Certificate {
        Certificate::from_pem(self.0.pem())
    }

    fn issue(&self, user: &str, name: SanType, usage: ExtendedKeyUsagePurpose) -> Identity {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        params.subject_alt_names = vec![name];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Identity::from_pem(certificate.pem(), key.serialize_pem())
    }

    fn server(&self) -> Identity {
        let name = SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST));
        self.issue("server", name, ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn client(&self, user: &str, uri: &str) -> Identity {
        let name = SanType::URI(uri.try_into().expect("a URI"));
        self.issue(user, name, ExtendedKeyUsagePurpose::ClientAuth)
    }
}

async fn start(authority: &Authority) -> Server {
    let tls = ServerTlsConfig::new()
        .identity(authority.server())
        .client_ca_root(authority.certificate())
        .client_auth_optional(true);
    let peers = by_certificate(Some("c".to_owned()));
    Server::start(Choice { peers, tls: Some(tls), ..Choice::default() }).await
}

async fn connected(
    server: &Server,
    trusted: &Authority,
    own: Option<Identity>,
) -> Result<Channel, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new().ca_certificate(trusted.certificate());
    if let Some(own) = own {
        tls = tls.identity(own);
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
    let check = async |own: Option<Identity>, expect: Result<u64, (Code, &str)>| {
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
