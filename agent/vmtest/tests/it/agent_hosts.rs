//! Hosts unlike the usual one: cgroup v1 and hybrid mounts, ten thousand cgroups, a source that freezes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vmtest::{guest, wait_until};

use crate::agent_process::{Agent, LIMIT, Scene};
use crate::cgroup_knobs::measured;

/// This machine with another mount table: the agent looks, writes nothing and says why.
#[track_caller]
fn check_observes(name: &str, mounts: &str, words: &str) {
    let root = format!("/tmp/{name}-host");
    fs::create_dir_all(format!("{root}/proc")).expect("make a host root");
    let _there = std::os::unix::fs::symlink("/sys", format!("{root}/sys"));
    for file in ["stat", "meminfo", "pressure"] {
        let link = format!("{root}/proc/{file}");
        let _there = std::os::unix::fs::symlink(format!("/proc/{file}"), link);
    }
    fs::write(format!("{root}/proc/mounts"), mounts).expect("write mounts");
    let scene = Scene::new(name, 1);
    let before = scene.knobs();
    let config = format!("{}[host]\nroot = \"{root}\"\n", scene.config("enforce", "probe = false"));
    let agent = Agent::start(&scene, &config);
    let log = agent.log_text();
    assert!(log.contains("observe-only") && log.contains(words), "{log}");
    let refused = agent.berth(&["mode", "enforce"]);
    assert!(!refused.status.success());
    let doctor = agent.says(&["doctor"]);
    for word in ["unified_cgroup_hierarchy", words] {
        assert!(doctor.contains(word), "doctor does not say {word:?}:\n{doctor}");
    }
    assert_eq!(agent.stop(), 0);
    assert_eq!(scene.knobs(), before, "nothing was written");
}

#[test]
fn agent_only_observes_on_a_host_with_cgroup_v1() {
    check_observes("v1", "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n", "cgroup v1 host (cpu)");
}

/// As systemd mounts it with `systemd.unified_cgroup_hierarchy=0`: v2 is there and has no controller.
#[test]
fn agent_only_observes_on_a_hybrid_host() {
    let mounts = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid 0 0\n\
                  cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
                  cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\n";
    check_observes("hybrid", mounts, "hybrid host: cgroup v1 holds cpu,cpuacct,cpuset");
}

/// One thread of the agent, stopped by the kernel's freezer: a read that does not come back.
struct Frozen {
    group: PathBuf,
}

impl Frozen {
    #[track_caller]
    fn thread(pid: u32, name: &str) -> Frozen {
        guest();
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("list threads").flatten();
        let of = |task: &Path| fs::read_to_string(task.join("comm")).unwrap_or_default();
        let task = tasks.map(|entry| entry.path()).find(|task| of(task).trim() == name);
        let task = task.unwrap_or_else(|| panic!("no thread is called {name}"));
        let tid = task.file_name().expect("a thread id").to_string_lossy().into_owned();
        let group = PathBuf::from("/sys/fs/cgroup/frozen-thread");
        fs::create_dir(&group).expect("make a cgroup");
        for (file, text) in
            [("cgroup.type", "threaded"), ("cgroup.threads", &tid), ("cgroup.freeze", "1")]
        {
            fs::write(group.join(file), text).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
        let frozen = Frozen { group };
        wait_until("the thread to stand", LIMIT, || {
            frozen.read("cgroup.events").contains("frozen 1")
        });
        frozen
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.group.join(file)).unwrap_or_default()
    }

    #[track_caller]
    fn thaw(self) {
        fs::write(self.group.join("cgroup.freeze"), "0").expect("thaw");
        for tid in self.read("cgroup.threads").lines() {
            fs::write("/sys/fs/cgroup/cgroup.threads", tid).expect("move the thread back");
        }
        fs::remove_dir(&self.group).expect("remove the cgroup");
    }
}

/// The reader of cgroups hangs in the middle of its work while everything else goes on: batch work gets no CPU more,
/// after ten seconds it keeps its floor, the finding is on the page, and all of it ends with the hang.
#[test]
fn agent_whose_reader_freezes_grows_nothing_and_falls_back_to_the_floor() {
    let scene = Scene::new("frozen", 2);
    let before = scene.knobs();
    let agent = Agent::start(&scene, &scene.config("enforce", "tick_ms = 200"));
    let cpus = || {
        let text = scene.pods[0].read("cpuset.cpus.effective");
        text.parse::<model::CpuSet>().expect("a CPU list").len()
    };
    let finding = "berth_agent_findings{rule=\"stale-source\"} 1";
    let told = || agent.http("/metrics").lines().any(|line| line == finding);
    wait_until("a first Plan", LIMIT, || agent.says(&["pools"]).contains("reclaim"));
    let had = cpus();
    assert!(had > 1 && !told(), "batch work has {had} CPUs");
    let frozen = Frozen::thread(agent.pid(), "read-cgroups");
    let began = std::time::Instant::now();
    wait_until("the finding", LIMIT, told);
    wait_until("the floor", LIMIT, || {
        assert!(cpus() <= had, "batch work grew on stale input");
        cpus() == 1
    });
    measured(&format!("agent_floor_after_a_frozen_reader_ms {}", began.elapsed().as_millis()));
    assert!(agent.berth(&["qos"]).status.success(), "it answers meanwhile");
    frozen.thaw();
    wait_until("the finding to go", LIMIT, || !told());
    wait_until("batch work to grow again", Duration::from_secs(60), || cpus() > 1);
    assert_eq!(agent.stop(), 0);
    assert_eq!(scene.knobs(), before, "a clean stop leaves no trace");
}

/// CPU of a guest in virtual time against a native core: `bench footprint` says 9 to 11. The lesser one.
pub(crate) const EMULATOR_FACTOR: f64 = 9.0;

/// The bars of a hundred cgroups, beside ten thousand: 30 MB, and 1 % of a native core. In virtual time, where the
/// host's load counts for nothing.
#[test]
fn exact_agent_with_ten_thousand_cgroups_stays_within_its_bars() {
    let scene = Scene::new("many", 1);
    let crowd = scene.root.child("crowd");
    for n in 0..10_000 {
        fs::create_dir(crowd.path().join(format!("g{n}"))).expect("make a cgroup");
    }
    let agent = Agent::start(&scene, &scene.config("enforce", ""));
    std::thread::sleep(Duration::from_secs(10));
    let (used, began) = (cpu_ticks(agent.pid()), std::time::Instant::now());
    std::thread::sleep(Duration::from_secs(30));
    let seconds = (cpu_ticks(agent.pid()) - used) as f64 / 100.0;
    let native = seconds / began.elapsed().as_secs_f64() / EMULATOR_FACTOR;
    let rss_kib = status_kib(agent.pid(), "VmRSS");
    measured(&format!("agent_rss_kib_beside_10k_cgroups {rss_kib}"));
    measured(&format!("agent_native_cpu_ratio_beside_10k_cgroups {native:.5}"));
    assert!(rss_kib * 1024 < 30_000_000, "{rss_kib} KiB");
    assert!(native < 0.01, "{native}");
    assert!(agent.berth(&["pools"]).status.success());
    assert_eq!(agent.stop(), 0);
    for n in 0..10_000 {
        fs::remove_dir(crowd.path().join(format!("g{n}"))).expect("remove a cgroup");
    }
}

/// A field of `/proc/PID/status`, in KiB.
#[track_caller]
pub(crate) fn status_kib(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let text = line.unwrap_or_else(|| panic!("no {field}:\n{status}")).trim();
    text.trim_end_matches(" kB").parse().expect("KiB")
}

/// User and system time of a process, in hundredths of a second.
#[track_caller]
fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    let (_, rest) = stat.rsplit_once(')').expect("a name in brackets");
    rest.split_ascii_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum()
}
