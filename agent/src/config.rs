//! The agent's configuration: one TOML file -> `RawConfig` (serde, unknown keys refused) ->
//! `Config` (units typed, values checked). Pure but for `load`. An error names file, line, key,
//! value and the allowed range; the agent exits 64 before it touches anything.

mod check;
mod kubernetes;
mod lines;
mod metrics_listen;
mod placement;
mod provision;
mod report;
mod resources;
mod workload;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::policy::{Mode, Policy, ReclaimPolicy, SharePolicy, SuppressionPolicy};
use model::sample::WorkloadSpec;
use model::units::{Micros, MilliCpu, Nanos};
use serde::Deserialize;
use toml::Spanned;

use self::check::Checker;
pub use self::kubernetes::{ApiserverConfig, KubernetesConfig, OnUnplaceable, Report};
pub use self::metrics_listen::MetricsListen;
pub use self::report::{IdentityFiles, MAX_INTERVAL, MIN_INTERVAL, ReportConfig};

/// Everything the agent needs to know before it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub host: HostConfig,
    pub agent: AgentConfig,
    pub policy: Policy,
    pub workloads: Vec<WorkloadRule>,
    /// `None`: this node is none of Kubernetes.
    pub kubernetes: Option<KubernetesConfig>,
    /// `None` reports to nobody.
    pub report: Option<ReportConfig>,
    /// `None` records nothing.
    pub recording: Option<RecordingConfig>,
    /// `section.key` -> line of the file, for keys that stand in it.
    pub lines: BTreeMap<String, u32>,
}

/// Where the host's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConfig {
    /// `/` on the host itself, `/host` where a DaemonSet mounts it.
    pub root: PathBuf,
    /// The managed subtree, below the cgroup v2 mount: nothing outside is ever written.
    pub managed_cgroup: String,
}

/// The agent as a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentConfig {
    pub runtime_dir: PathBuf,
    pub socket: PathBuf,
    /// `None` turns the admin listener off.
    pub listen: Option<std::net::SocketAddr>,
    /// Where scrapers of the cluster find `/metrics`, and nothing else.
    pub metrics_listen: MetricsListen,
    pub tick: Nanos,
    /// A cgroup (below the mount) the agent moves itself into, with `agent_weight`.
    pub own_cgroup: Option<String>,
    pub own_weight: u16,
    /// How long the watchdog waits for a new agent before it restores the originals.
    pub watchdog_grace: Nanos,
    /// BPF run-queue probes; off leaves PSI.
    pub probe: bool,
    pub probe_memory_bytes: u64,
}

/// Where everything that goes into the loop is written down, for `berth-agent replay`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingConfig {
    /// A second file, `PATH.1`, is the one before.
    pub path: PathBuf,
    /// Of both files together.
    pub max_bytes: u64,
}

/// One `[[workload]]`: every cgroup that matches is a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadRule {
    /// A path below the managed cgroup; `*` stands for one level, `**` for any number.
    pub cgroup: String,
    /// The name of the one match, or the prefix of many (`name/last-part-of-path`).
    pub name: String,
    pub spec: WorkloadSpec,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// TOML that does not parse, or an unknown key; the message carries line and column.
    #[error("{path}: {message}")]
    Syntax { path: PathBuf, message: String },
    #[error("{}:{line}: {key} = {value}: allowed is {allowed}", path.display())]
    Value { path: PathBuf, line: usize, key: String, value: String, allowed: String },
}

/// Reads and checks a file.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(path, &text)
}

/// The text of a file that a person names, for commands that read one.
pub fn read_text(path: &Path) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}

/// Checks the text of a file; `path` is only for messages.
pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
    let raw: RawConfig = toml::from_str(text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    })?;
    let check = Checker { path, text };
    let around = kubernetes::Surroundings::read();
    let kubernetes =
        raw.kubernetes.map(|raw| kubernetes::read(&check, raw, &around)).transpose()?;
    // Where there is a Node object, a report is of the node of its name.
    let object = kubernetes.as_ref().and_then(|kubernetes| kubernetes.apiserver.as_ref());
    let node = object.map(|apiserver| apiserver.node.clone()).or(around.node);
    Ok(Config {
        host: host(&check, raw.host)?,
        agent: agent(&check, raw.agent)?,
        workloads: workload::rules(&check, raw.workload)?,
        policy: policy(
            &check,
            raw.mode,
            (raw.reserve, raw.placement),
            (raw.share, raw.reclaim, raw.suppression),
            (raw.provision, raw.headroom, raw.memory, raw.burst),
        )?,
        kubernetes,
        report: report::read(&check, raw.report, node)?,
        recording: recording(&check, raw.recording)?,
        lines: lines::of(text),
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    mode: Option<Spanned<String>>,
    #[serde(default)]
    host: RawHost,
    #[serde(default)]
    agent: RawAgent,
    #[serde(default)]
    reserve: RawReserve,
    #[serde(default)]
    share: RawShare,
    #[serde(default)]
    reclaim: RawReclaim,
    #[serde(default)]
    suppression: RawSuppression,
    #[serde(default)]
    recording: RawRecording,
    kubernetes: Option<kubernetes::RawKubernetes>,
    #[serde(default)]
    report: report::RawReport,
    #[serde(default)]
    placement: RawPlacement,
    #[serde(default)]
    provision: RawProvision,
    #[serde(default)]
    headroom: RawHeadroom,
    #[serde(default)]
    memory: RawMemory,
    #[serde(default)]
    burst: RawBurst,
    #[serde(default)]
    workload: Vec<workload::RawWorkload>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHost {
    root: Option<Spanned<String>>,
    managed_cgroup: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAgent {
    runtime_dir: Option<Spanned<String>>,
    socket: Option<Spanned<String>>,
    listen: Option<Spanned<String>>,
    metrics_listen: Option<Spanned<String>>,
    tick_ms: Option<Spanned<i64>>,
    own_cgroup: Option<Spanned<String>>,
    own_weight: Option<Spanned<i64>>,
    watchdog_grace_ms: Option<Spanned<i64>>,
    probe: Option<bool>,
    probe_memory_mib: Option<Spanned<i64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReserve {
    cpus: Option<Spanned<i64>>,
    cpuset: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawShare {
    usage_margin: Option<Spanned<f64>>,
    shrink_after_ms: Option<Spanned<i64>>,
    max_shrink_per_tick: Option<Spanned<i64>>,
    default_target_p99_us: Option<Spanned<i64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReclaim {
    floor_cpus: Option<Spanned<i64>>,
    overlap_share: Option<bool>,
    weight: Option<Spanned<i64>>,
    max_growth_per_tick: Option<Spanned<i64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRecording {
    path: Option<Spanned<String>>,
    max_mib: Option<Spanned<i64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSuppression {
    enabled: Option<bool>,
    hold_ms: Option<Spanned<i64>>,
    floor_milli_cpu: Option<Spanned<i64>>,
    max_doublings: Option<Spanned<i64>>,
    use_cpu_idle: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProvision {
    rule: Option<Spanned<String>>,
    usage_ratio: Option<Spanned<f64>>,
    runq_p99_us: Option<Spanned<i64>>,
    min_cpus: Option<Spanned<i64>>,
    quota_target_ratio: Option<Spanned<f64>>,
    lend_exclusive: Option<Spanned<bool>>,
    #[serde(default)]
    isolation: RawIsolation,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIsolation {
    enabled: Option<Spanned<bool>>,
    rounds: Option<Spanned<i64>>,
    quiet_ms: Option<Spanned<i64>>,
    max_cpu_ratio: Option<Spanned<f64>>,
    max_pods_ratio: Option<Spanned<f64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHeadroom {
    sample_every_ms: Option<Spanned<i64>>,
    cpu_oversell_target: Option<Spanned<f64>>,
    memory_reserve: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMemory {
    guard: Option<bool>,
    keep_free: Option<Spanned<String>>,
    leave_pressured_nodes: Option<bool>,
    protection: Option<bool>,
    min_percent: Option<Spanned<i64>>,
    low_percent: Option<Spanned<i64>>,
    oom_priority: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBurst {
    static_percent: Option<Spanned<i64>>,
    max_percent: Option<Spanned<i64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlacement {
    interrupt_cpus: Option<Spanned<String>>,
    numa_hint_policy: Option<Spanned<String>>,
    packing_keep_ratio: Option<Spanned<f64>>,
    pre_occupation_ms: Option<Spanned<i64>>,
}

fn host(check: &Checker<'_>, raw: RawHost) -> Result<HostConfig, ConfigError> {
    Ok(HostConfig {
        root: check.absolute("host.root", raw.root, "/")?.into(),
        managed_cgroup: check.absolute("host.managed_cgroup", raw.managed_cgroup, "/")?,
    })
}

fn agent(check: &Checker<'_>, raw: RawAgent) -> Result<AgentConfig, ConfigError> {
    let runtime_dir: PathBuf =
        check.absolute("agent.runtime_dir", raw.runtime_dir, "/run/berth")?.into();
    let default_socket = runtime_dir.join("agent.sock");
    let listen = raw.listen.unwrap_or_else(|| Spanned::new(0..0, "127.0.0.1:9910".into()));
    Ok(AgentConfig {
        socket: check
            .absolute("agent.socket", raw.socket, &default_socket.to_string_lossy())?
            .into(),
        runtime_dir,
        listen: match listen.get_ref().as_str() {
            "off" => None,
            _ => Some(check.parsed("agent.listen", &listen, "ADDRESS:PORT or \"off\"")?),
        },
        metrics_listen: match raw.metrics_listen {
            Some(text) => check.parsed("agent.metrics_listen", &text, metrics_listen::ALLOWED)?,
            None => MetricsListen::Off,
        },
        // A Sample may be three seconds old: a longer tick would find every one stale.
        tick: Nanos::from_millis(check.int("agent.tick_ms", raw.tick_ms, 1000, 100..=3_000)?),
        own_cgroup: match raw.own_cgroup {
            Some(path) => Some(check.absolute("agent.own_cgroup", Some(path), "/")?),
            None => None,
        },
        own_weight: check.int("agent.own_weight", raw.own_weight, 100, 1..=10_000)?,
        watchdog_grace: Nanos::from_millis(check.int(
            "agent.watchdog_grace_ms",
            raw.watchdog_grace_ms,
            3000,
            0..=8_000,
        )?),
        probe: raw.probe.unwrap_or(true),
        probe_memory_bytes: check.int::<u64>(
            "agent.probe_memory_mib",
            raw.probe_memory_mib,
            32,
            4..=1024,
        )? << 20,
    })
}

fn policy(
    check: &Checker<'_>,
    mode: Option<Spanned<String>>,
    (reserve, placement): (RawReserve, RawPlacement),
    (share, reclaim, suppression): (RawShare, RawReclaim, RawSuppression),
    (provision, headroom, memory, burst): (RawProvision, RawHeadroom, RawMemory, RawBurst),
) -> Result<Policy, ConfigError> {
    let default = Policy::default();
    Ok(Policy {
        mode: self::mode(check, mode)?,
        placement: placement::policy(check, (reserve, placement), &reclaim, &default.placement)?,
        share: share_policy(check, share, &default.share)?,
        reclaim: reclaim_policy(check, reclaim, &default.reclaim)?,
        suppression: suppression_policy(check, suppression, &default.suppression)?,
        provision: provision::policy(check, provision, default.provision)?,
        headroom: resources::headroom(check, headroom, default.headroom)?,
        memory: resources::memory(check, memory, default.memory)?,
        burst: resources::burst(check, burst, default.burst)?,
        ..default
    })
}

fn mode(check: &Checker<'_>, raw: Option<Spanned<String>>) -> Result<Mode, ConfigError> {
    match raw {
        None => Ok(Mode::Observe),
        Some(text) => match text.get_ref().as_str() {
            "observe" => Ok(Mode::Observe),
            "enforce" => Ok(Mode::Enforce),
            _ => Err(check.refuse("mode", &text, "\"observe\" or \"enforce\"")),
        },
    }
}

fn share_policy(
    check: &Checker<'_>,
    raw: RawShare,
    default: &SharePolicy,
) -> Result<SharePolicy, ConfigError> {
    let shrink_ms = default.shrink_after.0 / 1_000_000;
    Ok(SharePolicy {
        usage_margin: check.float(
            "share.usage_margin",
            raw.usage_margin,
            default.usage_margin,
            1.0..=10.0,
        )?,
        shrink_after: Nanos::from_millis(check.int(
            "share.shrink_after_ms",
            raw.shrink_after_ms,
            shrink_ms,
            0..=3_600_000,
        )?),
        max_shrink_per_tick: check.int(
            "share.max_shrink_per_tick",
            raw.max_shrink_per_tick,
            default.max_shrink_per_tick,
            1..=1024,
        )?,
        default_target_p99: Micros(check.int(
            "share.default_target_p99_us",
            raw.default_target_p99_us,
            default.default_target_p99.0,
            100..=10_000_000,
        )?),
    })
}

fn reclaim_policy(
    check: &Checker<'_>,
    raw: RawReclaim,
    default: &ReclaimPolicy,
) -> Result<ReclaimPolicy, ConfigError> {
    let weight = raw.weight.clone();
    let value: u16 = check.int("reclaim.weight", raw.weight, default.weight.get(), 1..=10_000)?;
    let weight = model::knob::CpuWeight::new(value).ok_or_else(|| {
        check.refuse("reclaim.weight", &weight.unwrap_or_else(|| Spanned::new(0..0, 0)), "1..10000")
    })?;
    Ok(ReclaimPolicy {
        weight,
        max_growth_per_tick: check.int(
            "reclaim.max_growth_per_tick",
            raw.max_growth_per_tick,
            default.max_growth_per_tick,
            1..=1024,
        )?,
    })
}

fn suppression_policy(
    check: &Checker<'_>,
    raw: RawSuppression,
    default: &SuppressionPolicy,
) -> Result<SuppressionPolicy, ConfigError> {
    let hold_ms = default.hold.0 / 1_000_000;
    Ok(SuppressionPolicy {
        enabled: raw.enabled.unwrap_or(default.enabled),
        hold: Nanos::from_millis(check.int(
            "suppression.hold_ms",
            raw.hold_ms,
            hold_ms,
            50..=600_000,
        )?),
        floor: MilliCpu(check.int(
            "suppression.floor_milli_cpu",
            raw.floor_milli_cpu,
            default.floor.0,
            10..=1_000_000,
        )?),
        max_doublings: check.int(
            "suppression.max_doublings",
            raw.max_doublings,
            default.max_doublings,
            0..=8,
        )?,
        use_cpu_idle: raw.use_cpu_idle.unwrap_or(default.use_cpu_idle),
    })
}

fn recording(
    check: &Checker<'_>,
    raw: RawRecording,
) -> Result<Option<RecordingConfig>, ConfigError> {
    let max_mib: u64 = check.int("recording.max_mib", raw.max_mib, 64, 1..=65_536)?;
    match raw.path {
        None => Ok(None),
        path => Ok(Some(RecordingConfig {
            path: check.absolute("recording.path", path, "/")?.into(),
            max_bytes: max_mib << 20,
        })),
    }
}

#[cfg(test)]
mod tests;
