//! Order and quirks, written as the files are: one Step per line.

use expect_test::{Expect, expect};
use model::knob::{CpuMax, CpuWeight, KnobTable, Knobs, MemoryLimit, OomScoreAdj};
use model::plan::{Generation, Plan, WorkloadPlan};
use model::qos::{CgroupPath, PoolName, QosLevel, WorkloadName};
use model::{Bytes, Micros, NumaSet};

use super::steps;
use crate::testkit::cpus;

fn quota(us: u64) -> CpuMax {
    CpuMax { quota: Some(Micros(us)), ..CpuMax::UNLIMITED }
}

fn knobs(idle: Option<bool>, weight: Option<u16>, max: Option<CpuMax>, set: Option<&str>) -> Knobs {
    Knobs {
        cpu_idle: idle,
        cpu_weight: weight.and_then(CpuWeight::new),
        cpu_max: max,
        cpuset_cpus: set.map(cpus),
        ..Knobs::default()
    }
}

fn wanted(name: &str, qos: QosLevel, knobs: Knobs) -> (WorkloadName, WorkloadPlan) {
    let plan = WorkloadPlan {
        qos,
        pool: PoolName::from(name),
        cgroup: CgroupPath::new(format!("/{name}")),
        containers: None,
        cpus: knobs.cpuset_cpus.unwrap_or_default(),
        cpu_weight: knobs.cpu_weight,
        cpu_idle: knobs.cpu_idle,
        cpu_max: knobs.cpu_max,
        cpu_burst: knobs.cpu_burst,
        mems: knobs.cpuset_mems,
        memory_min: knobs.memory_min,
        memory_low: knobs.memory_low,
        memory_high: knobs.memory_high,
        memory_max: knobs.memory_max,
        oom_score_adj: knobs.oom_score_adj,
    };
    (WorkloadName::from(name), plan)
}

fn lines(steps: &[model::plan::Step]) -> String {
    steps.iter().map(|step| format!("{step}\n")).collect()
}

#[track_caller]
fn check(now: &[(&str, Knobs)], then: &[(&str, QosLevel, Knobs)], expect: Expect) {
    let believed: KnobTable =
        now.iter().map(|(name, knobs)| (CgroupPath::new(format!("/{name}")), *knobs)).collect();
    let workloads = then.iter().map(|(name, qos, knobs)| wanted(name, *qos, *knobs)).collect();
    let plan = Plan { generation: Generation(3), workloads, ..Plan::default() };
    expect.assert_eq(&lines(&steps(&believed, &plan)));
}

/// A pod's own cpuset is left alone, and each container goes its own way to the same set.
#[test]
fn the_cpuset_of_a_pod_stands_in_its_containers() {
    let held = |set| knobs(None, None, None, Some(set));
    let believed: KnobTable = [("/db", "0-7"), ("/db/a", "0-3"), ("/db/b", "2-3")]
        .map(|(path, set)| (CgroupPath::from(path), held(set)))
        .into();
    let (name, plan) = wanted("db", WEB, knobs(None, Some(50), None, Some("2-3")));
    let containers = ["/db/a", "/db/b", "/db/c"].map(CgroupPath::from);
    let plan = WorkloadPlan { containers: Some(containers.as_slice().into()), ..plan };
    let check = |plan: WorkloadPlan, expect: Expect| {
        let workloads = [(name.clone(), plan)].into();
        let plan = Plan { workloads, ..Plan::default() };
        expect.assert_eq(&lines(&steps(&believed, &plan)));
    };
    let none = WorkloadPlan { containers: Some([].into()), ..plan.clone() };
    check(
        plan,
        expect![[r#"
            /db/cpu.weight = 50  [weight]
            /db/a/cpuset.cpus = 2-3  [pool-shrink]
            /db/c/cpuset.cpus = 2-3  [pool]
        "#]],
    );
    check(
        none,
        expect![[r#"
        /db/cpu.weight = 50  [weight]
    "#]],
    );
}

const BATCH: QosLevel = QosLevel::ReclaimedCores;
const WEB: QosLevel = QosLevel::SharedCores;

#[test]
fn what_is_unknown_is_written_and_what_stands_is_not() {
    let full = knobs(Some(false), Some(1), Some(quota(400_000)), Some("0-1"));
    check(
        &[],
        &[("ml", BATCH, full)],
        expect![[r#"
            /ml/cpu.max = 400000 100000  [ceiling]
            /ml/cpu.idle = 0  [let-go]
            /ml/cpu.weight = 1  [weight]
            /ml/cpuset.cpus = 0-1  [pool]
        "#]],
    );
    check(&[("ml", full)], &[("ml", BATCH, full)], expect![""]);
    check(&[("web", full)], &[("web", WEB, knobs(None, None, None, None))], expect![""]);
}

#[test]
fn holding_down_and_letting_go() {
    let calm = knobs(Some(false), Some(1), Some(quota(400_000)), Some("0-1"));
    let held = knobs(Some(true), Some(1), Some(quota(5_000)), Some("0-1"));
    check(
        &[("ml", calm)],
        &[("ml", BATCH, held)],
        expect![[r#"
            /ml/cpu.idle = 1  [suppress]
            /ml/cpu.max = 5000 100000  [suppress]
        "#]],
    );
    // the weight is lost while the group is idle and written again behind idle = 0
    check(
        &[("ml", held)],
        &[("ml", BATCH, calm)],
        expect![[r#"
            /ml/cpu.idle = 0  [let-go]
            /ml/cpu.weight = 1  [weight]
            /ml/cpu.max = 400000 100000  [let-go]
        "#]],
    );
}

#[test]
fn everybody_is_cut_before_anybody_grows() {
    let set = |list| knobs(None, None, None, Some(list));
    check(
        &[("ml", set("2-3")), ("web", set("0-1"))],
        &[("ml", BATCH, set("3")), ("web", WEB, set("0-2"))],
        expect![[r#"
            /ml/cpuset.cpus = 3  [pool-shrink]
            /web/cpuset.cpus = 0-2  [pool-grow]
        "#]],
    );
    // both give and both take: first what each keeps
    check(
        &[("ml", set("2-3")), ("web", set("0-1"))],
        &[("ml", BATCH, set("1,3")), ("web", WEB, set("0,2"))],
        expect![[r#"
            /ml/cpuset.cpus = 3  [pool-shrink]
            /web/cpuset.cpus = 0  [pool-shrink]
            /ml/cpuset.cpus = 1,3  [pool-grow]
            /web/cpuset.cpus = 0,2  [pool-grow]
        "#]],
    );
    // an inheriting set (empty) stands for all CPUs: a cut
    check(
        &[("ml", set("")), ("web", set("0"))],
        &[("ml", BATCH, set("2-3")), ("web", WEB, set("0-1"))],
        expect![[r#"
            /ml/cpuset.cpus = 2-3  [pool]
            /web/cpuset.cpus = 0-1  [pool-grow]
        "#]],
    );
}

#[test]
fn a_burst_shrinks_before_its_quota_and_grows_behind_it() {
    let burst = |us: Option<u64>, quota_us| Knobs {
        cpu_burst: us.map(Micros),
        cpu_max: Some(quota(quota_us)),
        ..Knobs::default()
    };
    check(
        &[("ml", burst(Some(80_000), 90_000))],
        &[("ml", BATCH, burst(Some(10_000), 20_000))],
        expect![[r#"
            /ml/cpu.max.burst = 10000  [burst-cut]
            /ml/cpu.max = 20000 100000  [ceiling]
        "#]],
    );
    check(
        &[("ml", burst(Some(10_000), 20_000))],
        &[("ml", BATCH, burst(Some(80_000), 90_000))],
        expect![[r#"
            /ml/cpu.max = 90000 100000  [let-go]
            /ml/cpu.max.burst = 80000  [burst]
        "#]],
    );
    // unknown: whatever stands is in nobody's way, then the quota, then the burst
    check(
        &[],
        &[("ml", BATCH, burst(Some(10_000), 20_000))],
        expect![[r#"
            /ml/cpu.max.burst = 0  [burst-cut]
            /ml/cpu.max = 20000 100000  [ceiling]
            /ml/cpu.max.burst = 10000  [burst]
        "#]],
    );
    // somebody else's burst gives way to our quota
    check(
        &[("ml", burst(Some(50_000), 90_000))],
        &[("ml", BATCH, burst(None, 5_000))],
        expect![[r#"
            /ml/cpu.max.burst = 5000  [burst-cut]
            /ml/cpu.max = 5000 100000  [ceiling]
        "#]],
    );
}

#[test]
fn memory_is_within_reach_before_the_cpus_move_and_left_behind_them() {
    let place = |list, nodes| Knobs {
        cpuset_mems: NumaSet::parse(nodes),
        ..knobs(None, None, None, Some(list))
    };
    check(
        &[("ml", place("0-1", "0")), ("web", place("2-3", "1"))],
        &[("ml", BATCH, place("2", "1")), ("web", WEB, place("0-1,3", "0-1"))],
        expect![[r#"
            /ml/cpuset.mems = 0-1  [mems-grow]
            /web/cpuset.mems = 0-1  [mems-grow]
            /web/cpuset.cpus = 3  [pool-shrink]
            /ml/cpuset.cpus = 2  [pool-grow]
            /web/cpuset.cpus = 0-1,3  [pool-grow]
            /ml/cpuset.mems = 1  [mems-shrink]
        "#]],
    );
    // an inheriting set stands for all nodes: a cut; an empty wish leaves the file alone
    check(
        &[("ml", place("0", "")), ("web", place("1", "0"))],
        &[("ml", BATCH, place("0", "0")), ("web", WEB, place("1", ""))],
        expect![[r#"
            /ml/cpuset.mems = 0  [mems-shrink]
        "#]],
    );
}

fn memory(min: u64, low: u64, high: Option<u64>, max: Option<u64>) -> Knobs {
    let bytes = |mebibytes: u64| MemoryLimit::at_most(Bytes(mebibytes << 20));
    let limit = |mebibytes: Option<u64>| Some(mebibytes.map_or(MemoryLimit::Max, bytes));
    Knobs {
        memory_min: limit(Some(min)),
        memory_low: limit(Some(low)),
        memory_high: limit(high),
        memory_max: limit(max),
        ..Knobs::default()
    }
}

#[test]
fn memory_is_taken_before_it_is_given_and_reclaimed_before_it_is_limited() {
    let (small, large) = (memory(1, 2, Some(3), Some(4)), memory(5, 6, Some(7), Some(8)));
    check(
        &[("ml", large), ("web", small)],
        &[("ml", BATCH, small), ("web", WEB, large)],
        expect![[r#"
            /ml/memory.min = 1048576  [memory-unprotect]
            /ml/memory.low = 2097152  [memory-unprotect]
            /ml/memory.high = 3145728  [memory-limit]
            /ml/memory.max = 4194304  [memory-limit]
            /web/memory.max = 8388608  [memory-relax]
            /web/memory.high = 7340032  [memory-relax]
            /web/memory.low = 6291456  [memory-protect]
            /web/memory.min = 5242880  [memory-protect]
        "#]],
    );
    // rounded as the kernel would, and then it stands
    let odd = Knobs { memory_max: Some(MemoryLimit::Bytes(Bytes(4_194_305))), ..small };
    check(&[("ml", small)], &[("ml", BATCH, odd)], expect![""]);
    // unknown: no protection and no limit
    check(
        &[],
        &[("ml", BATCH, memory(0, 1, Some(1), None))],
        expect![[r#"
            /ml/memory.min = 0  [memory-unprotect]
            /ml/memory.high = 1048576  [memory-limit]
            /ml/memory.max = max  [memory-limit]
            /ml/memory.low = 1048576  [memory-protect]
        "#]],
    );
}

#[test]
fn a_score_is_written_last_and_again_where_processes_differ() {
    let score = |text: &str| Knobs {
        oom_score_adj: text.parse::<OomScoreAdj>().ok(),
        ..memory(0, 0, None, None)
    };
    let wanted = Knobs { memory_low: memory(0, 1, None, None).memory_low, ..score("900") };
    check(
        &[("ml", score("0..900"))],
        &[("ml", BATCH, wanted)],
        expect![[r#"
            /ml/memory.low = 1048576  [memory-protect]
            /ml/oom_score_adj = 900  [oom-score]
        "#]],
    );
    check(&[("ml", score("900"))], &[("ml", BATCH, score("900"))], expect![""]);
}
