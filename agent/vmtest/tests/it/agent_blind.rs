//! A kernel booted with `psi=0`, which xtask does for the cases named `nopsi_` alone: what the agent then sees contention
//! with, and that it says so.

use std::fs;
use std::time::Duration;

use hostfs::cgroup::read::PressureOf;
use hostfs::cgroup::trigger::PsiTrigger;
use hostfs::psi::{Stalled, Threshold};
use hostfs::{HostRoot, ReadError};
use model::Micros;
use model::plan::FailureKind;
use vmtest::{TestCgroup, guest, wait_until};

use crate::agent_process::{Agent, LIMIT, Scene};
use crate::cgroup_knobs::open;

/// Fails in any other boot.
#[track_caller]
fn guest_without_psi() {
    guest();
    let line = fs::read_to_string("/proc/cmdline").expect("the kernel's command line");
    assert!(line.split_whitespace().any(|word| word == "psi=0"), "booted with {line}");
}

/// Absent on the machine, there but not offered in a cgroup: neither is "no pressure".
#[test]
fn nopsi_the_kernel_keeps_no_pressure() {
    guest_without_psi();
    let host = hostfs::procfs::read_pressure(&HostRoot::new("/"), PressureOf::Cpu);
    let host = host.expect_err("no pressure of the machine");
    assert!(matches!(host, ReadError::Absent { .. } | ReadError::Unsupported { .. }), "{host:?}");
    let group = TestCgroup::new("nopsi");
    let cgroup = open(&group);
    let read = cgroup.pressure(PressureOf::Cpu).expect_err("no pressure of a cgroup");
    assert!(matches!(read, ReadError::Unsupported { .. }), "{read:?}");
    let threshold = Threshold::new(Stalled::Some, Micros(50_000), Micros(500_000));
    let armed = PsiTrigger::arm(&cgroup, PressureOf::Cpu, threshold.expect("a valid threshold"));
    assert_eq!(armed.expect_err("no trigger").kind(), FailureKind::Unsupported);
}

#[test]
fn nopsi_agent_suppresses_by_run_queue_waits_alone() {
    guest_without_psi();
    let scene = Scene::new("nopsi", 2);
    let before = scene.knobs();
    let agent = Agent::start(&scene, &scene.config("enforce", ""));
    let loads = scene.contend();
    wait_until("suppression without PSI", LIMIT, || scene.is_suppressed());
    drop(loads);
    let ready = agent.http("/readyz");
    assert!(ready.starts_with("HTTP/1.1 200"), "PSI only stands in for the probe:\n{ready}");
    says("readyz", &ready, "[+] psi: PSI is off: ");
    says("readyz", &ready, "[+] witness: BPF run-queue waits alone; PSI is off");
    let doctor = agent.says(&["doctor"]);
    says("doctor", &doctor, "PSI is off: ");
    says("doctor", &doctor, "psi=1");
    says("doctor", &doctor, "BPF run-queue waits alone");
    let metrics = agent.http("/metrics");
    says("metrics", &metrics, "berth_agent_psi_off{why=\"PSI is off: ");
    says("metrics", &metrics, "berth_agent_signal{signal=\"good\"} 1");
    assert!(!agent.log_text().contains("pressure trigger"), "nobody waits for triggers");
    assert_eq!(agent.stop(), 0);
    assert_eq!(scene.knobs(), before, "a clean stop leaves no trace");
}

/// Without either the agent is blind for bursts. It says so as an error, plans pools by requests and usage, and does
/// not guess.
#[test]
fn nopsi_agent_without_bpf_says_that_nobody_tells_of_bursts() {
    guest_without_psi();
    let scene = Scene::new("blind", 2);
    let before = scene.knobs();
    let agent = Agent::start(&scene, &scene.config("enforce", "probe = false\ntick_ms = 200"));
    let none = "none, neither BPF nor PSI: bursts are not seen and nothing is suppressed";
    let ready = agent.http("/readyz");
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    says("readyz", &ready, &format!("[-] witness: {none}"));
    says("readyz", &ready, "[-] probe: turned off by agent.probe = false");
    let doctor = agent.says(&["doctor"]);
    says("doctor", &doctor, none);
    let log = agent.log_text();
    let told: Vec<_> = log.lines().filter(|line| line.contains(none)).collect();
    assert!(told.len() == 1 && told[0].contains("ERROR"), "{log}");
    let _loads = scene.contend();
    std::thread::sleep(Duration::from_secs(3));
    wait_until("pools all the same", LIMIT, || agent.says(&["pools"]).contains("reclaim"));
    let metrics = agent.http("/metrics");
    says("metrics", &metrics, "berth_agent_signal{signal=\"none\"} 1");
    says("metrics", &metrics, "berth_agent_findings{rule=\"no-burst-witness\"} 1");
    assert!(!agent.decisions().contains("suppress-begin"), "{}", agent.decisions());
    assert_eq!(agent.stop(), 0);
    assert_eq!(scene.knobs(), before, "a clean stop leaves no trace");
}

#[track_caller]
fn says(place: &str, text: &str, words: &str) {
    assert!(text.contains(words), "{place} does not say {words:?}:\n{text}");
}
