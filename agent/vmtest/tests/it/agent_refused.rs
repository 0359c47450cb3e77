//! BPF refused in each way that hosts refuse it. Every time: PSI takes over, and the log, `/readyz`, `berth doctor` and
//! the metrics say why in words.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use vmtest::{guest, wait_until};

use crate::agent_process::{Agent, LIMIT, Scene};
use crate::seccomp;

/// The agent runs by pressure and says `words` wherever somebody may look.
#[track_caller]
fn check(scene: &Scene, command: Command, host: &str, words: &[&str]) {
    let before = scene.knobs();
    let config = format!("{}{host}", scene.config("enforce", "tick_ms = 200"));
    let agent = Agent::start_as(scene, &config, command);
    wait_until("the trigger", LIMIT, || agent.log_text().contains("Pressure trigger armed"));
    let loads = scene.contend();
    wait_until("suppression by pressure", LIMIT, || scene.is_suppressed());
    drop(loads);
    let (ready, metrics) = (agent.http("/readyz"), agent.http("/metrics"));
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    let why = ready.lines().find_map(|line| line.strip_prefix("[-] probe: "));
    let off = metrics.lines().find(|line| line.starts_with("berth_agent_probe_off{why="));
    let doctor = agent.says(&["doctor"]);
    let probe = doctor.lines().find(|line| line.contains("BPF probes"));
    let log = agent.log_text();
    let logged = log.lines().find(|line| line.contains("No BPF probes"));
    for (place, said) in [("readyz", why), ("metrics", off), ("doctor", probe), ("log", logged)] {
        for word in words {
            let said = said.unwrap_or_default();
            assert!(said.contains(word), "{place} does not say {word:?} but {said:?}");
        }
    }
    assert!(ready.contains("[+] witness: PSI alone"), "{ready}");
    assert!(doctor.contains("PSI alone"), "{doctor}");
    for line in ["berth_agent_probe_loaded 0", "berth_agent_signal{signal=\"pressure_only\"} 1"] {
        assert!(metrics.lines().any(|said| said == line), "no {line} in\n{metrics}");
    }
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(agent.stop(), 0);
    assert_eq!(scene.knobs(), before, "a clean stop leaves no trace");
}

/// What a container's default seccomp profile does, capabilities or not.
#[test]
fn smoke_agent_whose_bpf_calls_are_filtered_goes_by_pressure() {
    let scene = Scene::new("seccomp", 2);
    let command = seccomp::without_bpf(Command::new("berth-agent"));
    check(
        &scene,
        command,
        "",
        &["the kernel refused", "bpf(2) allowed", "Operation not permitted"],
    );
}

#[test]
fn agent_on_a_kernel_without_btf_goes_by_pressure() {
    let scene = Scene::new("nobtf", 2);
    let root = "/tmp/nobtf-host";
    make_root_without_btf(Path::new(root));
    let host = format!("[host]\nroot = \"{root}\"\n");
    let words = ["no BTF", "CONFIG_DEBUG_INFO_BTF"];
    check(&scene, Command::new("berth-agent"), &host, &words);
}

/// This machine but for /sys/kernel/btf.
fn make_root_without_btf(root: &Path) {
    let _absent = fs::remove_dir_all(root);
    fs::create_dir_all(root.join("sys/kernel")).expect("make a host root");
    symlink("/proc", root.join("proc")).expect("link /proc");
    for (of, left_out) in [("sys", "kernel"), ("sys/kernel", "btf")] {
        let real = Path::new("/").join(of);
        for entry in fs::read_dir(&real).expect("list").flatten() {
            if entry.file_name() != left_out {
                symlink(entry.path(), root.join(of).join(entry.file_name())).expect("link");
            }
        }
    }
}

/// The agent's own programs with one instruction that no verifier lets pass, in the object that the agent carries.
#[test]
fn agent_whose_programs_the_verifier_refuses_goes_by_pressure() {
    let scene = Scene::new("verifier", 2);
    let program = "/tmp/berth-agent-spoilt";
    let agent = fs::read("/usr/local/bin/berth-agent").expect("the agent's program");
    // Both kinds of the one that is loaded first.
    let programs = ["tp_btf/sched_waking", "raw_tp/sched_waking"];
    fs::write(program, spoil(agent, &programs)).expect("write the spoilt agent");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("make it a program");
    let words = ["the verifier refused program btf_waking", "R9 !read_ok"];
    check(&scene, Command::new(program), "", &words);
    fs::remove_file(program).expect("remove the spoilt agent");
}

/// One kind of hook refused is not the probe refused: the other one is taken, and that it is the second choice is said.
#[test]
fn agent_falls_back_to_raw_tracepoints_and_doctor_says_so() {
    let scene = Scene::new("fallback", 1);
    let program = "/tmp/berth-agent-fallback";
    let agent = fs::read("/usr/local/bin/berth-agent").expect("the agent's program");
    fs::write(program, spoil(agent, &["tp_btf/sched_waking"])).expect("write the spoilt agent");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("make it a program");
    let agent = Agent::start_as(&scene, &scene.config("observe", ""), Command::new(program));
    let doctor = agent.says(&["doctor"]);
    let probe = doctor.lines().find(|line| line.contains("BPF probes")).unwrap_or_default();
    for word in
        ["attached by raw tracepoints as a second choice", "verifier refused program btf_waking"]
    {
        assert!(probe.contains(word), "doctor does not say {word:?} but {probe:?}");
    }
    assert_eq!(agent.stop(), 0);
    let agent = Agent::start(&scene, &scene.config("observe", ""));
    let doctor = agent.says(&["doctor"]);
    assert!(doctor.contains("attached by BTF tracepoints, "), "{doctor}");
    assert_eq!(agent.stop(), 0);
    fs::remove_file(program).expect("remove the spoilt agent");
}

/// `r6 = *(u64 *)(r9 + 0)`: r9 holds nothing when a program begins.
const READS_WHAT_NOBODY_WROTE: [u8; 8] = [0x79, 0x96, 0, 0, 0, 0, 0, 0];

/// Replaces the first instruction of the programs in these sections.
fn spoil(mut agent: Vec<u8>, programs: &[&str]) -> Vec<u8> {
    guest();
    let object = find_object(&agent);
    let mut spoilt = 0;
    for (name, at) in sections(&agent[object..]) {
        if programs.contains(&name.as_str()) {
            let first = object + at;
            agent[first..first + 8].copy_from_slice(&READS_WHAT_NOBODY_WROTE);
            spoilt += 1;
        }
    }
    assert_eq!(spoilt, programs.len(), "programs in the embedded object");
    agent
}

/// Where the embedded ELF file for machine 247 (EM_BPF) begins; it is aligned to 8.
#[track_caller]
fn find_object(agent: &[u8]) -> usize {
    let is_bpf = |at: &usize| {
        agent[*at..].starts_with(b"\x7fELF") && agent.get(*at + 18..*at + 20) == Some(&[247, 0])
    };
    (0..agent.len()).step_by(8).find(is_bpf).expect("the agent carries a BPF object")
}

/// Name and offset of every section of a 64-bit little-endian ELF file.
fn sections(elf: &[u8]) -> Vec<(String, usize)> {
    let number = |at: usize, len: usize| {
        elf[at..at + len].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
    };
    let headers = number(0x28, 8);
    let header = |idx: usize| headers + 64 * idx;
    let names = number(header(number(0x3e, 2)) + 0x18, 8);
    let name = |at: usize| {
        let bytes = elf[names + at..].iter().take_while(|byte| **byte != 0);
        bytes.map(|byte| char::from(*byte)).collect()
    };
    let all = 0..number(0x3c, 2);
    all.map(|idx| (name(number(header(idx), 4)), number(header(idx) + 0x18, 8))).collect()
}
