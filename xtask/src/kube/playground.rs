//! A control plane that stays up between commands. Its state is one folder of the build output: a pid, logs, a kubeconfig.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::servers;
use crate::setup::shell;
use crate::test::build;
use crate::{place, setup};

pub(super) fn up(store: Option<&str>) -> anyhow::Result<()> {
    if let Some(pid) = running() {
        bail!("a control plane is up already (pid {pid}); `cargo xtask kube down` ends it");
    }
    setup::ensure(setup::Group::ControlPlane)?;
    let program = build::bench_servers()?;
    let folder = folder();
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let errors = folder.join("errors");
    let file = File::create(&errors).with_context(|| format!("create {}", errors.display()))?;
    let mut command = Command::new(&program);
    command.args(["--detached", "--controllers", "--folder"]).arg(logs_folder());
    command.args(store.map(|store| format!("--store={store}")));
    command.envs(servers::environment(&folder)?).stdin(Stdio::null()).stderr(file);
    // A ctrl-C of later commands is not meant for it.
    let started = servers::until_ready({
        command.process_group(0);
        command
    });
    let (child, kubeconfig) =
        started.with_context(|| fs::read_to_string(&errors).unwrap_or_default())?;
    fs::write(pid_file(), child.id().to_string()).context("write the pid of the control plane")?;
    println!("export KUBECONFIG={}", kubeconfig.display());
    println!("`cargo xtask kube kubectl` is its kubectl, `cargo xtask kube down` ends it");
    Ok(())
}

/// Longer than any of the servers takes to end.
const END_LIMIT: Duration = Duration::from_secs(20);

pub(super) fn down() -> anyhow::Result<()> {
    let Some(pid) = running() else {
        println!("no control plane is up");
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
    println!(
        "the control plane (pid {pid}) has ended; its logs stay in {}",
        logs_folder().display()
    );
    Ok(())
}

pub(super) fn status() -> anyhow::Result<ExitCode> {
    let Some(pid) = running() else {
        println!("no control plane is up");
        return Ok(ExitCode::FAILURE);
    };
    println!("pid {pid}, kubeconfig {}", kubeconfig().display());
    kubectl(&["get".to_owned(), "--raw=/readyz?verbose".to_owned()])
}

pub(super) fn kubectl(arguments: &[String]) -> anyhow::Result<ExitCode> {
    if running().is_none() {
        bail!("no control plane is up; `cargo xtask kube up` starts one");
    }
    let versions = setup::versions::pinned()?;
    let folders = setup::kube::folders(&place::cache()?, &versions)?;
    let program = folders.iter().map(|it| it.join("kube")).find(|it| it.exists());
    let program =
        program.context("kubectl is not built; `cargo xtask setup --group control-plane`")?;
    let mut command = Command::new(program);
    command.arg("kubectl").args(arguments).env("KUBECONFIG", kubeconfig());
    let status = command.status().with_context(|| format!("run {command:?}"))?;
    // As a shell tells an end by a signal.
    let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

pub(super) fn logs(component: Option<&str>) -> anyhow::Result<()> {
    let logs = logs_folder();
    let Some(component) = component else {
        for entry in fs::read_dir(&logs).with_context(|| format!("list {}", logs.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                println!("{}", path.file_stem().unwrap_or_default().display());
            }
        }
        return Ok(());
    };
    let path = logs.join(format!("{component}.log"));
    let text = fs::read(&path).with_context(|| {
        format!("read {}; `cargo xtask kube logs` lists the components", path.display())
    })?;
    print!("{}", String::from_utf8_lossy(&text));
    Ok(())
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
