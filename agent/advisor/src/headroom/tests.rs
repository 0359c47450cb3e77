//! Named cases of headroom, the arithmetic beside each; properties are in `tests/it/promising.rs`.

use model::headroom::{CpuOversell, MemoryRule, ReportPolicy, Smooth, WindowPolicy, WindowState};
use model::ledger::{Ledger, Place, Resident};
use model::measured::{NodeMemory, PodMeasure};
use model::placement::PlacementPolicy;
use model::plan::PoolPlan;
use model::qos::{PodUid, PoolName, QosLevel};
use model::{Bytes, CpuId, Nanos, NumaSet, Topology};

use super::*;
use crate::testkit::{ask, asking, cpus, f16, layout_of, machine, offline};

const GIB: u64 = 1 << 30;

/// One node with everything that headroom reads.
struct Desk {
    topology: Topology,
    placement: PlacementPolicy,
    ledger: Ledger,
    pools: Pools,
    policy: HeadroomPolicy,
    measured: Measured,
    measured_at: Option<Timestamp>,
    quota: ReclaimQuota,
    state: HeadroomState,
    now: Timestamp,
}

impl Desk {
    /// A reclaim pool of CPUs 0..n that are all busy for the same part of the time.
    fn new(topology: Topology, n: u16, busy: f64) -> Desk {
        let pool: model::CpuSet = (0..n).map(CpuId).collect();
        let pool = PoolPlan { cpus: pool, need: MilliCpu(0) };
        let mut desk = Desk {
            placement: PlacementPolicy { reclaim_enabled: true, ..PlacementPolicy::default() },
            ledger: Ledger::default(),
            pools: Pools::from([(PoolName::from(PoolName::RECLAIM), pool)]),
            policy: HeadroomPolicy::default(),
            measured: Measured::default(),
            measured_at: Some(Timestamp(0)),
            quota: ReclaimQuota::default(),
            state: HeadroomState::default(),
            now: Timestamp(0),
            topology,
        };
        desk.measured.cpu_busy_ratio = (0..n).map(|cpu| (CpuId(cpu), busy)).collect();
        desk
    }

    fn with(mut self, name: &str, level: QosLevel, place: Place, milli: u64) -> Desk {
        let resident = Resident { ask: ask(name, level, 0), place, ramp_until: None };
        self.ledger.pods.insert(PodUid::from(name), resident);
        self.measured.pods.entry(PodUid::from(name)).or_default().cpu = Some(MilliCpu(milli));
        self
    }

    /// A reclaimed pod that uses this much.
    fn batch(self, milli: u64) -> Desk {
        self.with("batch", QosLevel::ReclaimedCores, Place::Pool, milli)
    }

    fn oversell(mut self, rule: CpuOversell, last: u64) -> Desk {
        self.policy.cpu_oversell = Some(rule);
        self.state.cpu_per_numa = BTreeMap::from([(NumaNodeId(0), MilliCpu(last))]);
        self
    }

    fn run<T>(&self, act: impl Fn(&HeadroomInput<'_>) -> T) -> T {
        let layout = layout_of(&self.topology, &self.placement);
        let tally = Tally::of(&layout, &self.ledger, None, self.now);
        act(&HeadroomInput {
            placement: PlacementInput {
                now: self.now,
                layout: &layout,
                policy: &self.placement,
                ledger: &self.ledger,
                headroom: None,
            },
            tally: &tally,
            pools: &self.pools,
            policy: &self.policy,
            measured: &self.measured,
            measured_at: self.measured_at,
            quota: &self.quota,
            state: &self.state,
        })
    }
}

/// The terms add up, and so do the nodes.
#[track_caller]
fn check(desk: &Desk, milli: u64, per_node: &[u64]) {
    let cpu = desk.run(cpu::momentary);
    let text = cpu.explained.text();
    assert_eq!(cpu.explained.value, Ok(Amount(milli)), "{text}");
    assert_eq!(cpu.explained.sum(), i128::from(milli), "{text}");
    assert_eq!(cpu.per_node.values().copied().collect::<Vec<_>>(), per_node, "{text}");
}

fn oversell(max_oversold: f64) -> CpuOversell {
    CpuOversell { max_oversold, ..CpuOversell::default() }
}

#[test]
fn supply_is_what_others_leave_of_the_pool() {
    // 10 - 8 + 1
    check(&Desk::new(machine(1, 10, 1), 10, 0.8).batch(1000), 3000, &[3000]);
    check(&Desk::new(machine(1, 10, 1), 10, 0.0), 10_000, &[10_000]);
    // use over what was busy is a fault of measuring: 10 - 3 + 3
    check(&Desk::new(machine(1, 10, 1), 10, 0.3).batch(9000), 10_000, &[10_000]);
    // one CPU
    check(&Desk::new(machine(1, 1, 1), 1, 0.25), 750, &[750]);
    check(&Desk::new(machine(1, 1, 1), 1, 1.0), 0, &[0]);
    // the empty pool
    check(&Desk::new(machine(1, 4, 1), 0, 0.0), 0, &[]);
}

/// Katalyst's cases of the reclaim pool 0-9, 10 CPUs told before.
#[test]
fn overselling_goes_to_the_target_utilisation() {
    // a pool of ten on a machine of 96
    let ten = |busy| Desk::new(machine(1, 96, 1), 10, busy);
    // supply 10 - 3 + 3, utilisation 0.3: 10 + 10 * 0.3
    check(&ten(0.3).batch(3000).oversell(oversell(1.5), 10_000), 13_000, &[13_000]);
    // supply 10 - 8 + 1: 10 + 3 * (0.6 - 0.333) = 10.8, at most 3 * 1.5
    check(&ten(0.8).batch(1000).oversell(oversell(1.5), 10_000), 4500, &[4500]);
    // idle: 10 + 6, at most 10 * 1.2
    check(&ten(0.0).oversell(oversell(1.2), 10_000), 12_000, &[12_000]);
    // 86 + 96 * 0.6, at most 96 * 1.2, at most the machine
    let large = Desk::new(machine(1, 96, 1), 96, 0.0).oversell(oversell(1.2), 86_000);
    check(&large, 96_000, &[96_000]);
    // over the upper bound: 10 + 10 * 0.7 - 9 = 8, but never under the supply of 10
    let rule = CpuOversell { max_util: Some(0.7), ..oversell(1.5) };
    check(&ten(0.9).batch(9000).oversell(rule, 10_000), 10_000, &[10_000]);
    // 14 + 10 * 0.7 - 9 = 12
    check(&ten(0.9).batch(9000).oversell(rule, 14_000), 12_000, &[12_000]);
    // between target and bound what was told stays: 0.65
    check(&ten(0.65).batch(6500).oversell(rule, 14_000), 14_000, &[14_000]);
    // nothing was told before: 10 + 3
    let mut first = ten(0.3).batch(3000).oversell(oversell(1.5), 0);
    first.state = HeadroomState::default();
    check(&first, 13_000, &[13_000]);
}

#[test]
fn a_limit_cuts_the_supply() {
    let mut desk = Desk::new(machine(1, 10, 1), 10, 0.0);
    desk.quota.whole = Some(MilliCpu(2500));
    check(&desk, 2500, &[2500]);
    // nodes 0 {0,1,8,9} and 1 {2,3,10,11} of 16 CPUs; a pod bound to node 0 makes it an area
    let bound = Place::Node(NumaNodeId(0));
    let mut desk = Desk::new(f16(), 16, 0.5).with("b", QosLevel::ReclaimedCores, bound, 1000);
    // node 0: 4 - 2 + 1; the others 4 - 2
    check(&desk, 9000, &[3000, 2000, 2000, 2000]);
    desk.quota.per_node = BTreeMap::from([(NumaNodeId(0), MilliCpu(500))]);
    check(&desk, 6500, &[500, 2000, 2000, 2000]);
    // 3.25 of 6.5 for all: half of each
    desk.quota.whole = Some(MilliCpu(3250));
    check(&desk, 3250, &[250, 1000, 1000, 1000]);
    // by pool: node 0 has a limit of its own, the others have 3 together
    let reclaim = PoolName::from(PoolName::RECLAIM);
    let on_node = reclaim.on_node(NumaNodeId(0));
    let quotas = BTreeMap::from([(on_node, MilliCpu(500)), (reclaim, MilliCpu(3000))]);
    let layout = layout_of(&desk.topology, &desk.placement);
    desk.quota = cpu::quota_by_pool(&layout, &quotas);
    check(&desk, 3500, &[500, 1000, 1000, 1000]);
    // a limit over the supply changes nothing
    desk.quota = ReclaimQuota { rest: Some(MilliCpu(9500)), ..ReclaimQuota::default() };
    check(&desk, 9000, &[3000, 2000, 2000, 2000]);
}

#[test]
fn use_without_binding_counts_where_the_pool_was_busy() {
    let mut desk = Desk::new(f16(), 16, 0.0).batch(3000);
    for cpu in [0, 1, 8, 9, 2] {
        desk.measured.cpu_busy_ratio.insert(CpuId(cpu), 1.0);
    }
    // node 0 is busy for 4, node 1 for 1: 3 used are 2.4 and 0.6
    check(&desk, 14_000, &[2400, 3600, 4000, 4000]);
    offline(&mut desk.topology, 15);
    check(&desk, 13_000, &[2400, 3600, 4000, 3000]);
}

#[test]
fn what_is_not_measured_is_absent_or_gives_nothing() {
    let absent = |desk: &Desk, expect: &str| {
        let error = desk.run(|input| headroom(input).0.cpu.value).expect_err("absent");
        assert_eq!(error.to_string(), expect);
    };
    let mut desk = Desk::new(machine(1, 4, 1), 4, 0.5).batch(1000);
    // 4 - 2 + 1, a CPU of which nothing is known, one that says nonsense
    desk.measured.cpu_busy_ratio.remove(&CpuId(3));
    desk.measured.cpu_busy_ratio.insert(CpuId(2), f64::NAN);
    check(&desk, 2000, &[2000]);
    desk.measured.pods.clear();
    absent(&desk, "not measured: the CPU use of reclaimed pods");
    desk.measured.cpu_busy_ratio.clear();
    absent(&desk, "not measured: how busy CPUs 0-3 of the reclaim pool are");
    desk.measured_at = None;
    absent(&desk, "not measured: anything so far");
    (desk.measured_at, desk.now) = (Some(Timestamp(0)), Timestamp(7_000_000_000));
    absent(&desk, "the measurement is 7000 ms old, at most 6000 ms are allowed");
    desk.placement.reclaim_enabled = false;
    // off is zero, after the window
    absent(&desk, "1 of 4 samples are in the window");
    let (cpu, memory) = desk.run(momentary);
    assert_eq!((cpu.explained.value, memory.explained.value), (Ok(Amount(0)), Ok(Amount(0))));
}

/// Tenths of a core, as in Katalyst's test of its window; `None` is "nothing is told".
#[track_caller]
fn check_window(feed_ms: &[(u64, u64, Option<u64>)]) {
    let policy = WindowPolicy {
        size: 3,
        ttl: Nanos::from_millis(100),
        every: Nanos(0),
        smooth: Smooth::Average,
        min_step: Amount(300),
        max_step: Amount(4000),
    };
    let mut state = WindowState::default();
    for (at_ms, value, expect) in feed_ms {
        let now = Timestamp(at_ms * 1_000_000);
        let (given, next) = window::feed(&policy, &state, now, Amount(*value));
        assert_eq!(given.ok(), expect.map(Amount), "at {at_ms} ms fed {value}");
        state = next;
    }
}

#[test]
fn the_window_smooths_and_bounds_steps() {
    check_window(&[
        (0, 600, None),
        (1, 800, None),
        // (0.6 + 0.8 + 0.4) / 3
        (2, 400, Some(600)),
        // 0.8, a change of 0.2 is not followed
        (3, 1200, Some(600)),
        (4, 1400, Some(1000)),
        // 5.87, at most four more
        (5, 15_000, Some(5000)),
        // only 15 is still alive: fewer than three
        (104, 0, Some(5000)),
        (104, 0, Some(5000)),
        // 15 is gone: 0, at most four less
        (110, 0, Some(1000)),
    ]);
    // a clock that begins again: samples of the future are none
    check_window(&[(50, 600, None), (51, 600, None), (1, 600, None), (2, 600, None)]);
}

#[test]
fn a_sample_is_the_smallest_value_since_the_last() {
    let mut policy = WindowPolicy::with_steps(Amount(0), Amount(u64::MAX));
    (policy.size, policy.every) = (2, Nanos::from_secs(30));
    let mut state = WindowState::default();
    let mut told = Vec::new();
    for (s, value) in [(0, 9), (10, 4), (20, 9), (30, 9), (40, 9), (59, 8), (60, 9), (90, 9)] {
        let now = Timestamp(s * 1_000_000_000);
        let (given, next) = window::feed(&policy, &state, now, Amount(value));
        told.push(given.ok().map(|amount| amount.0));
        state = next;
    }
    // samples 9, 4, 8, 9: the smaller of each two
    assert_eq!(told, [None, None, None, Some(4), Some(4), Some(4), Some(4), Some(8)]);
}

#[track_caller]
fn check_report(policy: &ReportPolicy, last: u64, there: u64, expect: u64) {
    let mut momentary = Explained::new(Unit::MilliCpu);
    momentary.add("there", i128::from(there), "a test");
    let state = WindowState { last: Some(Amount(last)), ..WindowState::default() };
    let (told, _) = window::report(policy, &state, Timestamp(0), momentary);
    assert_eq!(told.value, Ok(Amount(expect)), "{}", told.text());
    assert_eq!(told.sum(), i128::from(expect), "{}", told.text());
}

#[test]
fn no_more_is_told_than_is_there() {
    let mut policy = HeadroomPolicy::default().cpu_report;
    check_report(&policy, 5000, 9000, 5000);
    check_report(&policy, 5000, 3000, 3000);
    check_report(&policy, 5000, 99, 0);
    policy.reserve = Amount(1000);
    check_report(&policy, 5000, 9000, 4000);
    // the floor is cut to what is there: a full node tells nothing
    policy.floor = Amount(4000);
    check_report(&policy, 2000, 9000, 4000);
    check_report(&policy, 2000, 3000, 3000);
    check_report(&policy, 5000, 0, 0);
}

#[test]
fn parts_add_up_to_the_total() {
    assert_eq!(apportion(10, &[1, 1, 1]), [4, 3, 3]);
    assert_eq!(apportion(10, &[0, 3, 0]), [0, 10, 0]);
    assert_eq!(apportion(5, &[0, 0]), [3, 2]);
    assert_eq!(apportion(0, &[7, 7]), [0, 0]);
    assert_eq!(apportion(5, &[]), [0; 0]);
    // 3.5 and 2.5 and 1: the earlier of two equal remainders
    assert_eq!(apportion(7, &[7, 5, 2]), [4, 2, 1]);
    assert_eq!(apportion(u64::MAX, &[u64::MAX, u64::MAX]), [u64::MAX / 2 + 1, u64::MAX / 2]);
}

/// Memory in GiB.
fn gib(total: u64, free: u64) -> NodeMemory {
    NodeMemory { total: Bytes(total * GIB), free: Bytes(free * GIB), ..NodeMemory::default() }
}

fn memory_desk(nodes: &[NodeMemory], reserve: u64) -> Desk {
    let mut desk = Desk::new(machine(nodes.len() as u16, 4, 1), 4, 0.0);
    let by_id = nodes.iter().enumerate();
    desk.measured.memory = by_id.map(|(id, node)| (NumaNodeId(id as u16), *node)).collect();
    desk.policy.memory.reserve = Bytes(reserve * GIB);
    desk
}

impl Desk {
    fn rss(mut self, name: &str, level: QosLevel, gib: Option<u64>) -> Desk {
        let resident = Resident { ask: ask(name, level, 0), place: Place::Pool, ramp_until: None };
        self.ledger.pods.insert(PodUid::from(name), resident);
        let rss = gib.map(|gib| Bytes(gib * GIB));
        self.measured.pods.insert(PodUid::from(name), PodMeasure { rss, ..PodMeasure::default() });
        self
    }
}

#[track_caller]
fn check_memory(desk: &Desk, gib: u64) {
    let memory = desk.run(memory::momentary);
    let text = memory.explained.text();
    assert_eq!(memory.explained.value, Ok(Amount(gib * GIB)), "{text}");
    assert_eq!(memory.explained.sum(), i128::from(gib * GIB), "{text}");
}

#[test]
fn memory_is_what_others_do_not_need() {
    // nobody: 1000 - 4
    check_memory(&memory_desk(&[gib(1000, 1000)], 4), 996);
    // one pod of which nothing is known: 8 less
    let desk = memory_desk(&[gib(1000, 1000)], 4).rss("web", QosLevel::SharedCores, None);
    check_memory(&desk, 988);
    // 96 - 20 * 1.1 - 10
    let desk = memory_desk(&[gib(96, 76)], 10).rss("web", QosLevel::SharedCores, Some(20));
    check_memory(&desk, 64);
    // less than nothing is left: 16 - 5 - 22
    let desk = memory_desk(&[gib(16, 16)], 5).rss("web", QosLevel::SharedCores, Some(20));
    check_memory(&desk, 0);
    // what system pods have counts once: 100 - 5 - 3
    let desk = memory_desk(&[gib(100, 97)], 5).rss("log", QosLevel::SystemCores, Some(3));
    check_memory(&desk, 92);
}

#[test]
fn memory_of_nodes_that_reclaimed_pods_may_not_use_is_not_promised() {
    let mut desk = memory_desk(&[gib(250, 0), gib(250, 250)], 4);
    let own = Place::Own { cpus: cpus("0-3"), nodes: NumaSet::single(NumaNodeId(0)) };
    desk = desk.with("db", QosLevel::DedicatedCores, own, 0);
    // 500 - 250 - 4
    check_memory(&desk, 246);
    let parts = desk.run(memory::momentary).per_node;
    assert_eq!(parts.keys().copied().collect::<Vec<_>>(), [NumaNodeId(1)]);
}

#[test]
fn memory_that_is_not_there_is_not_promised() {
    let mut desk = memory_desk(&[gib(96, 20)], 10).rss("web", QosLevel::SharedCores, Some(20));
    let buffer = Bytes(20 * GIB);
    desk.policy.memory.rule = MemoryRule::Util { free_ratio: 0.6, cache_ratio: 0.0, buffer };
    desk.policy.memory.watermark_scale = 0;
    // Katalyst tells 96 - 32 + max(12 - 2, 0) + 20 = 94, although 20 are free
    check_memory(&desk, 20);
    // with 40 in use by reclaimed work and 30 in files that nobody reads, 90 are there
    let node = desk.measured.memory.get_mut(&NumaNodeId(0)).expect("node 0");
    node.reclaimed_used = Some(Bytes(40 * GIB));
    node.inactive_file = Some(Bytes(30 * GIB));
    check_memory(&desk, 90);
    desk.measured.memory.clear();
    let error = desk.run(memory::momentary).explained.value.expect_err("absent");
    assert_eq!(error.to_string(), "not measured: the memory of NUMA node 0");
}

#[test]
fn numa_aware_counts_what_is_free_on_each_node() {
    let mut desk = memory_desk(&[gib(100, 40), gib(100, 20)], 5);
    desk.policy.memory.watermark_scale = 100;
    desk.policy.memory.rule =
        MemoryRule::NumaAware { cache_ratio: 0.5, growth_ratio: 0.1, max_oversold: 2.0 };
    let node = desk.measured.memory.get_mut(&NumaNodeId(0)).expect("node 0");
    node.inactive_file = Some(Bytes(10 * GIB));
    // 60 + 5 - 2 * 1 - 5
    check_memory(&desk, 58);
    // a pod with 10 of 30: it may grow by a tenth of 30
    let mut web = ask("web", QosLevel::SharedCores, 0);
    web.memory = Bytes(30 * GIB);
    let measure = PodMeasure { rss: Some(Bytes(10 * GIB)), ..PodMeasure::default() };
    let resident = Resident { ask: web, place: Place::Pool, ramp_until: None };
    desk.ledger.pods.insert(PodUid::from("web"), resident);
    desk.measured.pods.insert(PodUid::from("web"), measure);
    check_memory(&desk, 55);
    // reclaimed pods have 5 and ask 7.5: 60 * 1.5
    let node = desk.measured.memory.get_mut(&NumaNodeId(1)).expect("node 1");
    node.reclaimed_used = Some(Bytes(5 * GIB));
    let mut batch = asking("batch", QosLevel::ReclaimedCores, 0, &[]);
    batch.memory = Bytes(15 * GIB / 2);
    let resident = Resident { ask: batch, place: Place::Pool, ramp_until: None };
    desk.ledger.pods.insert(PodUid::from("batch"), resident);
    check_memory(&desk, 90);
}
