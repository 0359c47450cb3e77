//! What can go wrong around the agent: killed at any moment, stopped, started twice, fed garbage,
//! cgroups and clocks that move under it.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use vmtest::{process, wait_until};

use crate::agent_process::{Agent, LIMIT, Scene};
use crate::cgroup_knobs::measured;

#[test]
fn smoke_agent_killed_at_any_moment_is_undone_within_ten_seconds() {
    let scene = Scene::new("killed", 3);
    let before = scene.knobs();
    let _loads = scene.contend();
    for delay_ms in [20, 150, 400, 900, 1500, 2500] {
        let mut agent = Agent::spawn(&scene, &scene.config("enforce", ""));
        std::thread::sleep(Duration::from_millis(delay_ms));
        agent.kill();
        undone(&scene, &before);
        // The watchdog may find nothing to do; it is given time to end before the next round.
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(scene.knobs(), before, "killed after {delay_ms} ms");
    }
}

#[test]
fn smoke_agent_killed_while_suppressing_is_undone_within_ten_seconds() {
    let scene = Scene::new("undone", 3);
    let before = scene.knobs();
    let mut agent = Agent::start(&scene, &scene.config("enforce", ""));
    let _loads = scene.contend();
    wait_until("a suppression", LIMIT, || scene.is_suppressed());
    agent.kill();
    assert_ne!(scene.knobs(), before, "there is something to undo");
    let took = undone(&scene, &before);
    measured(&format!("agent_undone_after_kill_ms {}", took.as_millis()));
}

/// Waits until the files hold what they held before; how long that took.
#[track_caller]
fn undone(scene: &Scene, before: &[String]) -> Duration {
    let died = Instant::now();
    let back = || scene.knobs() == before;
    wait_until("everything to be put back", Duration::from_secs(10), back);
    died.elapsed()
}

#[test]
fn agent_killed_while_suppressing_is_undone_and_its_successor_takes_over() {
    let scene = Scene::new("successor", 2);
    let before = scene.knobs();
    let mut agent = Agent::start(&scene, &scene.config("enforce", ""));
    let loads = scene.contend();
    wait_until("a suppression", LIMIT, || scene.is_suppressed());
    agent.kill();
    let successor = Agent::spawn(&scene, &scene.config("enforce", ""));
    successor.wait_for_socket();
    // Whoever is first: the watchdog waits a second, and an agent may need longer to start here.
    wait_until("the watchdog to stand back or to have restored", LIMIT, || {
        let log = successor.log_text();
        log.contains("A new agent took over") || log.contains("Originals restored")
    });
    drop(loads);
    assert_eq!(successor.stop(), 0);
    assert_eq!(scene.knobs(), before, "the successor knew the first one's originals");
}

/// Agent and watchdog died together, as when their whole cgroup is killed.
#[test]
fn agent_that_only_observes_puts_back_what_a_dead_one_left() {
    let scene = Scene::new("inherited", 2);
    let before = scene.knobs();
    let mut agent = Agent::start(&scene, &scene.config("enforce", ""));
    let weight = |pod: &vmtest::TestCgroup| pod.read("cpu.weight") == "1";
    wait_until("the weight of batch work", LIMIT, || scene.pods.iter().all(weight));
    agent.kill_with_watchdog();
    // Longer than the watchdog's grace: nobody comes.
    std::thread::sleep(Duration::from_secs(2));
    assert_ne!(scene.knobs(), before, "there is something to put back");
    let observer = Agent::spawn(&scene, &scene.config("observe", ""));
    observer.wait_for_socket();
    wait_until("everything to be put back", LIMIT, || scene.knobs() == before);
    let log = "What an agent that died had changed is back";
    wait_until("the log to say so", LIMIT, || observer.log_text().contains(log));
    let told = || observer.says(&["explain", "inherited-changes"]).contains("files were put back");
    wait_until("the finding", LIMIT, told);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(scene.knobs(), before, "and then it only observes");
    assert_eq!(observer.stop(), 0);
}

#[test]
fn agent_refuses_to_run_beside_another() {
    let scene = Scene::new("twice", 1);
    let first = Agent::start(&scene, &scene.config("observe", ""));
    let log = fs::read_to_string(&first.log).unwrap_or_default();
    let second = Agent::spawn(&scene, &scene.config("observe", ""));
    let (code, text) = second.outcome();
    let told = text.strip_prefix(log.as_str()).unwrap_or(&text);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains(&format!("pid {}", first.pid())), "{told}");
    assert!(first.berth(&["pools"]).status.success(), "the first one still answers");
}

#[test]
fn smoke_agent_refuses_a_bad_configuration_with_64() {
    let scene = Scene::new("config", 1);
    for (keys, words) in [
        ("tick_ms = 7", "agent.tick_ms = 7: allowed is 100 to 3000"),
        ("tick_sm = 7", "tick_sm"),
        ("listen = 5", "listen"),
    ] {
        let _absent = fs::remove_file("/tmp/config.log");
        let (code, log) = Agent::spawn(&scene, &scene.config("enforce", keys)).outcome();
        assert_eq!(code, 64, "{log}");
        assert!(log.contains(words), "{log}");
    }
}

#[test]
fn agent_starts_clean_from_a_torn_checkpoint() {
    let scene = Scene::new("torn", 1);
    let config = scene.config("enforce", "tick_ms = 200");
    let agent = Agent::start(&scene, &config);
    let checkpoint = agent.dir.join("plan.checkpoint");
    wait_until("a checkpoint", LIMIT, || checkpoint.exists());
    let dir = agent.dir.clone();
    assert_eq!(agent.stop(), 0);
    let whole = fs::read(&checkpoint).expect("read the checkpoint");
    fs::write(&checkpoint, &whole[..whole.len() / 2]).expect("tear it");
    fs::write(dir.join("originals-slow.log"), b"00000000 {\"torn").expect("tear the journal");
    let agent = Agent::spawn(&scene, &config);
    agent.wait_for_socket();
    let log = agent.log_text();
    assert!(log.contains("clean start") && log.contains("shorter or longer"), "{log}");
    assert!(log.contains("Damaged lines in a journal"), "{log}");
    assert_eq!(agent.stop(), 0);
}

#[test]
fn agent_survives_cgroups_that_vanish_under_it() {
    let mut scene = Scene::new("vanish", 4);
    let agent = Agent::start(&scene, &scene.config("enforce", "tick_ms = 200"));
    let loads = scene.contend();
    wait_until("a suppression", LIMIT, || scene.is_suppressed());
    scene.pods.remove(1).remove();
    scene.pods.remove(0).remove();
    std::thread::sleep(Duration::from_secs(2));
    assert!(agent.berth(&["pools"]).status.success(), "{}", agent.log_text());
    let left = String::from_utf8_lossy(&agent.berth(&["qos"]).stdout).into_owned();
    assert!(left.contains("batch/pod-2") && !left.contains("batch/pod-0"), "{left}");
    drop(loads);
    assert_eq!(agent.stop(), 0);
}

#[test]
fn agent_says_that_a_glob_matches_nothing() {
    let scene = Scene::new("glob", 1);
    let config = format!(
        "{}[[workload]]\ncgroup = \"/nowhere/*\"\nname = \"n\"\nqos = \"shared_cores\"\n",
        scene.config("observe", "")
    );
    let agent = Agent::start(&scene, &config);
    wait_until("the warning", LIMIT, || {
        agent.log_text().contains("A [[workload]] matches no cgroup cgroup=/nowhere/*")
    });
    assert_eq!(agent.stop(), 0);
}

#[test]
fn agent_stopped_for_ten_seconds_goes_on_where_it_was() {
    let scene = Scene::new("sigstop", 2);
    let agent = Agent::start(&scene, &scene.config("enforce", "tick_ms = 200"));
    let loads = scene.contend();
    wait_until("a suppression", LIMIT, || scene.is_suppressed());
    agent.signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs(10));
    agent.signal(Signal::CONT);
    drop(loads);
    wait_until("batch work to be let go after the pause", LIMIT, || {
        scene.pods.iter().all(|pod| pod.read("cpu.idle") == "0")
    });
    assert!(agent.berth(&["pools"]).status.success());
    assert_eq!(agent.stop(), 0);
}

#[test]
fn agent_does_not_notice_a_clock_that_jumps() {
    let scene = Scene::new("clock", 2);
    let agent = Agent::start(&scene, &scene.config("enforce", "tick_ms = 200"));
    let set = |stamp: &str| {
        let output = process::run(Command::new("date").args(["-s", stamp]), LIMIT);
        assert!(output.status.success(), "{output:?}");
    };
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
    set(&format!("@{}", now + 3600));
    let loads = scene.contend();
    wait_until("suppression after a jump forwards", LIMIT, || scene.is_suppressed());
    set(&format!("@{now}"));
    drop(loads);
    wait_until("the end after a jump backwards", LIMIT, || {
        scene.pods.iter().all(|pod| pod.read("cpu.idle") == "0")
    });
    assert_eq!(agent.stop(), 0);
}
