//! The phase `berth`: the agent as its own process, started with a configuration a person could
//! have written, observed from outside and stopped by its pid.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use model::units::{Bytes, Micros, Nanos, Timestamp};
use model::wire;
use rustix::process::{Pid, Signal, kill_process};

use crate::cgroup;
use crate::clock;
use crate::procfs;

/// How the agent is set up for a run.
#[derive(Clone, Debug)]
pub struct AgentSetup {
    /// The `berth-agent` program.
    pub program: PathBuf,
    /// The managed cgroup as the configuration names it: below the cgroup mount.
    pub managed_cgroup: String,
    /// The same as a directory.
    pub root: PathBuf,
    pub runtime_dir: PathBuf,
    /// `agent.tick_ms`.
    pub tick: Nanos,
    /// `suppression.hold_ms`; the agent lets a hold span two ticks at least.
    pub hold: Nanos,
    /// `suppression.floor_milli_cpu`.
    pub floor_milli_cpu: u64,
    /// `reclaim.floor_cpus`: CPUs that batch keeps, beside the service if need be.
    pub reclaim_floor_cpus: usize,
    /// `target_p99_us` of the service: the run-queue wait it should stay under.
    pub target: Micros,
    /// `suppression.max_doublings`.
    pub max_doublings: u8,
    /// `cgroup` of the batch row: each pod, or the BestEffort parent.
    pub batch: &'static str,
    /// `request_milli_cpu` of the service.
    pub request_milli_cpu: u64,
    /// Workloads beside the service and the batch pods.
    pub more: Vec<MoreWorkloads>,
    /// It writes nothing until it is told to enforce.
    pub observes: bool,
}

/// A `[[workload]]` row without request and target.
#[derive(Clone, Copy, Debug)]
pub struct MoreWorkloads {
    pub cgroup: &'static str,
    pub name: &'static str,
    pub qos: &'static str,
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    own_cgroup: PathBuf,
    runtime_dir: PathBuf,
    log: PathBuf,
}

/// What the agent cost over a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    pub rss: Bytes,
    /// Of the agent's own cgroup; BPF maps are charged there. `None` without memory controller.
    pub memory_current: Option<Bytes>,
    /// CPU time since the process began.
    pub cpu: Micros,
}

/// One suppression, as the agent measured it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// Read-back of the last Step.
    pub done_at: Timestamp,
    /// From the kernel's timestamp of the first over-threshold wait to `done_at`.
    pub latency: Micros,
}

/// The cgroup the agent moves itself into, below the managed one.
const OWN_CGROUP: &str = "berth";
/// Enters the cgroup first, so that BPF maps are charged to it whoever makes them first.
const IN_OWN_CGROUP: &str = r#"echo 0 >"$1/cgroup.procs" && exec "$2" run --config "$3""#;
/// The agent must answer within this; under emulation loading BPF takes seconds.
const START_LIMIT: Nanos = Nanos::from_secs(30);
const STOP_LIMIT: Nanos = Nanos::from_secs(15);

impl Agent {
    /// Starts the agent and waits until its socket is there.
    pub fn start(setup: &AgentSetup, out: &Path) -> Result<Agent> {
        let own_cgroup = setup.root.join(OWN_CGROUP);
        cgroup::create(&own_cgroup)?;
        let config = out.join("agent.toml");
        fs::write(&config, config_text(setup)).context("writing the agent's configuration")?;
        let log = out.join("agent.log");
        let log_file = File::create(&log).context("creating the agent's log")?;
        let child = Command::new("sh")
            .args(["-c", IN_OWN_CGROUP, "sh"])
            .arg(&own_cgroup)
            .arg(&setup.program)
            .arg(&config)
            .stdout(log_file.try_clone().context("sharing the agent's log")?)
            .stderr(log_file)
            .spawn()
            .with_context(|| format!("starting {}", setup.program.display()))?;
        let runtime_dir = setup.runtime_dir.clone();
        let mut agent = Agent { child, own_cgroup, runtime_dir, log };
        agent.wait_until_ready(&setup.runtime_dir.join("agent.sock"))?;
        Ok(agent)
    }

    /// CPU time by thread.
    pub fn threads(&self) -> Result<BTreeMap<String, Micros>> {
        procfs::threads_cpu(self.child.id())
    }

    pub fn cost(&self) -> Result<Cost> {
        let pid = self.child.id();
        Ok(Cost {
            rss: procfs::process_rss(pid)?,
            memory_current: cgroup::memory_current(&self.own_cgroup),
            cpu: procfs::process_cpu(pid)?,
        })
    }

    /// Tells it to `observe` or to `enforce`, as an operator would.
    pub fn set_mode(&self, mode: &str) -> Result<()> {
        self.berth(&["mode", mode]).map(|_answer| ())
    }

    /// Workloads it knows.
    pub fn n_workloads(&self) -> Result<usize> {
        // A heading and a line each.
        Ok(self.berth(&["qos"])?.lines().count().saturating_sub(1))
    }

    fn berth(&self, args: &[&str]) -> Result<String> {
        let socket = self.runtime_dir.join("agent.sock");
        let output = Command::new("berth").arg("--socket").arg(socket).args(args).output();
        let output = output.context("starting berth")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "berth {args:?} ended with {}: {said}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Stops the agent with SIGTERM and brings its decision log.
    pub fn stop(mut self) -> Result<Vec<Suppression>> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("the agent has no pid")?, Signal::TERM)
            .context("stopping the agent")?;
        let until = clock::now().after(STOP_LIMIT);
        while clock::now() < until {
            if let Some(status) = self.child.try_wait().context("waiting for the agent")? {
                ensure!(status.success(), "the agent ended with {status}:\n{}", self.log_tail());
                return Ok(suppressions(&decision_log(&self.runtime_dir)));
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.child.kill().context("killing the agent")?;
        self.child.wait().context("waiting for the killed agent")?;
        bail!("the agent did not stop within {} s of SIGTERM", STOP_LIMIT.0 / 1_000_000_000)
    }

    fn wait_until_ready(&mut self, socket: &Path) -> Result<()> {
        let until = clock::now().after(START_LIMIT);
        while clock::now() < until {
            if let Some(status) = self.child.try_wait().context("waiting for the agent")? {
                bail!("the agent ended at once with {status}:\n{}", self.log_tail());
            }
            if socket.exists() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        bail!("the agent opened no socket {}:\n{}", socket.display(), self.log_tail())
    }

    fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Agent {
    /// An error on the way must not leave an agent behind.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Already on an error's way out; there is nobody to tell about a second one.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// The configuration of the run.
pub fn config_text(setup: &AgentSetup) -> String {
    let managed = setup.managed_cgroup.trim_end_matches('/');
    let row = |MoreWorkloads { cgroup, name, qos }: &MoreWorkloads| {
        format!("\n[[workload]]\ncgroup = \"{cgroup}\"\nname = \"{name}\"\nqos = \"{qos}\"\n")
    };
    let more: String = setup.more.iter().map(row).collect();
    format!(
        r#"mode = "{mode}"

[host]
managed_cgroup = "{managed_or_root}"

[agent]
runtime_dir = "{runtime_dir}"
listen = "off"
tick_ms = {tick_ms}
own_cgroup = "{managed}/{OWN_CGROUP}"

[reclaim]
floor_cpus = {floor_cpus}

[suppression]
hold_ms = {hold_ms}
floor_milli_cpu = {floor}
max_doublings = {max_doublings}

[[workload]]
cgroup = "/pods/api"
name = "api"
qos = "shared_cores"
request_milli_cpu = {request}
target_p99_us = {target}

[[workload]]
cgroup = "{batch}"
name = "batch"
qos = "reclaimed_cores"
{more}"#,
        mode = if setup.observes { "observe" } else { "enforce" },
        managed_or_root = if managed.is_empty() { "/" } else { managed },
        runtime_dir = setup.runtime_dir.display(),
        floor_cpus = setup.reclaim_floor_cpus,
        tick_ms = setup.tick.0 / 1_000_000,
        hold_ms = setup.hold.0 / 1_000_000,
        floor = setup.floor_milli_cpu,
        max_doublings = setup.max_doublings,
        batch = setup.batch,
        request = setup.request_milli_cpu,
        target = setup.target.0,
    )
}

/// The decisions on disk, oldest first; each line is `CHECKSUM JSON`.
fn decision_log(runtime_dir: &Path) -> String {
    let read = |name: &str| fs::read_to_string(runtime_dir.join(name)).unwrap_or_default();
    read("decisions.log.1") + &read("decisions.log")
}

/// The suppressions of a decision log. A line that is no decision is left out; the agent checks
/// its own checksums.
pub fn suppressions(log: &str) -> Vec<Suppression> {
    let document = |line: &str| {
        let (_, json) = line.split_once(' ')?;
        wire::from_json::<wire::Decision>(json.as_bytes()).ok()
    };
    log.lines().filter_map(document).filter_map(|decision| suppression(&decision)).collect()
}

fn suppression(decision: &wire::Decision) -> Option<Suppression> {
    if decision.rule != "suppression-done" {
        return None;
    }
    let (_, latency) = decision.inputs.iter().find(|(name, _)| name == "latency_us")?;
    let latency = Micros(latency.parse().ok()?);
    Some(Suppression { done_at: Timestamp(decision.at_ns), latency })
}

#[cfg(test)]
mod tests {
    use model::decision::Decision;

    use super::*;

    #[test]
    fn suppressions_are_found_among_other_decisions_and_torn_lines() {
        let line = |at, rule, latency_us: &str| {
            let inputs = vec![("latency_us", latency_us.to_owned())];
            let (subject, result) = ("api".to_owned(), String::new());
            let decision = Decision { at: Timestamp(at), rule, subject, inputs, result };
            let json = wire::to_json(&wire::Decision::from(&decision)).expect("encode");
            format!("01234567 {json}\n")
        };
        let log = line(1, "pool-size", "3")
            + &line(5, "suppression-done", "1200")
            + &line(6, "suppression-done", "much")
            + &line(7, "suppression-done", "9").trim_end()[..40];
        let expect = Suppression { done_at: Timestamp(5), latency: Micros(1200) };
        assert_eq!(suppressions(&log), [expect]);
    }

    #[test]
    fn a_delegated_subtree_keeps_its_path() {
        let mut setup = AgentSetup {
            program: PathBuf::new(),
            managed_cgroup: "/".to_owned(),
            root: PathBuf::new(),
            runtime_dir: PathBuf::from("/run/b"),
            tick: Nanos::from_secs(1),
            hold: Nanos::from_millis(200),
            floor_milli_cpu: 100,
            reclaim_floor_cpus: 2,
            target: Micros(3000),
            request_milli_cpu: 1000,
            max_doublings: 4,
            batch: "/pods/batch-*",
            more: Vec::new(),
            observes: false,
        };
        let text = config_text(&setup);
        assert!(text.contains("managed_cgroup = \"/\"\n"), "{text}");
        assert!(text.contains("own_cgroup = \"/berth\"\n"), "{text}");
        assert!(text.contains("hold_ms = 200\n"), "{text}");
        assert!(text.starts_with("mode = \"enforce\"\n"), "{text}");
        setup.observes = true;
        setup.managed_cgroup = "/user.slice/demo".to_owned();
        let text = config_text(&setup);
        assert!(text.starts_with("mode = \"observe\"\n"), "{text}");
        assert!(text.contains("managed_cgroup = \"/user.slice/demo\"\n"), "{text}");
        assert!(text.contains("own_cgroup = \"/user.slice/demo/berth\"\n"), "{text}");
    }
}
