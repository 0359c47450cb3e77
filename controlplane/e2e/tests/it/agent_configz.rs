//! What a real kubelet tells the agent of its configuration, with the rights of the manifest and without one of them.

use std::time::Duration;

use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;
use testkit::{Bench, Cluster, Kubeconfig, Node, Settings, eventually};

use crate::daemonset::{agent_says, apply, ask, import_agent};
use crate::node::POD_LIMIT;

/// Of four CPUs the kubelet keeps two, and gives whole ones away itself.
#[tokio::test]
async fn a_kubelet_tells_its_managers_and_the_cpus_that_it_keeps() {
    let (cluster, mut node) = with_an_agent().await;
    let admin = cluster.apiserver().kubeconfig();
    let told = "CPU manager static, topology manager restricted, memory manager None, cgroup driver cgroupfs, \
                keeps CPUs 0,2 for the system";
    let said = until_doctor_says(admin, told).await;
    assert!(
        said.contains("warn  CPU manager") && said.contains("warn  topology manager"),
        "{said}"
    );
    assert!(!said.contains("cgroup driver  "), "{said}");
    until_pools(admin, |pools| row(pools, "reserve").contains(" 0,2 ")).await;

    // A kubelet that starts anew is asked anew; it says the same.
    node.restart_kubelet().await.unwrap();
    until_doctor_says(admin, told).await;
}

/// Without the right it does not tell. All else goes on.
#[tokio::test]
async fn soak_agent_that_a_kubelet_tells_nothing_goes_on() {
    let (cluster, _node) = with_an_agent().await;
    let admin = cluster.apiserver().kubeconfig();
    until_pools(admin, |pools| row(pools, "reserve").contains(" 0,2 ")).await;
    let client = cluster.client().await.unwrap();
    take_right(&client).await;
    ask(admin, &["rollout", "restart", "ds/berth-agent"]);
    ask(admin, &["rollout", "status", "ds/berth-agent", "--timeout=120s"]);
    let forbidden = "not told: the kubelet at https://";
    let said = until_doctor_says(admin, forbidden).await;
    assert!(
        said.contains("forbids it (403): the account has no right to get nodes/configz"),
        "{said}"
    );
    assert!(said.contains(" 0 to look at, 0 failed"), "{said}");
    until_pools(admin, |pools| row(pools, "reserve").is_empty()).await;
}

async fn with_an_agent() -> (Cluster, Node) {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let kubelet = json!({
        "cpuManagerPolicy": "static", "reservedSystemCPUs": "0,2", "topologyManagerPolicy": "restricted",
    });
    let settings = Settings { kubelet, ..Settings::default() };
    let node = cluster.add_node(&bench, &settings).await.unwrap();
    import_agent(&node);
    let admin = cluster.apiserver().kubeconfig();
    apply(admin, "enforce");
    ask(admin, &["rollout", "status", "ds/berth-agent", "--timeout=120s"]);
    (cluster, node)
}

/// The role of the manifest, less the one rule.
async fn take_right(client: &Client) {
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let mut role = roles.get("berth-agent").await.unwrap();
    let rules = role.rules.as_mut().unwrap();
    let before = rules.len();
    let is_it = |list: &Option<Vec<String>>| {
        list.as_ref().is_some_and(|list| list.iter().any(|one| one == "nodes/configz"))
    };
    rules.retain(|rule| !is_it(&rule.resources));
    assert_eq!(rules.len() + 1, before);
    roles.replace("berth-agent", &PostParams::default(), &role).await.unwrap();
    // A kubelet remembers for five minutes that somebody was allowed, and for half a minute that not.
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// The pools' table ends with an empty line.
fn row(table: &str, name: &str) -> String {
    let found = table
        .lines()
        .take_while(|line| !line.is_empty())
        .find(|line| line.split_whitespace().next() == Some(name));
    found.map(|line| format!("{line} ")).unwrap_or_default()
}

async fn until_doctor_says(admin: &Kubeconfig, words: &str) -> String {
    let mut said = String::new();
    let heard = async || {
        said = agent_says(admin, &["doctor"]);
        Ok(said.contains(words).then(|| said.clone()))
    };
    match eventually(&format!("doctor to say {words:?}"), POD_LIMIT, heard).await {
        Ok(said) => said,
        Err(error) => panic!("{error}: {said}\n{}", ask(admin, &["logs", "ds/berth-agent"])),
    }
}

async fn until_pools(admin: &Kubeconfig, fits: impl Fn(&str) -> bool) {
    let mut pools = String::new();
    let there = async || {
        pools = agent_says(admin, &["pools"]);
        Ok(fits(&pools).then_some(()))
    };
    let said = eventually("the pools to be so", POD_LIMIT, there).await;
    assert!(said.is_ok(), "{said:?}: {pools}\n{}", ask(admin, &["logs", "ds/berth-agent"]));
}
