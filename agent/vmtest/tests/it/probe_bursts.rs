//! The over-threshold detector: one record per burst, also for a victim that never gets to run.

use std::fs;
use std::time::Duration;

use model::sample::Burst;
use model::{CpuId, Nanos, SlotId};
use probe::{ProbeSource as _, SchedProbe};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use vmtest::{TestCgroup, wait_for};

use crate::probe_kit::{cpus, load, now, sleep_ms, track};

/// The first record after at most `limit`, waited for on the probe's descriptor.
#[track_caller]
fn next_burst(probe: &mut SchedProbe, limit: Duration) -> Option<Burst> {
    let limit = Timespec {
        tv_sec: limit.as_secs().try_into().expect("a short limit"),
        tv_nsec: limit.subsec_nanos().into(),
    };
    let fd = probe.as_fd().expect("a loaded probe has a descriptor");
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit)).expect("poll");
    probe.bursts().into_iter().next()
}

#[test]
fn smoke_a_burst_is_reported_once() {
    let [victim, hog] = ["bursty", "noisy"].map(TestCgroup::new);
    let mut probe = load();
    probe.set_burst_gap(Nanos::from_secs(30)).expect("the gap is set");
    track(&mut probe, &[&victim, &hog]);
    let threshold = Nanos::from_millis(1);
    let here = cpus("3");
    let _victim = victim.periodic(Duration::from_millis(20), Duration::from_millis(8), Some(&here));
    sleep_ms(500);
    hog.write("cpu.weight", "1000");
    let began = now();
    let _hog = hog.spin(4, Some(&here));
    probe.set_threshold(SlotId(1), threshold).expect("the slot is watched");
    let burst = next_burst(&mut probe, Duration::from_secs(10)).expect("a burst is reported");
    let seen = now();
    assert_eq!((burst.victim, burst.cpu), (SlotId(1), CpuId(3)), "{burst:?}");
    assert_eq!(burst.offender, SlotId(2), "{burst:?}");
    assert!(burst.wait >= threshold, "{burst:?}");
    assert!(burst.first_wait_at > began && burst.first_wait_at <= seen, "{began} {burst:?} {seen}");
    sleep_ms(1500);
    assert_eq!(probe.bursts(), [], "one record per gap");
}

/// A hog of the highest priority that never sleeps: there is no switch on this CPU that could end
/// the victim's wait, nor one that could look at it.
#[test]
fn smoke_a_starving_victim_is_reported_while_it_starves() {
    let [victim, hog] = ["starved", "realtime"].map(TestCgroup::new);
    let mut probe = load();
    track(&mut probe, &[&victim, &hog]);
    let runtime = "/proc/sys/kernel/sched_rt_runtime_us";
    let original = fs::read_to_string(runtime).expect("the real-time limit");
    // Without this the kernel gives the others 5 % of each second.
    fs::write(runtime, "-1").expect("the real-time limit goes");
    let here = cpus("6");
    let starved = victim.spin(1, Some(&here));
    sleep_ms(300);
    let threshold = Nanos::from_millis(50);
    probe.set_threshold(SlotId(1), threshold).expect("the slot is watched");
    let spinner = hog.spin(1, Some(&here));
    make_realtime(spinner.pid());
    // What came before may be of turns that they took while both were ordinary.
    probe.bursts();
    let began = now();
    let burst = wait_for("the starving victim's record", Duration::from_secs(10), || {
        probe.bursts().into_iter().next()
    });
    let noticed = now().since(began);
    let (_, switched_in) = crate::probe_kit::schedstat(starved.pid());
    sleep_ms(200);
    let (_, switched_in_later) = crate::probe_kit::schedstat(starved.pid());
    drop(spinner);
    fs::write(runtime, original.trim()).expect("the real-time limit is back");
    assert_eq!(switched_in, switched_in_later, "the victim never ran meanwhile");
    assert_eq!((burst.victim, burst.offender), (SlotId(1), SlotId(2)), "{burst:?}");
    assert!(burst.wait >= threshold, "{burst:?}");
    assert!(noticed < Nanos::from_millis(2000), "noticed after {noticed}: {burst:?}");
}

/// `chrt -f -p 50 PID`, which the guest's busybox lacks.
#[track_caller]
#[expect(unsafe_code, reason = "rustix has no sched_setscheduler")]
fn make_realtime(pid: u32) {
    const SCHED_FIFO: i32 = 1;
    // SAFETY: the C library's own declaration; `struct sched_param` is one int on Linux.
    unsafe extern "C" {
        fn sched_setscheduler(pid: i32, policy: i32, param: *const i32) -> i32;
    }
    let priority = 50;
    // SAFETY: `priority` outlives the call, which only reads it.
    let result = unsafe { sched_setscheduler(pid.cast_signed(), SCHED_FIFO, &raw const priority) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// Busy tasks of one CPU may go without a switch for several ticks, so each tick looks as well.
#[test]
fn smoke_timers_of_a_busy_cpu_look_for_long_waits() {
    let crowd = TestCgroup::new("ticking");
    let probe = load();
    let _load = crowd.spin(1, Some(&cpus("5")));
    let statistics = probe::enable_stats().expect("the kernel counts");
    sleep_ms(1000);
    drop(statistics);
    let stats = probe.run_stats();
    let timer = stats.iter().find(|program| program.name == "btf_timer").expect("it is loaded");
    // 250 ticks a second on a busy CPU; the emulator loses some
    assert!(timer.run_cnt > 50, "{timer:?}");
}

/// Throttling is the victim's own doing and suppressing others would not help.
#[test]
fn smoke_throttling_is_no_burst() {
    let victim = TestCgroup::new("quota");
    victim.write("cpu.max", "10000 100000");
    let mut probe = load();
    track(&mut probe, &[&victim]);
    let _load = victim.spin(1, Some(&cpus("2")));
    // Not while it starts: a wait that begins on one CPU and is throttled on another, to which its
    // affinity takes it, is not told apart.
    sleep_ms(500);
    probe.set_threshold(SlotId(1), Nanos::from_millis(40)).expect("the slot is watched");
    sleep_ms(2000);
    assert!(victim.read_key("cpu.stat", "nr_throttled") > 5, "it was throttled");
    assert_eq!(probe.bursts(), []);
}

/// Off is off, and a slot that nobody watches is quiet.
#[test]
fn an_unwatched_slot_reports_nothing() {
    let crowd = TestCgroup::new("unwatched");
    let mut probe = load();
    track(&mut probe, &[&crowd]);
    probe.set_threshold(SlotId(1), Nanos(1000)).expect("the slot is watched");
    let _load = crowd.spin(3, Some(&cpus("7")));
    assert!(next_burst(&mut probe, Duration::from_secs(5)).is_some(), "a microsecond is passed");
    probe.set_threshold(SlotId(1), Nanos(0)).expect("the slot is not watched");
    sleep_ms(200);
    probe.bursts();
    sleep_ms(500);
    assert_eq!(probe.bursts(), []);
}
