//! @generated from `proto` by `cargo xtask codegen`; do not edit. Owns messages,
//! client and server traits; no behaviour.

#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct GetSnapshotRequest {}
#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct WatchSnapshotsRequest {
    /// At most one Snapshot in so many milliseconds; 0 is every change.
    #[prost(uint32, tag = "1")]
    pub min_interval_ms: u32,
}
#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct GetTopologyRequest {}
#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ListDecisionsRequest {
    /// At most so many; 0 is all the agent remembers.
    #[prost(uint32, tag = "1")]
    pub limit: u32,
}
#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct WatchDecisionsRequest {
    /// So many old ones first; 0 is none.
    #[prost(uint32, tag = "1")]
    pub backlog: u32,
}
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct WhySlowRequest {
    #[prost(string, tag = "1")]
    pub workload: ::prost::alloc::string::String,
}
#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct GetPlanRequest {}
#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct DoctorRequest {}
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ExplainRequest {
    /// A workload, a pool, or the id of a rule.
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
}
#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct GetPolicyRequest {}
#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct GetHeadroomRequest {}
#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct GetRecordedSnapshotRequest {}
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct RecordedSnapshot {
    /// A document of kind "snapshot" with its schema number.
    #[prost(string, tag = "1")]
    pub json: ::prost::alloc::string::String,
}
#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct SetModeRequest {
    #[prost(enumeration = "Mode", tag = "1")]
    #[serde(serialize_with = "crate::json::mode")]
    pub mode: i32,
}
#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct SetModeReply {
    #[prost(enumeration = "Mode", tag = "1")]
    #[serde(serialize_with = "crate::json::mode")]
    pub mode: i32,
    #[prost(enumeration = "Mode", tag = "2")]
    #[serde(serialize_with = "crate::json::mode")]
    pub previous: i32,
}
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct Snapshot {
    /// When it was derived.
    #[prost(uint64, tag = "1")]
    pub at_mono_ns: u64,
    #[prost(uint64, tag = "2")]
    pub now_mono_ns: u64,
    #[prost(enumeration = "Mode", tag = "3")]
    #[serde(serialize_with = "crate::json::mode")]
    pub mode: i32,
    #[prost(message, optional, tag = "4")]
    pub signal: ::core::option::Option<Signal>,
    #[prost(message, optional, tag = "5")]
    pub host: ::core::option::Option<Host>,
    /// By CPU number.
    #[prost(message, repeated, tag = "6")]
    pub cpus: ::prost::alloc::vec::Vec<CpuView>,
    #[prost(message, repeated, tag = "7")]
    pub pools: ::prost::alloc::vec::Vec<Pool>,
    #[prost(message, repeated, tag = "8")]
    pub workloads: ::prost::alloc::vec::Vec<Workload>,
    /// Set while reclaimed work is held down by the fast path.
    #[prost(message, optional, tag = "9")]
    pub suppression: ::core::option::Option<Suppression>,
    #[prost(message, optional, tag = "10")]
    pub suppression_stats: ::core::option::Option<SuppressionStats>,
    #[prost(message, optional, tag = "11")]
    pub agent: ::core::option::Option<AgentHealth>,
    #[prost(message, repeated, tag = "12")]
    pub findings: ::prost::alloc::vec::Vec<Finding>,
    #[prost(message, repeated, tag = "13")]
    pub sources: ::prost::alloc::vec::Vec<SourceHealth>,
}
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Signal {
    #[prost(enumeration = "SignalState", tag = "1")]
    #[serde(serialize_with = "crate::json::signal_state")]
    pub state: i32,
    /// Empty when good.
    #[prost(string, tag = "2")]
    pub why: ::prost::alloc::string::String,
}
#[derive(serde::Serialize, Clone, Copy, PartialEq, ::prost::Message)]
pub struct Host {
    #[prost(double, optional, tag = "1")]
    pub busy_ratio: ::core::option::Option<f64>,
    #[prost(double, optional, tag = "2")]
    pub steal_ratio: ::core::option::Option<f64>,
    #[prost(message, optional, tag = "3")]
    pub cpu_pressure: ::core::option::Option<Pressure>,
    #[prost(uint64, optional, tag = "4")]
    pub memory_total_bytes: ::core::option::Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    pub memory_available_bytes: ::core::option::Option<u64>,
}
#[derive(serde::Serialize, Clone, Copy, PartialEq, ::prost::Message)]
pub struct CpuView {
    #[prost(uint32, tag = "1")]
    pub cpu: u32,
    #[prost(uint32, tag = "2")]
    pub numa_node: u32,
    #[prost(bool, tag = "3")]
    pub online: bool,
    #[prost(double, optional, tag = "4")]
    pub busy_ratio: ::core::option::Option<f64>,
}
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Pool {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub cpus: ::prost::alloc::string::String,
    #[prost(uint32, tag = "3")]
    pub n_cpus: u32,
    /// What the pool's workloads need, before rounding and bounds.
    #[prost(uint64, tag = "4")]
    pub need_milli_cpu: u64,
    /// What its workloads use now; missing when none of them could be read.
    #[prost(uint64, optional, tag = "5")]
    pub usage_milli_cpu: ::core::option::Option<u64>,
    #[prost(uint32, tag = "6")]
    pub n_workloads: u32,
}
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct Workload {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    /// dedicated_cores, shared_cores, reclaimed_cores, system_cores
    #[prost(string, tag = "2")]
    pub qos: ::prost::alloc::string::String,
    /// Missing while no plan places it.
    #[prost(string, optional, tag = "3")]
    pub pool: ::core::option::Option<::prost::alloc::string::String>,
    #[prost(string, tag = "4")]
    pub cgroup: ::prost::alloc::string::String,
    #[prost(uint64, tag = "5")]
    pub cgroup_id: u64,
    #[prost(bool, tag = "6")]
    pub populated: bool,
    #[prost(uint64, tag = "7")]
    pub request_milli_cpu: u64,
    /// The run-queue wait its p99 should stay under; missing takes the policy's default.
    #[prost(uint64, optional, tag = "8")]
    pub target_wait_p99_us: ::core::option::Option<u64>,
    #[prost(uint64, optional, tag = "9")]
    pub usage_milli_cpu: ::core::option::Option<u64>,
    /// Missing without BPF.
    #[prost(message, optional, tag = "10")]
    pub runq: ::core::option::Option<Runq>,
    /// Share of enforcement periods in which its own quota throttled it.
    #[prost(double, optional, tag = "11")]
    pub throttled_ratio: ::core::option::Option<f64>,
    #[prost(message, optional, tag = "12")]
    pub cpu_pressure: ::core::option::Option<Pressure>,
    #[prost(uint64, optional, tag = "13")]
    pub memory_current_bytes: ::core::option::Option<u64>,
    #[prost(message, optional, tag = "14")]
    pub knobs: ::core::option::Option<Knobs>,
    /// The fast path holds it down now.
    #[prost(bool, tag = "15")]
    pub suppressed: bool,
    /// From memory.stat and io.stat, read every ten seconds.
    #[prost(message, optional, tag = "16")]
    pub memory: ::core::option::Option<MemoryView>,
    #[prost(message, optional, tag = "17")]
    pub io: ::core::option::Option<IoView>,
}
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct MemoryView {
    #[prost(uint64, optional, tag = "1")]
    pub anon_bytes: ::core::option::Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub file_bytes: ::core::option::Option<u64>,
    /// Missing before kernel 5.18.
    #[prost(uint64, optional, tag = "3")]
    pub kernel_bytes: ::core::option::Option<u64>,
    #[prost(message, optional, tag = "4")]
    pub health: ::core::option::Option<SourceHealth>,
}
/// All block devices together, over the time between the last two readings; missing on the first one.
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct IoView {
    #[prost(uint64, optional, tag = "1")]
    pub read_bytes_per_s: ::core::option::Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub written_bytes_per_s: ::core::option::Option<u64>,
    #[prost(message, optional, tag = "3")]
    pub health: ::core::option::Option<SourceHealth>,
}
/// Run-queue waits over the last interval.
#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Runq {
    #[prost(uint64, tag = "1")]
    pub n_waits: u64,
    #[prost(uint64, optional, tag = "2")]
    pub wait_p50_ns: ::core::option::Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub wait_p99_ns: ::core::option::Option<u64>,
    #[prost(uint64, optional, tag = "4")]
    pub wait_p999_ns: ::core::option::Option<u64>,
    #[prost(uint64, tag = "5")]
    pub wait_total_ns: u64,
    #[prost(uint64, tag = "6")]
    pub on_cpu_ns: u64,
}
/// One PSI file.
#[derive(serde::Serialize, Clone, Copy, PartialEq, ::prost::Message)]
pub struct Pressure {
    #[prost(message, optional, tag = "1")]
    pub some: ::core::option::Option<PressureLine>,
    #[prost(message, optional, tag = "2")]
    pub full: ::core::option::Option<PressureLine>,
}
#[derive(serde::Serialize, Clone, Copy, PartialEq, ::prost::Message)]
pub struct PressureLine {
    #[prost(double, tag = "1")]
    pub avg10_pct: f64,
    #[prost(double, tag = "2")]
    pub avg60_pct: f64,
    #[prost(double, tag = "3")]
    pub avg300_pct: f64,
    #[prost(uint64, tag = "4")]
    pub total_us: u64,
}
/// What stands in the files of one cgroup; missing was never seen.
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Knobs {
    #[prost(bool, optional, tag = "1")]
    pub cpu_idle: ::core::option::Option<bool>,
    #[prost(uint32, optional, tag = "2")]
    pub cpu_weight: ::core::option::Option<u32>,
    #[prost(message, optional, tag = "3")]
    pub cpu_max: ::core::option::Option<CpuMax>,
    /// As written; empty is "inherit".
    #[prost(string, optional, tag = "4")]
    pub cpuset_cpus: ::core::option::Option<::prost::alloc::string::String>,
    /// What the kernel made of it.
    #[prost(string, optional, tag = "5")]
    pub cpuset_cpus_effective: ::core::option::Option<::prost::alloc::string::String>,
}
#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct CpuMax {
    /// Missing is "max".
    #[prost(uint64, optional, tag = "1")]
    pub quota_us: ::core::option::Option<u64>,
    #[prost(uint64, tag = "2")]
    pub period_us: u64,
}
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Suppression {
    #[prost(string, tag = "1")]
    pub victim: ::prost::alloc::string::String,
    #[prost(uint64, tag = "2")]
    pub began_mono_ns: u64,
    #[prost(uint64, tag = "3")]
    pub expires_mono_ns: u64,
    /// When the victim's first over-threshold wait was seen.
    #[prost(uint64, tag = "4")]
    pub first_wait_mono_ns: u64,
    /// All reclaimed work together keeps this much.
    #[prost(uint64, tag = "5")]
    pub floor_milli_cpu: u64,
    #[prost(bool, tag = "6")]
    pub cpu_idle: bool,
}
/// From the kernel's timestamp of the first long wait to the read-back of the last write, since the
/// agent started. Quantiles are missing while there was none.
#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct SuppressionStats {
    #[prost(uint64, tag = "1")]
    pub n_events: u64,
    #[prost(uint64, optional, tag = "2")]
    pub latency_p50_ns: ::core::option::Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub latency_p99_ns: ::core::option::Option<u64>,
    #[prost(uint64, optional, tag = "4")]
    pub latency_max_ns: ::core::option::Option<u64>,
}
/// What the agent itself costs and whether its eyes are open.
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct AgentHealth {
    #[prost(uint64, optional, tag = "1")]
    pub rss_bytes: ::core::option::Option<u64>,
    /// Share of one CPU.
    #[prost(double, optional, tag = "2")]
    pub cpu_ratio: ::core::option::Option<f64>,
    #[prost(bool, tag = "3")]
    pub probe_loaded: bool,
    #[prost(string, tag = "4")]
    pub probe_status: ::prost::alloc::string::String,
    #[prost(uint64, tag = "5")]
    pub started_mono_ns: u64,
}
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Finding {
    #[prost(enumeration = "Severity", tag = "1")]
    #[serde(serialize_with = "crate::json::severity")]
    pub severity: i32,
    #[prost(string, tag = "2")]
    pub rule: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    pub subject: ::prost::alloc::string::String,
    #[prost(string, tag = "4")]
    pub message: ::prost::alloc::string::String,
}
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct SourceHealth {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    /// Missing was never read.
    #[prost(uint64, optional, tag = "2")]
    pub age_ns: ::core::option::Option<u64>,
    /// Missing is healthy. One of absent, unsupported, broken.
    #[prost(string, optional, tag = "3")]
    pub fault: ::core::option::Option<::prost::alloc::string::String>,
    #[prost(string, tag = "4")]
    pub detail: ::prost::alloc::string::String,
}
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct Topology {
    #[prost(message, repeated, tag = "1")]
    pub cpus: ::prost::alloc::vec::Vec<Cpu>,
    #[prost(message, repeated, tag = "2")]
    pub nodes: ::prost::alloc::vec::Vec<NumaNode>,
    #[prost(string, tag = "3")]
    pub offline_cpus: ::prost::alloc::string::String,
    /// Of efficiency cores on a hybrid machine; empty where all cores are alike.
    #[prost(string, tag = "4")]
    pub efficiency_cpus: ::prost::alloc::string::String,
}
#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Cpu {
    #[prost(uint32, tag = "1")]
    pub cpu: u32,
    #[prost(bool, tag = "2")]
    pub online: bool,
    #[prost(uint32, tag = "3")]
    pub core: u32,
    #[prost(uint32, tag = "4")]
    pub socket: u32,
    #[prost(uint32, tag = "5")]
    pub numa_node: u32,
    #[prost(uint32, optional, tag = "6")]
    pub llc: ::core::option::Option<u32>,
}
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct NumaNode {
    #[prost(uint32, tag = "1")]
    pub numa_node: u32,
    #[prost(string, tag = "2")]
    pub cpus: ::prost::alloc::string::String,
    #[prost(uint64, optional, tag = "3")]
    pub memory_bytes: ::core::option::Option<u64>,
    /// ACPI SLIT: 10 is local.
    #[prost(message, repeated, tag = "4")]
    pub distances: ::prost::alloc::vec::Vec<NumaDistance>,
}
#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct NumaDistance {
    #[prost(uint32, tag = "1")]
    pub to_numa_node: u32,
    #[prost(uint32, tag = "2")]
    pub distance: u32,
}
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct Decisions {
    #[prost(uint64, tag = "1")]
    pub now_mono_ns: u64,
    /// Oldest first.
    #[prost(message, repeated, tag = "2")]
    pub decisions: ::prost::alloc::vec::Vec<Decision>,
    /// Made but forgotten before they could be sent to this reader.
    #[prost(uint64, tag = "3")]
    pub n_lost: u64,
}
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct Decision {
    /// Counts all decisions since the agent started, from 1.
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    #[prost(uint64, tag = "2")]
    pub at_mono_ns: u64,
    #[prost(string, tag = "3")]
    pub rule: ::prost::alloc::string::String,
    /// A workload or a pool.
    #[prost(string, tag = "4")]
    pub subject: ::prost::alloc::string::String,
    #[prost(message, repeated, tag = "5")]
    pub inputs: ::prost::alloc::vec::Vec<DecisionInput>,
    #[prost(string, tag = "6")]
    pub result: ::prost::alloc::string::String,
}
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct DecisionInput {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    /// With its unit.
    #[prost(string, tag = "2")]
    pub value: ::prost::alloc::string::String,
}
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct WhySlowReport {
    #[prost(string, tag = "1")]
    pub workload: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub qos: ::prost::alloc::string::String,
    #[prost(uint64, tag = "3")]
    pub at_mono_ns: u64,
    #[prost(uint64, tag = "4")]
    pub now_mono_ns: u64,
    /// Waited over the last interval, all threads together.
    #[prost(uint64, tag = "5")]
    pub wait_total_ns: u64,
    #[prost(uint64, optional, tag = "6")]
    pub wait_p50_ns: ::core::option::Option<u64>,
    #[prost(uint64, optional, tag = "7")]
    pub wait_p99_ns: ::core::option::Option<u64>,
    #[prost(uint64, optional, tag = "8")]
    pub target_wait_p99_us: ::core::option::Option<u64>,
    /// Largest first. Shares sum to 1 unless nothing was waited for, then the list is empty.
    #[prost(message, repeated, tag = "9")]
    pub causes: ::prost::alloc::vec::Vec<Cause>,
    /// One sentence.
    #[prost(string, tag = "10")]
    pub verdict: ::prost::alloc::string::String,
    /// What to do, one sentence.
    #[prost(string, tag = "11")]
    pub advice: ::prost::alloc::string::String,
}
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct Cause {
    #[prost(enumeration = "CauseKind", tag = "1")]
    #[serde(serialize_with = "crate::json::cause_kind")]
    pub kind: i32,
    /// The workload, for an offender.
    #[prost(string, optional, tag = "2")]
    pub workload: ::core::option::Option<::prost::alloc::string::String>,
    #[prost(uint64, tag = "3")]
    pub wait_ns: u64,
    #[prost(double, tag = "4")]
    pub share_ratio: f64,
}
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct Plan {
    #[prost(uint64, tag = "1")]
    pub generation: u64,
    #[prost(uint64, tag = "2")]
    pub built_mono_ns: u64,
    #[prost(uint64, tag = "3")]
    pub snapshot_mono_ns: u64,
    #[prost(uint64, tag = "4")]
    pub now_mono_ns: u64,
    #[prost(message, repeated, tag = "5")]
    pub pools: ::prost::alloc::vec::Vec<PlannedPool>,
    #[prost(message, repeated, tag = "6")]
    pub workloads: ::prost::alloc::vec::Vec<PlannedWorkload>,
}
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct PlannedPool {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub cpus: ::prost::alloc::string::String,
    #[prost(uint64, tag = "3")]
    pub need_milli_cpu: u64,
}
/// What one cgroup's files should hold; missing leaves a file alone.
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct PlannedWorkload {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub qos: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    pub pool: ::prost::alloc::string::String,
    #[prost(string, tag = "4")]
    pub cgroup: ::prost::alloc::string::String,
    #[prost(string, tag = "5")]
    pub cpus: ::prost::alloc::string::String,
    #[prost(uint32, optional, tag = "6")]
    pub cpu_weight: ::core::option::Option<u32>,
    #[prost(bool, optional, tag = "7")]
    pub cpu_idle: ::core::option::Option<bool>,
    #[prost(message, optional, tag = "8")]
    pub cpu_max: ::core::option::Option<CpuMax>,
}
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct DoctorReport {
    #[prost(message, repeated, tag = "1")]
    pub checks: ::prost::alloc::vec::Vec<Check>,
}
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Check {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    #[prost(enumeration = "CheckStatus", tag = "2")]
    #[serde(serialize_with = "crate::json::check_status")]
    pub status: i32,
    #[prost(string, tag = "3")]
    pub detail: ::prost::alloc::string::String,
    /// Empty when there is nothing to fix.
    #[prost(string, tag = "4")]
    pub fix: ::prost::alloc::string::String,
}
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct Explanation {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    #[prost(enumeration = "NameKind", tag = "2")]
    pub kind: i32,
    #[prost(uint64, tag = "3")]
    pub now_mono_ns: u64,
    /// Where it is now; missing for a rule, and for a workload that no plan places.
    #[prost(message, optional, tag = "4")]
    pub placement: ::core::option::Option<Placement>,
    /// Oldest first; at most the decisions that the agent remembers.
    #[prost(message, repeated, tag = "5")]
    pub decisions: ::prost::alloc::vec::Vec<ExplainedDecision>,
    /// What the agent says about it now.
    #[prost(message, repeated, tag = "6")]
    pub findings: ::prost::alloc::vec::Vec<Finding>,
}
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Placement {
    #[prost(string, tag = "1")]
    pub pool: ::prost::alloc::string::String,
    /// Empty for a pool itself.
    #[prost(string, tag = "2")]
    pub qos: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    pub cpus: ::prost::alloc::string::String,
    /// One sentence per reason, the first ones first in the arithmetic.
    #[prost(string, repeated, tag = "4")]
    pub reasons: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct ExplainedDecision {
    #[prost(message, optional, tag = "1")]
    pub decision: ::core::option::Option<Decision>,
    /// Why it concerns what was asked for, in a few words.
    #[prost(string, tag = "2")]
    pub because: ::prost::alloc::string::String,
}
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct Policy {
    #[prost(message, repeated, tag = "1")]
    pub values: ::prost::alloc::vec::Vec<PolicyValue>,
    /// The configuration file; empty when there is none.
    #[prost(string, tag = "2")]
    pub file: ::prost::alloc::string::String,
}
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct PolicyValue {
    /// As in the configuration file: `share.usage_margin`.
    #[prost(string, tag = "1")]
    pub key: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub value: ::prost::alloc::string::String,
    #[prost(enumeration = "PolicySource", tag = "3")]
    pub source: i32,
    /// In the file; missing for other sources.
    #[prost(uint32, optional, tag = "4")]
    pub line: ::core::option::Option<u32>,
    /// What it would be without the file.
    #[prost(string, tag = "5")]
    pub built_in: ::prost::alloc::string::String,
    /// Another value was there before: where it stood.
    #[prost(string, tag = "6")]
    pub instead_of: ::prost::alloc::string::String,
}
/// A sum with everything that goes into it.
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct Headroom {
    #[prost(uint64, tag = "1")]
    pub now_mono_ns: u64,
    #[prost(message, optional, tag = "2")]
    pub cpu: ::core::option::Option<Explained>,
    #[prost(message, optional, tag = "3")]
    pub memory: ::core::option::Option<Explained>,
    #[prost(message, repeated, tag = "4")]
    pub nodes: ::prost::alloc::vec::Vec<NodeHeadroom>,
}
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct NodeHeadroom {
    #[prost(uint32, tag = "1")]
    pub numa_node: u32,
    #[prost(message, optional, tag = "2")]
    pub cpu: ::core::option::Option<Explained>,
    #[prost(message, optional, tag = "3")]
    pub memory: ::core::option::Option<Explained>,
}
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct Explained {
    /// Missing when a term it needs is not known.
    #[prost(double, optional, tag = "1")]
    pub result: ::core::option::Option<f64>,
    #[prost(string, tag = "2")]
    pub unit: ::prost::alloc::string::String,
    #[prost(message, repeated, tag = "3")]
    pub terms: ::prost::alloc::vec::Vec<Term>,
}
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct Term {
    #[prost(string, tag = "1")]
    pub term: ::prost::alloc::string::String,
    #[prost(double, optional, tag = "2")]
    pub value: ::core::option::Option<f64>,
    #[prost(string, tag = "3")]
    pub unit: ::prost::alloc::string::String,
    /// Where it comes from: a source, a policy key, a rule.
    #[prost(string, tag = "4")]
    pub source: ::prost::alloc::string::String,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum Mode {
    Unspecified = 0,
    /// Decide and record, write nothing.
    Observe = 1,
    Enforce = 2,
}
impl Mode {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "MODE_UNSPECIFIED",
            Self::Observe => "MODE_OBSERVE",
            Self::Enforce => "MODE_ENFORCE",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "MODE_UNSPECIFIED" => Some(Self::Unspecified),
            "MODE_OBSERVE" => Some(Self::Observe),
            "MODE_ENFORCE" => Some(Self::Enforce),
            _ => None,
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum Severity {
    Unspecified = 0,
    Note = 1,
    Warning = 2,
    /// The plan was not carried out.
    Fatal = 3,
}
impl Severity {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "SEVERITY_UNSPECIFIED",
            Self::Note => "SEVERITY_NOTE",
            Self::Warning => "SEVERITY_WARNING",
            Self::Fatal => "SEVERITY_FATAL",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "SEVERITY_UNSPECIFIED" => Some(Self::Unspecified),
            "SEVERITY_NOTE" => Some(Self::Note),
            "SEVERITY_WARNING" => Some(Self::Warning),
            "SEVERITY_FATAL" => Some(Self::Fatal),
            _ => None,
        }
    }
}
/// How far the run-queue signal can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum SignalState {
    Unspecified = 0,
    /// Run-queue waits from BPF.
    Good = 1,
    /// BPF works, but steal or a spinner distorts it: nothing may grow.
    Degraded = 2,
    /// No BPF; PSI is the only witness of contention (about 0.5 s).
    PressureOnly = 3,
    /// Neither.
    None = 4,
}
impl SignalState {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "SIGNAL_STATE_UNSPECIFIED",
            Self::Good => "SIGNAL_STATE_GOOD",
            Self::Degraded => "SIGNAL_STATE_DEGRADED",
            Self::PressureOnly => "SIGNAL_STATE_PRESSURE_ONLY",
            Self::None => "SIGNAL_STATE_NONE",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "SIGNAL_STATE_UNSPECIFIED" => Some(Self::Unspecified),
            "SIGNAL_STATE_GOOD" => Some(Self::Good),
            "SIGNAL_STATE_DEGRADED" => Some(Self::Degraded),
            "SIGNAL_STATE_PRESSURE_ONLY" => Some(Self::PressureOnly),
            "SIGNAL_STATE_NONE" => Some(Self::None),
            _ => None,
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum CauseKind {
    Unspecified = 0,
    /// Another workload ran where the victim waited.
    Offender = 1,
    /// Runnable but throttled by its own cpu.max.
    OwnThrottle = 2,
    /// Its own threads ran: its pool is too small.
    OwnGroup = 3,
    /// The CPU was idle, stolen by the hypervisor, or handling interrupts.
    IdleOrSteal = 4,
    /// Tasks of no workload the agent knows.
    Untracked = 5,
    Unknown = 6,
}
impl CauseKind {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "CAUSE_KIND_UNSPECIFIED",
            Self::Offender => "CAUSE_KIND_OFFENDER",
            Self::OwnThrottle => "CAUSE_KIND_OWN_THROTTLE",
            Self::OwnGroup => "CAUSE_KIND_OWN_GROUP",
            Self::IdleOrSteal => "CAUSE_KIND_IDLE_OR_STEAL",
            Self::Untracked => "CAUSE_KIND_UNTRACKED",
            Self::Unknown => "CAUSE_KIND_UNKNOWN",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "CAUSE_KIND_UNSPECIFIED" => Some(Self::Unspecified),
            "CAUSE_KIND_OFFENDER" => Some(Self::Offender),
            "CAUSE_KIND_OWN_THROTTLE" => Some(Self::OwnThrottle),
            "CAUSE_KIND_OWN_GROUP" => Some(Self::OwnGroup),
            "CAUSE_KIND_IDLE_OR_STEAL" => Some(Self::IdleOrSteal),
            "CAUSE_KIND_UNTRACKED" => Some(Self::Untracked),
            "CAUSE_KIND_UNKNOWN" => Some(Self::Unknown),
            _ => None,
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum CheckStatus {
    Unspecified = 0,
    Ok = 1,
    Warn = 2,
    Fail = 3,
}
impl CheckStatus {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "CHECK_STATUS_UNSPECIFIED",
            Self::Ok => "CHECK_STATUS_OK",
            Self::Warn => "CHECK_STATUS_WARN",
            Self::Fail => "CHECK_STATUS_FAIL",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "CHECK_STATUS_UNSPECIFIED" => Some(Self::Unspecified),
            "CHECK_STATUS_OK" => Some(Self::Ok),
            "CHECK_STATUS_WARN" => Some(Self::Warn),
            "CHECK_STATUS_FAIL" => Some(Self::Fail),
            _ => None,
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum NameKind {
    Unspecified = 0,
    Workload = 1,
    Pool = 2,
    Rule = 3,
}
impl NameKind {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "NAME_KIND_UNSPECIFIED",
            Self::Workload => "NAME_KIND_WORKLOAD",
            Self::Pool => "NAME_KIND_POOL",
            Self::Rule => "NAME_KIND_RULE",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "NAME_KIND_UNSPECIFIED" => Some(Self::Unspecified),
            "NAME_KIND_WORKLOAD" => Some(Self::Workload),
            "NAME_KIND_POOL" => Some(Self::Pool),
            "NAME_KIND_RULE" => Some(Self::Rule),
            _ => None,
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum PolicySource {
    Unspecified = 0,
    /// The agent's own default.
    BuiltIn = 1,
    File = 2,
    /// `berth mode`, until the agent restarts.
    Command = 3,
    /// This host allows nothing else.
    Host = 4,
}
impl PolicySource {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "POLICY_SOURCE_UNSPECIFIED",
            Self::BuiltIn => "POLICY_SOURCE_BUILT_IN",
            Self::File => "POLICY_SOURCE_FILE",
            Self::Command => "POLICY_SOURCE_COMMAND",
            Self::Host => "POLICY_SOURCE_HOST",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "POLICY_SOURCE_UNSPECIFIED" => Some(Self::Unspecified),
            "POLICY_SOURCE_BUILT_IN" => Some(Self::BuiltIn),
            "POLICY_SOURCE_FILE" => Some(Self::File),
            "POLICY_SOURCE_COMMAND" => Some(Self::Command),
            "POLICY_SOURCE_HOST" => Some(Self::Host),
            _ => None,
        }
    }
}
/// Generated client implementations.
pub mod agent_client {
    #![allow(
        unused_variables,
        dead_code,
        missing_docs,
        clippy::wildcard_imports,
        clippy::let_unit_value
    )]
    use tonic::codegen::http::Uri;
    use tonic::codegen::*;
    /// Read calls: whoever may open the socket. Changing calls (SetMode): root.
    #[derive(Debug, Clone)]
    pub struct AgentClient<T> {
        inner: tonic::client::Grpc<T>,
    }
    impl<T> AgentClient<T>
    where
        T: tonic::client::GrpcService<tonic::body::Body>,
        T::Error: Into<StdError>,
        T::ResponseBody: Body<Data = Bytes> + std::marker::Send + 'static,
        <T::ResponseBody as Body>::Error: Into<StdError> + std::marker::Send,
    {
        pub fn new(inner: T) -> Self {
            let inner = tonic::client::Grpc::new(inner);
            Self { inner }
        }
        pub fn with_origin(inner: T, origin: Uri) -> Self {
            let inner = tonic::client::Grpc::with_origin(inner, origin);
            Self { inner }
        }
        pub fn with_interceptor<F>(
            inner: T,
            interceptor: F,
        ) -> AgentClient<InterceptedService<T, F>>
        where
            F: tonic::service::Interceptor,
            T::ResponseBody: Default,
            T: tonic::codegen::Service<
                    http::Request<tonic::body::Body>,
                    Response = http::Response<
                        <T as tonic::client::GrpcService<tonic::body::Body>>::ResponseBody,
                    >,
                >,
            <T as tonic::codegen::Service<http::Request<tonic::body::Body>>>::Error:
                Into<StdError> + std::marker::Send + std::marker::Sync,
        {
            AgentClient::new(InterceptedService::new(inner, interceptor))
        }
        /// Compress requests with the given encoding.
        ///
        /// This requires the server to support it otherwise it might respond with an
        /// error.
        #[must_use]
        pub fn send_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.inner = self.inner.send_compressed(encoding);
            self
        }
        /// Enable decompressing responses.
        #[must_use]
        pub fn accept_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.inner = self.inner.accept_compressed(encoding);
            self
        }
        /// Limits the maximum size of a decoded message.
        ///
        /// Default: `4MB`
        #[must_use]
        pub fn max_decoding_message_size(mut self, limit: usize) -> Self {
            self.inner = self.inner.max_decoding_message_size(limit);
            self
        }
        /// Limits the maximum size of an encoded message.
        ///
        /// Default: `usize::MAX`
        #[must_use]
        pub fn max_encoding_message_size(mut self, limit: usize) -> Self {
            self.inner = self.inner.max_encoding_message_size(limit);
            self
        }
        /// The node as the agent sees it now.
        pub async fn get_snapshot(
            &mut self,
            request: impl tonic::IntoRequest<super::GetSnapshotRequest>,
        ) -> std::result::Result<tonic::Response<super::Snapshot>, tonic::Status> {
            self.inner.ready().await.map_err(|e| {
                tonic::Status::unknown(format!("Service was not ready: {}", e.into()))
            })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static("/berth.v1.Agent/GetSnapshot");
            let mut req = request.into_request();
            req.extensions_mut().insert(GrpcMethod::new("berth.v1.Agent", "GetSnapshot"));
            self.inner.unary(req, path, codec).await
        }
        /// The same, again whenever it changed. A slow reader skips states, it never lags behind.
        pub async fn watch_snapshots(
            &mut self,
            request: impl tonic::IntoRequest<super::WatchSnapshotsRequest>,
        ) -> std::result::Result<
            tonic::Response<tonic::codec::Streaming<super::Snapshot>>,
            tonic::Status,
        > {
            self.inner.ready().await.map_err(|e| {
                tonic::Status::unknown(format!("Service was not ready: {}", e.into()))
            })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static("/berth.v1.Agent/WatchSnapshots");
            let mut req = request.into_request();
            req.extensions_mut().insert(GrpcMethod::new("berth.v1.Agent", "WatchSnapshots"));
            self.inner.server_streaming(req, path, codec).await
        }
        /// Sockets, NUMA nodes, last-level caches, cores and CPUs.
        pub async fn get_topology(
            &mut self,
            request: impl tonic::IntoRequest<super::GetTopologyRequest>,
        ) -> std::result::Result<tonic::Response<super::Topology>, tonic::Status> {
            self.inner.ready().await.map_err(|e| {
                tonic::Status::unknown(format!("Service was not ready: {}", e.into()))
            })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static("/berth.v1.Agent/GetTopology");
            let mut req = request.into_request();
            req.extensions_mut().insert(GrpcMethod::new("berth.v1.Agent", "GetTopology"));
            self.inner.unary(req, path, codec).await
        }
        /// The newest decisions, oldest first.
        pub async fn list_decisions(
            &mut self,
            request: impl tonic::IntoRequest<super::ListDecisionsRequest>,
        ) -> std::result::Result<tonic::Response<super::Decisions>, tonic::Status> {
            self.inner.ready().await.map_err(|e| {
                tonic::Status::unknown(format!("Service was not ready: {}", e.into()))
            })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static("/berth.v1.Agent/ListDecisions");
            let mut req = request.into_request();
            req.extensions_mut().insert(GrpcMethod::new("berth.v1.Agent", "ListDecisions"));
            self.inner.unary(req, path, codec).await
        }
        /// The newest decisions, then each one as it is made.
        pub async fn watch_decisions(
            &mut self,
            request: impl tonic::IntoRequest<super::WatchDecisionsRequest>,
        ) -> std::result::Result<
            tonic::Response<tonic::codec::Streaming<super::Decisions>>,
            tonic::Status,
        > {
            self.inner.ready().await.map_err(|e| {
                tonic::Status::unknown(format!("Service was not ready: {}", e.into()))
            })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static("/berth.v1.Agent/WatchDecisions");
            let mut req = request.into_request();
            req.extensions_mut().insert(GrpcMethod::new("berth.v1.Agent", "WatchDecisions"));
            self.inner.server_streaming(req, path, codec).await
        }
        /// Where the run-queue wait of one workload went. NOT_FOUND when there is no such workload,
        /// FAILED_PRECONDITION when the run-queue signal is not available on this node.
        pub async fn why_slow(
            &mut self,
            request: impl tonic::IntoRequest<super::WhySlowRequest>,
        ) -> std::result::Result<tonic::Response<super::WhySlowReport>, tonic::Status> {
            self.inner.ready().await.map_err(|e| {
                tonic::Status::unknown(format!("Service was not ready: {}", e.into()))
            })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static("/berth.v1.Agent/WhySlow");
            let mut req = request.into_request();
            req.extensions_mut().insert(GrpcMethod::new("berth.v1.Agent", "WhySlow"));
            self.inner.unary(req, path, codec).await
        }
        /// What the agent decided that the node's files should hold.
        pub async fn get_plan(
            &mut self,
            request: impl tonic::IntoRequest<super::GetPlanRequest>,
        ) -> std::result::Result<tonic::Response<super::Plan>, tonic::Status> {
            self.inner.ready().await.map_err(|e| {
                tonic::Status::unknown(format!("Service was not ready: {}", e.into()))
            })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static("/berth.v1.Agent/GetPlan");
            let mut req = request.into_request();
            req.extensions_mut().insert(GrpcMethod::new("berth.v1.Agent", "GetPlan"));
            self.inner.unary(req, path, codec).await
        }
        /// Every precondition of the agent's work, with the fix for each that does not hold.
        pub async fn doctor(
            &mut self,
            request: impl tonic::IntoRequest<super::DoctorRequest>,
        ) -> std::result::Result<tonic::Response<super::DoctorReport>, tonic::Status> {
            self.inner.ready().await.map_err(|e| {
                tonic::Status::unknown(format!("Service was not ready: {}", e.into()))
            })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static("/berth.v1.Agent/Doctor");
            let mut req = request.into_request();
            req.extensions_mut().insert(GrpcMethod::new("berth.v1.Agent", "Doctor"));
            self.inner.unary(req, path, codec).await
        }
        /// Everything recorded about one workload, pool or rule, and where a workload is placed now.
        /// NOT_FOUND when nothing has this name.
        pub async fn explain(
            &mut self,
            request: impl tonic::IntoRequest<super::ExplainRequest>,
        ) -> std::result::Result<tonic::Response<super::Explanation>, tonic::Status> {
            self.inner.ready().await.map_err(|e| {
                tonic::Status::unknown(format!("Service was not ready: {}", e.into()))
            })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static("/berth.v1.Agent/Explain");
            let mut req = request.into_request();
            req.extensions_mut().insert(GrpcMethod::new("berth.v1.Agent", "Explain"));
            self.inner.unary(req, path, codec).await
        }
        /// What the operator wants, each value with where it comes from.
        pub async fn get_policy(
            &mut self,
            request: impl tonic::IntoRequest<super::GetPolicyRequest>,
        ) -> std::result::Result<tonic::Response<super::Policy>, tonic::Status> {
            self.inner.ready().await.map_err(|e| {
                tonic::Status::unknown(format!("Service was not ready: {}", e.into()))
            })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static("/berth.v1.Agent/GetPolicy");
            let mut req = request.into_request();
            req.extensions_mut().insert(GrpcMethod::new("berth.v1.Agent", "GetPolicy"));
            self.inner.unary(req, path, codec).await
        }
        /// What reclaimed work may still take, every term of the sum. UNIMPLEMENTED while this agent does
        /// not work it out.
        pub async fn get_headroom(
            &mut self,
            request: impl tonic::IntoRequest<super::GetHeadroomRequest>,
        ) -> std::result::Result<tonic::Response<super::Headroom>, tonic::Status> {
            self.inner.ready().await.map_err(|e| {
                tonic::Status::unknown(format!("Service was not ready: {}", e.into()))
            })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static("/berth.v1.Agent/GetHeadroom");
            let mut req = request.into_request();
            req.extensions_mut().insert(GrpcMethod::new("berth.v1.Agent", "GetHeadroom"));
            self.inner.unary(req, path, codec).await
        }
        /// The Snapshot in the form of files: `berth-agent plan --from` reads it.
        pub async fn get_recorded_snapshot(
            &mut self,
            request: impl tonic::IntoRequest<super::GetRecordedSnapshotRequest>,
        ) -> std::result::Result<tonic::Response<super::RecordedSnapshot>, tonic::Status> {
            self.inner.ready().await.map_err(|e| {
                tonic::Status::unknown(format!("Service was not ready: {}", e.into()))
            })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static("/berth.v1.Agent/GetRecordedSnapshot");
            let mut req = request.into_request();
            req.extensions_mut().insert(GrpcMethod::new("berth.v1.Agent", "GetRecordedSnapshot"));
            self.inner.unary(req, path, codec).await
        }
        /// Observe or enforce. PERMISSION_DENIED unless the caller is root, FAILED_PRECONDITION when the
        /// agent's own config forbids the mode.
        pub async fn set_mode(
            &mut self,
            request: impl tonic::IntoRequest<super::SetModeRequest>,
        ) -> std::result::Result<tonic::Response<super::SetModeReply>, tonic::Status> {
            self.inner.ready().await.map_err(|e| {
                tonic::Status::unknown(format!("Service was not ready: {}", e.into()))
            })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static("/berth.v1.Agent/SetMode");
            let mut req = request.into_request();
            req.extensions_mut().insert(GrpcMethod::new("berth.v1.Agent", "SetMode"));
            self.inner.unary(req, path, codec).await
        }
    }
}
/// Generated server implementations.
pub mod agent_server {
    #![allow(
        unused_variables,
        dead_code,
        missing_docs,
        clippy::wildcard_imports,
        clippy::let_unit_value
    )]
    use tonic::codegen::*;
    /// Generated trait containing gRPC methods that should be implemented for use with AgentServer.
    #[async_trait]
    pub trait Agent: std::marker::Send + std::marker::Sync + 'static {
        /// The node as the agent sees it now.
        async fn get_snapshot(
            &self,
            request: tonic::Request<super::GetSnapshotRequest>,
        ) -> std::result::Result<tonic::Response<super::Snapshot>, tonic::Status>;
        /// Server streaming response type for the WatchSnapshots method.
        type WatchSnapshotsStream: tonic::codegen::tokio_stream::Stream<
                Item = std::result::Result<super::Snapshot, tonic::Status>,
            > + std::marker::Send
            + 'static;
        /// The same, again whenever it changed. A slow reader skips states, it never lags behind.
        async fn watch_snapshots(
            &self,
            request: tonic::Request<super::WatchSnapshotsRequest>,
        ) -> std::result::Result<tonic::Response<Self::WatchSnapshotsStream>, tonic::Status>;
        /// Sockets, NUMA nodes, last-level caches, cores and CPUs.
        async fn get_topology(
            &self,
            request: tonic::Request<super::GetTopologyRequest>,
        ) -> std::result::Result<tonic::Response<super::Topology>, tonic::Status>;
        /// The newest decisions, oldest first.
        async fn list_decisions(
            &self,
            request: tonic::Request<super::ListDecisionsRequest>,
        ) -> std::result::Result<tonic::Response<super::Decisions>, tonic::Status>;
        /// Server streaming response type for the WatchDecisions method.
        type WatchDecisionsStream: tonic::codegen::tokio_stream::Stream<
                Item = std::result::Result<super::Decisions, tonic::Status>,
            > + std::marker::Send
            + 'static;
        /// The newest decisions, then each one as it is made.
        async fn watch_decisions(
            &self,
            request: tonic::Request<super::WatchDecisionsRequest>,
        ) -> std::result::Result<tonic::Response<Self::WatchDecisionsStream>, tonic::Status>;
        /// Where the run-queue wait of one workload went. NOT_FOUND when there is no such workload,
        /// FAILED_PRECONDITION when the run-queue signal is not available on this node.
        async fn why_slow(
            &self,
            request: tonic::Request<super::WhySlowRequest>,
        ) -> std::result::Result<tonic::Response<super::WhySlowReport>, tonic::Status>;
        /// What the agent decided that the node's files should hold.
        async fn get_plan(
            &self,
            request: tonic::Request<super::GetPlanRequest>,
        ) -> std::result::Result<tonic::Response<super::Plan>, tonic::Status>;
        /// Every precondition of the agent's work, with the fix for each that does not hold.
        async fn doctor(
            &self,
            request: tonic::Request<super::DoctorRequest>,
        ) -> std::result::Result<tonic::Response<super::DoctorReport>, tonic::Status>;
        /// Everything recorded about one workload, pool or rule, and where a workload is placed now.
        /// NOT_FOUND when nothing has this name.
        async fn explain(
            &self,
            request: tonic::Request<super::ExplainRequest>,
        ) -> std::result::Result<tonic::Response<super::Explanation>, tonic::Status>;
        /// What the operator wants, each value with where it comes from.
        async fn get_policy(
            &self,
            request: tonic::Request<super::GetPolicyRequest>,
        ) -> std::result::Result<tonic::Response<super::Policy>, tonic::Status>;
        /// What reclaimed work may still take, every term of the sum. UNIMPLEMENTED while this agent does
        /// not work it out.
        async fn get_headroom(
            &self,
            request: tonic::Request<super::GetHeadroomRequest>,
        ) -> std::result::Result<tonic::Response<super::Headroom>, tonic::Status>;
        /// The Snapshot in the form of files: `berth-agent plan --from` reads it.
        async fn get_recorded_snapshot(
            &self,
            request: tonic::Request<super::GetRecordedSnapshotRequest>,
        ) -> std::result::Result<tonic::Response<super::RecordedSnapshot>, tonic::Status>;
        /// Observe or enforce. PERMISSION_DENIED unless the caller is root, FAILED_PRECONDITION when the
        /// agent's own config forbids the mode.
        async fn set_mode(
            &self,
            request: tonic::Request<super::SetModeRequest>,
        ) -> std::result::Result<tonic::Response<super::SetModeReply>, tonic::Status>;
    }
    /// Read calls: whoever may open the socket. Changing calls (SetMode): root.
    #[derive(Debug)]
    pub struct AgentServer<T> {
        inner: Arc<T>,
        accept_compression_encodings: EnabledCompressionEncodings,
        send_compression_encodings: EnabledCompressionEncodings,
        max_decoding_message_size: Option<usize>,
        max_encoding_message_size: Option<usize>,
    }
    impl<T> AgentServer<T> {
        pub fn new(inner: T) -> Self {
            Self::from_arc(Arc::new(inner))
        }
        pub fn from_arc(inner: Arc<T>) -> Self {
            Self {
                inner,
                accept_compression_encodings: Default::default(),
                send_compression_encodings: Default::default(),
                max_decoding_message_size: None,
                max_encoding_message_size: None,
            }
        }
        pub fn with_interceptor<F>(inner: T, interceptor: F) -> InterceptedService<Self, F>
        where
            F: tonic::service::Interceptor,
        {
            InterceptedService::new(Self::new(inner), interceptor)
        }
        /// Enable decompressing requests with the given encoding.
        #[must_use]
        pub fn accept_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.accept_compression_encodings.enable(encoding);
            self
        }
        /// Compress responses with the given encoding, if the client supports it.
        #[must_use]
        pub fn send_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.send_compression_encodings.enable(encoding);
            self
        }
        /// Limits the maximum size of a decoded message.
        ///
        /// Default: `4MB`
        #[must_use]
        pub fn max_decoding_message_size(mut self, limit: usize) -> Self {
            self.max_decoding_message_size = Some(limit);
            self
        }
        /// Limits the maximum size of an encoded message.
        ///
        /// Default: `usize::MAX`
        #[must_use]
        pub fn max_encoding_message_size(mut self, limit: usize) -> Self {
            self.max_encoding_message_size = Some(limit);
            self
        }
    }
    impl<T, B> tonic::codegen::Service<http::Request<B>> for AgentServer<T>
    where
        T: Agent,
        B: Body + std::marker::Send + 'static,
        B::Error: Into<StdError> + std::marker::Send + 'static,
    {
        type Response = http::Response<tonic::body::Body>;
        type Error = std::convert::Infallible;
        type Future = BoxFuture<Self::Response, Self::Error>;
        fn poll_ready(
            &mut self,
            _cx: &mut Context<'_>,
        ) -> Poll<std::result::Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, req: http::Request<B>) -> Self::Future {
            match req.uri().path() {
                "/berth.v1.Agent/GetSnapshot" => {
                    #[allow(non_camel_case_types)]
                    struct GetSnapshotSvc<T: Agent>(pub Arc<T>);
                    impl<T: Agent> tonic::server::UnaryService<super::GetSnapshotRequest> for GetSnapshotSvc<T> {
                        type Response = super::Snapshot;
                        type Future = BoxFuture<tonic::Response<Self::Response>, tonic::Status>;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::GetSnapshotRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut =
                                async move { <T as Agent>::get_snapshot(&inner, request).await };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = GetSnapshotSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.v1.Agent/WatchSnapshots" => {
                    #[allow(non_camel_case_types)]
                    struct WatchSnapshotsSvc<T: Agent>(pub Arc<T>);
                    impl<T: Agent>
                        tonic::server::ServerStreamingService<super::WatchSnapshotsRequest>
                        for WatchSnapshotsSvc<T>
                    {
                        type Response = super::Snapshot;
                        type ResponseStream = T::WatchSnapshotsStream;
                        type Future =
                            BoxFuture<tonic::Response<Self::ResponseStream>, tonic::Status>;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::WatchSnapshotsRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut =
                                async move { <T as Agent>::watch_snapshots(&inner, request).await };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = WatchSnapshotsSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.server_streaming(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.v1.Agent/GetTopology" => {
                    #[allow(non_camel_case_types)]
                    struct GetTopologySvc<T: Agent>(pub Arc<T>);
                    impl<T: Agent> tonic::server::UnaryService<super::GetTopologyRequest> for GetTopologySvc<T> {
                        type Response = super::Topology;
                        type Future = BoxFuture<tonic::Response<Self::Response>, tonic::Status>;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::GetTopologyRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut =
                                async move { <T as Agent>::get_topology(&inner, request).await };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = GetTopologySvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.v1.Agent/ListDecisions" => {
                    #[allow(non_camel_case_types)]
                    struct ListDecisionsSvc<T: Agent>(pub Arc<T>);
                    impl<T: Agent> tonic::server::UnaryService<super::ListDecisionsRequest> for ListDecisionsSvc<T> {
                        type Response = super::Decisions;
                        type Future = BoxFuture<tonic::Response<Self::Response>, tonic::Status>;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::ListDecisionsRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut =
                                async move { <T as Agent>::list_decisions(&inner, request).await };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = ListDecisionsSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.v1.Agent/WatchDecisions" => {
                    #[allow(non_camel_case_types)]
                    struct WatchDecisionsSvc<T: Agent>(pub Arc<T>);
                    impl<T: Agent>
                        tonic::server::ServerStreamingService<super::WatchDecisionsRequest>
                        for WatchDecisionsSvc<T>
                    {
                        type Response = super::Decisions;
                        type ResponseStream = T::WatchDecisionsStream;
                        type Future =
                            BoxFuture<tonic::Response<Self::ResponseStream>, tonic::Status>;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::WatchDecisionsRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut =
                                async move { <T as Agent>::watch_decisions(&inner, request).await };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = WatchDecisionsSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.server_streaming(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.v1.Agent/WhySlow" => {
                    #[allow(non_camel_case_types)]
                    struct WhySlowSvc<T: Agent>(pub Arc<T>);
                    impl<T: Agent> tonic::server::UnaryService<super::WhySlowRequest> for WhySlowSvc<T> {
                        type Response = super::WhySlowReport;
                        type Future = BoxFuture<tonic::Response<Self::Response>, tonic::Status>;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::WhySlowRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move { <T as Agent>::why_slow(&inner, request).await };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = WhySlowSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.v1.Agent/GetPlan" => {
                    #[allow(non_camel_case_types)]
                    struct GetPlanSvc<T: Agent>(pub Arc<T>);
                    impl<T: Agent> tonic::server::UnaryService<super::GetPlanRequest> for GetPlanSvc<T> {
                        type Response = super::Plan;
                        type Future = BoxFuture<tonic::Response<Self::Response>, tonic::Status>;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::GetPlanRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move { <T as Agent>::get_plan(&inner, request).await };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = GetPlanSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.v1.Agent/Doctor" => {
                    #[allow(non_camel_case_types)]
                    struct DoctorSvc<T: Agent>(pub Arc<T>);
                    impl<T: Agent> tonic::server::UnaryService<super::DoctorRequest> for DoctorSvc<T> {
                        type Response = super::DoctorReport;
                        type Future = BoxFuture<tonic::Response<Self::Response>, tonic::Status>;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::DoctorRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move { <T as Agent>::doctor(&inner, request).await };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = DoctorSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.v1.Agent/Explain" => {
                    #[allow(non_camel_case_types)]
                    struct ExplainSvc<T: Agent>(pub Arc<T>);
                    impl<T: Agent> tonic::server::UnaryService<super::ExplainRequest> for ExplainSvc<T> {
                        type Response = super::Explanation;
                        type Future = BoxFuture<tonic::Response<Self::Response>, tonic::Status>;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::ExplainRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move { <T as Agent>::explain(&inner, request).await };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = ExplainSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.v1.Agent/GetPolicy" => {
                    #[allow(non_camel_case_types)]
                    struct GetPolicySvc<T: Agent>(pub Arc<T>);
                    impl<T: Agent> tonic::server::UnaryService<super::GetPolicyRequest> for GetPolicySvc<T> {
                        type Response = super::Policy;
                        type Future = BoxFuture<tonic::Response<Self::Response>, tonic::Status>;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::GetPolicyRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut =
                                async move { <T as Agent>::get_policy(&inner, request).await };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = GetPolicySvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.v1.Agent/GetHeadroom" => {
                    #[allow(non_camel_case_types)]
                    struct GetHeadroomSvc<T: Agent>(pub Arc<T>);
                    impl<T: Agent> tonic::server::UnaryService<super::GetHeadroomRequest> for GetHeadroomSvc<T> {
                        type Response = super::Headroom;
                        type Future = BoxFuture<tonic::Response<Self::Response>, tonic::Status>;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::GetHeadroomRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut =
                                async move { <T as Agent>::get_headroom(&inner, request).await };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = GetHeadroomSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.v1.Agent/GetRecordedSnapshot" => {
                    #[allow(non_camel_case_types)]
                    struct GetRecordedSnapshotSvc<T: Agent>(pub Arc<T>);
                    impl<T: Agent> tonic::server::UnaryService<super::GetRecordedSnapshotRequest>
                        for GetRecordedSnapshotSvc<T>
                    {
                        type Response = super::RecordedSnapshot;
                        type Future = BoxFuture<tonic::Response<Self::Response>, tonic::Status>;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::GetRecordedSnapshotRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Agent>::get_recorded_snapshot(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = GetRecordedSnapshotSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.v1.Agent/SetMode" => {
                    #[allow(non_camel_case_types)]
                    struct SetModeSvc<T: Agent>(pub Arc<T>);
                    impl<T: Agent> tonic::server::UnaryService<super::SetModeRequest> for SetModeSvc<T> {
                        type Response = super::SetModeReply;
                        type Future = BoxFuture<tonic::Response<Self::Response>, tonic::Status>;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::SetModeRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move { <T as Agent>::set_mode(&inner, request).await };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = SetModeSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                _ => Box::pin(async move {
                    let mut response = http::Response::new(tonic::body::Body::default());
                    let headers = response.headers_mut();
                    headers.insert(
                        tonic::Status::GRPC_STATUS,
                        (tonic::Code::Unimplemented as i32).into(),
                    );
                    headers.insert(http::header::CONTENT_TYPE, tonic::metadata::GRPC_CONTENT_TYPE);
                    Ok(response)
                }),
            }
        }
    }
    impl<T> Clone for AgentServer<T> {
        fn clone(&self) -> Self {
            let inner = self.inner.clone();
            Self {
                inner,
                accept_compression_encodings: self.accept_compression_encodings,
                send_compression_encodings: self.send_compression_encodings,
                max_decoding_message_size: self.max_decoding_message_size,
                max_encoding_message_size: self.max_encoding_message_size,
            }
        }
    }
    /// Generated gRPC service name
    pub const SERVICE_NAME: &str = "berth.v1.Agent";
    impl<T> tonic::server::NamedService for AgentServer<T> {
        const NAME: &'static str = SERVICE_NAME;
    }
}
/// Who reports. It never changes on a stream.
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct NodeIdentity {
    #[prost(string, tag = "1")]
    pub cluster: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub node: ::prost::alloc::string::String,
    /// The uid of the Node object, or the machine id where there is none. One name with two of these is two machines.
    #[prost(string, tag = "3")]
    pub node_uid: ::prost::alloc::string::String,
    #[prost(string, tag = "4")]
    pub boot_id: ::prost::alloc::string::String,
    /// Anew with every start of the agent.
    #[prost(string, tag = "5")]
    pub agent_start_id: ::prost::alloc::string::String,
    /// When the agent started. Of two starts in one boot the later one is the newer; nothing compares clocks of boots.
    #[prost(uint64, tag = "6")]
    pub agent_started_mono_ns: u64,
}
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct NodeReport {
    /// Needed in the first report of a stream; later it may be left out.
    #[prost(message, optional, tag = "1")]
    pub identity: ::core::option::Option<NodeIdentity>,
    /// Counts the reports of an agent start, from 1. A repeated one is acknowledged again and otherwise ignored.
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
    #[prost(uint64, tag = "3")]
    pub now_mono_ns: u64,
    /// Made since the last acknowledged report. Whoever repeats one repeats its sequence.
    #[prost(message, repeated, tag = "6")]
    pub decisions: ::prost::alloc::vec::Vec<Decision>,
    /// Made but forgotten before they could be sent.
    #[prost(uint64, tag = "7")]
    pub n_lost_decisions: u64,
    #[prost(oneof = "node_report::Content", tags = "4, 5")]
    pub content: ::core::option::Option<node_report::Content>,
}
/// Nested message and enum types in `NodeReport`.
pub mod node_report {
    #[derive(serde::Serialize, Clone, PartialEq, ::prost::Oneof)]
    pub enum Content {
        #[prost(message, tag = "4")]
        Full(super::NodeState),
        #[prost(message, tag = "5")]
        Delta(super::NodeDelta),
    }
}
/// All of a node. What is missing here is not known.
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct NodeState {
    #[prost(message, optional, tag = "1")]
    pub capacity: ::core::option::Option<NodeAmount>,
    #[prost(message, optional, tag = "2")]
    pub headroom: ::core::option::Option<NodeAmount>,
    #[prost(message, optional, tag = "3")]
    pub pools: ::core::option::Option<NodePools>,
    /// By uid, each once.
    #[prost(message, repeated, tag = "4")]
    pub pods: ::prost::alloc::vec::Vec<PodReport>,
    #[prost(message, optional, tag = "5")]
    pub health: ::core::option::Option<NodeHealth>,
}
/// What is different from the report with the sequence before this one; an empty delta says that nothing is. A part that
/// is present takes the place of the old one whole, one that is missing stays as it was. A state that has lost a part
/// cannot be told in a delta: it is sent in full.
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct NodeDelta {
    #[prost(message, optional, tag = "1")]
    pub capacity: ::core::option::Option<NodeAmount>,
    #[prost(message, optional, tag = "2")]
    pub headroom: ::core::option::Option<NodeAmount>,
    #[prost(message, optional, tag = "3")]
    pub pools: ::core::option::Option<NodePools>,
    /// New ones and those in which anything changed, each whole and each once.
    #[prost(message, repeated, tag = "4")]
    pub pods: ::prost::alloc::vec::Vec<PodReport>,
    /// By uid; each was there and is not among `pods`.
    #[prost(string, repeated, tag = "5")]
    pub removed_pods: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(message, optional, tag = "6")]
    pub health: ::core::option::Option<NodeHealth>,
}
/// CPU and memory of a node with what of it lies on which NUMA node.
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct NodeAmount {
    #[prost(uint64, optional, tag = "1")]
    pub milli_cpu: ::core::option::Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub memory_bytes: ::core::option::Option<u64>,
    #[prost(message, repeated, tag = "3")]
    pub numa_nodes: ::prost::alloc::vec::Vec<NumaAmount>,
}
#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct NumaAmount {
    #[prost(uint32, tag = "1")]
    pub numa_node: u32,
    #[prost(uint64, optional, tag = "2")]
    pub milli_cpu: ::core::option::Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub memory_bytes: ::core::option::Option<u64>,
}
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct NodePools {
    #[prost(message, repeated, tag = "1")]
    pub pools: ::prost::alloc::vec::Vec<Pool>,
}
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct PodReport {
    #[prost(string, tag = "1")]
    pub uid: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub namespace: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    pub name: ::prost::alloc::string::String,
    /// Empty when it belongs to none.
    #[prost(string, tag = "4")]
    pub tenant: ::prost::alloc::string::String,
    /// dedicated_cores, shared_cores, reclaimed_cores, system_cores
    #[prost(string, tag = "5")]
    pub qos: ::prost::alloc::string::String,
    /// Missing while no plan places it.
    #[prost(string, optional, tag = "6")]
    pub pool: ::core::option::Option<::prost::alloc::string::String>,
    #[prost(uint64, tag = "7")]
    pub request_milli_cpu: u64,
    #[prost(uint64, optional, tag = "8")]
    pub usage_milli_cpu: ::core::option::Option<u64>,
    #[prost(uint64, optional, tag = "9")]
    pub memory_current_bytes: ::core::option::Option<u64>,
    /// Missing without BPF.
    #[prost(message, optional, tag = "10")]
    pub runq: ::core::option::Option<Runq>,
    /// The fast path holds it down now.
    #[prost(bool, tag = "11")]
    pub suppressed: bool,
}
/// The agent itself, how far its signal can be trusted, and what a person should know.
#[derive(serde::Serialize, Clone, PartialEq, ::prost::Message)]
pub struct NodeHealth {
    #[prost(enumeration = "Mode", tag = "1")]
    #[serde(serialize_with = "crate::json::mode")]
    pub mode: i32,
    #[prost(message, optional, tag = "2")]
    pub signal: ::core::option::Option<Signal>,
    #[prost(message, optional, tag = "3")]
    pub agent: ::core::option::Option<AgentHealth>,
    #[prost(message, repeated, tag = "4")]
    pub findings: ::prost::alloc::vec::Vec<Finding>,
    /// Of the policy document in force; empty when there is none from here.
    #[prost(bytes = "vec", tag = "5")]
    pub policy_sha256: ::prost::alloc::vec::Vec<u8>,
}
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct NodeDirective {
    /// The newest report of this agent start that is in force; 0 is none. Never more than was sent.
    #[prost(uint64, tag = "1")]
    pub acknowledged: u64,
    /// Missing leaves it as it was.
    #[prost(uint32, optional, tag = "2")]
    pub report_interval_ms: ::core::option::Option<u32>,
    /// Set when the next report must be a full one.
    #[prost(message, optional, tag = "3")]
    pub full_wanted: ::core::option::Option<FullReportWanted>,
    /// Set when the agent has another one.
    #[prost(message, optional, tag = "4")]
    pub policy: ::core::option::Option<PolicyDocument>,
}
#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct FullReportWanted {
    #[prost(enumeration = "FullReason", tag = "1")]
    #[serde(serialize_with = "crate::json::full_reason")]
    pub reason: i32,
}
#[derive(serde::Serialize, Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct PolicyDocument {
    #[prost(bytes = "vec", tag = "1")]
    pub sha256: ::prost::alloc::vec::Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub document: ::prost::alloc::vec::Vec<u8>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum FullReason {
    Unspecified = 0,
    /// Nothing is known of this node, or nothing any more.
    UnknownNode = 1,
    /// The agent has started anew and sent no full report yet.
    NewStart = 2,
    /// Reports between the newest known one and this one did not arrive.
    Gap = 3,
    /// It removes a pod that is not there.
    OtherBase = 4,
}
impl FullReason {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "FULL_REASON_UNSPECIFIED",
            Self::UnknownNode => "FULL_REASON_UNKNOWN_NODE",
            Self::NewStart => "FULL_REASON_NEW_START",
            Self::Gap => "FULL_REASON_GAP",
            Self::OtherBase => "FULL_REASON_OTHER_BASE",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "FULL_REASON_UNSPECIFIED" => Some(Self::Unspecified),
            "FULL_REASON_UNKNOWN_NODE" => Some(Self::UnknownNode),
            "FULL_REASON_NEW_START" => Some(Self::NewStart),
            "FULL_REASON_GAP" => Some(Self::Gap),
            "FULL_REASON_OTHER_BASE" => Some(Self::OtherBase),
            _ => None,
        }
    }
}
/// Generated client implementations.
pub mod node_reporting_client {
    #![allow(
        unused_variables,
        dead_code,
        missing_docs,
        clippy::wildcard_imports,
        clippy::let_unit_value
    )]
    use tonic::codegen::http::Uri;
    use tonic::codegen::*;
    #[derive(Debug, Clone)]
    pub struct NodeReportingClient<T> {
        inner: tonic::client::Grpc<T>,
    }
    impl<T> NodeReportingClient<T>
    where
        T: tonic::client::GrpcService<tonic::body::Body>,
        T::Error: Into<StdError>,
        T::ResponseBody: Body<Data = Bytes> + std::marker::Send + 'static,
        <T::ResponseBody as Body>::Error: Into<StdError> + std::marker::Send,
    {
        pub fn new(inner: T) -> Self {
            let inner = tonic::client::Grpc::new(inner);
            Self { inner }
        }
        pub fn with_origin(inner: T, origin: Uri) -> Self {
            let inner = tonic::client::Grpc::with_origin(inner, origin);
            Self { inner }
        }
        pub fn with_interceptor<F>(
            inner: T,
            interceptor: F,
        ) -> NodeReportingClient<InterceptedService<T, F>>
        where
            F: tonic::service::Interceptor,
            T::ResponseBody: Default,
            T: tonic::codegen::Service<
                    http::Request<tonic::body::Body>,
                    Response = http::Response<
                        <T as tonic::client::GrpcService<tonic::body::Body>>::ResponseBody,
                    >,
                >,
            <T as tonic::codegen::Service<http::Request<tonic::body::Body>>>::Error:
                Into<StdError> + std::marker::Send + std::marker::Sync,
        {
            NodeReportingClient::new(InterceptedService::new(inner, interceptor))
        }
        /// Compress requests with the given encoding.
        ///
        /// This requires the server to support it otherwise it might respond with an
        /// error.
        #[must_use]
        pub fn send_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.inner = self.inner.send_compressed(encoding);
            self
        }
        /// Enable decompressing responses.
        #[must_use]
        pub fn accept_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.inner = self.inner.accept_compressed(encoding);
            self
        }
        /// Limits the maximum size of a decoded message.
        ///
        /// Default: `4MB`
        #[must_use]
        pub fn max_decoding_message_size(mut self, limit: usize) -> Self {
            self.inner = self.inner.max_decoding_message_size(limit);
            self
        }
        /// Limits the maximum size of an encoded message.
        ///
        /// Default: `usize::MAX`
        #[must_use]
        pub fn max_encoding_message_size(mut self, limit: usize) -> Self {
            self.inner = self.inner.max_encoding_message_size(limit);
            self
        }
        /// A status ends the stream. UNAUTHENTICATED: the peer has no identity. PERMISSION_DENIED: it is not the node that it
        /// reports. INVALID_ARGUMENT: the report contradicts itself or its stream. OUT_OF_RANGE: the message is over the limit
        /// of bytes. RESOURCE_EXHAUSTED: another bound, named with value and limit. FAILED_PRECONDITION: another machine, or a
        /// newer agent of this one, reports under this name. DEADLINE_EXCEEDED: silent for too long. UNAVAILABLE: try again.
        pub async fn report(
            &mut self,
            request: impl tonic::IntoStreamingRequest<Message = super::NodeReport>,
        ) -> std::result::Result<
            tonic::Response<tonic::codec::Streaming<super::NodeDirective>>,
            tonic::Status,
        > {
            self.inner.ready().await.map_err(|e| {
                tonic::Status::unknown(format!("Service was not ready: {}", e.into()))
            })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static("/berth.v1.NodeReporting/Report");
            let mut req = request.into_streaming_request();
            req.extensions_mut().insert(GrpcMethod::new("berth.v1.NodeReporting", "Report"));
            self.inner.streaming(req, path, codec).await
        }
    }
}
/// Generated server implementations.
pub mod node_reporting_server {
    #![allow(
        unused_variables,
        dead_code,
        missing_docs,
        clippy::wildcard_imports,
        clippy::let_unit_value
    )]
    use tonic::codegen::*;
    /// Generated trait containing gRPC methods that should be implemented for use with NodeReportingServer.
    #[async_trait]
    pub trait NodeReporting: std::marker::Send + std::marker::Sync + 'static {
        /// Server streaming response type for the Report method.
        type ReportStream: tonic::codegen::tokio_stream::Stream<
                Item = std::result::Result<super::NodeDirective, tonic::Status>,
            > + std::marker::Send
            + 'static;
        /// A status ends the stream. UNAUTHENTICATED: the peer has no identity. PERMISSION_DENIED: it is not the node that it
        /// reports. INVALID_ARGUMENT: the report contradicts itself or its stream. OUT_OF_RANGE: the message is over the limit
        /// of bytes. RESOURCE_EXHAUSTED: another bound, named with value and limit. FAILED_PRECONDITION: another machine, or a
        /// newer agent of this one, reports under this name. DEADLINE_EXCEEDED: silent for too long. UNAVAILABLE: try again.
        async fn report(
            &self,
            request: tonic::Request<tonic::Streaming<super::NodeReport>>,
        ) -> std::result::Result<tonic::Response<Self::ReportStream>, tonic::Status>;
    }
    #[derive(Debug)]
    pub struct NodeReportingServer<T> {
        inner: Arc<T>,
        accept_compression_encodings: EnabledCompressionEncodings,
        send_compression_encodings: EnabledCompressionEncodings,
        max_decoding_message_size: Option<usize>,
        max_encoding_message_size: Option<usize>,
    }
    impl<T> NodeReportingServer<T> {
        pub fn new(inner: T) -> Self {
            Self::from_arc(Arc::new(inner))
        }
        pub fn from_arc(inner: Arc<T>) -> Self {
            Self {
                inner,
                accept_compression_encodings: Default::default(),
                send_compression_encodings: Default::default(),
                max_decoding_message_size: None,
                max_encoding_message_size: None,
            }
        }
        pub fn with_interceptor<F>(inner: T, interceptor: F) -> InterceptedService<Self, F>
        where
            F: tonic::service::Interceptor,
        {
            InterceptedService::new(Self::new(inner), interceptor)
        }
        /// Enable decompressing requests with the given encoding.
        #[must_use]
        pub fn accept_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.accept_compression_encodings.enable(encoding);
            self
        }
        /// Compress responses with the given encoding, if the client supports it.
        #[must_use]
        pub fn send_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.send_compression_encodings.enable(encoding);
            self
        }
        /// Limits the maximum size of a decoded message.
        ///
        /// Default: `4MB`
        #[must_use]
        pub fn max_decoding_message_size(mut self, limit: usize) -> Self {
            self.max_decoding_message_size = Some(limit);
            self
        }
        /// Limits the maximum size of an encoded message.
        ///
        /// Default: `usize::MAX`
        #[must_use]
        pub fn max_encoding_message_size(mut self, limit: usize) -> Self {
            self.max_encoding_message_size = Some(limit);
            self
        }
    }
    impl<T, B> tonic::codegen::Service<http::Request<B>> for NodeReportingServer<T>
    where
        T: NodeReporting,
        B: Body + std::marker::Send + 'static,
        B::Error: Into<StdError> + std::marker::Send + 'static,
    {
        type Response = http::Response<tonic::body::Body>;
        type Error = std::convert::Infallible;
        type Future = BoxFuture<Self::Response, Self::Error>;
        fn poll_ready(
            &mut self,
            _cx: &mut Context<'_>,
        ) -> Poll<std::result::Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, req: http::Request<B>) -> Self::Future {
            match req.uri().path() {
                "/berth.v1.NodeReporting/Report" => {
                    #[allow(non_camel_case_types)]
                    struct ReportSvc<T: NodeReporting>(pub Arc<T>);
                    impl<T: NodeReporting> tonic::server::StreamingService<super::NodeReport> for ReportSvc<T> {
                        type Response = super::NodeDirective;
                        type ResponseStream = T::ReportStream;
                        type Future =
                            BoxFuture<tonic::Response<Self::ResponseStream>, tonic::Status>;
                        fn call(
                            &mut self,
                            request: tonic::Request<tonic::Streaming<super::NodeReport>>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut =
                                async move { <T as NodeReporting>::report(&inner, request).await };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = ReportSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.streaming(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                _ => Box::pin(async move {
                    let mut response = http::Response::new(tonic::body::Body::default());
                    let headers = response.headers_mut();
                    headers.insert(
                        tonic::Status::GRPC_STATUS,
                        (tonic::Code::Unimplemented as i32).into(),
                    );
                    headers.insert(http::header::CONTENT_TYPE, tonic::metadata::GRPC_CONTENT_TYPE);
                    Ok(response)
                }),
            }
        }
    }
    impl<T> Clone for NodeReportingServer<T> {
        fn clone(&self) -> Self {
            let inner = self.inner.clone();
            Self {
                inner,
                accept_compression_encodings: self.accept_compression_encodings,
                send_compression_encodings: self.send_compression_encodings,
                max_decoding_message_size: self.max_decoding_message_size,
                max_encoding_message_size: self.max_encoding_message_size,
            }
        }
    }
    /// Generated gRPC service name
    pub const SERVICE_NAME: &str = "berth.v1.NodeReporting";
    impl<T> tonic::server::NamedService for NodeReportingServer<T> {
        const NAME: &'static str = SERVICE_NAME;
    }
}
