//! `cargo xtask soak long`: the agent for minutes under churn.

use std::fs;
use std::time::{Duration, Instant};

use vmtest::wait_until;

use crate::agent_hosts::status_kib;
use crate::agent_process::{Agent, LIMIT, Scene};
use crate::cgroup_knobs::measured;

/// A turn is a burst, a pod that goes and one that comes, and a calm second.
const SPAN: Duration = Duration::from_secs(5 * 60);
/// What the allocator may keep beside a thousand decisions in memory.
const SLACK_KIB: u64 = 6 * 1024;

/// Memory and descriptors stay, every burst is answered, and the end leaves no trace.
#[test]
fn soak_agent_under_churn_grows_in_nothing_and_leaves_no_trace() {
    let mut scene = Scene::new("soak", 3);
    let before = scene.knobs();
    let agent = Agent::start(
        &scene,
        &scene.config("enforce", "tick_ms = 200\n[suppression]\nhold_ms = 1000"),
    );
    let began = Instant::now();
    let (mut turns, mut first) = (0u32, None);
    while began.elapsed() < SPAN {
        let loads = scene.contend();
        wait_until("suppression in each turn", LIMIT, || scene.is_suppressed());
        drop(loads);
        wait_until("batch work to be let go", LIMIT, || {
            scene.pods.iter().all(|pod| pod.read("cpu.idle") == "0")
        });
        scene.replace_pod();
        turns += 1;
        let now = (status_kib(agent.pid(), "VmRSS"), descriptors(agent.pid()));
        if turns % 5 == 0 {
            measured(&format!("soak_turn_{turns} rss_kib {} descriptors {}", now.0, now.1));
        }
        // The first turns fill what is kept: decisions, slots, the allocator.
        let first = *first.get_or_insert(now);
        if turns <= 5 {
            continue;
        }
        assert!(now.0 < first.0 + SLACK_KIB, "turn {turns}: {} KiB after {}", now.0, first.0);
        // One pod more or less, and what a lane has not closed yet.
        assert!(now.1 <= first.1 + 60, "turn {turns}: {} descriptors after {}", now.1, first.1);
    }
    assert!(turns > 5, "{turns} turns");
    measured(&format!("soak_turns {turns}"));
    assert!(!agent.log_text().contains("panicked"), "{}", agent.log_text());
    assert_eq!(agent.stop(), 0);
    assert_eq!(scene.knobs(), before, "a clean stop leaves no trace");
}

#[track_caller]
fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("list descriptors").count()
}
