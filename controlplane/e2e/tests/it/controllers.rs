//! A real kube-controller-manager on a control plane of the test's own, because it acts on every namespace.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, PostParams, PropagationPolicy};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use testkit::{Apiserver, Bench, Controllers, Namespace, Store, eventually};

/// Controllers answer within a second; this is for two cores that do something else.
const LIMIT: Duration = Duration::from_secs(180);

/// A Deployment makes a ReplicaSet, that makes pods, and deleting the first takes all of them along.
#[tokio::test]
async fn a_deployment_makes_pods_and_takes_them_along() {
    let bench = Bench::of_test().unwrap();
    let store = Store::start(&bench).await.unwrap();
    let apiserver = Apiserver::start(&bench, store.endpoint()).await.unwrap();
    let _manager = Controllers::start(&bench, &apiserver).await.unwrap();
    let client = apiserver.client().await.unwrap();
    let namespace = Namespace::create(&client, "deployment").await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace.name());
    let sets: Api<ReplicaSet> = Api::namespaced(client.clone(), namespace.name());
    let pods: Api<Pod> = Api::namespaced(client, namespace.name());
    deployments.create(&PostParams::default(), &deployment(3)).await.unwrap();
    let three = async || {
        let pods = pods.list(&ListParams::default()).await?.items;
        Ok((pods.len() == 3).then_some(pods))
    };
    let made = eventually("three pods", LIMIT, three).await.unwrap();
    let owner = &made[0].owner_references()[0];
    assert_eq!(owner.kind, "ReplicaSet");
    let set = sets.get(&owner.name).await.unwrap();
    assert_eq!(set.owner_references()[0].name, "web");
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        ..DeleteParams::default()
    };
    deployments.delete("web", &params).await.unwrap();
    let none = async || {
        let left = pods.list(&ListParams::default()).await?.items.len()
            + sets.list(&ListParams::default()).await?.items.len();
        Ok((left == 0).then_some(()))
    };
    eventually("the garbage collection of pods and ReplicaSet", LIMIT, none).await.unwrap();
}

/// `web`, of an image that nobody pulls.
pub(crate) fn deployment(replicas: i32) -> Deployment {
    let labels = json!({ "app": "web" });
    let container = json!({ "name": "web", "image": "bench.test/none:1" });
    let object = json!({
        "metadata": { "name": "web" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [container], "terminationGracePeriodSeconds": 0 },
            },
        },
    });
    serde_json::from_value(object).unwrap()
}
