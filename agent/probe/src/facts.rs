//! What this host offers a BPF tracer, read from files below an injected root. Reads and parses
//! only; what follows from the facts is `readplan`'s. A fact that could not be read is `None`,
//! which is not "no".

use std::fmt;
use std::path::{Path, PathBuf};

use crate::btf::Btf;

/// Everything `read_plan` looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    pub release: Option<KernelRelease>,
    /// `/sys/kernel/btf/vmlinux` exists.
    pub btf: Option<bool>,
    /// The BTF has the four scheduler tracepoints.
    pub tp_btf: Option<bool>,
    /// The BTF has `cgroup_attach_task`, without which no task's slot may be cached.
    pub cgroup_events: Option<bool>,
    /// The BTF has `hrtimer_expire_entry`, without which only switches tell a long wait.
    pub timer_events: Option<bool>,
    /// This process holds CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN.
    pub bpf_permitted: Option<bool>,
    /// `kernel.unprivileged_bpf_disabled`: 0 anybody may load (some programs), 1 and 2 nobody.
    pub unprivileged_bpf_disabled: Option<u32>,
    /// Kernel lockdown is at `confidentiality`, which forbids reading kernel memory.
    pub lockdown_confidentiality: Option<bool>,
    pub jit: Option<bool>,
    pub possible_cpus: Option<u32>,
    pub pid_max: Option<u32>,
    /// The BPF object was there when this program was built.
    pub object: bool,
}

/// The first two numbers of `uname -r`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelRelease {
    pub major: u32,
    pub minor: u32,
}

impl fmt::Display for KernelRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Reads the facts of the host whose `/proc` and `/sys` lie below `root`.
pub fn probe_host(root: &Path) -> HostFacts {
    let text = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let btf = btf_facts(&btf_path(root));
    HostFacts {
        release: text("proc/sys/kernel/osrelease").and_then(|text| release(&text)),
        btf: btf.present,
        tp_btf: btf.tp_btf,
        cgroup_events: btf.cgroup_events,
        timer_events: btf.timer_events,
        bpf_permitted: text("proc/self/status").and_then(|text| bpf_permitted(&text)),
        unprivileged_bpf_disabled: text("proc/sys/kernel/unprivileged_bpf_disabled")
            .and_then(|text| text.trim().parse().ok()),
        lockdown_confidentiality: text("sys/kernel/security/lockdown")
            .map(|text| text.contains("[confidentiality]")),
        jit: text("proc/sys/net/core/bpf_jit_enable").map(|text| text.trim() != "0"),
        possible_cpus: text("sys/devices/system/cpu/possible").and_then(|text| n_ids(&text)),
        pid_max: text("proc/sys/kernel/pid_max").and_then(|text| text.trim().parse().ok()),
        object: crate::object::OBJECT.is_some(),
    }
}

pub(crate) fn btf_path(root: &Path) -> PathBuf {
    root.join("sys/kernel/btf/vmlinux")
}

#[derive(Default)]
struct BtfFacts {
    present: Option<bool>,
    tp_btf: Option<bool>,
    cgroup_events: Option<bool>,
    timer_events: Option<bool>,
}

/// The kernel's events that the probe hooks.
pub(crate) const SCHED_EVENTS: [&str; 4] =
    ["sched_waking", "sched_wakeup", "sched_wakeup_new", "sched_switch"];
pub(crate) const CGROUP_EVENT: &str = "cgroup_attach_task";
pub(crate) const TIMER_EVENT: &str = "hrtimer_expire_entry";

fn btf_facts(path: &Path) -> BtfFacts {
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => return BtfFacts { present: Some(false), ..BtfFacts::default() },
        Err(_unreadable) => return BtfFacts::default(),
    }
    let bytes = std::fs::read(path).unwrap_or_default();
    let Ok(btf) = Btf::parse(&bytes) else {
        return BtfFacts { present: Some(true), ..BtfFacts::default() };
    };
    BtfFacts {
        present: Some(true),
        tp_btf: Some(SCHED_EVENTS.iter().all(|event| btf.has_tracepoint(event))),
        cgroup_events: Some(btf.has_tracepoint(CGROUP_EVENT)),
        timer_events: Some(btf.has_tracepoint(TIMER_EVENT)),
    }
}

fn release(text: &str) -> Option<KernelRelease> {
    let mut numbers = text.trim().split(|c: char| !c.is_ascii_digit());
    let major = numbers.next()?.parse().ok()?;
    Some(KernelRelease { major, minor: numbers.next()?.parse().ok()? })
}

/// From the `CapEff:` line of `/proc/self/status`.
fn bpf_permitted(status: &str) -> Option<bool> {
    const CAP_SYS_ADMIN: u32 = 21;
    const CAP_PERFMON: u32 = 38;
    const CAP_BPF: u32 = 39;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let effective = u64::from_str_radix(line.trim(), 16).ok()?;
    let has = |cap: u32| effective >> cap & 1 == 1;
    Some(has(CAP_SYS_ADMIN) || (has(CAP_BPF) && has(CAP_PERFMON)))
}

/// One more than the highest id of a kernel list (`0-3,8`): maps are indexed by CPU number.
fn n_ids(list: &str) -> Option<u32> {
    let highest = list.trim().rsplit([',', '-']).next()?;
    highest.parse::<u32>().ok()?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_release(text: &str, expect: Option<(u32, u32)>) {
        let expect = expect.map(|(major, minor)| KernelRelease { major, minor });
        assert_eq!(release(text), expect, "{text:?}");
    }

    #[test]
    fn releases() {
        check_release("6.1.0-32-cloud-amd64\n", Some((6, 1)));
        check_release("6.12.43+deb13-cloud-amd64", Some((6, 12)));
        check_release("5.15", Some((5, 15)));
        check_release("7.0-rc1", Some((7, 0)));
        check_release("", None);
        check_release("linux", None);
        check_release("6", None);
        check_release("99999999999.1", None);
    }

    #[track_caller]
    fn check_caps(status: &str, expect: Option<bool>) {
        assert_eq!(bpf_permitted(status), expect, "{status:?}");
    }

    #[test]
    fn capabilities() {
        check_caps("Name:\tx\nCapEff:\t000001ffffffffff\n", Some(true));
        check_caps("CapEff:\t0000000000000000\n", Some(false));
        check_caps("CapEff:\t0000000000200000\n", Some(true)); // SYS_ADMIN alone
        check_caps("CapEff:\t0000008000000000\n", Some(false)); // BPF without PERFMON
        check_caps("CapEff:\t000000c000000000\n", Some(true)); // both
        check_caps("CapEff:\tnonsense\n", None);
        check_caps("", None);
    }

    #[track_caller]
    fn check_ids(list: &str, expect: Option<u32>) {
        assert_eq!(n_ids(list), expect, "{list:?}");
    }

    #[test]
    fn possible_cpus() {
        check_ids("0\n", Some(1));
        check_ids("0-127\n", Some(128));
        check_ids("0-3,8-11\n", Some(12));
        check_ids("0,2", Some(3));
        check_ids("", None);
        check_ids("4294967295", None);
    }

    #[test]
    fn a_host_without_files_is_unknown_and_has_no_btf() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let facts = probe_host(root.path());
        let expect = HostFacts { btf: Some(false), object: facts.object, ..HostFacts::default() };
        assert_eq!(facts, expect);
    }

    #[test]
    fn broken_btf_is_there_but_says_nothing() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let path = btf_path(root.path());
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(&path, b"\x9f\xebjunk").expect("a file");
        let facts = probe_host(root.path());
        assert_eq!((facts.btf, facts.tp_btf), (Some(true), None));
    }
}
