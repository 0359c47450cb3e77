//! Sizes that follow measurement, on the real kernel: a noisy pod gets a pool of its own and comes back, a
//! quota holds batch work.

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
    wait_until("the finding", LIMIT, || agent.has_finding("isolation-blind"));
    assert!(!agent.decisions().contains("isolation-in"));
    assert_eq!(agent.stop(), 0);
}

/// What the pods may use together, in thousandths of a CPU; `None` where one may use all.
fn quota(scene: &Scene) -> Option<u64> {
    let of = |pod: &TestCgroup| {
        let text = pod.read("cpu.max");
        let (quota, period) = text.split_once(' ').expect("two words");
        Some(quota.parse::<u64>().ok()? * 1000 / period.parse::<u64>().expect("a period"))
    };
    scene.pods.iter().map(of).sum()
}

/// Sixteen hogs on eight CPUs that shall be half busy: 8 x 0.5 and no more for all of them.
#[test]
fn agent_provision_holds_batch_work_with_a_quota_and_puts_it_back() {
    let scene = Scene::new("quota", 2);
    let before = scene.knobs();
    let keys = "[provision]\nrule = \"dynamic_quota\"\nquota_target_ratio = 0.5\n\
                [suppression]\nenabled = false\n";
    let config = format!("{}{keys}", scene.config("enforce", "tick_ms = 500"));
    let mut agent = Agent::start(&scene, &config);
    wait_until("a quota for each pod", LIMIT, || quota(&scene).is_some());
    let hogs: Vec<_> = scene.pods.iter().map(|pod| pod.spin(8, None)).collect();
    let held = || quota(&scene).is_some_and(|milli| (2500..=4500).contains(&milli));
    wait_until("a quota of about four CPUs", LIMIT, held);
    wait_until("the kernel to throttle", LIMIT, || {
        scene.pods.iter().all(|pod| pod.read_key("cpu.stat", "nr_throttled") > 0)
    });
    // The pool is all CPUs, for both.
    assert_eq!(cpus(&scene.pods[0]).len(), 8);
    agent.kill();
    wait_until("everything to be put back", LIMIT, || scene.knobs() == before);
    drop(hogs);
}

/// The guest has two NUMA nodes: what reclaimed work has on each is known, so the guard has a limit.
#[test]
fn agent_provision_guards_memory_on_two_nodes() {
    let scene = Scene::new("guard", 2);
    let load = scene.pods[0].hold_memory(16);
    let keys = "[memory]\nguard = true\nkeep_free = \"64Mi\"\n";
    let config = format!("{}{keys}", scene.config("enforce", "tick_ms = 500"));
    let agent = Agent::start(&scene, &config);
    let limited = |pod: &TestCgroup| pod.read("memory.max").parse::<u64>().is_ok();
    wait_until("a limit", LIMIT, || scene.pods.iter().all(limited));
    for pod in &scene.pods {
        let max: u64 = pod.read("memory.max").parse().expect("bytes");
        let high: u64 = pod.read("memory.high").parse().expect("bytes");
        assert!(high < max && max > 16 << 20, "{high} of {max}");
    }
    assert_eq!(agent.stop(), 0);
    let back: Vec<String> = scene.pods.iter().map(|pod| pod.read("memory.max")).collect();
    assert_eq!(back, ["max", "max"]);
    drop(load);
}
