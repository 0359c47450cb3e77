//! A real agent records, and what it recorded runs again: every decision of a node under load comes
//! out the same from the file alone.

use std::process::Command;

use vmtest::{process, wait_until};

use crate::agent_process::{Agent, LIMIT, Scene};

#[test]
fn smoke_agent_recording_runs_again_the_same() {
    let scene = Scene::new("recording", 3);
    let path = "/tmp/recording.berth";
    for old in [path, "/tmp/recording.berth.1"] {
        let _absent = std::fs::remove_file(old);
    }
    let config = scene.config("enforce", "");
    let config = format!("{config}[recording]\npath = \"{path}\"\n");
    let agent = Agent::start(&scene, &config);
    let loads = scene.contend();
    wait_until("suppression of every pod", LIMIT, || scene.is_suppressed());
    assert!(agent.berth(&["mode", "observe"]).status.success());
    assert!(agent.berth(&["mode", "enforce"]).status.success());
    drop(loads);
    wait_until("batch work to be let go", LIMIT, || {
        scene.pods.iter().all(|pod| pod.read("cpu.idle") == "0")
    });
    let explained = agent.says(&["explain", "api"]);
    assert!(explained.contains("workload api (shared_cores): pool share"), "{explained}");
    let policy = agent.says(&["policy"]);
    assert!(policy.contains("/tmp/recording.toml:1"), "{policy}");
    let snapshot = agent.berth(&["snapshot", "-o", "json"]).stdout;
    std::fs::write("/tmp/recording.json", snapshot).expect("write the Snapshot");
    assert_eq!(agent.stop(), 0);

    let replayed = process::run(Command::new("berth-agent").args(["replay", path]), LIMIT);
    let said = String::from_utf8_lossy(&replayed.stdout).into_owned();
    assert!(replayed.status.success(), "{said}{}", String::from_utf8_lossy(&replayed.stderr));
    assert!(said.contains("all the same") && !said.contains(" 0 decisions"), "{said}");
    let recording = std::fs::read_to_string(path).expect("text");
    assert!(recording.contains("suppress-begin"), "no suppression was recorded");
    let plan = ["plan", "--from", "/tmp/recording.json"];
    let planned = process::run(Command::new("berth-agent").args(plan), LIMIT);
    let said = String::from_utf8_lossy(&planned.stdout).into_owned();
    assert!(planned.status.success() && said.contains("pool share"), "{said}");
}
