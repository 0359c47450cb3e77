//! What every later test takes for granted of the apiserver: objects, watches, patches, ownership of fields, types of one's own.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
    WatchEvent, WatchParams,
};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use testkit::{Namespace, Shared, eventually, shared};
use tokio_stream::StreamExt as _;

/// Four times what the slowest answer takes on two busy cores.
const LIMIT: Duration = Duration::from_secs(90);

async fn own(prefix: &str) -> (Shared, Client, String) {
    let shared = shared().await.unwrap();
    let client = shared.client().await.unwrap();
    let namespace = Namespace::create(&client, prefix).await.unwrap();
    (shared, client, namespace.name().to_owned())
}

fn settings(name: &str, pairs: &[(&str, &str)]) -> ConfigMap {
    let mut object = ConfigMap::default();
    object.metadata.name = Some(name.to_owned());
    object.data = Some(data(pairs));
    object
}

fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn objects_are_created_listed_and_deleted() {
    let (_shared, client, namespace) = own("objects").await;
    let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
    for name in ["a", "b"] {
        api.create(&PostParams::default(), &settings(name, &[("key", name)])).await.unwrap();
    }
    let list = api.list(&ListParams::default()).await.unwrap();
    let names: Vec<_> = list.items.iter().map(ConfigMap::name_any).collect();
    assert_eq!(names, ["a", "b"]);
    let again = api.create(&PostParams::default(), &settings("a", &[])).await;
    assert!(matches!(again, Err(kube::Error::Api(status)) if status.code == 409));
    api.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(api.get_opt("a").await.unwrap().is_none());
}

/// From the version of an empty list on, every change arrives once and in order.
#[tokio::test]
async fn a_watch_tells_every_change_in_order() {
    let (_shared, client, namespace) = own("watch").await;
    let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let list = api.list(&ListParams::default()).await.unwrap();
    let version = list.metadata.resource_version.unwrap();
    api.create(&PostParams::default(), &settings("a", &[("key", "1")])).await.unwrap();
    merge(&api, json!({ "data": { "key": "2" } })).await;
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let watch = api.watch(&WatchParams::default(), &version).await.unwrap();
    let mut watch = std::pin::pin!(watch);
    let mut told = Vec::new();
    while told.len() < 3 {
        let next = tokio::time::timeout(LIMIT, watch.next()).await;
        match next.expect("a change").expect("the watch goes on").unwrap() {
            WatchEvent::Added(object) => told.push(("added", value(&object))),
            WatchEvent::Modified(object) => told.push(("modified", value(&object))),
            WatchEvent::Deleted(object) => told.push(("deleted", value(&object))),
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => panic!("{status:?}"),
        }
    }
    let expected = [("added", "1"), ("modified", "2"), ("deleted", "2")];
    assert_eq!(told, expected.map(|(kind, value)| (kind, value.to_owned())));
}

fn value(object: &ConfigMap) -> String {
    object.data.as_ref().and_then(|data| data.get("key")).cloned().unwrap_or_default()
}

async fn merge(api: &Api<ConfigMap>, patch: Value) -> ConfigMap {
    api.patch("a", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap()
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_nothing_else() {
    let (_shared, client, namespace) = own("patch").await;
    let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let object = settings("a", &[("kept", "1"), ("changed", "1"), ("removed", "1")]);
    api.create(&PostParams::default(), &object).await.unwrap();
    let patched = merge(&api, json!({ "data": { "changed": "2", "removed": null } })).await;
    assert_eq!(patched.data.unwrap(), data(&[("changed", "2"), ("kept", "1")]));
}

/// Two appliers each own their fields; taking one from the other is a conflict until it is forced.
#[tokio::test]
async fn server_side_apply_guards_the_owner_of_a_field() {
    let (_shared, client, namespace) = own("apply").await;
    let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let apply = async |params: PatchParams, data: Value| {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "data": data,
        });
        api.patch("a", &params, &Patch::Apply(object)).await
    };
    apply(PatchParams::apply("first"), json!({ "x": "1" })).await.unwrap();
    apply(PatchParams::apply("second"), json!({ "y": "1" })).await.unwrap();
    let refused = apply(PatchParams::apply("second"), json!({ "x": "2", "y": "1" })).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 409));
    let forced = PatchParams::apply("second").force();
    apply(forced, json!({ "x": "2", "y": "1" })).await.unwrap();
    // The first gives up what it does not own any more: nothing goes.
    let last = apply(PatchParams::apply("first"), json!({})).await.unwrap();
    assert_eq!(last.data.unwrap(), data(&[("x", "2"), ("y", "1")]));
}

#[tokio::test]
async fn a_type_of_ones_own_is_served_and_its_schema_enforced() {
    let (_shared, client, namespace) = own("crd").await;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = format!("{namespace}s.e2e.berth.test");
    let definition = definition(&name, &namespace);
    definitions.create(&PostParams::default(), &definition).await.unwrap();
    let established = async || {
        let conditions = definitions.get(&name).await?.status.and_then(|it| it.conditions);
        let wanted = |kind: &str, status: &str| kind == "Established" && status == "True";
        Ok(conditions.unwrap_or_default().iter().find(|it| wanted(&it.type_, &it.status)).cloned())
    };
    eventually("the new type", LIMIT, established).await.unwrap();
    let kind = GroupVersionKind::gvk("e2e.berth.test", "v1", "Lane");
    let resource = ApiResource::from_gvk_with_plural(&kind, &format!("{namespace}s"));
    let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace, &resource);
    let object = |depth: Value| {
        DynamicObject::new("a", &resource).data(json!({ "spec": { "depth": depth } }))
    };
    let refused = api.create(&PostParams::default(), &object(json!("deep"))).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 422));
    let made = api.create(&PostParams::default(), &object(json!(3))).await.unwrap();
    assert_eq!(made.data["spec"]["depth"], 3);
}

/// The plural is the test's own, so that two runs on one server do not meet.
fn definition(name: &str, singular: &str) -> CustomResourceDefinition {
    let depth = json!({ "type": "object", "properties": { "depth": { "type": "integer" } } });
    let schema = json!({ "type": "object", "properties": { "spec": depth } });
    let definition = json!({
        "metadata": { "name": name },
        "spec": {
            "group": "e2e.berth.test",
            "scope": "Namespaced",
            "names": { "kind": "Lane", "plural": format!("{singular}s"), "singular": singular },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": schema },
            }],
        },
    });
    serde_json::from_value(definition).unwrap()
}
