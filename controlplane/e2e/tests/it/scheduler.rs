//! A real kube-scheduler and nodes that are objects only: nobody runs what is bound to them.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use testkit::{Apiserver, Bench, Namespace, Scheduler, Store, eventually};

/// A pod is bound within milliseconds; this is for two cores that do something else.
const LIMIT: Duration = Duration::from_secs(180);

#[tokio::test]
async fn a_pod_goes_to_the_node_that_has_room() {
    let bench = Bench::of_test().unwrap();
    let store = Store::start(&bench).await.unwrap();
    let apiserver = Apiserver::start(&bench, store.endpoint()).await.unwrap();
    let _scheduler = Scheduler::start(&bench, &apiserver).await.unwrap();
    let client = apiserver.client().await.unwrap();
    let namespace = Namespace::create(&client, "schedule").await.unwrap();
    let nodes: Api<Node> = Api::all(client.clone());
    for (name, cpus) in [("small", "1"), ("large", "8")] {
        add_node(&nodes, name, cpus).await;
    }
    let pods: Api<Pod> = Api::namespaced(client, namespace.name());
    // In this order: name, CPUs it asks for, the node it goes to.
    let rows = [
        ("a", "6", Decision::Node("large".to_owned())),
        ("b", "9", Decision::Unschedulable),
        ("c", "2", Decision::Node("large".to_owned())),
        ("d", "2", Decision::Unschedulable),
        ("e", "1", Decision::Node("small".to_owned())),
    ];
    for (name, cpus, expected) in rows {
        pods.create(&PostParams::default(), &pod(name, cpus)).await.unwrap();
        let decided = async || Ok(decision(&pods.get(name).await?));
        let what = format!("a decision on pod {name}");
        assert_eq!(eventually(&what, LIMIT, decided).await.unwrap(), expected, "pod {name}");
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Node(String),
    Unschedulable,
}

fn decision(pod: &Pod) -> Option<Decision> {
    if let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) {
        return Some(Decision::Node(node));
    }
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref())?;
    let refused = |reason: Option<&String>| reason.is_some_and(|it| it == "Unschedulable");
    conditions.iter().any(|it| refused(it.reason.as_ref())).then_some(Decision::Unschedulable)
}

/// Made with its status in a second call: the first one drops it.
async fn add_node(nodes: &Api<Node>, name: &str, cpus: &str) {
    let node = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
    let room = json!({ "cpu": cpus, "memory": "8Gi", "pods": "10" });
    let ready = json!({ "type": "Ready", "status": "True", "reason": "Test", "message": "",
                        "lastHeartbeatTime": null, "lastTransitionTime": null });
    let status =
        json!({ "status": { "capacity": room, "allocatable": room, "conditions": [ready] } });
    let patch = kube::api::Patch::Merge(status);
    nodes.patch_status(name, &kube::api::PatchParams::default(), &patch).await.unwrap();
    // A new node is tainted until its controller has seen it, and that controller does not run here.
    let untainted = kube::api::Patch::Merge(json!({ "spec": { "taints": null } }));
    nodes.patch(name, &kube::api::PatchParams::default(), &untainted).await.unwrap();
}

fn pod(name: &str, cpus: &str) -> Pod {
    let container = json!({
        "name": "main", "image": "bench.test/none:1", "resources": { "requests": { "cpu": cpus } },
    });
    let object = json!({ "metadata": { "name": name }, "spec": { "containers": [container] } });
    serde_json::from_value(object).unwrap()
}
