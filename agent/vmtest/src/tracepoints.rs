//! Keeps the tracepoints that the agent listens to switched on for the whole life of the guest.
//!
//! Switching one on or off rewrites the kernel's code under running CPUs (int3, then the new bytes).
//! Under QEMU's multi-threaded emulation a CPU was seen to spin in that int3 for ever, in
//! `__schedule` or at a timer, after some fifty programs had come and gone. With two idle listeners of our own a
//! third one comes and goes without any rewriting: the kernel calls all of them from a list
//! (kernel/tracepoint.c, `nr_func_state`). The other thing that tests switch, the quota's jump label, is held by the
//! guest's init for every guest.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Once;

/// What `agent-ebpf` attaches to.
const EVENTS: [&str; 6] = [
    "sched/sched_switch",
    "sched/sched_waking",
    "sched/sched_wakeup",
    "sched/sched_wakeup_new",
    "cgroup/cgroup_attach_task",
    "timer/hrtimer_expire_entry",
];

static HOLD: Once = Once::new();

/// Called by every test; acts once. A kernel without tracefs is told about and survived.
pub(crate) fn hold() {
    HOLD.call_once(|| {
        for listener in ["hold-a", "hold-b"] {
            if let Err(error) = listen(listener) {
                let mut out = std::io::stderr();
                // Nothing can be done about a closed stderr.
                let _told = writeln!(out, "tracepoints are not held on: {error}");
            }
        }
    });
}

/// A trace instance whose buffer is off: its listeners are called and return at once.
fn listen(name: &str) -> std::io::Result<()> {
    let instance = Path::new("/sys/kernel/tracing/instances").join(name);
    fs::create_dir_all(&instance)?;
    fs::write(instance.join("tracing_on"), "0")?;
    EVENTS
        .iter()
        .try_for_each(|event| fs::write(instance.join("events").join(event).join("enable"), "1"))
}
