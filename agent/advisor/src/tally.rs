//! What the residents of a node hold and ask for, summed by NUMA node and pool. The one place that
//! knows how a promise of the ledger weighs on a node; pools, hints and admission read it.

use std::collections::BTreeSet;

use model::ledger::{Ledger, Place, Resident};
use model::pod::Ask;
use model::provision::ReclaimKnob;
use model::qos::{PodUid, PoolName, QosLevel};
use model::{CpuSet, MilliCpu, NumaNodeId, NumaSet, Timestamp};

use crate::layout::Layout;

/// A new pod in a NUMA-bound pool counts so many times until it is measured: it starts, and the
/// pool should not have to grow in that moment (Katalyst's increment of bound pools).
pub(crate) const NEW_POD_FACTOR: u64 = 2;

/// Sums over all residents.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    /// CPUs of dedicated pods, offline ones included: they are promised.
    pub own: CpuSet,
    /// Usable CPUs that nobody owns.
    pub free: CpuSet,
    /// The part of `free` on nodes without a NUMA-bound pod.
    pub unbound: CpuSet,
    /// By position in `Layout::nodes`.
    pub nodes: Vec<NodeTally>,
    /// Share pools without NUMA binding, ordered by name.
    pub pools: Vec<PoolTally>,
    /// CPUs of the unbound part that reclaimed work is kept off where pools lend it their idle ones;
    /// `None`: as many as are asked for.
    pub withheld: Option<usize>,
    /// Nodes of reclaimed pods that are bound.
    pub reclaim_bound: NumaSet,
    pub n_reclaimed: usize,
    /// Somebody is measured or owns CPUs: before that, nothing is known that pools could follow.
    pub is_settled: bool,
    /// What sizes follow.
    pub knob: ReclaimKnob,
    /// Pods with a pool of their own.
    pub isolated: BTreeSet<PodUid>,
    /// CPUs that owners lend to reclaimed work.
    pub lent: CpuSet,
}

/// One NUMA node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeTally {
    pub n_free: usize,
    /// NUMA-bound share pools here, ordered by name.
    pub pools: Vec<PoolTally>,
    /// As `Tally::withheld`, of this node.
    pub withheld: Option<usize>,
    /// Requests of reclaimed pods that are bound here.
    pub reclaimed: MilliCpu,
    /// A dedicated pod is bound here.
    pub has_bound_owner: bool,
    /// Some CPU here is owned.
    pub has_owned_cpu: bool,
    /// Level and pool of each bound pod here, and whether it mixes with others.
    pub tenants: Vec<Tenant>,
}

/// Requests of one share pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolTally {
    pub name: PoolName,
    /// Of all its pods.
    pub asked: MilliCpu,
    /// What its size follows: requests with new pods counted as pool sizing counts them, or what
    /// measurement says.
    pub sized: MilliCpu,
    /// The pool of an isolated pod, which grows to this where there is room.
    pub upper: Option<MilliCpu>,
    /// Pods that are confined to the pool already.
    pub n_settled: usize,
}

/// Who is bound to a node, as far as others may mind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    pub level: QosLevel,
    pub pool: PoolName,
    pub mixes: bool,
}

impl Tenant {
    pub fn of(ask: &Ask) -> Tenant {
        Tenant { level: ask.level, pool: pool_of(ask), mixes: ask.wish.numa_share }
    }

    /// Whether both may be on one node.
    pub fn tolerates(&self, other: &Tenant) -> bool {
        let same = self.level == other.level && self.pool == other.pool;
        same || (self.mixes && other.mixes)
    }
}

/// The pool that a pod of this kind belongs to, binding left aside.
pub fn pool_of(ask: &Ask) -> PoolName {
    let default = match ask.level {
        QosLevel::SharedCores => PoolName::SHARE,
        QosLevel::ReclaimedCores => PoolName::RECLAIM,
        QosLevel::DedicatedCores => PoolName::DEDICATED,
        QosLevel::SystemCores => PoolName::SYSTEM,
    };
    ask.wish.cpuset_pool.clone().unwrap_or_else(|| PoolName::from(default))
}

impl Tally {
    /// Sums up everybody but `without`.
    pub fn of(layout: &Layout, ledger: &Ledger, without: Option<&Ask>, now: Timestamp) -> Tally {
        let mut tally = Tally::empty(layout);
        for (uid, resident) in &ledger.pods {
            if without.is_none_or(|ask| ask.uid != *uid) {
                tally.count(layout, resident, now);
            }
        }
        tally.settle(layout);
        tally
    }

    /// The same with one more.
    pub fn with(mut self, layout: &Layout, resident: &Resident, now: Timestamp) -> Tally {
        self.count(layout, resident, now);
        self.settle(layout);
        self
    }

    fn empty(layout: &Layout) -> Tally {
        Tally {
            own: CpuSet::EMPTY,
            free: layout.usable,
            unbound: layout.usable,
            nodes: vec![NodeTally::default(); layout.nodes.len()],
            pools: Vec::new(),
            withheld: None,
            reclaim_bound: NumaSet::EMPTY,
            n_reclaimed: 0,
            is_settled: false,
            knob: ReclaimKnob::Requests,
            isolated: BTreeSet::new(),
            lent: CpuSet::EMPTY,
        }
    }

    fn count(&mut self, layout: &Layout, resident: &Resident, now: Timestamp) {
        let ramping = resident.is_ramping(now);
        let ask = &resident.ask;
        self.n_reclaimed += usize::from(ask.level.is_reclaimed());
        match resident.place {
            Place::Own { cpus, nodes } => self.count_owner(layout, ask, &cpus, nodes),
            Place::Node(node) => self.count_bound(layout, ask, node, ramping),
            Place::Pool if ask.level == QosLevel::SharedCores => {
                let pool = entry(&mut self.pools, pool_of(ask));
                pool.asked.0 = pool.asked.0.saturating_add(ask.cpu.0);
                if !ramping {
                    pool.sized.0 = pool.sized.0.saturating_add(ask.cpu.0);
                    pool.n_settled += 1;
                    self.is_settled = true;
                }
            }
            Place::Pool | Place::Anywhere => {}
        }
    }

    fn count_owner(&mut self, layout: &Layout, ask: &Ask, cpus: &CpuSet, nodes: NumaSet) {
        self.own = self.own.union(cpus);
        self.is_settled = true;
        for node in nodes.iter().filter_map(|id| layout.node_idx(id)) {
            self.nodes[node].has_bound_owner = true;
            self.nodes[node].tenants.push(Tenant::of(ask));
        }
    }

    fn count_bound(&mut self, layout: &Layout, ask: &Ask, id: NumaNodeId, ramping: bool) {
        let Some(idx) = layout.node_idx(id) else { return };
        let node = &mut self.nodes[idx];
        if ask.level.is_reclaimed() {
            node.reclaimed.0 = node.reclaimed.0.saturating_add(ask.cpu.0);
            self.reclaim_bound.insert(id);
            return;
        }
        let factor = if ramping { NEW_POD_FACTOR } else { 1 };
        let pool = entry(&mut node.pools, pool_of(ask));
        pool.asked.0 = pool.asked.0.saturating_add(ask.cpu.0);
        pool.sized.0 = pool.sized.0.saturating_add(ask.cpu.0.saturating_mul(factor));
        pool.n_settled += 1;
        node.tenants.push(Tenant::of(ask));
        self.is_settled = true;
    }

    /// What follows from the sums.
    fn settle(&mut self, layout: &Layout) {
        self.free = layout.usable.difference(&self.own);
        self.unbound = self.free;
        for (node, room) in self.nodes.iter_mut().zip(&layout.nodes) {
            node.n_free = room.cpus.intersection(&self.free).len();
            node.has_owned_cpu = !room.cpus.is_disjoint(&self.own);
            if node.is_bound() {
                self.unbound = self.unbound.difference(&room.cpus);
            }
        }
    }

    /// CPUs that shared pods without NUMA binding must be left with.
    pub fn unbound_need(&self) -> usize {
        need(&self.pools, MilliCpu(0))
    }

    /// CPUs that could be taken from the unbound part.
    pub fn unbound_spare(&self) -> usize {
        self.unbound.len().saturating_sub(self.unbound_need())
    }
}

impl NodeTally {
    /// Whether CPUs here are withheld from pods without NUMA binding.
    pub fn is_bound(&self) -> bool {
        self.has_bound_owner || !self.pools.is_empty()
    }

    /// Requests of NUMA-bound shared pods.
    pub fn asked(&self) -> MilliCpu {
        MilliCpu(self.pools.iter().map(|pool| pool.asked.0).fold(0, u64::saturating_add))
    }

    /// CPUs that could be taken from the node without breaking a promise to a pod bound here.
    pub fn spare(&self) -> usize {
        self.n_free.saturating_sub(need(&self.pools, MilliCpu(0)))
    }
}

/// Whole CPUs for these pools and `more`; a pool with a pod needs one even if nothing is asked.
pub fn need(pools: &[PoolTally], more: MilliCpu) -> usize {
    let asked = pools.iter().map(|pool| pool.asked.0).fold(more.0, u64::saturating_add);
    let whole = usize::try_from(MilliCpu(asked).ceil_cpus()).unwrap_or(usize::MAX);
    whole.max(usize::from(!pools.is_empty()))
}

/// The entry of a pool, made where it is missing.
pub(crate) fn entry(pools: &mut Vec<PoolTally>, name: PoolName) -> &mut PoolTally {
    let idx = match pools.binary_search_by(|pool| pool.name.cmp(&name)) {
        Ok(idx) => idx,
        Err(idx) => {
            let zero = MilliCpu(0);
            pools.insert(
                idx,
                PoolTally { name, asked: zero, sized: zero, upper: None, n_settled: 0 },
            );
            idx
        }
    };
    &mut pools[idx]
}
