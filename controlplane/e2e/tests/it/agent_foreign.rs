//! Another plugin of the runtime that changes cpusets beside the agent: what becomes of pods that own CPUs, and of its own.

use std::path::Path;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _};
use serde_json::json;
use testkit::{Bench, Cluster, Settings, eventually};

use crate::node::{POD_LIMIT, cgroup_file, pod, run};
use crate::node_agent::{Agent, SOON, dedicated, plain_files, until_file, with_libraries};
use crate::placement::until_right;

/// In the folder of its own.
const PLUGIN: &str = "cd /run/pin && LD_LIBRARY_PATH=/run/pin setsid ./plugin /var/run/nri/nri.sock to >log 2>&1 </dev/null &";
const REFUSE: &str =
    "sed -i 's/^on_unplaceable.*/on_unplaceable = \"fail\"/' /run/berth-bin/agent.toml";

/// By the annotations of the plugin.
fn asking(name: &str, annotation: &str, value: &str) -> Pod {
    let mut pod = pod(name, json!({}));
    pod.annotations_mut().insert(format!("bench.test/{annotation}"), value.to_owned());
    pod
}

/// Told and put right, or not made, as the configuration says.
#[tokio::test]
async fn a_plugin_that_takes_cpus_from_an_owner_is_named_and_may_be_refused() {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let mut files = plain_files("enforce", "on_unplaceable = \"degrade\"\n");
    let plugin = Path::new(env!("CARGO_BIN_EXE_pin-plugin"));
    files.extend(with_libraries("/run/pin", &[("plugin", plugin)]));
    let node = cluster.add_node(&bench, &Settings { files, ..Settings::default() }).await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await.unwrap());
    let agent = Agent::start(&node).await;
    let owner = run(&bench, &pods, &dedicated("owner", "1")).await;
    let own = cgroup_file(&node, &owner, "cpuset.cpus").await;
    node.shell().run(PLUGIN).await.unwrap().success().unwrap();
    let registered =
        async || Ok(agent.sh("cat /run/pin/log").await.contains("Synchronize").then_some(()));
    eventually("the plugin to be registered", POD_LIMIT, registered).await.unwrap();

    // Onto its CPUs, past the field for which the runtime itself refuses a second plugin.
    run(&bench, &pods, &asking("near", "cpus-by-file", &own)).await;
    until_right(&agent, &pods, SOON).await;
    let near = format!(
        "plugin 10-pin puts default/near on CPUs {own}, of which {own} are default/owner's own"
    );
    until_told(&agent, &["foreign-cpuset", &near]).await;

    // Away from them, while another pod starts.
    run(&bench, &pods, &asking("mover", "moves", "default/owner=0-3")).await;
    until_file(&agent, &owner, "cpuset.cpus", &own, SOON).await;
    until_told(&agent, &["plugin 10-pin sets cpuset.cpus of default/owner to"]).await;

    agent.sh(REFUSE).await;
    let before = agent.n_logged("The container runtime is heard").await;
    agent.sh("kill $(cat /run/berth-bin/pid)").await;
    agent.until_gone().await;
    agent.spawn().await;
    agent.until_logged_again("The container runtime is heard", before).await;
    until_right(&agent, &pods, SOON).await;
    pods.create(&Default::default(), &asking("late", "cpus-by-file", &own)).await.unwrap();
    let refused = async || {
        let late = pods.get("late").await?;
        let status = late.status.and_then(|status| status.container_statuses).unwrap_or_default();
        let waiting = status.into_iter().find_map(|one| one.state?.waiting?.message);
        Ok(waiting.filter(|why| why.contains("berth: plugin 10-pin puts default/late")))
    };
    let why =
        eventually("the kubelet to say why it is not made", POD_LIMIT, refused).await.unwrap();
    assert!(why.contains("the container is not made (kubernetes.on_unplaceable = fail)"), "{why}");
    // Whoever takes nothing from anybody starts.
    run(&bench, &pods, &pod("plain", json!({}))).await;
    until_right(&agent, &pods, SOON).await;
}

/// Findings are of the last tick.
async fn until_told(agent: &Agent<'_>, words: &[&str]) {
    let told = async || {
        let said = agent.berth("top --once").await;
        Ok(words.iter().all(|words| said.contains(words)).then_some(()))
    };
    let told = eventually("the agent to tell of the plugin", SOON, told).await;
    assert!(told.is_ok(), "{told:?}\n{}", agent.berth("top --once").await);
}
