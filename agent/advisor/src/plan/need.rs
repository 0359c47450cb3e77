//! What workloads need, in thousandths of a CPU, and whether they wait too long. Owns the
//! arithmetic of demand; how many CPUs follow from it is `size`.

use std::collections::BTreeMap;

use model::policy::Policy;
use model::qos::{QosLevel, WorkloadName};
use model::sample::WaitCauses;
use model::snapshot::{Signal, Snapshot, WorkloadView};
use model::{MilliCpu, Nanos, SlotId};

use super::PlanInput;
use super::region::{Member, Region};

/// Fewer waits than this in an interval have no p99 worth acting on: one unlucky wake-up in
/// twenty would decide.
const MIN_WAITS: u64 = 20;

/// Without BPF a workload counts as late when some of its tasks waited for a CPU in this percent
/// of the last ten seconds (PSI `some avg10`).
const LATE_PRESSURE_PCT: f64 = 10.0;

/// Share of the waited time, in percent, that must come from batch work before taking CPUs or
/// time from batch work is an answer.
const OFFENDER_PCT: u64 = 20;

/// One entry of a water-filling: what it wants, in any one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    pub want: u64,
}

/// Divides `capacity` so that nobody gets more than wanted and nobody who is short gets less than
/// another: all are filled to one common level. What division leaves over goes one unit each to
/// the first that are still short. The result sums to `min(capacity, sum of wants)`.
///
/// Worked example, in MilliCpu: capacity 4000, wants 500, 3000, 3000. The level is 1750:
/// 500 + 1750 + 1750 = 4000.
pub fn water_fill(capacity: u64, demands: &[Demand]) -> Vec<u64> {
    let mut order: Vec<usize> = (0..demands.len()).collect();
    order.sort_by_key(|idx| demands[*idx].want);
    let mut filled = vec![0; demands.len()];
    let mut left = capacity;
    for (rank, idx) in order.iter().enumerate() {
        let n_left = (order.len() - rank) as u64;
        // Rounding up hands the odd units to the earliest of those that are short.
        let level =
            if demands[*idx].want <= left / n_left { left / n_left } else { left.div_ceil(n_left) };
        filled[*idx] = demands[*idx].want.min(level);
        left -= filled[*idx];
    }
    filled
}

/// Needs of one region.
pub(super) struct Needs<'a> {
    /// By requests and by measured usage, whichever is larger, summed over its workloads.
    pub(super) share: MilliCpu,
    /// By measured usage alone; zero as long as nothing was measured.
    pub(super) measured: MilliCpu,
    /// `share` by pool, ordered by name.
    pub(super) by_pool: Vec<(&'a str, MilliCpu)>,
    pub(super) known: Measured,
    pub(super) lateness: Lateness,
}

/// Whose usage is known. Unknown is not zero: a pool is not made smaller for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measured {
    /// Every shared workload was measured.
    All,
    /// A new one was not yet.
    Some,
    /// There are shared workloads and none was measured: the first reading, or one after a gap.
    None,
}

impl Measured {
    fn of(members: &[Member<'_>]) -> Measured {
        let n_measured = members.iter().filter(|one| one.view.usage.is_some()).count();
        match n_measured {
            n if n == members.len() => Measured::All,
            0 => Measured::None,
            _ => Measured::Some,
        }
    }
}

pub(super) fn of<'a>(input: &PlanInput<'a>, judge: &Judge<'_>, region: &Region<'a>) -> Needs<'a> {
    let members = &region.members;
    let requests = members.iter().map(|one| Demand { want: one.view.spec.request.0 });
    let capacity = MilliCpu::from_cpus(region.n_cpus as u64);
    let request_shares = water_fill(capacity.0, &requests.collect::<Vec<_>>());
    let margin = input.policy.share.usage_margin;
    let (mut share, mut measured) = (0u64, 0u64);
    let mut by_pool: BTreeMap<&str, u64> = BTreeMap::new();
    for (member, request) in members.iter().zip(request_shares) {
        let with_margin = member.view.usage.map_or(0, |usage| scaled(usage, margin).0);
        let need = with_margin.max(request);
        measured = measured.saturating_add(with_margin);
        share = share.saturating_add(need);
        let of_pool = by_pool.entry(member.pool).or_default();
        *of_pool = of_pool.saturating_add(need);
    }
    Needs {
        share: MilliCpu(share),
        measured: MilliCpu(measured),
        by_pool: by_pool.into_iter().map(|(pool, need)| (pool, MilliCpu(need))).collect(),
        known: Measured::of(members),
        lateness: worst(input.snapshot, judge, members),
    }
}

/// What all workloads of a level use.
pub(super) fn used_by(snapshot: &Snapshot, level: QosLevel) -> MilliCpu {
    let of_level = snapshot.workloads.values().filter(|w| w.spec.qos == level);
    MilliCpu(of_level.filter_map(|w| w.usage).map(|usage| usage.0).fold(0, u64::saturating_add))
}

/// Whose waiting counts: work that others must make room for.
fn is_served(workload: &WorkloadView) -> bool {
    matches!(workload.spec.qos, QosLevel::SharedCores | QosLevel::DedicatedCores)
}

pub(crate) fn scaled(usage: MilliCpu, factor: f64) -> MilliCpu {
    // `as` saturates, and a NaN margin becomes zero: the request alone decides then.
    MilliCpu((usage.0 as f64 * factor).ceil() as u64)
}

/// Whether a workload waits longer than it should, and what would help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lateness {
    OnTime,
    /// Waits for reasons that neither CPUs nor batch work can change.
    Elsewhere,
    /// The CPU was idle or its own group ran: it needs more CPUs.
    PoolTooSmall,
    /// Batch work ran instead.
    Contended,
}

fn worst(snapshot: &Snapshot, judge: &Judge<'_>, members: &[Member<'_>]) -> Lateness {
    // Under steal a late p99 says what the hypervisor did.
    if matches!(snapshot.signal, Signal::Degraded { .. }) {
        return Lateness::OnTime;
    }
    members.iter().map(|one| judge.lateness(one.view)).max().unwrap_or(Lateness::OnTime)
}

/// Tells how late workloads of one Snapshot are. Looks once who is batch work, so that judging
/// all of them costs no more than their waits have offenders.
pub(crate) struct Judge<'a> {
    snapshot: &'a Snapshot,
    policy: &'a Policy,
    /// Ascending.
    batch_slots: Vec<SlotId>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, policy: &'a Policy) -> Judge<'a> {
        let batch = snapshot.workloads.values().filter(|w| w.spec.qos.is_reclaimed());
        let mut batch_slots: Vec<SlotId> = batch.map(|w| w.slot).collect();
        batch_slots.sort_unstable();
        Judge { snapshot, policy, batch_slots }
    }

    /// Judges one workload by its run-queue p99, or by PSI where there is no BPF.
    pub(crate) fn lateness(&self, workload: &WorkloadView) -> Lateness {
        let Some(runq) = &workload.runq else {
            let pressed =
                workload.cpu_pressure.is_some_and(|p| p.some.avg10_pct > LATE_PRESSURE_PCT);
            let witness = matches!(self.snapshot.signal, Signal::PressureOnly { .. });
            return if pressed && witness { Lateness::Contended } else { Lateness::OnTime };
        };
        let target = workload.spec.target_p99.unwrap_or(self.policy.share.default_target_p99);
        let late = runq.p99.is_some_and(|p99| p99 > target.as_nanos());
        if !late || runq.waits.count() < MIN_WAITS {
            return Lateness::OnTime;
        }
        self.reason(&runq.causes)
    }

    fn reason(&self, causes: &WaitCauses) -> Lateness {
        let waited = Nanos(causes.total.0.saturating_sub(causes.own_throttle.0));
        let batch = self.waited_for_batch(causes);
        let own = causes.own_group.0.saturating_add(causes.idle_or_steal.0);
        if batch.0.saturating_mul(100) >= waited.0.saturating_mul(OFFENDER_PCT) && batch.0 > 0 {
            Lateness::Contended
        } else if own.saturating_mul(2) >= waited.0 && own > 0 {
            Lateness::PoolTooSmall
        } else {
            Lateness::Elsewhere
        }
    }

    fn waited_for_batch(&self, causes: &WaitCauses) -> Nanos {
        let is_batch = |slot: &SlotId| self.batch_slots.binary_search(slot).is_ok();
        let waited = causes.by_offender.iter().filter(|(slot, _)| is_batch(slot));
        Nanos(waited.map(|(_, waited)| waited.0).sum())
    }
}

/// The late workload with the worst reason, for explanations.
pub(crate) fn latest<'a>(
    snapshot: &'a Snapshot,
    policy: &Policy,
    at_least: Lateness,
) -> Option<(&'a WorkloadName, &'a WorkloadView)> {
    let judge = Judge::new(snapshot, policy);
    let served = snapshot.workloads.iter().filter(|(_, w)| is_served(w));
    served
        .map(|(name, w)| (judge.lateness(w), name, w))
        .filter(|(late, ..)| *late >= at_least)
        .max_by(|a, b| (a.0, a.2.runq_p99()).cmp(&(b.0, b.2.runq_p99())).then(b.1.cmp(a.1)))
        .map(|(_, name, w)| (name, w))
}
