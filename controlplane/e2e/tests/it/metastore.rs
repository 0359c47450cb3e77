//! A real apiserver with its controllers on a metastore of ours: everything that people do with a cluster, and what becomes of it when the
//! store is killed in the middle.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use testkit::{Apiserver, Bench, Controllers, Metastore, Namespace, eventually};

use crate::controllers::deployment;

/// Controllers answer within a second; this is for two cores that do something else.
const LIMIT: Duration = Duration::from_secs(180);
const N_SETTINGS: usize = 1000;
const N_SETTINGS_OF_SOAK: usize = 10_000;
/// Writes that are under way while the store is killed.
const N_WRITERS: usize = 8;

#[tokio::test]
async fn a_cluster_lives_on_a_metastore() {
    let bench = Bench::of_test().unwrap();
    let store = Metastore::start(&bench).await.unwrap();
    let apiserver = Apiserver::start(&bench, store.endpoint()).await.unwrap();
    let _controllers = Controllers::start(&bench, &apiserver).await.unwrap();
    let client = apiserver.client().await.unwrap();
    let namespace = Namespace::create(&client, "life").await.unwrap();
    deploy_scale_and_delete(client.clone(), namespace.name()).await;
    a_kind_of_ones_own(client.clone(), namespace.name()).await;
    let settings: Api<ConfigMap> = Api::namespaced(client.clone(), namespace.name());
    let made = make_settings(&settings, 0..N_SETTINGS).await;
    let listed = in_pages(&settings).await;
    assert_eq!(listed.len(), N_SETTINGS + 1, "with the certificate of the cluster");
    delete_all(&settings).await;
    let kib = store.memory_kib().unwrap_or_default();
    bench
        .note(&format!("{N_SETTINGS} ConfigMaps in {made:.1?}; the metastore has {kib} KiB"))
        .unwrap();
}

/// Ten times as many, with either side away in the middle.
#[tokio::test]
async fn soak_metastore_has_ten_thousand_settings_and_either_side_starts_anew() {
    let bench = Bench::of_test().unwrap();
    let mut store = Metastore::start(&bench).await.unwrap();
    let apiserver = Apiserver::start(&bench, store.endpoint()).await.unwrap();
    let client = apiserver.client().await.unwrap();
    let namespace = Namespace::create(&client, "many").await.unwrap();
    let settings: Api<ConfigMap> = Api::namespaced(client, namespace.name());
    let half = N_SETTINGS_OF_SOAK / 2;
    let mut made = make_settings(&settings, 0..half).await;
    store.kill();
    store.start_again().await.unwrap();
    let serves = async || Ok(settings.list(&ListParams::default().limit(1)).await.ok());
    eventually("the apiserver to serve again", LIMIT, serves).await.unwrap();
    made += make_settings(&settings, half..N_SETTINGS_OF_SOAK).await;
    let kib = store.memory_kib().unwrap_or_default();
    drop(apiserver);
    let apiserver = Apiserver::start(&bench, store.endpoint()).await.unwrap();
    let client = apiserver.client().await.unwrap();
    let settings: Api<ConfigMap> = Api::namespaced(client, namespace.name());
    let began = Instant::now();
    let listed = in_pages(&settings).await;
    let took = began.elapsed();
    let of_ours = listed.keys().filter(|name| name.starts_with("setting-")).count();
    assert_eq!(of_ours, N_SETTINGS_OF_SOAK);
    delete_all(&settings).await;
    bench
        .note(&format!(
            "{N_SETTINGS_OF_SOAK} ConfigMaps in {made:.1?}, listed in {took:.1?}; the metastore had {kib} KiB"
        ))
        .unwrap();
}

async fn delete_all(settings: &Api<ConfigMap>) {
    settings.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    let gone = async || {
        let left = in_pages(settings).await;
        Ok(left.keys().all(|name| name == "kube-root-ca.crt").then_some(()))
    };
    eventually("the deletion of all", LIMIT, gone).await.unwrap();
}

async fn deploy_scale_and_delete(client: Client, namespace: &str) {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    deployments.create(&PostParams::default(), &deployment(3)).await.unwrap();
    until_pods(&pods, 3).await;
    for replicas in [5, 1] {
        let scale = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
        deployments.patch("web", &PatchParams::default(), &scale).await.unwrap();
        until_pods(&pods, replicas).await;
    }
    deployments.delete("web", &DeleteParams::background()).await.unwrap();
    until_pods(&pods, 0).await;
}

async fn until_pods(pods: &Api<Pod>, n: usize) {
    let there = async || {
        let lives = |pod: &Pod| pod.metadata.deletion_timestamp.is_none();
        let pods = pods.list(&ListParams::default()).await?.items;
        Ok((pods.iter().filter(|pod| lives(pod)).count() == n).then_some(()))
    };
    eventually(&format!("{n} pods"), LIMIT, there).await.unwrap();
}

async fn a_kind_of_ones_own(client: Client, namespace: &str) {
    let kinds: Api<CustomResourceDefinition> = Api::all(client.clone());
    kinds.create(&PostParams::default(), &kind()).await.unwrap();
    let resource =
        ApiResource::from_gvk(&GroupVersionKind::gvk("metastore.bench.test", "v1", "Thing"));
    let things: Api<DynamicObject> = Api::namespaced_with(client, namespace, &resource);
    let thing = DynamicObject::new("one", &resource).data(json!({ "spec": { "size": 3 } }));
    let made = async || Ok(things.create(&PostParams::default(), &thing).await.ok());
    let made = eventually("the kind to be served", LIMIT, made).await.unwrap();
    assert_eq!(made.data["spec"]["size"], 3);
    kinds.delete("things.metastore.bench.test", &DeleteParams::default()).await.unwrap();
    let gone = async || Ok(things.list(&ListParams::default()).await.is_err().then_some(()));
    eventually("the kind to be gone with its objects", LIMIT, gone).await.unwrap();
}

/// What the apiserver said was written is there afterwards, nothing is there twice, and watches go on.
#[tokio::test]
async fn what_was_written_before_a_kill_is_there_after_it() {
    let bench = Bench::of_test().unwrap();
    let mut store = Metastore::start(&bench).await.unwrap();
    let mut apiserver = Some(Apiserver::start(&bench, store.endpoint()).await.unwrap());
    let client = apiserver.as_ref().unwrap().client().await.unwrap();
    let namespace = Namespace::create(&client, "killed").await.unwrap();
    let settings: Api<ConfigMap> = Api::namespaced(client.clone(), namespace.name());
    let mut acknowledged: BTreeMap<String, String> = BTreeMap::new();
    let mut away = Vec::new();
    for round in 0..4 {
        let writers: Vec<_> = (0..N_WRITERS)
            .map(|writer| tokio::spawn(write_until_refused(settings.clone(), round, writer)))
            .collect();
        tokio::time::sleep(Duration::from_millis(700)).await;
        store.kill();
        for writer in writers {
            acknowledged.extend(writer.await.unwrap());
        }
        let began = Instant::now();
        store.start_again().await.unwrap();
        let serves = async || Ok(settings.list(&ListParams::default().limit(1)).await.ok());
        eventually("the apiserver to serve again", LIMIT, serves).await.unwrap();
        away.push(began.elapsed());
        let found = in_pages(&settings).await;
        let lost = acknowledged.iter().filter(|(name, uid)| found.get(*name) != Some(uid));
        let lost: Vec<_> = lost.collect();
        assert!(
            lost.is_empty(),
            "round {round}: {} of {} lost: {lost:?}",
            lost.len(),
            acknowledged.len()
        );
    }
    assert!(acknowledged.len() > 4 * N_WRITERS, "{} writes", acknowledged.len());
    // The apiserver starts anew as well, on what is there.
    drop(apiserver.take());
    let apiserver = Apiserver::start(&bench, store.endpoint()).await.unwrap();
    let client = apiserver.client().await.unwrap();
    let settings: Api<ConfigMap> = Api::namespaced(client.clone(), namespace.name());
    let found = in_pages(&settings).await;
    assert!(acknowledged.iter().all(|(name, uid)| found.get(name) == Some(uid)));
    let events: Api<Event> = Api::namespaced(client, namespace.name());
    events.list(&ListParams::default()).await.unwrap();
    let away: Vec<_> = away.iter().map(|away| format!("{:.2}", away.as_secs_f64())).collect();
    let n = acknowledged.len();
    bench
        .note(&format!("{n} writes through four kills, none lost; serving again after {away:?} s"))
        .unwrap();
}

/// Names and uids of what was acknowledged.
async fn write_until_refused(
    settings: Api<ConfigMap>,
    round: usize,
    writer: usize,
) -> Vec<(String, String)> {
    let mut written = Vec::new();
    for nth in 0.. {
        let name = format!("round-{round}-{writer}-{nth}");
        let (params, object) = (PostParams::default(), setting(&name));
        let made = settings.create(&params, &object);
        match tokio::time::timeout(Duration::from_secs(5), made).await {
            Ok(Ok(made)) => written.push((name, made.uid().unwrap_or_default())),
            Ok(Err(_)) | Err(_) => break,
        }
    }
    written
}

/// How long it took.
async fn make_settings(settings: &Api<ConfigMap>, range: std::ops::Range<usize>) -> Duration {
    let began = Instant::now();
    for some in range.collect::<Vec<_>>().chunks(32) {
        let some = some.iter().map(|n| {
            let settings = settings.clone();
            let object = setting(&format!("setting-{n:05}"));
            tokio::spawn(async move { settings.create(&PostParams::default(), &object).await })
        });
        for made in some.collect::<Vec<_>>() {
            made.await.unwrap().unwrap();
        }
    }
    began.elapsed()
}

/// Names and uids of all, as kubectl lists them.
async fn in_pages(settings: &Api<ConfigMap>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut params = ListParams::default().limit(100);
    loop {
        let page = settings.list(&params).await.unwrap();
        let token = page.metadata.continue_.clone().filter(|token| !token.is_empty());
        for object in page.items {
            let before = all.insert(object.name_any(), object.uid().unwrap_or_default());
            assert_eq!(before, None, "{} is in the list twice", object.name_any());
        }
        match token {
            Some(token) => params = params.continue_token(&token),
            None => return all,
        }
    }
}

fn setting(name: &str) -> ConfigMap {
    let mut object = ConfigMap::default();
    object.metadata.name = Some(name.to_owned());
    object.data = Some([("value".to_owned(), "x".repeat(600))].into());
    object
}

fn kind() -> CustomResourceDefinition {
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let kind = json!({
        "metadata": { "name": "things.metastore.bench.test" },
        "spec": {
            "group": "metastore.bench.test",
            "names": { "plural": "things", "kind": "Thing" },
            "scope": "Namespaced",
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": schema },
            }],
        },
    });
    serde_json::from_value(kind).unwrap()
}
