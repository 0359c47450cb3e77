//! Where the waited time went: named offenders, the victim's own quota, nobody.

use std::time::Duration;

use model::{Nanos, SlotId};
use probe::ProbeSource as _;
use vmtest::TestCgroup;

use crate::probe_kit::{assert_close, cpus, id_of, load, read, schedstat, since, sleep_ms, track};

/// A victim beside three hogs of different weights on one CPU, and a decoy on another.
#[test]
fn smoke_offenders_sum_to_what_the_victim_waited() {
    let [victim, large, middle, small, decoy] =
        ["victim", "large", "middle", "small", "decoy"].map(TestCgroup::new);
    large.write("cpu.weight", "400");
    middle.write("cpu.weight", "200");
    small.write("cpu.weight", "50");
    let mut probe = load();
    track(&mut probe, &[&victim, &large, &middle, &small, &decoy]);
    let here = cpus("3");
    let _hogs = [&large, &middle, &small].map(|hog| hog.spin(1, Some(&here)));
    let _decoy = decoy.spin(1, Some(&cpus("5")));
    let load = victim.spin(1, Some(&here));
    // so that the kernel's number and ours begin with the same waits
    sleep_ms(300);
    let (waited_before, _) = schedstat(load.pid());
    let before = read(&mut probe, 1).causes;
    sleep_ms(4000);
    let after = read(&mut probe, 1).causes;
    let (waited_after, _) = schedstat(load.pid());

    let causes = since(&after, &before);
    let named = Nanos(causes.by_offender.values().map(|ns| ns.0).sum());
    let waited = Nanos(waited_after.0 - waited_before.0);
    // A wait in progress at either end is in one number and not yet in the other.
    assert_close("the kernel's waited time and ours", causes.total, waited, 5, SLICE);
    let what = format!("named offenders and the waited time of {causes:?}");
    assert_close(&what, named, causes.total, 5, Nanos(0));
    assert!(causes.unknown.0 * 20 < causes.total.0, "{causes:?}");
    let of = |slot: u16| causes.by_offender.get(&SlotId(slot)).copied().unwrap_or_default();
    assert!(of(2) > of(3) && of(3) > of(4) && of(4) > Nanos(0), "order of {causes:?}");
    assert_eq!(of(5), Nanos(0), "the decoy never ran here: {causes:?}");
}

/// One turn of the others on a CPU with four runnable groups.
const SLICE: Nanos = Nanos::from_millis(60);

/// A quota of 20 % makes a lone spinner wait 80 % of the time with nobody else to blame.
#[test]
fn smoke_own_throttling_is_not_contention() {
    let victim = TestCgroup::new("throttled");
    victim.write("cpu.max", "20000 100000");
    let mut probe = load();
    track(&mut probe, &[&victim]);
    let _load = victim.spin(1, Some(&cpus("2")));
    sleep_ms(500);
    let throttled_before = victim.read_key("cpu.stat", "throttled_usec");
    let before = read(&mut probe, 1);
    sleep_ms(3000);
    let after = read(&mut probe, 1);
    let throttled_after = victim.read_key("cpu.stat", "throttled_usec");

    let causes = since(&after.causes, &before.causes);
    let by_kernel = Nanos((throttled_after - throttled_before) * 1000);
    assert!(by_kernel > Nanos::from_millis(1500), "the kernel throttled it: {by_kernel}");
    let period = Nanos::from_millis(100);
    assert_close("throttled time", causes.own_throttle, by_kernel, 5, period);
    let contended = Nanos(causes.total.0 - causes.own_throttle.0);
    assert!(contended.0 * 10 < causes.total.0, "{causes:?}");
    // 2^25 ns are 34 ms, less than half of each throttling.
    let long: u64 = after.waits.since(&before.waits).buckets[25..].iter().sum();
    assert_eq!(long, 0, "throttling is in the histogram: {:?}", after.waits);
}

/// Two threads of one group on one CPU wait for each other: the pool is too small, nobody else's
/// fault.
#[test]
fn waiting_for_ones_own_group_names_nobody() {
    let group = TestCgroup::new("crowded");
    let mut probe = load();
    track(&mut probe, &[&group]);
    let _first = group.spin(1, Some(&cpus("4")));
    let _second = group.spin(1, Some(&cpus("4")));
    sleep_ms(300);
    let before = read(&mut probe, 1).causes;
    sleep_ms(2000);
    let causes = since(&read(&mut probe, 1).causes, &before);
    assert!(causes.total > Nanos::from_millis(1000), "{causes:?}");
    assert_close("own group", causes.own_group, causes.total, 5, Nanos(0));
    assert_eq!(causes.by_offender.values().copied().max(), None, "{causes:?}");
}

/// A task that blocks must not be counted as waiting, and under delayed dequeue (6.12) it stays on
/// the run queue when it does. The kernel's own run delay of the same task is the oracle.
#[test]
fn smoke_blocked_time_is_not_waiting() {
    let [victim, hog] = ["sleeper", "beside"].map(TestCgroup::new);
    let mut probe = load();
    track(&mut probe, &[&victim, &hog]);
    let here = cpus("3");
    let _hog = hog.spin(2, Some(&here));
    let load = victim.periodic(Duration::from_millis(40), Duration::from_millis(2), Some(&here));
    sleep_ms(300);
    let (waited_before, runs_before) = schedstat(load.pid());
    let before = read(&mut probe, 1);
    sleep_ms(4000);
    let after = read(&mut probe, 1);
    let (waited_after, runs_after) = schedstat(load.pid());

    let waited = Nanos(waited_after.0 - waited_before.0);
    let causes = since(&after.causes, &before.causes);
    assert_close("waited", causes.total, waited, 10, SLICE);
    // Stamped twice (sched_waking and sched_wakeup), a wait is still one wait.
    let counted = after.waits.since(&before.waits).count();
    let runs = runs_after - runs_before;
    assert!(counted.abs_diff(runs) <= 3 + runs / 50, "{counted} waits, switched in {runs} times");
}

/// A machine with nothing to do: short waits, one per wake-up, and nobody is named.
#[test]
fn smoke_an_idle_machine_shows_short_waits() {
    let lone = TestCgroup::new("lone");
    let mut probe = load();
    track(&mut probe, &[&lone]);
    let load = lone.periodic(Duration::from_millis(20), Duration::from_millis(1), Some(&cpus("6")));
    sleep_ms(300);
    let (_, runs_before) = schedstat(load.pid());
    let before = read(&mut probe, 1);
    sleep_ms(2000);
    let after = read(&mut probe, 1);
    let (_, runs_after) = schedstat(load.pid());
    let waits = after.waits.since(&before.waits);
    let runs = runs_after - runs_before;
    assert!(runs >= 50, "about a hundred wake-ups, saw {runs}");
    assert!(waits.count().abs_diff(runs) <= 3 + runs / 50, "{waits:?}, {runs} runs");
    let median = waits.quantile(500).expect("waits were counted");
    // Emulated wake-ups take tens of microseconds; 8 ms would be a run queue.
    assert!(median < Nanos::from_millis(8), "median {median}");
    assert!(after.causes.by_offender.is_empty(), "{:?}", after.causes);
}

/// Another slot that was there before leaves nothing behind under the same number.
#[test]
fn an_untracked_slot_is_forgotten() {
    let [old, new, victim] = ["old", "new", "seen"].map(TestCgroup::new);
    let mut probe = load();
    track(&mut probe, &[&victim, &old]);
    let here = cpus("1");
    let _victim = victim.spin(1, Some(&here));
    let hog = old.spin(1, Some(&here));
    sleep_ms(1000);
    assert!(read(&mut probe, 1).causes.by_offender.contains_key(&SlotId(2)), "it is named");
    drop(hog);
    probe.untrack(SlotId(2)).expect("it is forgotten");
    let sample = probe.read(crate::probe_kit::now()).expect("the maps are read");
    assert_eq!(sample.slots.keys().copied().collect::<Vec<_>>(), [SlotId(1)]);
    assert_eq!(sample.slots[&SlotId(1)].causes.by_offender.get(&SlotId(2)), None);
    probe.track(SlotId(2), &[id_of(&new)]).expect("the number is used again");
    assert_eq!(read(&mut probe, 2), model::sample::SlotSample::default());
}
