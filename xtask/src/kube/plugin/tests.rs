//! The plugin beside a kubectl that writes its arguments down and gives fixed answers.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{home, path};

/// Pod `web` is on node `n1` and pod `late` on none; agents run on `n1` and `n2`, and the second one does not answer.
const KUBECTL: &str = r#"#!/bin/sh
echo "$*" >>"$CALLS"
case "$*" in
    *spec.nodeName=n1*) echo "n1 agent-1" ;;
    *spec.nodeName=*) ;;
    *"get pods"*) printf 'n1 agent-1\nn2 agent-2\n' ;;
    *"get pod web"*) echo "uid-1 shop/web n1" ;;
    *"get pod other"*) echo "uid-9 shop/other n1" ;;
    *"get pod late"*) echo "uid-2 shop/late " ;;
    *"get pod"*) echo "not found" >&2; exit 1 ;;
    *agent-2*) echo "no answer" >&2; exit 3 ;;
    *"qos -o wide"*) printf 'NAME QOS CGROUP\nburstable/poduid_1 shared /burstable/poduid_1\n' ;;
    *"top --once"*) printf 'host\nsuppression\nsignal\nrest\n' ;;
    *) echo "answer" ;;
esac
"#;

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
    /// What kubectl was asked, a line each.
    calls: Vec<String>,
}

fn run(line: &str) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let (kubectl, calls) = (folder.path().join("kubectl"), folder.path().join("calls"));
    fs::write(&kubectl, KUBECTL).unwrap();
    fs::set_permissions(&kubectl, Permissions::from_mode(0o755)).unwrap();
    let mut plugin = Command::new(home().join("kubectl-berth"));
    plugin.args(line.split_whitespace()).stdin(Stdio::null()).env("CALLS", &calls);
    plugin.env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()));
    let output = plugin.env_remove("BERTH_NAMESPACE").output().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        calls: fs::read_to_string(calls).unwrap_or_default().lines().map(str::to_owned).collect(),
    }
}

/// The last thing that kubectl was asked, and the exit code.
#[track_caller]
fn check(line: &str, code: i32, last_call: &str) {
    let ran = run(line);
    let last = ran.calls.last().map_or("", |call| call.as_str());
    assert_eq!((last, ran.code), (last_call, Some(code)), "{line}: {}{}", ran.out, ran.err);
}

#[test]
fn a_question_goes_to_the_agent_of_the_node() {
    let on_n1 = |rest: &str| format!("-n berth-system exec agent-1 -c agent -- berth {rest}");
    check("doctor n1", 0, &on_n1("doctor"));
    check("doctor n1 -o json", 0, &on_n1("doctor -o json"));
    check("on n1 decisions -n 5", 0, &on_n1("decisions -n 5"));
    check("top node n1 --sort p99", 0, &on_n1("top --sort p99 --once"));
    check("why-slow web", 0, &on_n1("why-slow burstable/poduid_1"));
    check("explain web -n shop -- -n 3", 0, &on_n1("explain burstable/poduid_1 -n 3"));
    let context = format!("--context far {}", on_n1("why-slow burstable/poduid_1"));
    check("--context far why-slow web", 0, &context);
}

#[test]
fn the_namespace_is_that_of_the_pod() {
    let calls = |line| run(line).calls[0].clone();
    assert!(calls("explain web").starts_with("get pod web "));
    assert!(calls("explain web -n shop").starts_with("-n shop get pod web "));
    assert!(calls("--namespace=shop explain web").starts_with("-n shop get pod web "));
}

#[test]
fn every_node_is_asked_though_one_does_not_answer() {
    let ran = run("top nodes");
    assert_eq!(ran.out, "node n1\n  host\n  suppression\n  signal\nnode n2\n");
    assert_eq!((ran.code, ran.err.as_str()), (Some(3), "no answer\n"));
    assert_eq!(run("doctor").out, "node n1\nanswer\nnode n2\n");
}

#[track_caller]
fn check_refused(line: &str, code: i32, said: &str) {
    let ran = run(line);
    assert_eq!(ran.code, Some(code), "{line}: {}{}", ran.out, ran.err);
    assert!(ran.err.contains(said), "{line}: {}", ran.err);
}

#[test]
fn what_cannot_be_asked_is_told() {
    check_refused("doctor n7", 5, "no agent runs on node n7");
    check_refused("why-slow late", 5, "pod shop/late is on no node yet");
    check_refused("why-slow other", 4, "the agent on node n1 knows no workload of pod shop/other");
    check_refused("why-slow gone", 1, "not found");
    check_refused("why-slow", 2, "which pod?");
    check_refused("top pods", 2, "not top pods");
    check_refused("explain web -n", 2, "-n needs a value");
    check_refused("frobnicate", 2, "kubectl berth top nodes");
}

#[test]
fn kubectl_has_its_usual_name_on_the_path_and_the_plugin_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let kube = folder.path().join("a folder/kube");
    fs::create_dir(folder.path().join("a folder")).unwrap();
    fs::write(&kube, "#!/bin/sh\necho \"$*\"\n").unwrap();
    fs::set_permissions(&kube, Permissions::from_mode(0o755)).unwrap();
    let path = path(folder.path(), &kube).unwrap();
    let output = Command::new("sh")
        .args(["-c", "kubectl get nodes; command -v kubectl-berth"])
        .env("PATH", path)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let (called, plugin) = said.trim().split_once('\n').unwrap();
    assert_eq!((called, Path::new(plugin)), ("kubectl get nodes", &*home().join("kubectl-berth")));
}
