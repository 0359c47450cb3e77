//! The rights of the agent's account: enough for everything it does, none that it does not use, and nobody else's node.

use std::time::Duration;

use cluster::events::{Event, Events, PodRef};
use cluster::node::NodeHeard;
use cluster::pods::PodsHeard;
use cluster::write::{self, CNR, NODE, Part, TOPOLOGY};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule};
use kube::api::{DeleteParams, PostParams};
use kube::config::{AuthInfo, KubeConfigOptions};
use kube::{Api, Client, Config, ResourceExt as _};
use serde_json::{Value, json};
use testkit::{Kubeconfig, eventually, shared};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::daemonset::apply;
use crate::kinds;

/// What the agent does at the apiserver, each with one sentence when it is refused.
async fn everything(client: &Client, node: &str) -> Vec<String> {
    let mut refused = Vec::new();
    refused.extend(hear(client, node).await);
    let name = json!({ "name": node });
    let objects = [
        (
            CNR,
            Part::Main,
            json!({ "apiVersion": "node.katalyst.kubewharf.io/v1alpha1", "kind": "CustomNodeResource", "metadata": name }),
        ),
        (
            CNR,
            Part::Status,
            json!({
                "apiVersion": "node.katalyst.kubewharf.io/v1alpha1", "kind": "CustomNodeResource", "metadata": name,
                "status": { "topologyPolicy": "None" },
            }),
        ),
        (
            NODE,
            Part::Status,
            json!({
                "apiVersion": "v1", "kind": "Node", "metadata": name, "status": { "capacity": { "example.org/x": "1" } },
            }),
        ),
        (TOPOLOGY, Part::Main, topology_of(node)),
    ];
    for (kind, part, object) in objects {
        refused.extend(
            write::apply(client, kind, part, node, &object)
                .await
                .err()
                .map(|error| error.to_string()),
        );
    }
    let ended = write::delete(client, TOPOLOGY, node).await;
    refused.extend(ended.err().map(|error| error.to_string()));
    let events = Events::new(client.clone(), node);
    let pod = PodRef { namespace: "default".to_owned(), name: "p".to_owned(), uid: "u".to_owned() };
    let event = Event { is_warning: false, reason: "CpusOwned", note: "owns CPUs".to_owned() };
    // The first is made, the second is the same once more.
    refused.extend(events.tell(&pod, &event).await.err());
    refused.extend(events.tell(&pod, &event).await.err());
    refused
}

fn topology_of(node: &str) -> Value {
    json!({
        "apiVersion": "topology.node.k8s.io/v1alpha2", "kind": TOPOLOGY.kind, "metadata": { "name": node },
        "zones": [],
    })
}

/// Pods and Node, as far as they are told.
async fn hear(client: &Client, node: &str) -> Vec<String> {
    let (pods, mut pods_seen) = watch::channel(PodsHeard::default());
    let (own, mut own_seen) = watch::channel(NodeHeard::default());
    let heard = async {
        let pods = pods_seen.wait_for(|heard| heard.pods.is_some() || heard.fault.is_some());
        let pods = pods.await.unwrap().fault.clone();
        own_seen.wait_for(|heard| heard.node.is_some() || heard.fault.is_some()).await.unwrap();
        // Behind the list comes the watch.
        let _ =
            timeout(Duration::from_secs(1), own_seen.wait_for(|heard| heard.fault.is_some())).await;
        let own = own_seen.borrow().fault.clone();
        pods.into_iter().chain(own).collect()
    };
    tokio::select! {
        heard = timeout(Duration::from_secs(20), heard) => heard.expect("an answer of any kind"),
        never = cluster::pods::follow(client.clone(), node, &pods) => match never {},
        never = cluster::node::follow(client.clone(), node, &own) => match never {},
    }
}

/// A role of its own for each row: the manifest's without one verb of one rule.
#[tokio::test]
async fn every_right_of_the_manifest_is_needed() {
    let shared = shared().await.unwrap();
    let admin = shared.client().await.unwrap();
    install(shared.kubeconfig());
    let node = make_node(&admin, "rights-node").await;
    let roles: Api<ClusterRole> = Api::all(admin.clone());
    let mut rules = roles.get("berth-agent").await.unwrap().rules.unwrap();
    rules.extend(roles.get("berth-agent-topology").await.unwrap().rules.unwrap());
    let all = refused_with(shared.kubeconfig(), "whole", &rules, &node).await;
    assert!(all.is_empty(), "{all:#?}");

    let mut missed = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        for verb in &rule.verbs {
            let mut fewer = rules.clone();
            fewer[at].verbs.retain(|kept| kept != verb);
            fewer.retain(|rule| !rule.verbs.is_empty());
            let resource = &rule.resources.as_ref().unwrap()[0];
            let user = format!("without-{verb}-{}", resource.replace('/', "-"));
            let refused = refused_with(shared.kubeconfig(), &user, &fewer, &node).await;
            let named = format!("cannot {verb} resource \"{resource}\"");
            if !refused.iter().any(|error| error.contains(&named)) {
                missed.push(format!("{verb} {resource}: {refused:?}"));
            }
        }
    }
    assert_eq!(missed, UNMISSED, "rights whose absence nobody notices");
}

/// The first is for an apiserver older than 1.34, which has no lists as streams. The second is asked for by a kubelet, and there is none here:
/// `agent_configz` tries it.
const UNMISSED: [&str; 2] = ["list pods: []", "get nodes/configz: []"];

/// The token of a pod carries the node that it was made for, and no more is written with it.
#[tokio::test]
async fn an_agent_writes_of_its_own_node_only() {
    let shared = shared().await.unwrap();
    let admin = shared.client().await.unwrap();
    install(shared.kubeconfig());
    let own = make_node(&admin, "own-node").await;
    let other = make_node(&admin, "other-node").await;
    let client = with_token(shared.kubeconfig(), &token(&admin, &own).await).await;
    // The other's report is there already.
    let object = json!({ "apiVersion": "node.katalyst.kubewharf.io/v1alpha1", "kind": CNR.kind, "metadata": { "name": other } });
    let made = async || Ok(write::apply(&admin, CNR, Part::Main, &other, &object).await.ok());
    eventually("the kind to be served", Duration::from_secs(30), made).await.unwrap();
    let zones = topology_of(&other);
    let made = async || Ok(write::apply(&admin, TOPOLOGY, Part::Main, &other, &zones).await.ok());
    eventually("the kind to be served", Duration::from_secs(30), made).await.unwrap();
    // Rights and policies are in force a moment after they are made.
    let refused = until(&client, &other, 5).await;
    for error in refused {
        assert!(error.contains("an agent writes of its own node only"), "{error}");
    }
    until(&client, &own, 0).await;

    // A token is as good as its pod: with it goes everything that was allowed, and nobody falls over that.
    let pods: Api<Pod> = Api::namespaced(admin.clone(), "berth-system");
    pods.delete(&format!("agent-on-{own}"), &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    let refused = until(&client, &own, 9).await;
    for error in refused {
        assert!(error.contains("Unauthorized"), "{error}");
    }
}

/// Waits until so many of the things that the agent does are refused.
async fn until(client: &Client, node: &str, n_refused: usize) -> Vec<String> {
    let mut refused = Vec::new();
    let settled = async || {
        refused = everything(client, node).await;
        Ok((refused.len() == n_refused).then(|| refused.clone()))
    };
    let said = eventually(&format!("{n_refused} refusals"), Duration::from_secs(30), settled).await;
    said.unwrap_or_else(|error| panic!("{error}: {refused:#?}"))
}

/// The token of an agent's pod on a node.
async fn token(admin: &Client, node: &str) -> String {
    let pods: Api<Pod> = Api::namespaced(admin.clone(), "berth-system");
    let name = format!("agent-on-{node}");
    let pod = json!({
        "metadata": { "name": name },
        "spec": {
            "nodeName": node, "serviceAccountName": "berth-agent",
            "containers": [{ "name": "agent", "image": "none" }],
        },
    });
    let pod =
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    let request: TokenRequest = serde_json::from_value(json!({ "spec": {
        "audiences": [],
        "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod.uid() },
    }}))
    .unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), "berth-system");
    let made = accounts.create_token_request("berth-agent", &PostParams::default(), &request).await;
    made.unwrap().status.unwrap().token.unwrap()
}

async fn with_token(admin: &Kubeconfig, token: &str) -> Client {
    let mut config = config(admin).await;
    config.auth_info = AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() };
    Client::try_from(config).unwrap()
}

async fn as_user(admin: &Kubeconfig, user: &str) -> Client {
    let mut config = config(admin).await;
    config.auth_info.impersonate = Some(user.to_owned());
    Client::try_from(config).unwrap()
}

async fn config(admin: &Kubeconfig) -> Config {
    let file = kube::config::Kubeconfig::read_from(admin.path()).unwrap();
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap()
}

/// The manifests with what brings rights for what is off by itself, and the kinds of reports.
fn install(admin: &Kubeconfig) {
    apply(admin, "observe");
    kinds::install(admin, include_str!("../../../../deploy/daemonset/topology/rbac.yaml"));
    kinds::install(admin, kinds::CNR);
    kinds::install(admin, kinds::TOPOLOGY);
}

async fn make_node(admin: &Client, name: &str) -> String {
    let nodes: Api<Node> = Api::all(admin.clone());
    let node = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
    name.to_owned()
}

/// What is refused to a user with these rules and no report made yet.
async fn refused_with(
    admin: &Kubeconfig,
    user: &str,
    rules: &[PolicyRule],
    node: &str,
) -> Vec<String> {
    forget(admin, "kcnr", node);
    forget(admin, "node-res-topo", node);
    let role: ClusterRole =
        serde_json::from_value(json!({ "metadata": { "name": user }, "rules": rules })).unwrap();
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": { "name": user },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
    }))
    .unwrap();
    let by = admin.client().await.unwrap();
    Api::all(by.clone()).create(&PostParams::default(), &role).await.unwrap();
    Api::all(by).create(&PostParams::default(), &binding).await.unwrap();
    // The authorizer follows roles and bindings with watches of its own.
    tokio::time::sleep(Duration::from_secs(1)).await;
    everything(&as_user(admin, user).await, node).await
}

fn forget(admin: &Kubeconfig, kind: &str, node: &str) {
    let mut kubectl = admin.kubectl().unwrap();
    let output = kubectl.args(["delete", kind, node, "--ignore-not-found"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
