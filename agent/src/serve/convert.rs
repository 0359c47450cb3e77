//! Inner types -> protobuf, for the socket and for reports. One function per message, no decisions; what is `None` stays missing.

mod workload;

pub(crate) use workload::runq;

use std::sync::Arc;

use model::decision::Decision;
use model::plan::{Finding, Overlay, Plan, PoolPlan, Severity, WorkloadPlan};
use model::policy::Mode;
use model::qos::PoolName;
use model::sample::{Pressure, PressureLine, SourceFault};
use model::snapshot::{HostView, Signal, Snapshot, SourceHealth};
use model::topology::{NumaNode, Topology};
use model::{MilliCpu, Nanos, Timestamp};
use proto::v1;

use super::{Check, CheckStatus};
use crate::node_state::{AgentHealth, DecisionLog, NodeState, SuppressionStats};
use crate::policy_table::{MODE, PolicyTable, Row, mode_text};

pub(super) fn snapshot(state: &NodeState, now: Timestamp) -> v1::Snapshot {
    let seen = &state.snapshot;
    let overlay = in_force(state, now);
    let workloads = seen.workloads.iter().map(|(name, view)| {
        let suppressed = overlay.is_some() && view.spec.qos.is_reclaimed();
        workload::workload(name, view, state.plan.workloads.get(name), suppressed)
    });
    v1::Snapshot {
        at_mono_ns: seen.at.0,
        now_mono_ns: now.0,
        mode: mode(state.mode).into(),
        signal: Some(signal(&seen.signal)),
        host: Some(host(&seen.host)),
        cpus: cpus(seen),
        pools: state.plan.pools.iter().map(|(name, plan)| pool(name, plan, state)).collect(),
        workloads: workloads.collect(),
        suppression: overlay.map(suppression),
        suppression_stats: Some(suppression_stats(&state.suppression)),
        agent: Some(agent_health(&state.agent)),
        findings: state.findings.iter().map(finding).collect(),
        sources: seen.sources.iter().map(|(name, health)| source(name, health)).collect(),
    }
}

/// The suppression that holds at `now`.
pub(crate) fn in_force(state: &NodeState, now: Timestamp) -> Option<&Overlay> {
    state.overlay.as_ref().filter(|overlay| overlay.expires_at > now)
}

pub(crate) fn mode(mode: Mode) -> v1::Mode {
    match mode {
        Mode::Observe => v1::Mode::Observe,
        Mode::Enforce => v1::Mode::Enforce,
    }
}

pub(crate) fn signal(signal: &Signal) -> v1::Signal {
    let (state, why) = match signal {
        Signal::Good => (v1::SignalState::Good, ""),
        Signal::Degraded { why } => (v1::SignalState::Degraded, why.as_str()),
        Signal::PressureOnly { why } => (v1::SignalState::PressureOnly, why.as_str()),
        Signal::None { why } => (v1::SignalState::None, why.as_str()),
    };
    v1::Signal { state: state.into(), why: why.to_owned() }
}

fn host(host: &HostView) -> v1::Host {
    v1::Host {
        busy_ratio: host.busy_ratio,
        steal_ratio: host.steal_ratio,
        cpu_pressure: host.cpu_pressure.as_ref().map(pressure),
        memory_total_bytes: host.memory_total.map(|bytes| bytes.0),
        memory_available_bytes: host.memory_available.map(|bytes| bytes.0),
    }
}

fn cpus(seen: &Snapshot) -> Vec<v1::CpuView> {
    let view = |cpu: &model::topology::Cpu| v1::CpuView {
        cpu: cpu.id.0.into(),
        numa_node: cpu.node.0.into(),
        online: cpu.online,
        busy_ratio: seen.host.cpu_busy_ratio.get(&cpu.id).copied(),
    };
    seen.topology.cpus.values().map(view).collect()
}

pub(crate) fn pool(name: &PoolName, plan: &PoolPlan, state: &NodeState) -> v1::Pool {
    let mut usage: Option<MilliCpu> = None;
    let mut n_workloads = 0;
    for (workload, planned) in &state.plan.workloads {
        let Some(view) = state.snapshot.workloads.get(workload) else { continue };
        if planned.pool != *name {
            continue;
        }
        n_workloads += 1;
        if let Some(used) = view.usage {
            usage = Some(MilliCpu(usage.map_or(0, |sum| sum.0).saturating_add(used.0)));
        }
    }
    v1::Pool {
        name: name.to_string(),
        cpus: plan.cpus.to_string(),
        n_cpus: u32::try_from(plan.cpus.len()).unwrap_or(u32::MAX),
        need_milli_cpu: plan.need.0,
        usage_milli_cpu: usage.map(|usage| usage.0),
        n_workloads,
    }
}

fn suppression(overlay: &Overlay) -> v1::Suppression {
    v1::Suppression {
        victim: overlay.victim.to_string(),
        began_mono_ns: overlay.began_at.0,
        expires_mono_ns: overlay.expires_at.0,
        first_wait_mono_ns: overlay.first_wait_at.0,
        floor_milli_cpu: overlay.floor.0,
        cpu_idle: overlay.cpu_idle,
    }
}

fn suppression_stats(stats: &SuppressionStats) -> v1::SuppressionStats {
    v1::SuppressionStats {
        n_events: stats.n_events,
        latency_p50_ns: stats.p50.map(|nanos| nanos.0),
        latency_p99_ns: stats.p99.map(|nanos| nanos.0),
        latency_max_ns: stats.max.map(|nanos| nanos.0),
    }
}

pub(crate) fn agent_health(agent: &AgentHealth) -> v1::AgentHealth {
    v1::AgentHealth {
        rss_bytes: agent.rss_bytes.map(|bytes| bytes.0),
        cpu_ratio: agent.cpu_ratio,
        probe_loaded: agent.eyes.probe.works,
        probe_status: agent.eyes.probe.text.clone(),
        started_mono_ns: agent.started_at.0,
    }
}

pub(crate) fn finding(finding: &Finding) -> v1::Finding {
    let severity = match finding.severity {
        Severity::Note => v1::Severity::Note,
        Severity::Warning => v1::Severity::Warning,
        Severity::Fatal => v1::Severity::Fatal,
    };
    v1::Finding {
        severity: severity.into(),
        rule: finding.rule.to_owned(),
        subject: finding.subject.clone(),
        message: finding.message.clone(),
    }
}

fn source(name: &str, health: &SourceHealth) -> v1::SourceHealth {
    let (fault, detail) = match &health.fault {
        None => (None, ""),
        Some(SourceFault::Absent { what }) => (Some("absent"), what.as_str()),
        Some(SourceFault::Unsupported { why }) => (Some("unsupported"), why.as_str()),
        Some(SourceFault::Broken { error }) => (Some("broken"), error.as_str()),
    };
    v1::SourceHealth {
        name: name.to_owned(),
        age_ns: health.age.map(|Nanos(nanos)| nanos),
        fault: fault.map(str::to_owned),
        detail: detail.to_owned(),
    }
}

fn pressure(pressure: &Pressure) -> v1::Pressure {
    let line = |line: &PressureLine| v1::PressureLine {
        avg10_pct: line.avg10_pct,
        avg60_pct: line.avg60_pct,
        avg300_pct: line.avg300_pct,
        total_us: line.total.0,
    };
    v1::Pressure { some: Some(line(&pressure.some)), full: pressure.full.as_ref().map(line) }
}

pub(super) fn topology(topology: &Topology) -> v1::Topology {
    let cpu = |cpu: &model::topology::Cpu| v1::Cpu {
        cpu: cpu.id.0.into(),
        online: cpu.online,
        core: cpu.core.0.into(),
        socket: cpu.socket.0.into(),
        numa_node: cpu.node.0.into(),
        llc: cpu.llc.map(|llc| llc.0.into()),
    };
    let node = |node: &NumaNode| v1::NumaNode {
        numa_node: node.id.0.into(),
        cpus: node.cpus.to_string(),
        memory_bytes: node.memory.map(|bytes| bytes.0),
        distances: node
            .distances
            .iter()
            .map(|(to, distance)| v1::NumaDistance {
                to_numa_node: to.0.into(),
                distance: *distance,
            })
            .collect(),
    };
    v1::Topology {
        cpus: topology.cpus.values().map(cpu).collect(),
        nodes: topology.nodes.values().map(node).collect(),
        offline_cpus: topology.offline.to_string(),
        efficiency_cpus: topology.efficiency.to_string(),
    }
}

/// What is kept after `sequence`, and how many between are not.
pub(crate) fn decisions_after(log: &DecisionLog, sequence: u64, now: Timestamp) -> v1::Decisions {
    let decisions: Vec<v1::Decision> =
        log.after(sequence).map(|(number, made)| decision(number, made)).collect();
    let n_lost = match decisions.first() {
        Some(first) => first.sequence - sequence - 1,
        None => 0,
    };
    v1::Decisions { now_mono_ns: now.0, decisions, n_lost }
}

pub(super) fn decision(sequence: u64, decision: &Arc<Decision>) -> v1::Decision {
    let input = |(name, value): &(&'static str, String)| v1::DecisionInput {
        name: (*name).to_owned(),
        value: value.clone(),
    };
    v1::Decision {
        sequence,
        at_mono_ns: decision.at.0,
        rule: decision.rule.to_owned(),
        subject: decision.subject.clone(),
        inputs: decision.inputs.iter().map(input).collect(),
        result: decision.result.clone(),
    }
}

pub(super) fn plan(plan: &Plan, now: Timestamp) -> v1::Plan {
    let pool = |(name, pool): (&PoolName, &PoolPlan)| v1::PlannedPool {
        name: name.to_string(),
        cpus: pool.cpus.to_string(),
        need_milli_cpu: pool.need.0,
    };
    let workload =
        |(name, planned): (&model::qos::WorkloadName, &WorkloadPlan)| v1::PlannedWorkload {
            name: name.to_string(),
            qos: planned.qos.to_string(),
            pool: planned.pool.to_string(),
            cgroup: planned.cgroup.to_string(),
            cpus: planned.cpus.to_string(),
            cpu_weight: planned.cpu_weight.map(|weight| weight.get().into()),
            cpu_idle: planned.cpu_idle,
            cpu_max: planned.cpu_max.map(workload::cpu_max),
        };
    v1::Plan {
        generation: plan.generation.0,
        built_mono_ns: plan.built_at.0,
        snapshot_mono_ns: plan.snapshot_at.0,
        now_mono_ns: now.0,
        pools: plan.pools.iter().map(pool).collect(),
        workloads: plan.workloads.iter().map(workload).collect(),
    }
}

/// The mode is the one key that a running agent changes: by a person's command, or because the host
/// allows no other.
pub(super) fn policy(table: &PolicyTable, state: &NodeState) -> v1::Policy {
    let pinned = state.findings.iter().any(|finding| finding.rule == "observe-only");
    let row = |row: &Row| {
        let mode = mode_text(state.mode);
        let source = match row.line {
            _ if row.key == MODE && row.value != mode && pinned => v1::PolicySource::Host,
            _ if row.key == MODE && row.value != mode => v1::PolicySource::Command,
            Some(_) => v1::PolicySource::File,
            None => v1::PolicySource::BuiltIn,
        };
        let replaced = matches!(source, v1::PolicySource::Host | v1::PolicySource::Command);
        v1::PolicyValue {
            key: row.key.to_owned(),
            value: if replaced { mode.to_owned() } else { row.value.clone() },
            source: source.into(),
            line: row.line.filter(|_| !replaced),
            built_in: row.built_in.clone(),
            instead_of: if replaced { row.value.clone() } else { String::new() },
        }
    };
    v1::Policy { values: table.rows.iter().map(row).collect(), file: table.file.clone() }
}

pub(super) fn doctor_report(checks: Vec<Check>) -> v1::DoctorReport {
    let check = |check: Check| {
        let status = match check.status {
            CheckStatus::Ok => v1::CheckStatus::Ok,
            CheckStatus::Warn => v1::CheckStatus::Warn,
            CheckStatus::Fail => v1::CheckStatus::Fail,
        };
        v1::Check { name: check.name, status: status.into(), detail: check.detail, fix: check.fix }
    };
    v1::DoctorReport { checks: checks.into_iter().map(check).collect() }
}
