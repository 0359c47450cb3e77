//! An agent in a node is a key in the metastore: it appears, changes with its node, goes when the agent is silent and comes back. The
//! store trusts certificates of nodes on a port of their own.

use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _};
use proto::etcd::etcdserverpb::RangeRequest;
use proto::etcd::etcdserverpb::kv_client::KvClient;
use proto::etcd::mvccpb::KeyValue;
use serde_json::{Value, json};
use testkit::{Bench, Cluster, Metastore, built, eventually};
use tonic::transport::{Channel, Endpoint};

use crate::agent_reports::settings;
use crate::node::{pod, run};
use crate::node_agent::Agent;
use crate::reports::agents::{self, Load};

const LIMIT: Duration = Duration::from_secs(180);
const KEY: &str = "/berth/nodes/worker";

async fn channel(store: &Metastore) -> Option<Channel> {
    Endpoint::from_shared(store.endpoint().to_owned()).ok()?.connect().await.ok()
}

async fn key(store: &Metastore) -> Option<KeyValue> {
    let mut client = KvClient::new(channel(store).await?);
    let request = RangeRequest { key: KEY.into(), ..RangeRequest::default() };
    client.range(request).await.ok()?.into_inner().kvs.pop()
}

/// Waits until the key says so, and returns it with its lease.
async fn until(store: &Metastore, what: &str, fits: impl Fn(&Value) -> bool) -> (Value, i64) {
    let there = async || {
        let Some(found) = key(store).await else { return Ok(None) };
        let value: Value = serde_json::from_slice(&found.value).unwrap();
        Ok(fits(&value).then_some((value, found.lease)))
    };
    match eventually(what, LIMIT, there).await {
        Ok(found) => found,
        Err(error) => panic!("{error}; the key is {:?}", key(store).await.map(|kv| kv.value)),
    }
}

fn nodes(store: &Metastore, more: &[&str]) -> (bool, String) {
    let mut command = Command::new(built("berth-control").unwrap());
    let output = command.args(["nodes", "--endpoint", store.endpoint()]).args(more).output();
    let output = output.unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
    (output.status.success(), said.concat())
}

#[tokio::test]
async fn an_agent_in_a_node_is_a_key_in_the_metastore() {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let pki = cluster.apiserver().pki();
    let mut store = Metastore::start_for_reports(&bench, pki, "e2e").await.unwrap();
    let own = pki.client("worker", "system:node:worker", Some("system:nodes")).unwrap();
    let port = store.report_port().unwrap();
    let node = cluster.add_node(&bench, &settings(pki, &own, port)).await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await.unwrap());
    let agent = Agent::start(&node).await;
    let (first, lease) = until(&store, "the key to appear", |_| true).await;
    assert_eq!((&first["cluster"], &first["node"]), (&json!("e2e"), &json!("worker")));
    assert_eq!(first["capacity"]["milli_cpu"], 4000);
    assert_ne!(lease, 0);

    // A pod that works, and is seen to.
    let mut busy = pod("busy", json!({ "requests": { "cpu": "500m" } }));
    let work = ["sh", "-c", "while :; do :; done"].map(str::to_owned).to_vec();
    busy.spec.as_mut().unwrap().containers[0].command = Some(work);
    run(&bench, &pods, &busy).await;
    let before = first["usage_milli_cpu"].as_u64().unwrap_or_default();
    let is_busy = |value: &Value| {
        let usage = value["usage_milli_cpu"].as_u64().unwrap_or_default();
        usage > before + 400 && value["n_pods"].as_u64() > first["n_pods"].as_u64()
    };
    let (_, same) = until(&store, "the load to be told", is_busy).await;
    assert_eq!(same, lease, "one lease for all of its reports");
    let (is_fine, table) = nodes(&store, &[]);
    assert!(is_fine && table.contains("worker") && table.contains("observe"), "{table}");

    // Neither the store's end nor the agent's makes another lease or a second key.
    store.kill();
    let (is_fine, said) = nodes(&store, &[]);
    assert!(!is_fine && said.contains("no store answers at http://127.0.0.1:"), "{said}");
    store.start_again().await.unwrap();
    let sequence = first["sequence"].as_u64();
    let is_later = |value: &Value| value["sequence"].as_u64() > sequence && is_busy(value);
    let (_, same) = until(&store, "reports to go on", is_later).await;
    assert_eq!(same, lease, "a start takes up the lease");

    let began = Instant::now();
    agent.kill().await;
    let gone = async || Ok(key(&store).await.is_none().then_some(()));
    eventually("the key to go", LIMIT, gone).await.unwrap();
    let silent = began.elapsed();
    agent.spawn().await;
    let start = first["agent_start_id"].clone();
    let is_next = |value: &Value| value["agent_start_id"] != start;
    let (_, next) = until(&store, "the key to come back", is_next).await;
    assert_ne!(next, lease);
    pods.delete(&busy.name_any(), &kube::api::DeleteParams::default()).await.unwrap();
    let (_, wide) = nodes(&store, &["-o", "wide"]);
    bench.note(&format!("the key of a silent node went after {silent:.1?}\n{wide}")).unwrap();
}

/// Every node has its key, and the log has far fewer writes than there were reports.
async fn check_many(n_agents: usize, interval: Duration, n_reports: u64) {
    let bench = Bench::of_test().unwrap();
    let store = Metastore::start_for_many(&bench, "cluster-1").await.unwrap();
    let empty_ms = store.cpu_ms().unwrap();
    let load = Load {
        server: ([127, 0, 0, 1], store.report_port().unwrap()).into(),
        n_agents,
        n_connections: n_agents.div_ceil(100),
        n_pods: 30,
        n_changed: 5,
        interval,
        n_reports,
    };
    let outcome = agents::run(load).await;
    assert!(outcome.first_failure.is_none() && outcome.n_other == 0, "{outcome:?}");
    let mut client = KvClient::new(channel(&store).await.expect("the store is there"));
    let request = RangeRequest {
        key: "/berth/nodes/".into(),
        range_end: "/berth/nodes0".into(),
        count_only: true,
        ..RangeRequest::default()
    };
    let answer = client.range(request).await.unwrap().into_inner();
    assert_eq!(answer.count, n_agents as i64);
    let revision = answer.header.unwrap().revision;
    let cpu_s = (store.cpu_ms().unwrap() - empty_ms) as f64 / 1000.0;
    let seconds = outcome.took.as_secs_f64();
    let n_accepted = outcome.n_accepted;
    assert!((revision as u64) < n_accepted / 4, "{revision} transactions of {n_accepted} reports");
    bench
        .note(&format!(
            "{n_agents} nodes, {n_accepted} reports in {seconds:.1} s: {revision} transactions, \
             {cpu_s:.1} CPU-s of the store ({:.0} us a report), {} MiB",
            cpu_s * 1e6 / n_accepted as f64,
            store.memory_kib().unwrap_or_default() / 1024
        ))
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_nodes_report_into_a_metastore() {
    check_many(1000, Duration::from_secs(1), 12).await;
}

/// As often as agents report by themselves: a fleet and a store in a build for tests have two cores in sum, and make 4,500 reports a second there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_metastore_hears_of_ten_thousand_nodes() {
    check_many(10_000, Duration::from_secs(5), 12).await;
}
