//! Snapshot, Policy and the previous Plan -> the next Plan: which CPUs each pool has and what
//! each workload's cgroup should hold.
//!
//! # Problem
//! Latency-critical work must find a CPU when it wakes; batch work should use whatever is left.
//! CPUs move slowly (a `cpuset.cpus` write takes up to 120 ms), so pools follow the need of whole
//! seconds; what happens inside a second is `suppress`'s.
//!
//! # Units
//! Need is in thousandths of a CPU (`MilliCpu`), pools in whole CPUs, time in `Nanos`.
//!
//! # Approach
//! 1. `reserve` takes its CPUs; the rest is *usable*.
//! 2. `need` gives each shared workload the larger of its request share (requests water-filled
//!    into the usable CPUs) and its measured usage times `usage_margin`.
//! 3. `size` turns need, lateness and the previous Plan into the number of CPUs that batch work
//!    must stay off (*exclusive* CPUs).
//! 4. `place` picks which: those held before, whole cores, few NUMA nodes, ascending ids.
//! 5. Reclaim gets every other usable CPU, so share and reclaim always cover all usable ones; if
//!    that is less than its floor it takes the highest share CPUs too, as last resort.
//!
//! With `overlap_share` the share pool is all usable CPUs and batch work may run on each that is
//! not exclusive: none while the service is calm, one more per tick while its measured need is
//! near the size of the pool or its p99 was late twice in a row.
//!
//! # Worked example
//! 8 CPUs, reserve 0, no overlap, margin 1.25. `web` asks 2000 and uses 1000; `api` asks 500 and
//! uses 2400. Requests fit (2500 <= 8000), so request shares are 2000 and 500. Needs:
//! max(2000, 1250) = 2000 and max(500, 3000) = 3000, together 5000, so share is CPUs 0-4 and
//! reclaim 5-7. Next tick `api` uses 800: need 2000 + 1000 = 3000, three CPUs, but the pool stays
//! at five until that lasted `shrink_after`, then gives one CPU per tick.
//!
//! # Limits
//! One share pool; dedicated cores are planned as shared ones and a finding says so.

mod need;
mod place;
mod reserve;
mod size;
mod stale;
mod workloads;

use std::collections::BTreeMap;

use model::decision::Decision;
use model::plan::{Finding, Generation, Plan, PoolPlan, Severity};
use model::policy::Policy;
use model::qos::PoolName;
use model::snapshot::Snapshot;
use model::{CpuSet, Timestamp};

pub use need::{Demand, water_fill};
pub(crate) use need::{Judge, Lateness, latest};
pub(crate) use reserve::spread as reserve_spread;

use stale::Freshness;

/// Everything a Plan depends on.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput<'a> {
    pub now: Timestamp,
    pub snapshot: &'a Snapshot,
    /// The Plan in force, for hysteresis and stability; `None` on the first turn.
    pub previous: Option<&'a Plan>,
    pub policy: &'a Policy,
}

/// Why the Plan is what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanReport {
    /// One per pool that changed; a quiet node decides nothing.
    pub decisions: Vec<Decision>,
    pub findings: Vec<Finding>,
}

/// Decides the node's next state. With stale input the previous Plan is returned unchanged.
pub fn plan(input: &PlanInput<'_>) -> (Plan, PlanReport) {
    let mut report = PlanReport::default();
    let aim = match stale::freshness(input) {
        Freshness::Fresh => size::Aim::Need,
        Freshness::Tolerated { previous, finding } => {
            report.findings.push(finding);
            return (previous.clone(), report);
        }
        Freshness::Expired { finding } => {
            report.findings.push(finding);
            size::Aim::ReclaimFloor
        }
    };
    let room = Room::new(input, &mut report);
    let needs = need::of(input, &room);
    let sizing = size::exclusive(input, &room, &needs, aim);
    report.decisions.extend(sizing.decision.clone());
    let pools = pools(input, &room, &needs, sizing.n_exclusive);
    note_forced_overlap(input, &room, &pools, &mut report);
    let workloads = workloads::plans(input, &room, &pools, &mut report);
    let plan = Plan {
        generation: Generation(input.previous.map_or(0, |plan| plan.generation.0) + 1),
        built_at: input.now,
        snapshot_at: match (aim, input.previous) {
            // Built without fresh input: it stands on the old Snapshot.
            (size::Aim::ReclaimFloor, Some(previous)) => previous.snapshot_at,
            _ => input.snapshot.at,
        },
        pools,
        workloads,
        share_low_since: sizing.share_low_since,
        share_late_ticks: sizing.share_late_ticks,
    };
    (plan, report)
}

/// The CPUs there are to give.
pub(crate) struct Room {
    pub(crate) online: CpuSet,
    pub(crate) reserve: CpuSet,
    /// Online and not reserved; never empty on a machine with a CPU.
    pub(crate) usable: CpuSet,
    pub(crate) n_usable: usize,
    /// The smallest reclaim pool allowed here: the policy's floor, at least one CPU, at most all.
    pub(crate) floor: usize,
}

impl Room {
    fn new(input: &PlanInput<'_>, report: &mut PlanReport) -> Room {
        let online = input.snapshot.topology.online();
        let reserve = reserve::choose(input, &online, report);
        let usable = online.difference(&reserve);
        let n_usable = usable.len();
        let floor = usize::from(input.policy.reclaim.floor_cpus).max(1).min(n_usable);
        Room { online, reserve, usable, n_usable, floor }
    }
}

fn pools(
    input: &PlanInput<'_>,
    room: &Room,
    needs: &need::Needs,
    n_exclusive: usize,
) -> BTreeMap<PoolName, PoolPlan> {
    let topology = &input.snapshot.topology;
    let held = Held::before(input, room);
    let overlap = input.policy.reclaim.overlap_share;
    let keep = if overlap { held.exclusive } else { held.share };
    let exclusive =
        place::pick(topology, &room.usable, &keep, n_exclusive, place::Order::Ascending);
    let rest = room.usable.difference(&exclusive);
    let share = if overlap { room.usable } else { exclusive };
    // Last resort: share CPUs too, those that batch work held before first.
    let missing = room.floor.saturating_sub(rest.len());
    let lent = place::pick(topology, &exclusive, &held.reclaim, missing, place::Order::Descending);
    let reclaim = rest.union(&lent);
    BTreeMap::from([
        (PoolName::from(PoolName::RESERVE), PoolPlan { cpus: room.reserve, need: needs.reserve }),
        (PoolName::from(PoolName::SHARE), PoolPlan { cpus: share, need: needs.share }),
        (PoolName::from(PoolName::RECLAIM), PoolPlan { cpus: reclaim, need: needs.reclaim }),
    ])
}

/// What the previous Plan gave, as far as it is still usable.
pub(crate) struct Held {
    pub(crate) share: CpuSet,
    pub(crate) reclaim: CpuSet,
    /// Share CPUs that batch work had to stay off.
    pub(crate) exclusive: CpuSet,
}

impl Held {
    pub(crate) fn before(input: &PlanInput<'_>, room: &Room) -> Held {
        let pool = |name| {
            let pool = input.previous.and_then(|plan| plan.pools.get(name));
            pool.map_or(CpuSet::EMPTY, |pool| pool.cpus.intersection(&room.usable))
        };
        let (share, reclaim) = (pool(PoolName::SHARE), pool(PoolName::RECLAIM));
        Held { share, reclaim, exclusive: share.difference(&reclaim) }
    }
}

fn note_forced_overlap(
    input: &PlanInput<'_>,
    room: &Room,
    pools: &BTreeMap<PoolName, PoolPlan>,
    report: &mut PlanReport,
) {
    let both = pools[PoolName::SHARE].cpus.intersection(&pools[PoolName::RECLAIM].cpus);
    let forced = !input.policy.reclaim.overlap_share || room.n_usable == 1;
    if forced && !both.is_empty() {
        report.findings.push(Finding {
            severity: Severity::Note,
            rule: "pools-overlap",
            subject: PoolName::RECLAIM.to_owned(),
            message: format!(
                "reclaimed and shared work meet on CPUs {both}: {} usable CPUs cannot hold both \
                 the share pool and a reclaim floor of {}",
                room.n_usable, room.floor
            ),
        });
    }
}

#[cfg(test)]
mod tests;
