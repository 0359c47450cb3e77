//! Sizes that follow measurement, on the real kernel: a noisy pod gets a pool of its own and comes back.

use std::time::Duration;

use vmtest::{TestCgroup, wait_until};

use crate::agent_process::{Agent, LIMIT, Scene};

/// A service of the scene with a second one beside it, both shared.
fn config(scene: &Scene, provision: &str) -> String {
    format!(
        "{}[[workload]]\ncgroup = \"/t-{name}/noisy\"\nname = \"noisy\"\nqos = \"shared_cores\"\n\
         request_milli_cpu = 1000\n[provision]\n{provision}\n",
        scene.config("enforce", "tick_ms = 200"),
        name = scene.name(),
    )
}

fn cpus(group: &TestCgroup) -> model::CpuSet {
    group.read("cpuset.cpus.effective").parse().expect("a CPU list")
}

/// Eight threads on a request of one CPU: more than min(1.5 x 1, 1 + 2) runnable tasks.
#[test]
fn agent_provision_isolates_a_noisy_pod_until_it_is_quiet() {
    let scene = Scene::new("noisy", 1);
    let noisy = scene.root.child("noisy");
    let before = scene.knobs();
    let isolation = "isolation = { enabled = true, quiet_ms = 3000, max_cpu_ratio = 0.5 }";
    let agent = Agent::start(&scene, &config(&scene, isolation));
    let service = scene.api.periodic(Duration::from_millis(20), Duration::from_millis(2), None);
    let crowd = noisy.spin(8, None);
    wait_until("isolation", LIMIT, || agent.decisions().contains("isolation-in"));
    let apart = || {
        let own = cpus(&noisy);
        let others = [&scene.api, &scene.pods[0]];
        own.len() == 1 && others.iter().all(|other| cpus(other).is_disjoint(&own))
    };
    wait_until("a CPU of its own, and nobody else's", LIMIT, apart);
    let pools = agent.says(&["pools"]);
    assert!(pools.contains("isolation-noisy"), "{pools}");
    drop(crowd);
    wait_until("the end of it", LIMIT, || agent.decisions().contains("isolation-out"));
    wait_until("the pool of all others", LIMIT, || cpus(&noisy) == cpus(&scene.api));
    drop(service);
    assert_eq!(agent.stop(), 0);
    assert_eq!(scene.knobs(), before, "a clean stop leaves no trace");
}

#[test]
fn agent_provision_without_bpf_isolates_nobody_and_says_why() {
    let scene = Scene::new("uncounted", 1);
    let _noisy = scene.root.child("noisy");
    let keys = config(&scene, "isolation = { enabled = true }");
    let agent =
        Agent::start(&scene, &keys.replace("tick_ms = 200", "tick_ms = 200\nprobe = false"));
    let why = "no pod is isolated, runnable tasks are not counted";
    wait_until("the finding", LIMIT, || agent.says(&["-o", "json", "snapshot"]).contains(why));
    assert_eq!(agent.stop(), 0);
}
