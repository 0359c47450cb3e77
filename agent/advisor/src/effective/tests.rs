//! The minimum of Plan and Overlay, in numbers.

use model::plan::Overlay;
use model::policy::Policy;
use model::{Micros, MilliCpu, Nanos, Timestamp};

use super::effective;
use crate::plan::{PlanInput, plan};
use crate::testkit::*;

#[track_caller]
fn check(n_batch: u16, floor: u64, at_ms: u64, expect: &str) {
    let mut all = vec![("web", shared(1, 500, None))];
    let names = ["b1", "b2", "b3", "b4"];
    all.extend((0..n_batch).map(|idx| (names[usize::from(idx)], batch(idx + 2))));
    let node = snapshot(1, machine(1, 2, 1), all);
    let policy = Policy::default();
    let (mut planned, _) =
        plan(&PlanInput { now: node.at, snapshot: &node, previous: None, policy: &policy });
    let b1 = planned.workloads.get_mut("b1").expect("b1");
    b1.cpu_burst = Some(Micros(7000));
    let overlay = Overlay {
        began_at: Timestamp(0),
        expires_at: Timestamp(0).after(Nanos::from_millis(100)),
        floor: MilliCpu(floor),
        cpu_idle: true,
        throttle: true,
        victim: "web".into(),
        first_wait_at: Timestamp(0),
    };
    let now = Timestamp(0).after(Nanos::from_millis(at_ms));
    let laid = effective(&planned, Some(&overlay), now);
    assert_eq!(laid.workloads["web"], planned.workloads["web"]);
    let b1 = &laid.workloads["b1"];
    let max = b1.cpu_max.map(|max| max.to_string()).unwrap_or_default();
    assert_eq!(format!("idle {:?} max {max}", b1.cpu_idle), expect);
    let held = expect.starts_with("idle Some(true)");
    assert_eq!(b1.cpu_burst, Some(Micros(if held { 0 } else { 7000 })), "nothing is saved up");
    assert_eq!(b1.cpus, planned.workloads["b1"].cpus);
}

#[test]
fn batch_work_shares_the_floor_and_never_gets_less_than_the_kernel_allows() {
    // 100 mCPU of a 100 ms period are 10 ms, over two groups 5 ms
    check(1, 100, 0, "idle Some(true) max 10000 100000");
    check(2, 100, 0, "idle Some(true) max 5000 100000");
    // 20 mCPU over four are half a millisecond: the kernel's minimum is one
    check(4, 20, 0, "idle Some(true) max 1000 100000");
    // a floor above the ceiling (2 CPUs x 2) changes nothing
    check(1, 90_000, 0, "idle Some(true) max 400000 100000");
    // run out: at the very moment it expires it is gone
    check(1, 100, 99, "idle Some(true) max 10000 100000");
    check(1, 100, 100, "idle Some(false) max 400000 100000");
}
