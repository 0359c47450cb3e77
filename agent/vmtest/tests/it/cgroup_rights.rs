//! Which rights the kernel wants for the files that the agent writes, against those that the systemd
//! unit grants.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use hostfs::{CgroupTree, HostRoot, write_knob};
use model::knob::{KnobValue, OomScoreAdj};
use model::qos::CgroupPath;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use vmtest::{TestCgroup, process};

use crate::agent_process::LIMIT;

/// Whoever this is, not root.
const SOMEBODY: u32 = 65_534;

/// A process of another user in `group`; killed when dropped.
struct Theirs(Child);

impl Theirs {
    #[track_caller]
    fn start(group: &TestCgroup) -> Theirs {
        let mut sleep = Command::new("sleep");
        sleep.arg("1000").uid(SOMEBODY).gid(SOMEBODY).stdin(Stdio::null());
        let theirs = Theirs(sleep.spawn().expect("start sleep"));
        group.write("cgroup.procs", &theirs.0.id().to_string());
        theirs
    }

    fn score(&self) -> String {
        let path = format!("/proc/{}/oom_score_adj", self.0.id());
        fs::read_to_string(path).expect("a process").trim().to_owned()
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        process::reap(&mut self.0);
    }
}

/// Writes a score with these capabilities only: they belong to threads, so one gives its others away.
#[track_caller]
fn write_with(group: &TestCgroup, score: i16, rights: CapabilitySet) -> Result<(), String> {
    let path = CgroupPath::new(format!("/{}", group.name().display()));
    let writing = std::thread::spawn(move || {
        let sets = CapabilitySets {
            effective: rights,
            permitted: rights,
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, sets).expect("capabilities are given up");
        let tree =
            CgroupTree::open(&HostRoot::new("/"), &CgroupPath::from("/")).expect("cgroup v2");
        let cgroup = tree.cgroup(&path).expect("open");
        let value = KnobValue::OomScoreAdj(OomScoreAdj::new(score).expect("in range"));
        write_knob(&cgroup, value).map_err(|error| format!("{error:?}"))
    });
    process::join("a write with few rights", LIMIT, writing)
}

/// `/proc/PID/oom_score_adj` belongs to the user of the process and only its owner may write it
/// (mode 0644), so root needs CAP_DAC_OVERRIDE to open it; CAP_SYS_RESOURCE is asked for a score
/// below the one that was last set with it (fs/proc/base.c, `__set_oom_adj`).
#[test]
fn smoke_cgroup_rights_scores_of_other_users_need_dac_override() {
    let group = TestCgroup::new("rights");
    let theirs = Theirs::start(&group);
    let resource = CapabilitySet::SYS_RESOURCE;
    let both = resource | CapabilitySet::DAC_OVERRIDE;
    let refused = write_with(&group, 500, resource).expect_err("the file is another user's");
    assert!(refused.contains("Denied") || refused.contains("13"), "{refused}");
    assert_eq!(theirs.score(), "0", "nothing was written");
    write_with(&group, 500, both).expect("the unit's rights");
    assert_eq!(theirs.score(), "500");
    write_with(&group, -500, both).expect("lower than it was");
    assert_eq!(theirs.score(), "-500");
    write_with(&group, -600, CapabilitySet::DAC_OVERRIDE).expect_err("lower without the right");
    write_with(&group, 500, CapabilitySet::DAC_OVERRIDE).expect("raising needs no second right");
    assert_eq!(theirs.score(), "500");
}

/// What the unit grants is what the test above needs.
#[test]
fn cgroup_rights_stand_in_the_unit() {
    let unit = include_str!("../../../../deploy/systemd/berth-agent.service");
    let line = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    let granted: Vec<&str> = line.unwrap_or_default().split(' ').collect();
    for right in ["CAP_DAC_OVERRIDE", "CAP_SYS_RESOURCE", "CAP_BPF", "CAP_PERFMON", "CAP_SYS_NICE"]
    {
        assert!(granted.contains(&right), "{right} is not in {granted:?}");
    }
}
