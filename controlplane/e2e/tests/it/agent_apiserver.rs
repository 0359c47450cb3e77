//! What the agent hears from the apiserver and tells it, as a DaemonSet with the rights of its manifest: reclaimed pods are placed by the
//! stock scheduler, the node has its `CustomNodeResource`, pods have their events.

use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node as Object, Pod};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use testkit::{Apiserver, Bench, Cluster, Kubeconfig, Node, Settings, Shape, eventually};

use crate::agent_zones;
use crate::cgroups;
use crate::daemonset::{agent_says, apply_folder, ask, import_agent};
use crate::kinds;
use crate::node::{POD_LIMIT, cgroup_file, pod, run};
use crate::node_agent::{LEVEL, annotated, dedicated};

const MILLICPU: &str = "resource.katalyst.kubewharf.io/reclaimed_millicpu";

/// Twice the pause after which a kind that was not there is looked for again.
const FOUND_LATER: Duration = Duration::from_secs(120);

#[tokio::test]
async fn the_agent_and_the_apiserver_tell_each_other_what_they_know() {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let settings = Settings { shape: Shape::NUMA, ..Settings::default() };
    let mut node = cluster.add_node(&bench, &settings).await.unwrap();
    import_agent(&node);
    let admin = cluster.apiserver().kubeconfig();
    let client = cluster.client().await.unwrap();
    kinds::install(admin, &kinds::cnr_of_another_version());
    start_agent(cluster.apiserver(), &agent_zones::overlay(&bench));

    // The kinds of reports are there later, and found. What is missing is said, once, and nothing else waits for it.
    let top = ["top", "--once"];
    let missing = "customnoderesources of node.katalyst.kubewharf.io/v1alpha1; it has v1beta1";
    until_agent_says(admin, &top, "apiserver-refuses", missing).await;
    let missing = "noderesourcetopologies of topology.node.k8s.io/v1alpha2; it has nothing";
    until_agent_says(admin, &top, "apiserver-refuses", missing).await;
    kinds::remove(admin, &kinds::cnr_of_another_version());
    kinds::install(admin, &kinds::cnr_without_topology_policy());
    kinds::install(admin, kinds::TOPOLOGY);

    // The stock scheduler places by what the Node says, and no more of them than it says.
    let nodes: Api<Object> = Api::all(client.clone());
    let name = node.name();
    note_promise(&bench, &nodes, &name).await;
    until_agent_says(admin, &top, "apiserver-refuses", ".status.topologyPolicy").await;
    kinds::install(admin, kinds::CNR);
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let ml = run(&bench, &pods, &reclaimed("ml", "500")).await;
    pods.create(&PostParams::default(), &reclaimed("huge", "1000000")).await.unwrap();
    until_agent_says(admin, &["qos"], "default/ml", "reclaimed_cores").await;
    let huge = pods.get("huge").await.unwrap();
    assert_eq!(huge.spec.unwrap().node_name, None);

    let db = run(&bench, &pods, &dedicated("db", "2")).await;
    let consumer = format!("default/db/{}", db.uid().unwrap());
    let cnr = until_reported(&client, &name, FOUND_LATER, |cnr| {
        cnr.to_string().contains(&consumer).then(|| cnr.clone())
    })
    .await;
    assert_eq!(cnr["metadata"]["ownerReferences"][0]["kind"], "Node");
    agent_zones::until_owned(&client, &name, 2000).await;
    assert_said_once(admin, "it has v1beta1");
    assert_said_once(admin, ".status.topologyPolicy");
    let zones = cnr.pointer("/status/topologyZone").unwrap();
    assert_eq!(
        zones[0]["children"][0]["attributes"][0],
        json!({ "name": "numa_distance", "value": "10,20" })
    );
    assert_eq!(cnr.pointer("/status/conditions/0/type").unwrap(), "AgentReady");

    // Events, for what went well and what did not.
    let odd = annotated("odd", json!({ LEVEL: "fast_cores" }), json!({}));
    run(&bench, &pods, &odd).await;
    let events: Api<Event> = Api::default_namespaced(client.clone());
    until_event(&events, "db", "CpusOwned", "owns CPUs").await;
    until_event(&events, "odd", "AnnotationsNotUnderstood", "fast_cores").await;

    // An annotation that changes while the pod runs.
    let early = run(&bench, &pods, &pod("early", json!({ "requests": { "cpu": "500m" } }))).await;
    note_changes(&bench, &node, (&pods, &early)).await;
    note_writes(&bench, cluster.apiserver()).await;
    // Somebody takes the report away: its next half finds that out.
    ask(admin, &["delete", "kcnr", &name]);

    // A kubelet that starts anew forgets what it does not know; nothing else changes.
    node.restart_kubelet().await.unwrap();
    until_promised(&nodes, &name).await;
    assert_eq!(
        pods.get("ml").await.unwrap().status.unwrap().container_statuses.unwrap()[0].restart_count,
        0
    );
    assert_eq!(ml.uid(), pods.get("ml").await.unwrap().uid());
    note_memory(&bench, &node).await;
    through_a_hang(&cluster, &node, &pods, (&db, &early)).await;
    until_reported(&client, &name, FOUND_LATER, |cnr| {
        let is_whole = cnr.pointer("/metadata/ownerReferences/0").is_some();
        (is_whole && cnr.to_string().contains(&consumer)).then(|| cnr.clone())
    })
    .await;

    // Whoever goes takes his promise along.
    ask(admin, &["delete", "ds/berth-agent", "--wait=true", "--timeout=120s"]);
    let withdrawn = async || {
        let status = nodes.get(&name).await?.status.unwrap_or_default();
        Ok((!status.capacity.unwrap_or_default().contains_key(MILLICPU)).then_some(()))
    };
    eventually("the promise to be gone", POD_LIMIT, withdrawn).await.unwrap();
    agent_zones::until_gone(&client, &name).await;
}

/// Writes of an agent in a minute in which no pod comes, goes or is changed, counted by the apiserver. What was changed before it is told
/// within fifteen seconds: lower for ten, and five since the last write.
async fn note_writes(bench: &Bench, apiserver: &Apiserver) {
    tokio::time::sleep(Duration::from_secs(15)).await;
    let account = "system:serviceaccount:berth-system:berth-agent";
    let before = apiserver.writes_of(account).unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let after = apiserver.writes_of(account).unwrap();
    let quiet = &after[before.len()..];
    bench
        .note(&format!(
            "writes of an agent at the apiserver in a quiet minute: {} ({} before it)",
            quiet.len(),
            before.len()
        ))
        .unwrap();
    assert!(!before.is_empty() && quiet.len() <= 2, "{quiet:#?}");
}

fn assert_said_once(admin: &Kubeconfig, words: &str) {
    let log = ask(admin, &["logs", "ds/berth-agent"]);
    assert_eq!(log.lines().filter(|line| line.contains(words)).count(), 1, "{words}\n{log}");
}

/// Files stay as they are while the apiserver answers nobody for half a minute, and what changed meanwhile is heard behind it.
async fn note_promise(bench: &Bench, nodes: &Api<Object>, name: &str) {
    let began = Instant::now();
    let promised = until_promised(nodes, name).await;
    let after = began.elapsed().as_secs_f64();
    let note = format!("{promised} mCPU promised {after:.1} s after the agent was ready");
    bench.note(&note).unwrap();
}

/// How long a changed annotation takes; `pod` is batch work afterwards.
async fn note_changes(bench: &Bench, node: &Node, (pods, pod): (&Api<Pod>, &Pod)) {
    let mut took = Vec::new();
    for (level, weight) in
        [("reclaimed_cores", "= 1"), ("shared_cores", "!= 1"), ("reclaimed_cores", "= 1")]
    {
        took.push(until_weight(node, (pods, pod), (level, weight)).await.as_secs_f64());
    }
    bench.note(&format!("a changed annotation is in the cgroup files after {took:.2?} s")).unwrap();
}

/// From the call that changes the level of a pod to the file of its container, looked at on the node every 20 ms.
async fn until_weight(
    node: &Node,
    (pods, pod): (&Api<Pod>, &Pod),
    (level, weight): (&str, &str),
) -> Duration {
    let file = format!("{}/../cpu.weight", cgroups::of_container(node, pod).unwrap());
    let line = format!(
        "for n in $(seq 3000); do [ $(cat {file}) {weight} ] && exit; usleep 20000; done; exit 1"
    );
    let patch = async {
        // The shell on the node is there before the change.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let patch = json!({ "metadata": { "annotations": { LEVEL: level } } });
        let began = Instant::now();
        pods.patch(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        began
    };
    let (seen, began) =
        tokio::join!(async { (node.shell().run(&line).await, Instant::now()) }, patch);
    seen.0.unwrap().success().unwrap();
    seen.1.duration_since(began)
}

async fn through_a_hang(
    cluster: &Cluster,
    node: &Node,
    pods: &Api<Pod>,
    (db, early): (&Pod, &Pod),
) {
    let own = cgroup_file(node, db, "cpuset.cpus").await;
    cluster.apiserver().hang().unwrap();
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(cgroup_file(node, db, "cpuset.cpus").await, own);
        assert_eq!(cgroup_file(node, early, "../cpu.weight").await, "1");
    }
    cluster.apiserver().go_on().unwrap();
    let patch = json!({ "metadata": { "annotations": { LEVEL: null } } });
    let patched =
        async || Ok(pods.patch("early", &PatchParams::default(), &Patch::Merge(&patch)).await.ok());
    eventually("the apiserver to answer again", POD_LIMIT, patched).await.unwrap();
    let weight =
        async || Ok((cgroup_file(node, early, "../cpu.weight").await != "1").then_some(()));
    eventually("a pod that is no batch work any more", POD_LIMIT, weight).await.unwrap();
}

/// The largest of its processes: the others are its watchdog and, for a moment, children.
async fn note_memory(bench: &Bench, node: &Node) {
    let sizes = "for pid in $(pidof berth-agent); do grep VmRSS /proc/$pid/status; done | sort -rnk2 | head -1";
    let said = node.shell().run(sizes).await.unwrap().stdout;
    bench.note(&format!("the agent with an apiserver: {}", said.trim())).unwrap();
}

fn reclaimed(name: &str, milli_cpu: &str) -> Pod {
    let asked = json!({ MILLICPU: milli_cpu });
    annotated(
        name,
        json!({ LEVEL: "reclaimed_cores" }),
        json!({ "requests": asked, "limits": asked }),
    )
}

/// The overlay, with the way by which a node finds the apiserver of a bench.
fn start_agent(apiserver: &Apiserver, overlay: &Path) {
    let admin = apiserver.kubeconfig();
    apply_folder(admin, overlay);
    ask(admin, &["patch", "ds/berth-agent", "-p", &apiserver.patch_of_agent()]);
    ask(admin, &["rollout", "status", "ds/berth-agent", "--timeout=120s"]);
}

async fn until_promised(nodes: &Api<Object>, name: &str) -> u64 {
    let promised = async || {
        let status = nodes.get(name).await?.status.unwrap_or_default();
        let amount = status.allocatable.unwrap_or_default().remove(MILLICPU);
        Ok(amount.and_then(|amount| amount.0.parse::<u64>().ok()).filter(|amount| *amount > 0))
    };
    // Five measurements, ten seconds apart, of a node that may be slow.
    eventually("the Node to promise CPU to reclaimed pods", 3 * POD_LIMIT, promised).await.unwrap()
}

async fn until_reported(
    client: &Client,
    node: &str,
    limit: Duration,
    accept: impl Fn(&Value) -> Option<Value>,
) -> Value {
    let kind =
        GroupVersionKind::gvk("node.katalyst.kubewharf.io", "v1alpha1", "CustomNodeResource");
    let kind = ApiResource::from_gvk(&kind);
    let all: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
    let reported = async || {
        let object = all.get_opt(node).await.unwrap_or_default();
        Ok(object.and_then(|object| accept(&serde_json::to_value(object).unwrap())))
    };
    let found = eventually("the node's CustomNodeResource", limit, reported).await;
    match found {
        Ok(found) => found,
        Err(error) => panic!("{error}: {:?}", all.get_opt(node).await),
    }
}

/// Waits until a line of what the agent's CLI prints has both.
async fn until_agent_says(admin: &Kubeconfig, words: &[&str], one: &str, other: &str) {
    let mut said = String::new();
    let heard = async || {
        said = agent_says(admin, words);
        Ok(said.lines().any(|line| line.contains(one) && line.contains(other)).then_some(()))
    };
    let heard = eventually(&format!("the agent to say {one:?} {other:?}"), POD_LIMIT, heard).await;
    assert!(
        heard.is_ok(),
        "{heard:?}; it says\n{}\n{}",
        agent_says(admin, words),
        ask(admin, &["logs", "ds/berth-agent"])
    );
}

async fn until_event(events: &Api<Event>, pod: &str, reason: &str, words: &str) {
    let there = async || {
        let events = events.list(&ListParams::default()).await?.items;
        let of_pod = |event: &&Event| {
            event.regarding.as_ref().and_then(|of| of.name.as_deref()) == Some(pod)
        };
        let says = |event: &&Event| event.note.as_ref().is_some_and(|note| note.contains(words));
        let found = events.iter().filter(of_pod).filter(says);
        Ok(found.filter(|event| event.reason.as_deref() == Some(reason)).count().checked_sub(1))
    };
    let said = eventually(&format!("the event {reason} of {pod}"), POD_LIMIT, there).await;
    if said.is_err() {
        let all: Vec<_> = events
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .into_iter()
            .map(|one| (one.reason, one.note))
            .collect();
        panic!("{said:?}; there are {all:#?}");
    }
}
