//! The agent as a DaemonSet while pods come and go: a rolling upgrade and its end.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use testkit::{Bench, Cluster, Kubeconfig, Node, Settings, Shape};

use crate::cgroups;
use crate::churn::Churn;
use crate::daemonset::{apply, ask, delete, import_agent};
use crate::knobs::Knobs;
use crate::node::{POD_LIMIT, life, pod, run_all};
use crate::node_agent::{Agent, ENV, dedicated, files};
use crate::placement::until_right;

/// Pods come and go for so long, at least until the old agent has gone.
const CHURN: Duration = Duration::from_secs(20);

/// Pods run on all the while, and when the agent is gone the node is as it was before it came.
#[tokio::test]
async fn an_upgrade_and_an_uninstall_leave_running_pods_alone() {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let settings = Settings { shape: Shape::NUMA, files: files("enforce"), ..Settings::default() };
    let node = cluster.add_node(&bench, &settings).await.unwrap();
    import_agent(&node);
    let client = cluster.client().await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let asks = json!({ "requests": { "cpu": "500m", "memory": "16Mi" } });
    let early = run_all(&bench, &pods, &[dedicated("db", "2"), pod("web", asks)]).await;
    let before = Knobs::of(&node).await;

    let admin = cluster.apiserver().kubeconfig();
    apply(admin, "enforce");
    rolled_out(admin).await;
    let agent = Agent::of(&node);
    until_right(&agent, &pods, POD_LIMIT).await;

    let mut churn = Churn::new(&client);
    let began = Instant::now();
    ask(admin, &["rollout", "restart", "ds/berth-agent"]);
    let upgraded = async {
        rolled_out(admin).await;
        began.elapsed().as_secs_f64()
    };
    let (upgraded, ()) = tokio::join!(upgraded, churn.run(CHURN));
    until_right(&agent, &pods, POD_LIMIT).await;
    let right = began.elapsed().as_secs_f64();
    assert_eq!(churn.failures().await, [""; 0]);
    let note = format!(
        "agent rolled out anew in {upgraded:.1} s, every cpuset right {right:.1} s after it began: {}; \
         its pod has {:.1} MiB of memory",
        churn.figures(),
        own_mib(&client, &node).await,
    );
    bench.note(&note).unwrap();

    delete(admin, "enforce");
    let cleaned = agent
        .sh(&format!("{ENV} ./berth-agent cleanup --config agent.toml; echo ended with $?"))
        .await;
    assert!(cleaned.contains("ended with 0"), "{cleaned}");
    let after = Knobs::of(&node).await;
    let before = before.of_pods().with_inherited();
    assert_eq!(before.changed_in(&after.with_inherited()), [""; 0], "{cleaned}");
    for pod in &early {
        assert_eq!(life(&pods.get(&pod.name_any()).await.unwrap()), life(pod));
    }
}

/// kubectl waits; pods come and go meanwhile.
async fn rolled_out(admin: &Kubeconfig) {
    let admin = admin.clone();
    let wait = move || ask(&admin, &["rollout", "status", "ds/berth-agent", "--timeout=180s"]);
    tokio::task::spawn_blocking(wait).await.unwrap();
}

/// `memory.current` of the agent's pod: with the pages of files that it read.
async fn own_mib(client: &Client, node: &Node) -> f64 {
    let agents: Api<Pod> = Api::namespaced(client.clone(), "berth-system");
    let agents = agents.list(&ListParams::default()).await.unwrap().items;
    let running = agents.iter().find(|pod| pod.metadata.deletion_timestamp.is_none()).unwrap();
    let path = format!("cat {}/memory.current", cgroups::of_pod(node, running).unwrap());
    let bytes = node.shell().run(&path).await.unwrap().success().unwrap();
    bytes.trim().parse::<f64>().unwrap() / f64::from(1 << 20)
}
