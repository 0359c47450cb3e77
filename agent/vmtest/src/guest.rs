//! The machine a test finds itself on, as `xtask` described it when it started the guest.

use std::env;
use std::io::Write as _;
use std::path::Path;

/// What was asked of QEMU; `environment_is_what_we_asked_for` checks that the kernel agrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFacts {
    /// "6.1" or "6.12"
    pub kernel_series: String,
    pub cpus: u32,
    pub numa_nodes: u32,
}

/// The facts of this guest.
///
/// # Panics
/// Outside the guest. A test that would run on the host could change its cgroups, and one that passed there would
/// have shown nothing.
#[track_caller]
pub fn guest() -> GuestFacts {
    let is_guest = env::var("BERTH_VMTEST").is_ok_and(|value| value == "1")
        && Path::new("/etc/guest/command").exists();
    assert!(
        is_guest,
        "this test changes the machine it runs on: run it with `cargo xtask test --tier vm`"
    );
    crate::tracepoints::hold();
    GuestFacts {
        kernel_series: asked("BERTH_KERNEL"),
        cpus: number("BERTH_CPUS"),
        numa_nodes: number("BERTH_NODES"),
    }
}

/// Records that a test could not be tried here. It fails unless `agent/vmtest/skips.txt` names it.
#[track_caller]
pub fn skip(test: &str, why: &str) {
    guest();
    // Straight to the descriptor: what goes through print! is captured while the test passes.
    writeln!(std::io::stderr(), "SKIP {test}: {why}")
        .unwrap_or_else(|error| panic!("report a skip: {error}"));
}

#[track_caller]
fn asked(key: &str) -> String {
    env::var(key).unwrap_or_else(|error| panic!("{key}, which xtask gives every guest: {error}"))
}

#[track_caller]
fn number(key: &str) -> u32 {
    let text = asked(key);
    text.parse().unwrap_or_else(|error| panic!("{key}={text}: {error}"))
}
