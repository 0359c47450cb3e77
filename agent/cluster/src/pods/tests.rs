//! What is understood of pod objects, and what is known after a row of events.

use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::Event;
use model::pod::ContainerRole;
use serde_json::{Value, json};

use super::{Followed, read};

fn object(name: &str, annotations: Value, spec: Value, status: Value) -> Pod {
    let object = json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("u-{name}"), "annotations": annotations,
        },
        "spec": spec,
        "status": status,
    });
    serde_json::from_value(object).expect("a pod")
}

fn app(requests: Value) -> Value {
    json!({ "containers": [{ "name": "app", "resources": { "requests": requests } }] })
}

/// `name role cpu memory reclaimed-cpu reclaimed-memory limit` of each container, and what was not understood.
#[track_caller]
fn check(spec: Value, status: Value, expect: &[&str]) {
    let (_, pod) = read::pod(&object("web", json!({}), spec, status)).expect("a pod");
    let mut lines: Vec<String> = pod
        .pod
        .containers
        .iter()
        .map(|one| {
            let role = match one.role {
                ContainerRole::App => "app",
                ContainerRole::Init => "init",
                ContainerRole::Sidecar => "sidecar",
            };
            let r = &one.requests;
            let limit = r.cpu_limit.map_or_else(|| "-".to_owned(), |limit| limit.0.to_string());
            format!(
                "{} {role} {} {} {} {} {limit}",
                one.name, r.cpu.0, r.memory.0, r.reclaimed_cpu.0, r.reclaimed_memory.0
            )
        })
        .collect();
    lines.extend(pod.why);
    assert_eq!(lines, expect);
}

#[test]
fn requests_by_role_of_the_container() {
    let none = || json!({});
    check(
        app(json!({ "cpu": "500m", "memory": "1Gi" })),
        none(),
        &["app app 500 1073741824 0 0 -"],
    );
    check(app(json!({})), none(), &["app app 0 0 0 0 -"]);
    let reclaimed = json!({
        "resource.katalyst.kubewharf.io/reclaimed_millicpu": "1500",
        "resource.katalyst.kubewharf.io/reclaimed_memory": "1Ki",
    });
    check(app(reclaimed), none(), &["app app 0 0 1500 1024 -"]);
    check(
        app(json!({ "cpu": "a lot" })),
        none(),
        &[
            "app app 0 0 0 0 -",
            "container app: cpu: \"a lot\" is not a quantity (a number with one of n u m k M G T P E Ki Mi Gi Ti Pi Ei, or an exponent)",
        ],
    );
    let roles = json!({
        "containers": [{ "name": "app", "resources": { "limits": { "cpu": 2 } } }],
        "initContainers": [
            { "name": "prepare", "resources": { "requests": { "cpu": "4" } } },
            { "name": "proxy", "restartPolicy": "Always", "resources": { "requests": { "cpu": "250m" } } },
        ],
    });
    check(
        roles,
        none(),
        &["app app 2000 0 0 0 2000", "prepare init 4000 0 0 0 -", "proxy sidecar 250 0 0 0 -"],
    );
}

/// While a container is resized, what it has counts, and what cannot be resized stays.
#[test]
fn what_a_container_has_counts_before_what_it_should_have() {
    let reclaimed = "resource.katalyst.kubewharf.io/reclaimed_millicpu";
    let spec = app(json!({ "cpu": "4", "memory": "1Ki", reclaimed: "100" }));
    let has = json!({ "requests": { "cpu": "1" }, "limits": { "cpu": "3" } });
    let status = json!({ "containerStatuses": [
        { "name": "app", "image": "", "imageID": "", "ready": true, "restartCount": 0, "resources": has },
    ] });
    check(spec, status, &["app app 1000 1024 100 0 3000"]);
}

#[test]
fn what_the_pod_asks_for_as_a_whole_is_the_sum() {
    let spec = json!({
        "resources": { "requests": { "cpu": "3" } },
        "overhead": { "cpu": "100m", "memory": "1Ki" },
        "containers": [
            { "name": "app", "resources": { "requests": { "cpu": "1", "memory": "1Ki" } } },
            { "name": "helper", "resources": { "requests": { "cpu": "500m" } } },
        ],
    });
    check(spec, json!({}), &["app app 2600 2048 0 0 -", "helper app 500 0 0 0 -"]);
}

#[test]
fn containers_that_run_and_the_uid_of_the_kubelet() {
    let state = |id: &str, state: Value| {
        json!({
            "name": id, "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "containerID": format!("containerd://{id}"), "state": state,
        })
    };
    let status = json!({
        "containerStatuses": [state("a", json!({ "running": {} })), state("b", json!({ "waiting": {} }))],
        "initContainerStatuses": [state("c", json!({ "running": {} })), state("d", json!({ "terminated": { "exitCode": 0 } }))],
    });
    let mirror = json!({ "kubernetes.io/config.hash": "static-uid" });
    let (uid, pod) = read::pod(&object("web", mirror, app(json!({})), status)).expect("a pod");
    assert_eq!(uid.to_string(), "static-uid");
    assert_eq!(pod.running.into_iter().collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(read::pod(&Pod::default()), None);
}

/// What is long and of no use to a node would be kept five hundred times.
#[test]
fn long_annotations_of_others_are_not_kept() {
    let long = "x".repeat(1025);
    let annotations = json!({
        "kubectl.kubernetes.io/last-applied-configuration": long,
        "katalyst.kubewharf.io/cpu_enhancement": long,
        "example.org/short": "y",
    });
    let (_, pod) =
        read::pod(&object("web", annotations, app(json!({})), json!({}))).expect("a pod");
    let keys: Vec<&String> = pod.pod.annotations.keys().collect();
    assert_eq!(keys, ["example.org/short", "katalyst.kubewharf.io/cpu_enhancement"]);
}

/// Names after each event; `-` where nothing is told.
#[test]
fn a_list_takes_the_place_of_the_old_one_when_it_is_whole() {
    let pod = |name| object(name, json!({}), app(json!({ "cpu": "1" })), json!({}));
    let bigger = object("a", json!({}), app(json!({ "cpu": "2" })), json!({}));
    let rows = [
        (Event::Init, "-"),
        (Event::InitApply(pod("a")), "-"),
        (Event::InitApply(pod("b")), "-"),
        (Event::InitDone, "shop/a 1000, shop/b 1000"),
        (Event::Apply(pod("a")), "-"),
        (Event::Apply(bigger.clone()), "shop/a 2000, shop/b 1000"),
        (Event::Delete(pod("b")), "shop/a 2000"),
        (Event::Delete(pod("b")), "-"),
        (Event::Init, "-"),
        (Event::InitApply(pod("c")), "-"),
        (Event::Apply(pod("d")), "shop/a 2000, shop/d 1000"),
        (Event::InitDone, "shop/c 1000"),
        (Event::Init, "-"),
        (Event::InitDone, ""),
    ];
    let mut followed = Followed::default();
    for (nth, (event, expect)) in rows.into_iter().enumerate() {
        let heard = followed.hear(event);
        let line = heard.map(|pods| {
            let lines = pods
                .values()
                .map(|one| format!("{} {}", one.pod.name, one.pod.containers[0].requests.cpu.0));
            lines.collect::<Vec<_>>().join(", ")
        });
        assert_eq!(line.as_deref().unwrap_or("-"), expect, "event {nth}");
    }
}
