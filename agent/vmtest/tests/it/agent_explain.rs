//! What a person is told on a real node: why a workload is where it is, and every term of what batch work is promised.

use serde_json::Value;
use vmtest::wait_until;

use crate::agent_process::{Agent, LIMIT, Scene};

/// The terms of a sum as `berth headroom -o json` gives them; `None` while there is no result.
fn sum_of(headroom: &Value, what: &str) -> Option<(f64, Vec<(String, f64)>)> {
    let sum = &headroom[what];
    let terms = sum["terms"]
        .as_array()?
        .iter()
        .filter_map(|term| Some((term["term"].as_str()?.to_owned(), term["value"].as_f64()?)));
    Some((sum["result"].as_f64()?, terms.collect()))
}

#[test]
fn smoke_agent_explains_a_pod_and_the_headroom_with_their_arithmetic() {
    let scene = Scene::new("explain", 2);
    let db = scene.root.child("db");
    let config = scene.config("enforce", "")
        + "[headroom]\nsample_every_ms = 1000\nmemory_reserve = \"64Mi\"\n\
           [[workload]]\ncgroup = \"/t-explain/db\"\nname = \"db\"\nqos = \"dedicated_cores\"\n\
           request_milli_cpu = 2000\nenhancements = { numa_binding = true }\n";
    let agent = Agent::start(&scene, &config);
    let _loads = (db.spin(1, None), scene.api.spin(1, None), scene.pods[0].spin(1, None));
    // A tick whose readings are too far apart promises nothing and says so; the next one does again.
    let mut promised = Vec::new();
    wait_until("a promise of CPU and memory", LIMIT, || {
        let said = agent.berth(&["headroom", "-o", "json"]).stdout;
        let now: Value = serde_json::from_slice(&said).unwrap_or_default();
        promised = ["cpu", "memory"]
            .iter()
            .filter_map(|what| Some((*what, sum_of(&now, what)?)))
            .collect();
        promised.len() == 2
    });
    for (what, (result, terms)) in promised {
        let sum: f64 = terms.iter().map(|(_, value)| value).sum();
        assert!((sum - result).abs() < 1.0, "{what}: {result} is not the sum of {terms:?}");
        assert!(result >= 0.0, "{what}: {result}");
    }
    wait_until("the same for a person", LIMIT, || {
        let explained = agent.says(&["explain", "headroom"]);
        explained.contains("reclaim_pool") && explained.contains("memory: ")
    });

    let explained = agent.says(&["explain", "db"]);
    let cpus = db.read("cpuset.cpus.effective");
    let place = format!("workload db (dedicated_cores): pool dedicated, CPUs {cpus}");
    assert!(explained.starts_with(&place), "{explained}");
    let arithmetic = format!("=> db: CPUs {cpus} of its own on NUMA nodes ");
    let inputs = "level = dedicated_cores, request = 2000 mCPU, free = ";
    assert!(explained.contains(inputs) && explained.contains(&arithmetic), "{explained}");
    let refused = agent.berth(&["explain", "bd"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("db"), "{told}");
}
