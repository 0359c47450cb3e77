//! What an agent shows to be believed: certificates and tokens from files that are read at every connect.

use std::path::Path;
use std::sync::Arc;

use kit::nodes::{AllowedNode, Denied, Peers, by_certificate};

use super::reporter::{Agent, quick, start, state};
use crate::authority::{Authority, Issued};
use crate::server::{Choice, Server};

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new(authority: &Authority) -> Files {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::write(dir.path().join("ca.crt"), authority.pem()).expect("write");
        Files { dir }
    }

    fn own(&self, issued: &Issued) {
        std::fs::write(self.dir.path().join("node.crt"), &issued.certificate).expect("write");
        std::fs::write(self.dir.path().join("node.key"), &issued.key).expect("write");
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn agent(&self, server: &Server, more: &str) -> Agent {
        let (folder, address) = (self.path().display(), server.address);
        start(&format!(
            "endpoints = [\"https://{address}\"]\nca_file = \"{folder}/ca.crt\"\n{more}"
        ))
    }

    fn agent_with_certificate(&self, server: &Server) -> Agent {
        let folder = self.path().display();
        let files =
            format!("certificate_file = \"{folder}/node.crt\"\nkey_file = \"{folder}/node.key\"");
        self.agent(server, &files)
    }
}

async fn server(authority: &Authority, peers: Peers) -> Server {
    Server::start(Choice { peers, tls: Some(authority.server_tls()), ..quick() }).await
}

/// Another node's certificate is refused, with a finding that names both; the right one helps without a restart.
#[tokio::test]
async fn a_certificate_of_another_node_is_refused_until_it_is_renewed() {
    let authority = Authority::new();
    let server = server(&authority, by_certificate(Some("c".to_owned()))).await;
    let files = Files::new(&authority);
    files.own(&authority.client("system:node:n2", "spiffe://berth.dev/x"));
    let agent = files.agent_with_certificate(&server);
    agent.publish(state(1, 100));
    let finding = agent.finding(0, "report-refused").await;
    assert_eq!(finding.subject, format!("https://{}", server.address));
    let why = "the control plane does not take our reports: PermissionDenied: this peer is node \
               n2, it may not report node n1";
    assert_eq!(finding.message, why);
    assert!(server.table.borrow().is_empty());
    files.own(&authority.client("x", "spiffe://berth.dev/cluster/c/node/n1"));
    assert_eq!(server.table_with(|table| !table.is_empty()).await.len(), 1);
    agent.is_well(0).await;
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_told_anything() {
    let authority = Authority::new();
    let server = server(&authority, Arc::new(|_| Ok(AllowedNode::Any))).await;
    let files = Files::new(&Authority::new());
    let agent = files.agent(&server, "");
    agent.publish(state(1, 100));
    agent.counts("berth_agent_report_streams_ended_total", "why=\"connect\"", 2).await;
    assert_eq!(agent.count("berth_agent_reports_sent_total", ""), 0);
    std::fs::write(files.path().join("ca.crt"), authority.pem()).expect("write");
    assert_eq!(server.table_with(|table| !table.is_empty()).await.len(), 1);
}

#[tokio::test]
async fn a_token_is_read_anew_at_every_connect() {
    let authority = Authority::new();
    let peers: Peers = Arc::new(|peer| {
        let token = peer.metadata.get("authorization").and_then(|value| value.to_str().ok());
        match token {
            Some("Bearer fresh") => Ok(AllowedNode::Any),
            _ => Err(Denied::NoCertificate),
        }
    });
    let server = server(&authority, peers).await;
    let files = Files::new(&authority);
    let token = files.path().join("token");
    let agent = files.agent(&server, &format!("token_file = \"{}\"", token.display()));
    agent.publish(state(1, 100));
    // Not there yet.
    agent.counts("berth_agent_report_streams_ended_total", "why=\"files\"", 1).await;
    std::fs::write(&token, "stale\n").expect("write");
    let finding = agent.finding(0, "report-refused").await;
    assert!(!finding.message.contains("stale"), "{}", finding.message);
    std::fs::write(&token, "fresh\n").expect("write");
    assert_eq!(server.table_with(|table| !table.is_empty()).await.len(), 1);
    agent.is_well(0).await;
}
