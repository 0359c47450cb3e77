//! Each command once as text and once as JSON; rendering has its own snapshots in the crate.

use std::process::{Command, Stdio};

use proto::v1::{CheckStatus, Mode};

use crate::fake::{berth, node, node_with, node_without_headroom, ran};
use crate::fixture;

#[track_caller]
fn check(line: &str, code: i32, in_out: &[&str], in_err: &[&str]) {
    let node = node();
    let ran = berth(&node.socket, line);
    assert_eq!(ran.code, code, "{line}: {}{}", ran.out, ran.err);
    for text in in_out {
        assert!(ran.out.contains(text), "{line}: no {text:?} in\n{}", ran.out);
    }
    for text in in_err {
        assert!(ran.err.contains(text), "{line}: no {text:?} in\n{}", ran.err);
    }
    if in_err.is_empty() {
        assert_eq!(ran.err, "", "{line}");
    }
    assert!(!ran.out.contains('\u{1b}'), "{line}: colours into a pipe\n{}", ran.out);
}

#[track_caller]
fn check_json(line: &str, pointer: &str, expect: serde_json::Value) {
    let node = node();
    let ran = berth(&node.socket, line);
    let json: serde_json::Value = serde_json::from_str(&ran.out).expect(&ran.out);
    assert_eq!(json.pointer(pointer), Some(&expect), "{line}: {json:#}");
}

#[test]
fn commands_as_text() {
    check("top --once", 0, &["berth enforce", "VSBB", "suppressed", "batch/two"], &[]);
    check("top --once --filter web", 0, &["web  "], &[]);
    check("qos", 0, &["weight=100(plan 200)"], &[]);
    check("qos -o wide", 0, &["/demo.slice/web"], &[]);
    check("pools", 0, &["reclaim  4", "B share+reclaim"], &[]);
    check("pools -o wide", 0, &["10 21"], &[]);
    check("why-slow web", 0, &["74.4 %", "100.0 %", "What to do:"], &[]);
    check("decisions", 0, &["#41", "#42"], &[]);
    check("decisions -n 1 -o wide", 0, &["#42", "margin = 1.25"], &[]);
    check("health", 0, &["ok: the loop last turned 0.4 s ago"], &[]);
    check("mode observe", 0, &["mode observe (was enforce)"], &[]);
    check("topology", 0, &["node 0   memory 4.0 GiB   distances 10 21"], &[]);
    check("topology --format dot", 0, &["graph topology {"], &[]);
    check("topology --format svg", 0, &["<svg xmlns="], &[]);
    check("policy", 0, &["/etc/berth/agent.toml:12", "berth mode (was enforce)"], &[]);
    check("policy -o wide", 0, &["BUILT-IN"], &[]);
    check("snapshot", 0, &["web", "SOURCE"], &[]);
    check("explain web", 0, &["workload web (shared_cores)", "#41", "margin = 1.25"], &[]);
    check("explain headroom", 0, &["reclaim pool", "cpu.stat"], &[]);
    check("headroom", 0, &["3.50 CPUs"], &[]);
}

#[test]
fn commands_as_json() {
    check_json("top -o json", "/mode", "enforce".into());
    check_json("top -o json", "/workloads/1/usage_milli_cpu", serde_json::Value::Null);
    check_json("qos -o json", "/plan/workloads/1/cpu_weight", 200.into());
    check_json("pools -o json", "/topology/nodes/0/memory_bytes", (4u64 << 30).into());
    check_json("why-slow web -o json", "/causes/0/kind", "offender".into());
    check_json("decisions -o json", "/decisions/1/sequence", 42.into());
    check_json("doctor -o json", "/checks/2/status", "fail".into());
    check_json("health -o json", "/ok", true.into());
    check_json("topology -o json", "/topology/nodes/0/memory_bytes", (4u64 << 30).into());
    check_json("topology --format json", "/pools/0/name", "reclaim".into());
    check_json("policy -o json", "/values/3/line", 12.into());
    check_json("snapshot -o json", "/kind", "snapshot".into());
    check_json("explain web -o json", "/placement/pool", "share".into());
    check_json("headroom -o json", "/cpu/terms/1/value", (-500.0).into());
    check_json("headroom -o json", "/memory/result", serde_json::Value::Null);
    check_json("mode observe -o json", "/previous", "enforce".into());
}

#[test]
fn doctor_tells_scripts_and_people() {
    let fixes = ["FAIL  cgroup-v2", "fix: boot with psi=1", "1 failed"];
    check("doctor", 1, &fixes, &[]);
    let mut report = fixture::doctor();
    report.checks.retain(|check| check.status() != CheckStatus::Fail);
    let healthy = node_with(report);
    assert_eq!(berth(&healthy.socket, "doctor").code, 0);
}

#[test]
fn refusals_have_their_exit_codes() {
    check("why-slow wbe", 4, &[], &[r#"no workload is named "wbe""#, "did you mean: web"]);
    check("why-slow zzzzzz", 4, &[], &["`berth qos` lists all workloads"]);
    check("why-slow batch/two", 1, &[], &["run-queue waits are not known: no BTF"]);
    check("mode enforce", 1, &[], &["highest_mode is observe"]);
    check("explain wbe", 4, &[], &[r#"nothing is named "wbe""#, "did you mean: web"]);
    check("explain shrae", 4, &[], &["did you mean: share"]);
    check("explain share-grwo", 4, &[], &["did you mean: share-grow"]);
    check("explain zzzzzz", 4, &[], &["`berth qos`, `berth pools` and `berth decisions`"]);
    check("topology --format png", 64, &[], &["invalid value 'png'"]);
    check("mode sideways", 64, &[], &["invalid value 'sideways'"]);
    check("decisions -n -5x", 2, &[], &["-5"]);
    check("frobnicate", 2, &[], &["unrecognized subcommand"]);
    check("top", 2, &[], &["needs a terminal", "--once"]);
}

#[test]
fn an_agent_without_headroom_says_so() {
    let node = node_without_headroom();
    for line in ["headroom", "explain headroom", "headroom -o json"] {
        let ran = berth(&node.socket, line);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{line}");
        assert!(ran.err.contains("headroom: unsupported"), "{line}: {}", ran.err);
    }
}

#[test]
fn a_mode_is_asked_for_as_it_was_typed() {
    let node = node();
    berth(&node.socket, "mode observe");
    assert_eq!(*node.asked.lock().expect("not poisoned"), Some(Mode::Observe));
    berth(&node.socket, "mode enforce");
    assert_eq!(*node.asked.lock().expect("not poisoned"), Some(Mode::Enforce));
}

#[test]
fn following_prints_each_decision_and_ends_with_the_agent() {
    let node = node();
    let text = berth(&node.socket, "decisions --follow");
    let numbers: Vec<&str> =
        text.out.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    assert_eq!(numbers, ["#41", "#42", "#43"]);
    assert_eq!(text.code, 3);
    assert!(text.err.contains("went away"), "{}", text.err);
    let json = berth(&node.socket, "decisions --follow -o json");
    for line in json.out.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("one object per line");
    }
    assert_eq!(json.out.lines().count(), 3);
}

#[test]
fn help_and_completion_need_no_agent() {
    let nowhere = std::path::Path::new("/nonexistent/agent.sock");
    let help = berth(nowhere, "--help");
    assert_eq!(help.code, 0);
    for text in ["Exit codes:", "why-slow", "BERTH_SOCKET", "64"] {
        assert!(help.out.contains(text), "no {text:?} in\n{}", help.out);
    }
    let commands = [
        "top",
        "qos",
        "pools",
        "why-slow",
        "doctor",
        "health",
        "decisions",
        "topology",
        "policy",
        "snapshot",
        "explain",
        "headroom",
        "mode",
        "completion",
    ];
    for command in commands {
        let help = berth(nowhere, &format!("{command} --help"));
        assert!(help.out.contains("Example: berth "), "{command}: no example in\n{}", help.out);
    }
    for (shell, text) in
        [("bash", "complete -F _berth"), ("zsh", "#compdef berth"), ("fish", "complete -c berth")]
    {
        let script = berth(nowhere, &format!("completion {shell}"));
        assert_eq!(script.code, 0);
        assert!(script.out.contains(text), "{shell}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let node = node();
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
    command.args(["qos", "--socket"]).arg(&node.socket);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("berth starts");
    drop(child.stdout.take());
    let ran = ran(child.wait_with_output().expect("ends"));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}
