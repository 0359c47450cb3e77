//! Order and quirks, written as the files are: one Step per line.

use expect_test::{Expect, expect};
use model::Micros;
use model::knob::{CpuMax, CpuWeight, KnobTable, Knobs};
use model::plan::{Generation, Plan, WorkloadPlan};
use model::qos::{CgroupPath, PoolName, QosLevel, WorkloadName};

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
        cpuset_effective: None,
    }
}

fn wanted(name: &str, qos: QosLevel, knobs: Knobs) -> (WorkloadName, WorkloadPlan) {
    let plan = WorkloadPlan {
        qos,
        pool: PoolName::from(name),
        cgroup: CgroupPath::new(format!("/{name}")),
        cpus: knobs.cpuset_cpus.unwrap_or_default(),
        cpu_weight: knobs.cpu_weight,
        cpu_idle: knobs.cpu_idle,
        cpu_max: knobs.cpu_max,
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
