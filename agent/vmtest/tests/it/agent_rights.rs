//! What the agent may still do once it runs, by the kernel's own word for each of its threads.

use std::fs;

use vmtest::wait_until;

use crate::agent_process::{Agent, LIMIT, Scene};

/// CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_IPC_LOCK, CAP_SYS_NICE, CAP_SYS_RESOURCE of linux/capability.h.
const RUNNING: u64 = 1 | 1 << 1 | 1 << 14 | 1 << 23 | 1 << 24;

/// It begins with all of root's.
#[test]
fn smoke_agent_gives_up_the_rights_that_only_its_start_needs() {
    let scene = Scene::new("rights-of-start", 1);
    let agent = Agent::start(&scene, &scene.config("enforce", ""));
    wait_until("a first Plan", LIMIT, || agent.says(&["pools"]).contains("reclaim"));
    let tasks = fs::read_dir(format!("/proc/{}/task", agent.pid())).expect("its threads").flatten();
    let tasks: Vec<_> = tasks.map(|task| task.path()).collect();
    assert!(tasks.len() > 5, "{} threads", tasks.len());
    let children = tasks.iter().flat_map(|task| {
        let text = fs::read_to_string(task.join("children")).unwrap_or_default();
        text.split_whitespace().map(|pid| format!("/proc/{pid}").into()).collect::<Vec<_>>()
    });
    let children: Vec<_> = children.collect();
    assert!(!children.is_empty(), "its watchdog");
    for task in tasks.iter().chain(&children) {
        let status = fs::read_to_string(task.join("status")).expect("status");
        for set in ["CapPrm:\t", "CapEff:\t"] {
            let found = status.lines().find_map(|line| line.strip_prefix(set));
            let found = u64::from_str_radix(found.expect("a set"), 16).expect("bits");
            assert_eq!(found, RUNNING, "{} {set}\n{status}", task.display());
        }
    }
    let doctor = agent.says(&["doctor"]);
    assert!(!doctor.contains("CAP_BPF"), "the probe reads without it:\n{doctor}");
    assert_eq!(agent.stop(), 0);
}
