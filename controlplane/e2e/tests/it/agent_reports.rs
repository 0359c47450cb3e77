//! The agent in a node reports to a control plane on the host, over TLS, with a certificate as the kubelet has one.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kit::nodes::{Config, Deps, Node, NodeTable, by_certificate, reporting};
use kube::{Api, ResourceExt as _};
use prometheus_client::registry::Registry;
use serde_json::json;
use testkit::{Bench, Cluster, HOST_OF_GUESTS, Identity, Pki, Settings};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Certificate, ServerTlsConfig};

use crate::node::{pod, run};
use crate::node_agent::{Agent, file, files_with};

const FOLDER: &str = "/run/berth-bin";

async fn control_plane(pki: &Pki) -> (SocketAddr, watch::Receiver<Arc<NodeTable>>) {
    let own = pki.server("control").unwrap();
    let own = tonic::transport::Identity::from_pem(
        fs::read(own.certificate()).unwrap(),
        fs::read(own.key()).unwrap(),
    );
    let authority = Certificate::from_pem(fs::read(pki.authority()).unwrap());
    let tls = ServerTlsConfig::new().identity(own).client_ca_root(authority);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_policy, following) = watch::channel(None);
    let peers = by_certificate(Some("e2e".to_owned()));
    let mut registry = Registry::default();
    let deps = Deps { peers, policy: following, registry: &mut registry };
    let config = Config { report_interval: Duration::from_secs(1), ..Config::default() };
    let parts = reporting(&config, deps);
    tokio::spawn(parts.keeper.run());
    let server = tonic::transport::Server::builder().tls_config(tls).unwrap();
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(async move { server.serve_with_incoming(parts.server, incoming).await });
    (address, parts.table)
}

/// Of a node whose agent reports to this port of the host.
pub(crate) fn settings(pki: &Pki, own: &Identity, port: u16) -> Settings {
    let section = format!(
        "[report]\nendpoints = [\"https://{HOST_OF_GUESTS}:{port}\"]\ncluster = \"e2e\"\nnode = \"worker\"\n\
         ca_file = \"{FOLDER}/ca.crt\"\ncertificate_file = \"{FOLDER}/node.crt\"\n\
         key_file = \"{FOLDER}/node.key\"\n"
    );
    let mut files = files_with("observe", &section);
    let authority = pki.authority();
    let read =
        [("ca.crt", authority.as_path()), ("node.crt", own.certificate()), ("node.key", own.key())];
    for (name, path) in read {
        files.push(file(&format!("{FOLDER}/{name}"), fs::read(path).unwrap()));
    }
    Settings { files, ..Settings::default() }
}

/// Waits until the node's report fits; with what the agent says, if it does not.
async fn until_reported(
    agent: &Agent<'_>,
    table: &watch::Receiver<Arc<NodeTable>>,
    mut fits: impl FnMut(&Node) -> bool,
) -> Arc<Node> {
    let mut table = table.clone();
    let there = |table: &Arc<NodeTable>| table.get("e2e", "worker").is_some_and(|node| fits(node));
    let wait = table.wait_for(there);
    let found = match tokio::time::timeout(Duration::from_secs(60), wait).await {
        Ok(table) => table.unwrap().get("e2e", "worker").map(Arc::clone),
        Err(_) => None,
    };
    match found {
        Some(node) => node,
        None => panic!("no such report; the agent says\n{}", agent.log().await),
    }
}

#[tokio::test]
async fn an_agent_in_a_node_reports_its_pods() {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let pki = cluster.apiserver().pki();
    let (address, table) = control_plane(pki).await;
    let own = pki.client("worker", "system:node:worker", Some("system:nodes")).unwrap();
    let node = cluster.add_node(&bench, &settings(pki, &own, address.port())).await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await.unwrap());
    let agent = Agent::start(&node).await;
    let first = until_reported(&agent, &table, |_| true).await;
    let capacity = first.state.capacity.as_ref().unwrap();
    assert_eq!(capacity.milli_cpu, Some(4000));
    assert!(!first.identity.node_uid.is_empty() && first.identity.boot_id.len() == 36);

    let web = json!({ "requests": { "cpu": "500m" } });
    let web = run(&bench, &pods, &pod("web", web)).await;
    let uid = web.uid().unwrap();
    let told = until_reported(&agent, &table, |node| node.state.pod(&uid).is_some()).await;
    let pod = told.state.pod(&uid).unwrap();
    assert_eq!((pod.namespace.as_str(), pod.name.as_str()), ("default", "web"));
    assert_eq!((pod.qos.as_str(), pod.request_milli_cpu), ("shared_cores", 500));
    assert!(told.sequence > first.sequence);

    // Another start of the agent follows the first one under the same name.
    agent.kill().await;
    agent.spawn().await;
    let start = &first.identity.agent_start_id;
    let is_next =
        |node: &Node| node.identity.agent_start_id != *start && node.state.pod(&uid).is_some();
    let next = until_reported(&agent, &table, is_next).await;
    assert_eq!(next.identity.boot_id, first.identity.boot_id);
    bench
        .note(&format!(
            "a node's report: {} pods, machine {}, {} reports of the first start",
            next.state.pods().len(),
            next.identity.node_uid,
            told.sequence
        ))
        .unwrap();
}
