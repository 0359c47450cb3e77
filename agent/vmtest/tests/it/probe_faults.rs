//! Ways a host can refuse the probe, each told apart.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use model::{CgroupId, Nanos, SlotId};
use probe::{Hooks, LoadError, LoadOptions, ProbeSource as _, ReadError};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use vmtest::{guest, process};

use crate::probe_kit::{load, plan, plan_with};

/// A hundred times what loading takes under emulation.
const LIMIT: Duration = Duration::from_secs(60);

/// What `spoil` makes of the kernel's BTF, as a root to load from.
fn root_with_btf(spoil: impl Fn(Vec<u8>) -> Vec<u8>) -> std::path::PathBuf {
    let root = std::env::temp_dir().join(format!("btf-{}", std::process::id()));
    let folder = root.join("sys/kernel/btf");
    fs::create_dir_all(&folder).expect("a folder");
    let real = fs::read("/sys/kernel/btf/vmlinux").expect("the kernel's BTF");
    fs::write(folder.join("vmlinux"), spoil(real)).expect("a file");
    root
}

/// Renames a type or field: strings of BTF end in zero and stand once each.
fn rename(btf: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let (from, to) = (format!("\0{from}\0"), format!("\0{to}\0"));
    let at = btf.windows(from.len()).position(|window| window == from.as_bytes());
    let at = at.expect("the name is in the BTF");
    btf[at..at + to.len()].copy_from_slice(to.as_bytes());
}

#[track_caller]
fn refused(root: &Path, plan: &probe::ReadPlan) -> LoadError {
    probe::load(root, plan, LoadOptions::default()).expect_err("it cannot load")
}

/// Capabilities belong to threads, so this one gives its own away.
#[test]
fn smoke_without_capabilities_it_is_refused() {
    guest();
    let plan = plan();
    let bare = thread::spawn(move || {
        let none = CapabilitySet::empty();
        let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
        set_capabilities(None, sets).expect("capabilities are given up");
        refused(Path::new("/"), &plan)
    });
    let error = process::join("a load without capabilities", LIMIT, bare);
    assert!(matches!(error, LoadError::Refused { .. }), "{error:?}");
}

#[test]
fn a_kernel_without_btf() {
    guest();
    let plan = plan();
    let error = refused(Path::new("/nowhere"), &plan);
    assert!(matches!(error, LoadError::NoBtf { .. }), "{error:?}");
}

#[test]
fn broken_btf_and_a_missing_field() {
    guest();
    let plan = plan();
    let root = root_with_btf(|btf| btf[..btf.len() / 2].to_vec());
    let error = refused(&root, &plan);
    assert!(matches!(error, LoadError::BtfMalformed { .. }), "{error:?}");
    let root = root_with_btf(|mut btf| {
        rename(&mut btf, "on_rq", "xx_rq");
        btf
    });
    let error = refused(&root, &plan);
    assert_eq!(error.to_string(), "this kernel's BTF has no field task_struct.on_rq");
}

/// A BTF that lies about where `on_rq` is: the offset is that of a pointer, half of which the
/// verifier lets nobody read.
#[test]
fn smoke_the_verifier_refuses_and_says_why() {
    guest();
    let root = root_with_btf(|mut btf| {
        rename(&mut btf, "on_rq", "xx_rq");
        rename(&mut btf, "stack", "on_rq");
        btf
    });
    let error = refused(&root, &plan_with(Hooks::BtfTracepoints));
    let LoadError::Verifier { program, log_tail, .. } = &error else { panic!("{error:?}") };
    assert!(!program.is_empty() && log_tail.contains("task_struct"), "{error}");
}

#[test]
fn slots_outside_the_maps_are_refused() {
    guest();
    let mut probe = load();
    for slot in [0, 1024, u16::MAX] {
        let error = probe.track(SlotId(slot), &[CgroupId(1)]).expect_err("no such slot");
        assert!(matches!(error, ReadError::NoSuchSlot { .. }), "{error:?}");
        assert!(probe.set_threshold(SlotId(slot), Nanos(1)).is_err(), "{slot}");
    }
}

/// 10k cgroups of one workload fit; more than the map holds is an error that says so, and the
/// probe goes on.
#[test]
fn ten_thousand_cgroups() {
    guest();
    let ids = |n: u64| (1..=n).map(|id| CgroupId(1 << 40 | id)).collect::<Vec<_>>();
    let mut probe = load();
    probe.track(SlotId(1), &ids(10_000)).expect("10k fit");
    let error = probe.track(SlotId(2), &ids(40_000)[10_000..]).expect_err("40k do not");
    assert!(matches!(error, ReadError::Update { map: "CGROUPS", .. }), "{error:?}");
    probe.untrack(SlotId(2)).expect("they are forgotten");
    probe.track(SlotId(2), &ids(11_000)[10_000..]).expect("there is room again");
    probe.track(SlotId(1), &ids(1)).expect("most go");
    let sample = probe.read(crate::probe_kit::now()).expect("the maps are read");
    assert_eq!(sample.slots.len(), 2);
}

/// Loading and unloading leave no descriptor behind.
#[test]
fn loading_again_and_again() {
    guest();
    for _ in 0..5 {
        let mut probe = load();
        probe.track(SlotId(1), &[CgroupId(1)]).expect("the slot is tracked");
        let sample = probe.read(crate::probe_kit::now()).expect("the maps are read");
        assert_eq!(sample.lost_records, 0);
    }
    let fds = fs::read_dir("/proc/self/fd").expect("own descriptors").count();
    assert!(fds < 20, "{fds} descriptors are open");
}
