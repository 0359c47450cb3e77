//! A cluster that stays up between commands. Its state is one folder of the build output: a pid, logs, a kubeconfig.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::agent::{self, Overlay};
use super::{plugin, servers, store};
use crate::setup::kubernetes::Choice;
use crate::setup::{shell, versions};
use crate::test::build;
use crate::{place, setup};

/// What `up` starts.
#[derive(Debug, clap::Args)]
pub(crate) struct Shape {
    /// How many nodes; with none, pods are objects that wait
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=64))]
    pub(crate) nodes: u32,
    /// CPUs of a node
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) cpus: u32,
    /// NUMA nodes of a node, over which CPUs and memory are split evenly
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub(crate) numa_nodes: u32,
    /// Memory of a node; it takes what it uses, about 500 MiB
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(768..=65536))]
    pub(crate) memory: u32,
    /// Use this store instead of an etcd of its own: http://HOST:PORT or unix:///PATH of an etcd or a kine without TLS
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) store: Option<String>,
    #[command(flatten)]
    pub(crate) kubernetes: Choice,
}

/// A cluster, and what is to run in it.
#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    #[command(flatten)]
    shape: Shape,
    /// Build the node agent and run it on every node
    #[arg(long, value_name = "OVERLAY", num_args = 0..=1, default_missing_value = "observe")]
    agent: Option<Overlay>,
}

pub(super) fn up(up: &Up) -> anyhow::Result<()> {
    if let Some(pid) = running() {
        bail!("a cluster is up already (pid {pid}); `cargo xtask kube down` ends it");
    }
    ensure!(up.agent.is_none() || up.shape.nodes > 0, "--agent needs a node; --nodes is 0");
    let image = up.agent.map(|_| agent::image()).transpose()?;
    let (child, kubeconfig) = start(&folder(), &up.shape, |pid| {
        // At once, so that `down` finds it when only this process was killed.
        fs::write(pid_file(), pid.to_string()).context("write the pid of the cluster")
    })?;
    println!("export KUBECONFIG={}", kubeconfig.display());
    println!("`cargo xtask kube kubectl` is its kubectl, `cargo xtask kube down` ends it");
    let cluster = Playground { pid: child.id(), folder: folder(), kubeconfig };
    match (up.agent, image) {
        (Some(overlay), Some(image)) => agent::bring(&cluster, overlay, &image),
        _ => Ok(()),
    }
}

/// A cluster that is up.
#[derive(Debug)]
pub(super) struct Playground {
    pid: u32,
    folder: PathBuf,
    kubeconfig: PathBuf,
}

impl Playground {
    pub(super) fn kubectl(&self) -> anyhow::Result<Command> {
        kubectl_command(&self.folder, &self.kubeconfig)
    }

    /// A line of shell in a node.
    pub(super) fn exec(&self, node: &str, line: &str) -> anyhow::Result<Command> {
        exec_command(self.pid, &self.folder, node, &[line.to_owned()])
    }
}

/// Starts a cluster with its files in `folder`. It stays in this process group: a ctrl-C while it starts ends it too, and later
/// ones go to other groups.
fn start(
    folder: &Path,
    shape: &Shape,
    spawned: impl FnOnce(u32) -> anyhow::Result<()>,
) -> anyhow::Result<(Child, PathBuf)> {
    shape.store.as_deref().map_or(Ok(()), store::check)?;
    let kubernetes = shape.kubernetes.among(&versions::pinned()?)?;
    setup::ensure_nodes(&kubernetes)?;
    let program = build::bench_servers()?;
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    // For later commands, which belong to this cluster whatever is pinned then.
    let programs = servers::programs(&kubernetes)?;
    fs::write(folder.join(PROGRAMS), programs.as_bytes()).context("write where programs lie")?;
    let errors = folder.join("errors");
    let file = File::create(&errors).with_context(|| format!("create {}", errors.display()))?;
    let mut command = Command::new(&program);
    command.args(["cluster", "--folder"]).arg(folder.join("servers"));
    command.arg(format!("--nodes={}", shape.nodes)).arg(format!("--cpus={}", shape.cpus));
    command.arg(format!("--numa-nodes={}", shape.numa_nodes));
    command.arg(format!("--memory-mib={}", shape.memory));
    command.args(shape.store.iter().map(|store| format!("--store={store}")));
    command.envs(servers::environment(folder, &programs)).stdin(Stdio::null()).stderr(file);
    servers::until_ready(command, spawned)
        .with_context(|| fs::read_to_string(&errors).unwrap_or_default())
}

/// A cluster of one node for one command in it; both end with the command.
pub(crate) fn one_command(shape: &Shape, words: &[String]) -> anyhow::Result<ExitCode> {
    let folder = place::target().join("kube-vm");
    let (mut child, kubeconfig) = start(&folder, shape, |_| Ok(()))?;
    let outcome =
        first_node(&folder, &kubeconfig).and_then(|node| exec(child.id(), &folder, &node, words));
    signal("TERM", child.id())?;
    child.wait().context("wait for the cluster to end")?;
    outcome
}

fn first_node(folder: &Path, kubeconfig: &Path) -> anyhow::Result<String> {
    let names = "jsonpath={.items[0].metadata.name}";
    let mut ask = kubectl_command(folder, kubeconfig)?;
    shell::output(ask.args(["get", "nodes", "-o", names]))
}

/// Longer than any of the servers takes to end.
const END_LIMIT: Duration = Duration::from_secs(20);

pub(super) fn down() -> anyhow::Result<()> {
    let Some(pid) = running() else {
        println!("no cluster is up");
        return Ok(());
    };
    signal("TERM", pid)?;
    let began = Instant::now();
    while is_ours(pid) {
        if began.elapsed() > END_LIMIT {
            // The kernel ends its children with it.
            signal("KILL", pid)?;
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    println!("the cluster (pid {pid}) has ended; its logs stay in {}", logs_folder().display());
    Ok(())
}

pub(super) fn status() -> anyhow::Result<ExitCode> {
    let Some(pid) = running() else {
        println!("no cluster is up");
        return Ok(ExitCode::FAILURE);
    };
    println!("pid {pid}, kubeconfig {}", kubeconfig().display());
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let ready = kubectl(&words("get --raw=/readyz"))?;
    println!();
    kubectl(&words("get nodes"))?;
    Ok(ready)
}

pub(super) fn kubectl(arguments: &[String]) -> anyhow::Result<ExitCode> {
    if running().is_none() {
        bail!("no cluster is up; `cargo xtask kube up` starts one");
    }
    pass_code(kubectl_command(&folder(), &kubeconfig())?.args(arguments))
}

fn kubectl_command(folder: &Path, kubeconfig: &Path) -> anyhow::Result<Command> {
    let programs = programs_of(folder)?;
    let mut programs = env::split_paths(&programs).map(|folder| folder.join("kube"));
    let program = programs.find(|path| path.is_file());
    let program = program.context("kubectl is not built; `cargo xtask setup --group kube`")?;
    let mut command = Command::new(&program);
    command.arg("kubectl").env("KUBECONFIG", kubeconfig);
    command.env("PATH", plugin::path(folder, &program)?);
    Ok(command)
}

/// The command's own words; the caller's streams are its.
pub(super) fn node_exec(node: &str, words: &[String]) -> anyhow::Result<ExitCode> {
    let pid = running().context("no cluster is up; `cargo xtask kube up` starts one")?;
    exec(pid, &folder(), node, words)
}

fn exec(pid: u32, folder: &Path, node: &str, words: &[String]) -> anyhow::Result<ExitCode> {
    pass_code(&mut exec_command(pid, folder, node, words)?)
}

/// The program that runs as `pid`, even when its file has been built anew: nothing is built for a look into a node.
fn exec_command(pid: u32, folder: &Path, node: &str, words: &[String]) -> anyhow::Result<Command> {
    let mut command = Command::new(format!("/proc/{pid}/exe"));
    command.args(["exec", node, "--"]).args(words);
    command.envs(servers::environment(folder, &programs_of(folder)?));
    Ok(command)
}

/// The file in which a cluster remembers the folders with its programs.
const PROGRAMS: &str = "programs";

fn programs_of(folder: &Path) -> anyhow::Result<OsString> {
    let path = folder.join(PROGRAMS);
    let text = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(OsString::from_vec(text))
}

/// Runs to the end; the exit code is ours, that of a signal as a shell tells it.
fn pass_code(command: &mut Command) -> anyhow::Result<ExitCode> {
    let status = command.status().with_context(|| format!("run {command:?}"))?;
    let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

pub(super) fn logs(component: Option<&str>) -> anyhow::Result<()> {
    let Some(component) = component else {
        names_of_logs()?.iter().for_each(|name| println!("{name}"));
        return Ok(());
    };
    let path = logs_folder().join(format!("{component}.log"));
    let text = fs::read(&path).with_context(|| {
        format!("read {}; `cargo xtask kube logs` lists the components", path.display())
    })?;
    print!("{}", String::from_utf8_lossy(&text));
    Ok(())
}

/// "etcd", and "node/kubelet" for what runs in a node.
fn names_of_logs() -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    let logs = logs_folder();
    for entry in list(&logs)? {
        let path = entry.path();
        let inner = if path.is_dir() { list(&path)? } else { vec![entry] };
        let paths = inner.iter().map(fs::DirEntry::path);
        let found = paths.filter(|path| path.extension().is_some_and(|it| it == "log"));
        names.extend(found.filter_map(|path| {
            let path = path.with_extension("");
            Some(path.strip_prefix(&logs).ok()?.display().to_string())
        }));
    }
    names.sort();
    Ok(names)
}

fn list(folder: &Path) -> anyhow::Result<Vec<fs::DirEntry>> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect);
    entries.with_context(|| format!("list {}", folder.display()))
}

fn folder() -> PathBuf {
    place::target().join("kube")
}

fn logs_folder() -> PathBuf {
    folder().join("servers")
}

fn pid_file() -> PathBuf {
    folder().join("pid")
}

fn kubeconfig() -> PathBuf {
    logs_folder().join("kube-apiserver/admin.kubeconfig")
}

/// The pid of what `up` started, if it still runs.
fn running() -> Option<u32> {
    let pid = fs::read_to_string(pid_file()).ok()?.trim().parse().ok()?;
    is_ours(pid).then_some(pid)
}

/// A pid is given to somebody else sooner or later: only the program tells whose it is.
fn is_ours(pid: u32) -> bool {
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    program_name(&program) == "bench-servers"
}

/// Without what the kernel appends when the file has been built anew meanwhile.
fn program_name(program: &Path) -> &str {
    let name = program.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_suffix(" (deleted)").unwrap_or(name)
}

fn signal(name: &str, pid: u32) -> anyhow::Result<()> {
    shell::quiet(Command::new("kill").args(["-s", name]).arg(pid.to_string()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::program_name;

    #[test]
    fn a_program_that_was_built_anew_keeps_its_name() {
        for (link, expected) in [
            ("/t/ci/bench-servers", "bench-servers"),
            ("/t/ci/bench-servers (deleted)", "bench-servers"),
            ("/usr/bin/sleep", "sleep"),
            ("", ""),
        ] {
            assert_eq!(program_name(Path::new(link)), expected);
        }
    }
}
