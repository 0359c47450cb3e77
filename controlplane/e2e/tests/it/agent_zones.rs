//! What a node tells schedulers of its NUMA nodes: an overlay of a user that turns it on, and what stands in the object.

use std::fs;
use std::path::{Component, Path, PathBuf};

use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};
use testkit::{Bench, eventually};

use crate::node::POD_LIMIT;

/// A folder with `enforce` and the component that brings the rights, as docs/kubernetes.md has it.
pub(crate) fn overlay(bench: &Bench) -> PathBuf {
    let folder = bench.folder().join("overlay");
    fs::create_dir_all(&folder).unwrap();
    let folder = folder.canonicalize().unwrap();
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/daemonset");
    let manifests = manifests.canonicalize().unwrap();
    let of_enforce = fs::read_to_string(manifests.join("enforce/agent.toml")).unwrap();
    let report = "report = [\"cnr\", \"capacity\", \"events\", \"topology\"]\n";
    // Its last section is the one that the key belongs to.
    fs::write(folder.join("agent.toml"), of_enforce + report).unwrap();
    let manifests = relative(&folder, &manifests);
    let manifests = manifests.display();
    let kustomization = format!(
        "namespace: berth-system\n\
         resources: [{manifests}/enforce]\n\
         components: [{manifests}/topology]\n\
         configMapGenerator:\n  - {{ name: berth-agent, behavior: replace, files: [agent.toml] }}\n"
    );
    fs::write(folder.join("kustomization.yaml"), kustomization).unwrap();
    folder
}

/// kustomize takes no absolute paths.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let steps = |path: &Path| path.components().filter(|part| *part != Component::RootDir).count();
    let up = PathBuf::from_iter(std::iter::repeat_n("..", steps(from)));
    up.join(to.strip_prefix("/").unwrap())
}

fn objects(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("topology.node.k8s.io", "v1alpha2", "NodeResourceTopology");
    let kind = ApiResource::from_gvk_with_plural(&kind, "noderesourcetopologies");
    Api::all_with(client.clone(), &kind)
}

/// Waits until the zones tell of so many CPUs that somebody owns, and looks at the rest of the object.
pub(crate) async fn until_owned(client: &Client, node: &str, milli_cpu: i64) {
    let all = objects(client);
    let mut seen = Value::Null;
    let told = async || {
        let object = all.get_opt(node).await?;
        seen = serde_json::to_value(&object).unwrap();
        Ok((owned(&seen) == Some(milli_cpu)).then_some(()))
    };
    let told = eventually("zones without what is owned", 2 * POD_LIMIT, told).await;
    assert!(told.is_ok(), "{told:?}: {seen:#}");
    assert_eq!(seen["metadata"]["ownerReferences"][0]["kind"], "Node", "{seen:#}");
    assert_eq!(
        seen["attributes"],
        json!([
            { "name": "topologyManagerPolicy", "value": "best-effort" },
            { "name": "topologyManagerScope", "value": "pod" },
        ])
    );
    let zones = seen["zones"].as_array().unwrap();
    let costs = json!([{ "name": "node-0", "value": 10 }, { "name": "node-1", "value": 20 }]);
    assert_eq!((zones.len(), &zones[0]["name"], &zones[0]["costs"]), (2, &json!("node-0"), &costs));
    let memory = zones[1]["resources"][1]["capacity"].as_str().unwrap();
    assert!(memory.parse::<u64>().unwrap() > 256 << 20, "{seen:#}");
}

/// Over all zones: CPUs that may be had less CPUs that are left.
fn owned(object: &Value) -> Option<i64> {
    let of_zone = |zone: &Value| {
        let cpu = &zone["resources"][0];
        assert_eq!(cpu["name"], "cpu", "{zone:#}");
        Some(milli(&cpu["allocatable"])? - milli(&cpu["available"])?)
    };
    object["zones"].as_array()?.iter().map(of_zone).sum()
}

fn milli(quantity: &Value) -> Option<i64> {
    let text = quantity.as_str()?;
    match text.strip_suffix('m') {
        Some(milli) => milli.parse().ok(),
        None => text.parse::<i64>().ok().map(|cpus| cpus * 1000),
    }
}

/// Whoever goes takes it along: nothing in it would tell a scheduler that nobody keeps it.
pub(crate) async fn until_gone(client: &Client, node: &str) {
    let all = objects(client);
    let gone = async || Ok(all.get_opt(node).await?.is_none().then_some(()));
    eventually("the zones to be gone", POD_LIMIT, gone).await.unwrap();
}
