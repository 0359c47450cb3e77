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
//! 1. `residents` brings the ledger up to date: who came is admitted, with what `admit` promises.
//! 2. The `Tally` of the ledger gives *regions*: a NUMA node with bound pods, and all that is not
//!    withheld. Dedicated pods own their CPUs and are in none.
//! 3. `need` gives each shared workload of a region the larger of its request share (requests
//!    water-filled into the region's CPUs) and its measured usage times `usage_margin`.
//! 4. `size` turns need, lateness and the previous Plan into the number of CPUs of the region that
//!    batch work must stay off (*exclusive* CPUs).
//! 5. `pool::pools` picks which: those held before, whole cores, balanced over nodes. Reclaim gets
//!    every other CPU, by a bounded number more than before; if that is less than its floor it takes
//!    share CPUs too, as last resort.
//!
//! With overlap share pools take all CPUs of their region and batch work may run on each that is not
//! exclusive: none while the service is calm, one more per tick while its measured need is near the
//! size of the region or its p99 was late twice in a row.
//!
//! # Worked example
//! 8 CPUs, reserve 0, no overlap, margin 1.25. `web` asks 2000 and uses 1000; `api` asks 500 and
//! uses 2400. Requests fit (2500 <= 8000), so request shares are 2000 and 500. Needs:
//! max(2000, 1250) = 2000 and max(500, 3000) = 3000, together 5000, so share is CPUs 0-4 and
//! reclaim 5-7. Next tick `api` uses 800: need 2000 + 1000 = 3000, three CPUs, but the pool stays
//! at five until that lasted `shrink_after`, then gives one CPU per tick.
//!
//! # Limits
//! A workload that is refused is not left without CPUs: it runs in the pool of its level, and a
//! finding says what it does not get.

mod advice;
mod need;
mod noisy;
mod quota;
mod region;
mod reserve;
mod residents;
mod resources;
mod size;
mod stale;
mod workloads;

use std::collections::BTreeMap;

use model::decision::Decision;
use model::ledger::Ledger;
use model::measured::Measured;
use model::plan::{Advice, Finding, Generation, Plan, RegionState, Severity};
use model::policy::Policy;
use model::provision::{ProvisionPolicy, ProvisionState, ReclaimKnob, SizeRule};
use model::qos::{PoolName, QosLevel};
use model::snapshot::{Signal, Snapshot};
use model::{CpuSet, MilliCpu, Timestamp};

pub use need::{Demand, water_fill};
pub(crate) use need::{Judge, Lateness, latest};
pub(crate) use reserve::of as reserved;
pub(crate) use workloads::refused;

use crate::layout::Layout;
use crate::pool::{self, Held, Pools};
use crate::provision::{self, ProvisionInput};
use crate::tally::Tally;
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
    let Some(layout) = layout_of(input, &mut report) else {
        return (input.previous.cloned().unwrap_or_default(), report);
    };
    let ledger = residents::settle(input, &layout, &mut report);
    let measured = advice::measured(input.snapshot);
    let node = Node::new(input, (layout, aim), (&ledger, &measured), &mut report);
    let pools = node.pools(input);
    note_forced_overlap(input, &node, &pools, &mut report);
    let said = advice::advise(input, &node, (&ledger, &pools, &measured), &mut report);
    let (workloads, ceilings) = workloads::plans(input, &node, (&ledger, &pools), &said);
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
        ledger,
        regions: node.regions,
        advice: Advice { provision: node.provision, ceilings, ..said.advice },
    };
    (plan, report)
}

/// The CPUs that there are to give; `None` where there is none at all.
pub(crate) fn layout_of(input: &PlanInput<'_>, report: &mut PlanReport) -> Option<Layout> {
    let topology = &input.snapshot.topology;
    let reserve = reserve::choose(input, &topology.online(), report);
    let forbidden = input.policy.placement.forbidden;
    match Layout::without(topology, reserve, forbidden) {
        Ok(layout) => Some(layout),
        Err(error) => {
            report.findings.push(Finding {
                severity: Severity::Warning,
                rule: "nothing-usable",
                subject: "node".to_owned(),
                message: format!("{error}: the last Plan stays"),
            });
            None
        }
    }
}

/// The machine with everybody who was admitted, and how many CPUs each region keeps from batch work.
pub(crate) struct Node {
    pub(crate) layout: Layout,
    pub(crate) tally: Tally,
    pub(crate) regions: BTreeMap<PoolName, RegionState>,
    /// What the share pools of each region need, by pool.
    needs: BTreeMap<PoolName, MilliCpu>,
    /// What `provision` remembers, where one of its rules sizes.
    provision: ProvisionState,
    /// CPUs that reclaimed work always has.
    pub(crate) n_kept: usize,
    aim: size::Aim,
}

impl Node {
    fn new(
        input: &PlanInput<'_>,
        (layout, aim): (Layout, size::Aim),
        (ledger, measured): (&Ledger, &Measured),
        report: &mut PlanReport,
    ) -> Node {
        let mut tally = Tally::of(&layout, ledger, None, input.now);
        // A measured node: what nobody asked for is free, whoever is here.
        tally.is_settled = true;
        let n_kept = pool::reclaim_reserve(&layout, &input.policy.placement, &tally).len();
        let provision = ProvisionState::default();
        let (regions, needs) = (BTreeMap::new(), BTreeMap::new());
        let mut node = Node { layout, tally, regions, needs, provision, n_kept, aim };
        let policy = noisy::policy(input, report);
        match policy.rules.first() {
            None | Some(SizeRule::Runq) => {
                node.size_by_waiting(input, (ledger, &policy, measured), report);
            }
            Some(_) => node.size_by_rule(input, (ledger, &policy, measured), report),
        }
        node
    }

    /// Sizes from lateness and need, with hysteresis.
    fn size_by_waiting(
        &mut self,
        input: &PlanInput<'_>,
        (ledger, policy, measured): (&Ledger, &ProvisionPolicy, &Measured),
        report: &mut PlanReport,
    ) {
        if policy.isolation.enabled {
            let before = input.previous.map(|plan| plan.advice.provision.clone());
            let before = before.unwrap_or_default();
            let given = self.provision_input(input, (ledger, policy), (measured, &before));
            (self.tally, self.provision) = noisy::apart(&given, self.aim, report);
        }
        let regions = region::regions(input, &self.layout, &mut self.tally, ledger, self.n_kept);
        let judge = Judge::new(input.snapshot, input.policy);
        for region in regions {
            let needs = need::of(input, &judge, &region);
            let sizing = size::exclusive(input, &region, &needs, self.aim);
            let n_exclusive = usize::from(sizing.state.n_exclusive);
            region.set_size(&self.layout, &mut self.tally, (n_exclusive, &needs.by_pool));
            for (pool, need) in &needs.by_pool {
                let name = PoolName::from(*pool);
                let name = region.node.map_or_else(|| name.clone(), |node| name.on_node(node));
                self.needs.insert(name, *need);
            }
            report.decisions.extend(sizing.decision);
            self.regions.insert(region.name, sizing.state);
        }
        for isolated in self.tally.pools.iter().filter(|pool| pool.upper.is_some()) {
            self.needs.insert(isolated.name.clone(), isolated.asked);
        }
    }

    fn provision_input<'a>(
        &'a self,
        input: &PlanInput<'a>,
        (ledger, provision): (&'a Ledger, &'a ProvisionPolicy),
        (measured, state): (&'a Measured, &'a ProvisionState),
    ) -> ProvisionInput<'a> {
        ProvisionInput {
            now: input.now,
            layout: &self.layout,
            policy: &input.policy.placement,
            provision,
            ledger,
            tally: &self.tally,
            measured,
            state,
            max_quota_growth: Some(MilliCpu::from_cpus(max_growth(input))),
        }
    }

    /// Sizes from the policy's rules; without fresh input those that stand.
    fn size_by_rule(
        &mut self,
        input: &PlanInput<'_>,
        (ledger, policy, measured): (&Ledger, &ProvisionPolicy, &Measured),
        report: &mut PlanReport,
    ) {
        // Who was refused runs in the share pool, so it exists.
        region::regions(input, &self.layout, &mut self.tally, ledger, self.n_kept);
        let before = input.previous.map(|plan| plan.advice.provision.clone()).unwrap_or_default();
        let given = self.provision_input(input, (ledger, policy), (measured, &before));
        if self.aim == size::Aim::ReclaimFloor {
            self.tally = provision::standing(&given);
            self.provision = before;
            return;
        }
        let made = provision::provision(&given);
        // One reading that is missing is no reason to let go of a quota and move every pool.
        let loses_quota = before.knob == ReclaimKnob::Quota && made.state.knob != before.knob;
        if loses_quota && policy.rules.first() == Some(&SizeRule::DynamicQuota) {
            self.tally = provision::standing(&given);
            self.provision = before;
            return;
        }
        report.decisions.extend(made.decisions);
        (self.tally, self.provision) = (made.tally, made.state);
        for pool in &self.tally.pools {
            self.needs.insert(pool.name.clone(), pool.sized);
        }
    }

    /// Whether the Plan is made from input that may be acted on.
    pub(crate) fn is_fresh(&self) -> bool {
        self.aim == size::Aim::Need
    }

    /// Which CPUs every pool has, and what each needs.
    fn pools(&self, input: &PlanInput<'_>) -> Pools {
        let before = input.previous.map(|plan| &plan.pools);
        let held = Held { max_reclaim: self.max_reclaim(input), pools: before };
        let mut pools = pool::pools(&self.layout, &input.policy.placement, &self.tally, &held);
        for (name, pool) in &mut pools {
            pool.need = match name.as_str() {
                PoolName::RECLAIM => need::used_by(input.snapshot, QosLevel::ReclaimedCores),
                PoolName::RESERVE => need::used_by(input.snapshot, QosLevel::SystemCores),
                PoolName::DEDICATED => need::used_by(input.snapshot, QosLevel::DedicatedCores),
                _ => self.needs.get(name).copied().unwrap_or_default(),
            };
        }
        pools
    }

    /// How many CPUs the reclaim pool may have; the first Plan that sees the node may choose.
    fn max_reclaim(&self, input: &PlanInput<'_>) -> Option<usize> {
        if self.aim == size::Aim::ReclaimFloor {
            return Some(self.n_kept);
        }
        let growth = max_growth(input) as usize;
        let before = input.previous?.pools.get(PoolName::RECLAIM);
        let before = before.map_or(CpuSet::EMPTY, |pool| pool.cpus);
        Some(before.intersection(&self.layout.online).len() + growth)
    }
}

/// CPUs that reclaimed work may have more than before.
fn max_growth(input: &PlanInput<'_>) -> u64 {
    match input.snapshot.signal {
        // Under steal nobody knows who waits for whom.
        Signal::Degraded { .. } => 0,
        _ => u64::from(input.policy.reclaim.max_growth_per_tick),
    }
}

fn note_forced_overlap(input: &PlanInput<'_>, node: &Node, pools: &Pools, report: &mut PlanReport) {
    let of = |name: &str| pools.get(name).map_or(CpuSet::EMPTY, |pool| pool.cpus);
    let both = of(PoolName::SHARE).intersection(&of(PoolName::RECLAIM));
    let n_usable = node.layout.usable.len();
    let forced = !input.policy.placement.overlap_shared_reclaim || n_usable == 1;
    if forced && !both.is_empty() {
        report.findings.push(Finding {
            severity: Severity::Note,
            rule: "pools-overlap",
            subject: PoolName::RECLAIM.to_owned(),
            message: format!(
                "reclaimed and shared work meet on CPUs {both}: {n_usable} usable CPUs cannot hold \
                 both the share pool and a reclaim floor of {}",
                node.n_kept
            ),
        });
    }
}

#[cfg(test)]
mod tests;
