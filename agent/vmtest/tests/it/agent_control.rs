//! The agent's main job on the real kernel: it sees contention, holds batch work down, lets it go,
//! and leaves no trace when it ends.

use std::time::{Duration, Instant};

use vmtest::{guest, wait_until};

use crate::agent_process::{Agent, LIMIT, Scene};
use crate::cgroup_knobs::measured;

#[test]
fn smoke_agent_holds_batch_down_while_the_service_suffers_and_lets_it_go() {
    let scene = Scene::new("control", 3);
    let before = scene.knobs();
    let agent = Agent::start(&scene, &scene.config("enforce", ""));
    let loads = scene.contend();
    let began = Instant::now();
    wait_until("suppression of every pod", LIMIT, || scene.is_suppressed());
    measured(&format!("agent_suppresses_after_start_of_load_ms {}", began.elapsed().as_millis()));
    drop(loads);
    wait_until("batch work to be let go", LIMIT, || {
        scene.pods.iter().all(|pod| pod.read("cpu.idle") == "0")
    });
    wait_until("the suppression to be measured", LIMIT, || {
        agent.decisions().contains("suppression-done")
    });
    assert_eq!(agent.stop(), 0);
    assert_eq!(scene.knobs(), before, "a clean stop leaves no trace");
}

/// The page as a scraper of the node sees it: the offenders of `why-slow` are series.
#[test]
fn smoke_agent_metrics_tell_who_makes_the_service_wait() {
    let scene = Scene::new("metrics", 2);
    let agent = Agent::start(&scene, &scene.config("observe", ""));
    let loads = scene.contend();
    let value = |page: &str, series: &str| -> Option<f64> {
        let line = page.lines().find(|line| line.starts_with(series))?;
        line.rsplit_once(' ')?.1.parse().ok()
    };
    let batch = "berth_agent_workload_runq_wait_for_seconds{workload=\"api\",offender=\"batch/pod-";
    let waited = || value(&agent.http("/metrics"), batch).is_some_and(|seconds| seconds > 0.0);
    wait_until("batch work to be named", LIMIT, waited);
    let api = "{workload=\"api\",qos=\"shared_cores\"}";
    wait_until("pressure to be told", LIMIT, || {
        let page = agent.http("/metrics");
        let pressure = value(&page, &format!("berth_agent_workload_cpu_pressure_ratio{api}"));
        pressure.is_some_and(|ratio| ratio > 0.0 && ratio <= 1.0)
    });
    let page = agent.http("/metrics");
    let ratio = |name: &str| value(&page, &format!("berth_agent_workload_{name}_ratio{api}"));
    assert_eq!(ratio("throttled"), Some(0.0), "nobody throttles it:\n{page}");
    let unknown = ratio("runq_wait_unknown");
    assert!(unknown.is_some_and(|unknown| unknown < 0.05), "{unknown:?}:\n{page}");
    drop(loads);
    assert_eq!(agent.stop(), 0);
}

#[test]
fn smoke_agent_answers_its_cli() {
    let scene = Scene::new("cli", 2);
    let agent = Agent::start(&scene, &scene.config("enforce", ""));
    let _loads = scene.contend();
    wait_until("a suppression", LIMIT, || scene.is_suppressed());
    // By the kernel's pressure it may be held down before the first interval of run-queue waits is over.
    let knows = || agent.berth(&["why-slow", "api"]).status.success();
    wait_until("run-queue waits to be known", LIMIT, knows);
    for (args, words) in [
        (&["qos"][..], "reclaimed_cores"),
        (&["pools"], "reclaim"),
        (&["why-slow", "api"], "100"),
        (&["decisions", "-n", "1000"], "suppress-begin"),
        (&["top", "--once"], "batch/pod-1"),
        (&["-o", "json", "qos"], "\"api\""),
    ] {
        let output = agent.berth(args);
        let text = String::from_utf8_lossy(&output.stdout);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "berth {args:?}: {error}");
        assert!(text.contains(words), "berth {args:?} does not say {words}:\n{text}");
    }
    let absent = agent.berth(&["why-slow", "aip"]);
    assert_eq!(absent.status.code(), Some(4), "no such workload");
    let output = agent.berth(&["doctor"]);
    let doctor = String::from_utf8_lossy(&output.stdout);
    for check in ["cgroup v2", "controllers", "PSI", "BPF probes"] {
        assert!(doctor.contains(check), "doctor does not speak of {check}:\n{doctor}");
    }
}

#[test]
fn agent_observes_without_writing_and_changes_mode_on_request() {
    let scene = Scene::new("observe", 2);
    let before = scene.knobs();
    let agent = Agent::start(&scene, &scene.config("observe", ""));
    let _loads = scene.contend();
    wait_until("a decision", LIMIT, || agent.decisions().contains("suppress-begin"));
    assert_eq!(scene.knobs(), before, "observe mode writes nothing");
    // On a machine as full as this one an answer may be late, and is then a refusal: it is asked again.
    let set = |mode| {
        let what = format!("the agent to answer to `berth mode {mode}`");
        wait_until(&what, LIMIT, || agent.berth(&["mode", mode]).status.success());
    };
    set("enforce");
    wait_until("suppression after the change of mode", LIMIT, || scene.is_suppressed());
    set("observe");
    wait_until("originals to be back", LIMIT, || scene.knobs() == before);
}

#[test]
fn agent_without_bpf_suppresses_by_pressure() {
    let scene = Scene::new("pressure", 3);
    let agent = Agent::start(&scene, &scene.config("enforce", "probe = false"));
    wait_until("the trigger", LIMIT, || agent.log_text().contains("Pressure trigger armed"));
    let began = Instant::now();
    let _loads = scene.contend();
    wait_until("suppression without BPF", LIMIT, || scene.is_suppressed());
    let took = began.elapsed();
    measured(&format!("agent_suppresses_by_pressure_ms {}", took.as_millis()));
    let doctor = agent.berth(&["doctor"]);
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("agent.probe = false"));
}

#[test]
fn agent_notices_a_cpu_that_goes_away_and_comes_back() {
    let scene = Scene::new("hotplug", 2);
    let agent = Agent::start(&scene, &scene.config("enforce", "tick_ms = 200"));
    let online = "/sys/devices/system/cpu/cpu5/online";
    let pools = |wanted: bool, what: &str| {
        wait_until(what, LIMIT, || {
            let output = agent.berth(&["-o", "json", "pools"]);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            output.status.success() && mentions_cpu(&text, 5) == wanted
        });
    };
    pools(true, "CPU 5 to be in a pool");
    std::fs::write(online, "0").expect("take CPU 5 offline");
    pools(false, "CPU 5 to leave every pool");
    std::fs::write(online, "1").expect("bring CPU 5 back");
    pools(true, "CPU 5 to be used again");
    assert_eq!(guest().cpus, 8, "this test speaks of CPU 5 of 8");
    assert_eq!(agent.stop(), 0);
}

/// Whether a pool in the JSON text holds the CPU.
fn mentions_cpu(text: &str, cpu: u16) -> bool {
    let json: serde_json::Value = serde_json::from_str(text).expect("JSON of the pools");
    let pools = json["pools"].as_array().expect("a list of pools");
    pools.iter().any(|pool| {
        let cpus = pool["cpus"].as_str().expect("a CPU list");
        cpus.parse::<model::CpuSet>().expect("a CPU list").contains(model::CpuId(cpu))
    })
}

#[test]
fn agent_puts_back_what_somebody_else_wrote_and_says_so() {
    let scene = Scene::new("foreign", 2);
    let agent = Agent::start(&scene, &scene.config("enforce", "tick_ms = 200"));
    let pod = &scene.pods[0];
    let planned = || scene.pods[0].read("cpu.weight") == "1";
    wait_until("the planned weight", LIMIT, planned);
    std::thread::sleep(Duration::from_secs(1));
    pod.write("cpu.weight", "7777");
    wait_until("the planned weight again", LIMIT, planned);
    assert_eq!(agent.stop(), 0);
}
