//! State for people: pools, workloads, and where a workload's waiting went. Values in, values
//! out; how they are printed is the CLI's.

use std::collections::BTreeMap;

use model::plan::{Overlay, Plan};
use model::qos::{PoolName, QosLevel, WorkloadName};
use model::sample::WaitCauses;
use model::snapshot::{Signal, Snapshot, WorkloadView};
use model::{Bytes, CpuSet, MilliCpu, Nanos, SlotId, Timestamp};

/// A workload throttled in at least this share of its periods is shown as throttled.
const THROTTLED_RATIO: f64 = 0.05;

/// The node at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeReport {
    pub at: Timestamp,
    pub signal: Signal,
    pub pools: Vec<PoolReport>,
    pub workloads: Vec<WorkloadReport>,
    /// The overlay, while batch work is held down.
    pub suppression: Option<Overlay>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PoolReport {
    pub name: PoolName,
    pub cpus: CpuSet,
    pub need: MilliCpu,
    /// Measured usage of the workloads in it.
    pub used: MilliCpu,
    pub n_workloads: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadReport {
    pub name: WorkloadName,
    pub qos: QosLevel,
    /// `None` until it was planned for.
    pub pool: Option<PoolName>,
    pub cpus: CpuSet,
    pub state: WorkloadState,
    pub request: MilliCpu,
    pub usage: Option<MilliCpu>,
    pub runq_p50: Option<Nanos>,
    pub runq_p99: Option<Nanos>,
    pub target_p99: Option<Nanos>,
    pub throttled_ratio: Option<f64>,
    /// PSI `cpu.pressure` `some avg10`, in percent.
    pub cpu_pressure_pct: Option<f64>,
    pub memory: Option<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadState {
    Running,
    /// No tasks.
    Empty,
    /// Held down by the overlay.
    Suppressed,
    /// Held down by a `cpu.max` of its own.
    Throttled,
}

impl WorkloadState {
    pub const fn name(self) -> &'static str {
        match self {
            WorkloadState::Running => "running",
            WorkloadState::Empty => "empty",
            WorkloadState::Suppressed => "suppressed",
            WorkloadState::Throttled => "throttled",
        }
    }
}

/// Puts together what a person wants to see, in order of names.
pub fn report(snapshot: &Snapshot, plan: &Plan, overlay: Option<&Overlay>) -> NodeReport {
    let pools = plan.pools.iter().map(|(name, pool)| {
        let members = plan.workloads.iter().filter(|(_, w)| w.pool == *name);
        let views = members.filter_map(|(name, _)| snapshot.workloads.get(name));
        let used = views.clone().filter_map(|view| view.usage).map(|usage| usage.0).sum();
        PoolReport {
            name: name.clone(),
            cpus: pool.cpus,
            need: pool.need,
            used: MilliCpu(used),
            n_workloads: views.count(),
        }
    });
    let workloads = snapshot.workloads.iter().map(|(name, view)| row(name, view, plan, overlay));
    NodeReport {
        at: snapshot.at,
        signal: snapshot.signal.clone(),
        pools: pools.collect(),
        workloads: workloads.collect(),
        suppression: overlay.cloned(),
    }
}

fn row(
    name: &WorkloadName,
    view: &WorkloadView,
    plan: &Plan,
    overlay: Option<&Overlay>,
) -> WorkloadReport {
    let planned = plan.workloads.get(name);
    WorkloadReport {
        name: name.clone(),
        qos: view.spec.qos,
        pool: planned.map(|planned| planned.pool.clone()),
        cpus: planned.map_or(CpuSet::EMPTY, |planned| planned.cpus),
        state: state(view, overlay),
        request: view.spec.request,
        usage: view.usage,
        runq_p50: view.runq.as_ref().and_then(|runq| runq.p50),
        runq_p99: view.runq.as_ref().and_then(|runq| runq.p99),
        target_p99: view.spec.target_p99.map(model::Micros::as_nanos),
        throttled_ratio: view.throttled_ratio,
        cpu_pressure_pct: view.cpu_pressure.map(|pressure| pressure.some.avg10_pct),
        memory: view.memory_current,
    }
}

fn state(view: &WorkloadView, overlay: Option<&Overlay>) -> WorkloadState {
    let throttled = view.throttled_ratio.is_some_and(|ratio| ratio >= THROTTLED_RATIO);
    match (view.populated, overlay) {
        (false, _) => WorkloadState::Empty,
        (true, Some(_)) if view.spec.qos == QosLevel::ReclaimedCores => WorkloadState::Suppressed,
        (true, _) if throttled => WorkloadState::Throttled,
        (true, _) => WorkloadState::Running,
    }
}

/// Where the waited time of one workload went over the last interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhySlow {
    pub workload: WorkloadName,
    pub waited: Nanos,
    /// Largest first; empty when nothing waited, else `per_mille` sums to exactly 1000.
    pub parts: Vec<WaitPart>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitPart {
    pub label: String,
    pub time: Nanos,
    /// Thousandths of the waited time; 123 is 12.3 %.
    pub per_mille: u32,
}

/// `None` for a workload that is not known or has no run-queue signal.
pub fn why_slow(snapshot: &Snapshot, name: &WorkloadName) -> Option<WhySlow> {
    let causes = &snapshot.workloads.get(name)?.runq.as_ref()?.causes;
    let mut parts: Vec<(String, Nanos)> = labelled(causes, snapshot);
    parts.retain(|(_, time)| time.0 > 0);
    parts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let waited = Nanos(parts.iter().map(|(_, time)| time.0).sum());
    let shares = per_mille(&parts, waited);
    let parts = parts.into_iter().zip(shares);
    let parts = parts.map(|((label, time), per_mille)| WaitPart { label, time, per_mille });
    Some(WhySlow { workload: name.clone(), waited, parts: parts.collect() })
}

fn labelled(causes: &WaitCauses, snapshot: &Snapshot) -> Vec<(String, Nanos)> {
    let names: BTreeMap<SlotId, &WorkloadName> =
        snapshot.workloads.iter().map(|(name, view)| (view.slot, name)).collect();
    let offender = |(slot, time): (&SlotId, &Nanos)| {
        let label = match names.get(slot) {
            Some(name) => format!("{name} ran"),
            None => format!("a workload that is gone ran (slot {slot})"),
        };
        (label, *time)
    };
    let mut parts: Vec<(String, Nanos)> = causes.by_offender.iter().map(offender).collect();
    let named: u64 = parts.iter().map(|(_, time)| time.0).sum();
    let fixed = [
        ("its own cpu.max throttled it", causes.own_throttle),
        ("its own tasks ran: the pool is too small", causes.own_group),
        ("the CPU was idle, in interrupts or stolen", causes.idle_or_steal),
        ("tasks of no known workload ran", causes.untracked),
    ];
    let told = named + fixed.iter().map(|(_, time)| time.0).sum::<u64>();
    // What the parts do not tell of the total is unknown too.
    let unknown = causes.unknown.0.max(causes.total.0.saturating_sub(told));
    parts.extend(fixed.map(|(label, time)| (label.to_owned(), time)));
    parts.push(("unknown".to_owned(), Nanos(unknown)));
    parts
}

/// Rounds down, then hands the missing thousandths to the largest remainders, earliest first.
fn per_mille(parts: &[(String, Nanos)], waited: Nanos) -> Vec<u32> {
    let whole = u128::from(waited.0.max(1));
    let exact = |time: Nanos| u128::from(time.0) * 1000;
    let mut shares: Vec<u128> = parts.iter().map(|(_, time)| exact(*time) / whole).collect();
    let missing = 1000u128.saturating_sub(shares.iter().sum());
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|idx| std::cmp::Reverse(exact(parts[*idx].1) % whole));
    let n_extra = usize::try_from(missing).unwrap_or(usize::MAX);
    for idx in order.into_iter().take(n_extra) {
        shares[idx] += 1;
    }
    shares.into_iter().map(|share| u32::try_from(share).unwrap_or(1000)).collect()
}

#[cfg(test)]
mod tests;
