//! Two Samples -> one Snapshot: rates, quantiles, health, and how far the signal can be trusted.
//! Pure. Owns no thresholds of action (the advisors have those); a counter that is missing, was
//! reset, or has no earlier reading gives `None`, never zero.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::qos::WorkloadName;
use crate::sample::{
    CpuStat, CpuTimes, HostSample, IoStat, ProbeSample, Reading, Sample, SeldomSample, SlotSample,
    Source, WaitCauses, WorkloadSample,
};
use crate::snapshot::{
    HostView, IoView, MemoryView, RunqView, Signal, Snapshot, SourceHealth, WorkloadView,
};
use crate::topology::Topology;
use crate::units::{Bytes, Micros, MilliCpu, Nanos, SlotId, Timestamp};

/// Names of the sources, as in `Snapshot::sources`.
pub const TOPOLOGY: &str = "topology";
pub const HOST: &str = "host";
pub const WORKLOADS: &str = "workloads";
pub const PROBE: &str = "probe";

/// Bounds inside which a difference of two Samples means something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeriveLimits {
    /// A probe reading older than this no longer tells what runs now.
    pub max_sample_age: Nanos,
    /// Two readings further apart than this give no rate: an average over a gap (suspend, SIGSTOP,
    /// a source that hung) says nothing about now.
    pub max_interval: Nanos,
    /// The same for what is read every ten seconds.
    pub max_seldom_interval: Nanos,
    /// Share of CPU time taken by the hypervisor above which run-queue waits measure the
    /// neighbours outside this machine. At 10 % a task waits a tenth of its time for reasons no
    /// knob of ours can change, the size of the effects we steer by.
    pub steal_ratio: f64,
}

impl Default for DeriveLimits {
    fn default() -> Self {
        DeriveLimits {
            max_sample_age: Nanos::from_secs(3),
            max_interval: Nanos::from_secs(9),
            max_seldom_interval: Nanos::from_secs(15),
            steal_ratio: 0.10,
        }
    }
}

/// Why there is no Snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeriveError {
    /// The topology was never read: without CPUs there is nothing to plan.
    NoTopology,
}

impl fmt::Display for DeriveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeriveError::NoTopology => f.write_str("no topology was ever read"),
        }
    }
}

impl std::error::Error for DeriveError {}

/// Derives the node's state at `current.at`; `previous` is the Sample of the turn before.
pub fn derive(
    previous: Option<&Sample>,
    current: &Sample,
    limits: &DeriveLimits,
) -> Result<Snapshot, DeriveError> {
    let topology = current.topology.value().ok_or(DeriveError::NoTopology)?;
    let between = (current.at, limits);
    let host = host_view(span(previous.map(|s| &s.host), &current.host, between), topology);
    let views = workload_views(previous, current, limits);
    let signal = classify(current, &host, &views, limits);
    let sources = BTreeMap::from([
        (TOPOLOGY, health(&current.topology, current.at)),
        (HOST, health(&current.host, current.at)),
        (WORKLOADS, health(&current.workloads, current.at)),
        (PROBE, health(&current.probe, current.at)),
    ]);
    Ok(Snapshot {
        at: current.at,
        topology: Arc::clone(topology),
        host,
        workloads: views,
        signal,
        sources,
    })
}

/// The newest reading of a source and, where they can be compared, the one before.
struct Span<'a, T> {
    now: Option<&'a T>,
    before: Option<&'a T>,
    /// Between the two.
    elapsed: Option<Nanos>,
    /// The newest reading is too old to speak of now.
    is_stale: bool,
}

fn span<'a, T>(
    previous: Option<&'a Source<T>>,
    current: &'a Source<T>,
    (at, limits): (Timestamp, &DeriveLimits),
) -> Span<'a, T> {
    let now = current.latest.as_ref();
    let before = previous.and_then(|source| source.latest.as_ref());
    let elapsed =
        now.zip(before).and_then(|(now, before)| interval(before.at, now.at, limits.max_interval));
    Span {
        now: now.map(|reading: &Reading<T>| &reading.value),
        before: elapsed.and(before).map(|reading| &reading.value),
        elapsed,
        is_stale: now.is_none_or(|reading| at.since(reading.at) > limits.max_sample_age),
    }
}

/// Time between two readings; `None` when it is nothing, negative or too long to mean anything.
fn interval(before: Timestamp, now: Timestamp, longest: Nanos) -> Option<Nanos> {
    let elapsed = now.0.checked_sub(before.0).filter(|nanos| *nanos > 0).map(Nanos)?;
    (elapsed <= longest).then_some(elapsed)
}

fn health<T>(source: &Source<T>, now: Timestamp) -> SourceHealth {
    SourceHealth { age: source.age(now), fault: source.fault.clone() }
}

fn host_view(host: Span<'_, HostSample>, topology: &Topology) -> HostView {
    let Some(now) = host.now else { return HostView::default() };
    let mut view = HostView {
        cpu_pressure: now.cpu_pressure,
        memory_total: now.memory_total,
        memory_available: now.memory_available,
        memory: now.memory.clone(),
        ..HostView::default()
    };
    let Some(before) = host.before else { return view };
    let (mut busy, mut stolen, mut total) = (0, 0, 0);
    for cpu in topology.online().iter() {
        let Some((now, before)) = now.cpus.get(&cpu).zip(before.cpus.get(&cpu)) else { continue };
        let spent = CpuTime::between(before, now);
        if spent.total > 0 {
            view.cpu_busy_ratio.insert(cpu, ratio(spent.busy, spent.total));
        }
        busy += spent.busy;
        stolen += spent.stolen;
        total += spent.total;
    }
    if total > 0 {
        view.busy_ratio = Some(ratio(busy, total));
        view.steal_ratio = Some(ratio(stolen, total));
    }
    view
}

/// What one CPU did between two readings, in microseconds.
struct CpuTime {
    busy: u64,
    stolen: u64,
    total: u64,
}

impl CpuTime {
    /// The kernel lets `idle` and `iowait` step back a little; such a field counts as nothing.
    fn between(before: &CpuTimes, now: &CpuTimes) -> CpuTime {
        let spent = |field: fn(&CpuTimes) -> Micros| field(now).0.saturating_sub(field(before).0);
        let idle = spent(|t| t.idle) + spent(|t| t.iowait);
        let stolen = spent(|t| t.steal);
        let ran = spent(|t| t.user)
            + spent(|t| t.nice)
            + spent(|t| t.system)
            + spent(|t| t.irq)
            + spent(|t| t.softirq);
        CpuTime { busy: ran + stolen, stolen, total: ran + stolen + idle }
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

fn workload_views(
    previous: Option<&Sample>,
    current: &Sample,
    limits: &DeriveLimits,
) -> BTreeMap<WorkloadName, WorkloadView> {
    let before = previous.and_then(|sample| sample.workloads.value());
    let probe = span(previous.map(|s| &s.probe), &current.probe, (current.at, limits));
    let Some(now) = current.workloads.value() else { return BTreeMap::new() };
    now.iter()
        .map(|(name, workload)| {
            let earlier = before
                .and_then(|workloads| workloads.get(name))
                .filter(|earlier| earlier.cgroup_id == workload.cgroup_id);
            (name.clone(), workload_view(earlier, workload, &probe, (current.at, limits)))
        })
        .collect()
}

fn workload_view(
    earlier: Option<&WorkloadSample>,
    now: &WorkloadSample,
    probe: &Span<'_, ProbeSample>,
    (at, limits): (Timestamp, &DeriveLimits),
) -> WorkloadView {
    let elapsed = earlier.and_then(|earlier| interval(earlier.at, now.at, limits.max_interval));
    let stats = earlier.and_then(|earlier| earlier.cpu_stat).zip(now.cpu_stat);
    // A slot that belonged to another cgroup before carries the other one's counts.
    let same_slot = earlier.is_some_and(|earlier| earlier.slot == now.slot);
    WorkloadView {
        spec: now.spec.clone(),
        cgroup: now.cgroup.clone(),
        cgroup_id: now.cgroup_id,
        slot: now.slot,
        populated: now.populated,
        usage: elapsed
            .zip(stats)
            .and_then(|(elapsed, (before, now))| usage(&before, &now, elapsed)),
        runq: same_slot.then(|| runq_view(now.slot, probe)).flatten(),
        throttled_ratio: elapsed
            .and(stats)
            .and_then(|(before, now)| throttled_ratio(&before, &now)),
        cpu_pressure: now.cpu_pressure,
        memory_current: now.memory_current,
        memory: memory_view(&now.seldom, at),
        io: io_view(&now.seldom, at, limits),
        knobs: now.knobs,
        knobs_at: now.at,
        containers: now.containers.clone(),
    }
}

fn memory_view(seldom: &SeldomSample, at: Timestamp) -> MemoryView {
    let stat = seldom.memory_stat.value();
    let per_node = seldom.numa_stat.value().into_iter().flatten();
    MemoryView {
        anon: stat.and_then(|stat| stat.anon),
        file: stat.and_then(|stat| stat.file),
        shmem: stat.and_then(|stat| stat.shmem),
        kernel: stat.and_then(|stat| stat.kernel),
        health: health(&seldom.memory_stat, at),
        per_node: per_node.map(|(id, used)| (*id, used.total())).collect(),
        per_node_health: health(&seldom.numa_stat, at),
    }
}

fn io_view(seldom: &SeldomSample, at: Timestamp, limits: &DeriveLimits) -> IoView {
    let readings = seldom.io_stat_before.as_ref().zip(seldom.io_stat.latest.as_ref());
    let rate = |field: fn(&IoStat) -> Bytes| {
        let (before, now) = readings?;
        let elapsed = interval(before.at, now.at, limits.max_seldom_interval)?;
        let total = |devices: &[IoStat]| devices.iter().map(|it| u128::from(field(it).0)).sum();
        let (before, now): (u128, u128) = (total(&before.value), total(&now.value));
        // A device that went away took its counts with it.
        let moved = now.checked_sub(before)?;
        u64::try_from(moved * 1_000_000_000 / u128::from(elapsed.0)).ok().map(Bytes)
    };
    IoView {
        read: rate(|stat| stat.read),
        written: rate(|stat| stat.written),
        health: health(&seldom.io_stat, at),
    }
}

/// `None` when the counter went back: the group was recreated under us.
fn usage(before: &CpuStat, now: &CpuStat, elapsed: Nanos) -> Option<MilliCpu> {
    let ran_us = now.usage.0.checked_sub(before.usage.0)?;
    let milli = u128::from(ran_us) * 1_000_000 / u128::from(elapsed.0.max(1));
    u64::try_from(milli).ok().map(MilliCpu)
}

fn throttled_ratio(before: &CpuStat, now: &CpuStat) -> Option<f64> {
    let periods = now.nr_periods?.checked_sub(before.nr_periods?)?;
    let throttled = now.nr_throttled?.checked_sub(before.nr_throttled?)?;
    // No period ended: the group was idle or has no quota, so it was not throttled.
    Some(if periods == 0 { 0.0 } else { ratio(throttled, periods).min(1.0) })
}

fn runq_view(slot: SlotId, probe: &Span<'_, ProbeSample>) -> Option<RunqView> {
    if slot == SlotId::UNTRACKED {
        return None;
    }
    let now = probe.now?.slots.get(&slot)?;
    let empty = SlotSample::default();
    // A slot seen for the first time began at zero, provided the probe itself was read before.
    let before = probe.before?.slots.get(&slot).unwrap_or(&empty);
    let waits = now.waits.since(&before.waits);
    let on_cpu = grown(before.on_cpu, now.on_cpu);
    let causes = causes_between(&before.causes, &now.causes);
    let elapsed = probe.elapsed.filter(|_| !probe.is_stale);
    Some(RunqView {
        p50: waits.quantile(500),
        p99: waits.quantile(990),
        p999: waits.quantile(999),
        waits,
        on_cpu,
        runnable: elapsed.map(|elapsed| runnable(on_cpu, &causes, elapsed)),
        causes,
    })
}

/// How many tasks there were on average (Little's law): the time that all of them spent running or
/// waiting, over the time that passed. A wait counts where it ends, so one interval may be off by the
/// longest wait, and a sum of intervals is not.
///
/// Worked example: within 1 s a pod ran for 2 s on its CPUs and its tasks waited 6 s for one: 8 tasks.
fn runnable(on_cpu: Nanos, causes: &WaitCauses, elapsed: Nanos) -> f64 {
    let waited = causes.total.0.saturating_sub(causes.own_throttle.0);
    on_cpu.0.saturating_add(waited) as f64 / elapsed.0.max(1) as f64
}

/// A counter that went backwards was recreated and counts from zero.
fn grown(before: Nanos, now: Nanos) -> Nanos {
    Nanos(now.0.checked_sub(before.0).unwrap_or(now.0))
}

/// The causes of one interval. Counters of different CPUs are read one after another, so the
/// parts may miss the total by a little: what is missing is unknown, what is over counts.
fn causes_between(before: &WaitCauses, now: &WaitCauses) -> WaitCauses {
    let nothing = Nanos(0);
    let by_offender: BTreeMap<SlotId, Nanos> = now
        .by_offender
        .iter()
        .map(|(slot, waited)| {
            (*slot, grown(*before.by_offender.get(slot).unwrap_or(&nothing), *waited))
        })
        .filter(|(_, waited)| *waited > nothing)
        .collect();
    let mut causes = WaitCauses {
        total: grown(before.total, now.total),
        by_offender,
        own_throttle: grown(before.own_throttle, now.own_throttle),
        own_group: grown(before.own_group, now.own_group),
        idle_or_steal: grown(before.idle_or_steal, now.idle_or_steal),
        untracked: grown(before.untracked, now.untracked),
        unknown: grown(before.unknown, now.unknown),
    };
    let parts = sum_of_parts(&causes);
    causes.unknown.0 += causes.total.0.saturating_sub(parts.0);
    causes.total = causes.total.max(parts);
    causes
}

fn sum_of_parts(causes: &WaitCauses) -> Nanos {
    let offenders: u64 = causes.by_offender.values().map(|waited| waited.0).sum();
    Nanos(
        offenders
            + causes.own_throttle.0
            + causes.own_group.0
            + causes.idle_or_steal.0
            + causes.untracked.0
            + causes.unknown.0,
    )
}

fn classify(
    current: &Sample,
    host: &HostView,
    workloads: &BTreeMap<WorkloadName, WorkloadView>,
    limits: &DeriveLimits,
) -> Signal {
    let Some(age) = current.probe.age(current.at) else {
        let why = match &current.probe.fault {
            Some(fault) => format!("no BPF: {fault:?}"),
            None => "no BPF reading yet".to_owned(),
        };
        let pressure = host.cpu_pressure.is_some()
            || workloads.values().any(|workload| workload.cpu_pressure.is_some());
        return if pressure { Signal::PressureOnly { why } } else { Signal::None { why } };
    };
    if age > limits.max_sample_age {
        let why = format!("the newest BPF reading is {} ms old", age.0 / 1_000_000);
        return Signal::Degraded { why };
    }
    match host.steal_ratio {
        Some(steal) if steal > limits.steal_ratio => {
            Signal::Degraded { why: format!("the hypervisor takes {:.1} %", steal * 100.0) }
        }
        _ => Signal::Good,
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod traced;
