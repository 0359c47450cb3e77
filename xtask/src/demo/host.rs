//! The host's part: whether `--host` can run here, running it, and how busy the host was with other
//! things while a guest was measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use anyhow::{Context as _, bail, ensure};

use super::build;

const MOUNT: &str = "/sys/fs/cgroup";

/// Refuses with the reason and the way out.
pub(crate) fn check() -> anyhow::Result<()> {
    let unified = Path::new(MOUNT).join("cgroup.controllers");
    if !unified.exists() {
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        bail!(
            "--host needs a machine with cgroup v2 on {MOUNT}; {}. Run without --host: the VM has it",
            what_is_mounted(&mounts)
        );
    }
    let root = own_cgroup()?;
    ensure!(
        root != Path::new(MOUNT),
        "--host never works in the root cgroup; start it in a delegated one: \
         systemd-run --scope -p Delegate=yes cargo xtask demo --host"
    );
    let writable = fs::OpenOptions::new().write(true).open(root.join("cgroup.subtree_control"));
    writable.map(drop).with_context(|| {
        format!(
            "cgroup {} is not delegated to this user; try: \
             systemd-run --scope -p Delegate=yes cargo xtask demo --host",
            root.display()
        )
    })
}

/// Runs the phases below the cgroup this process is in.
pub(crate) fn run(
    programs: &[(String, PathBuf)],
    plays: &[String],
    out: &Path,
) -> anyhow::Result<()> {
    let root = own_cgroup()?;
    // A cgroup that hands controllers to its children must hold no process itself.
    let leaf = root.join("berth-demo-driver");
    fs::create_dir_all(&leaf).with_context(|| format!("create {}", leaf.display()))?;
    for pid in fs::read_to_string(root.join("cgroup.procs")).unwrap_or_default().lines() {
        fs::write(leaf.join("cgroup.procs"), pid).with_context(|| format!("move {pid} aside"))?;
    }
    let managed = root.strip_prefix(MOUNT).unwrap_or(&root);
    let mut demo = Command::new(build::find(programs, "berth-demo")?);
    demo.arg("--root").arg(&root).arg("--out").arg(out).args(plays);
    demo.arg("--managed-cgroup").arg(Path::new("/").join(managed));
    demo.arg("--runtime-dir").arg(format!("/run/berth-demo-{}", process::id()));
    demo.arg("--load").arg(build::find(programs, "berth-load")?);
    demo.arg("--agent").arg(build::find(programs, "berth-agent")?);
    let status = demo.status().context("run berth-demo")?;
    ensure!(status.success(), "berth-demo ended with {status}");
    Ok(())
}

fn own_cgroup() -> anyhow::Result<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").context("read /proc/self/cgroup")?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"));
    let path = path.context("/proc/self/cgroup names no cgroup v2 path")?;
    Ok(Path::new(MOUNT).join(path.trim_end_matches('/')))
}

fn what_is_mounted(mounts: &str) -> String {
    let fields = |line: &str| -> Option<(String, String)> {
        let mut words = line.split(' ');
        let at = words.nth(1)?.to_owned();
        Some((words.next()?.to_owned(), at))
    };
    let of = |kind: &str| -> Vec<String> {
        let rows = mounts.lines().filter_map(fields).filter(|(it, _)| it == kind);
        rows.map(|(_, at)| at).collect()
    };
    let (v1, v2) = (of("cgroup"), of("cgroup2"));
    match (v1.is_empty(), v2.is_empty()) {
        (true, true) => "no cgroup file system is mounted here".to_owned(),
        (false, true) => format!("this machine has cgroup v1 ({})", v1.join(", ")),
        (false, false) => {
            format!("this machine is hybrid: v1 {}, v2 {}", v1.join(", "), v2.join(", "))
        }
        (true, false) => format!("cgroup v2 lies at {}", v2.join(", ")),
    }
}

/// Work of others on the host while a guest runs: it takes CPU from the guest, which cannot see it.
#[derive(Debug)]
pub(crate) struct Noise {
    busy: u64,
    total: u64,
    own: u64,
}

impl Noise {
    pub(crate) fn start() -> anyhow::Result<Noise> {
        let stat = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
        let (busy, total) = busy_and_total(&stat).context("/proc/stat has no line \"cpu\"")?;
        let own = fs::read_to_string("/proc/self/stat").context("read /proc/self/stat")?;
        Ok(Noise { busy, total, own: family_ticks(&own).context("/proc/self/stat is short")? })
    }

    /// Share of the host's CPU time since the start that neither we nor our guest used, 0..=1.
    pub(crate) fn other_work_ratio(&self) -> anyhow::Result<f64> {
        let now = Noise::start()?;
        let busy = (now.busy - self.busy).saturating_sub(now.own - self.own);
        Ok(busy as f64 / (now.total - self.total).max(1) as f64)
    }
}

fn busy_and_total(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> =
        line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
    let total: u64 = ticks.iter().take(8).sum();
    Some((total - ticks.get(3)? - ticks.get(4)?, total))
}

/// utime + stime + those of children that were waited for.
fn family_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let times: Vec<u64> = rest
        .split_ascii_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|word| word.parse().ok())
        .collect();
    (times.len() == 4).then(|| times.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mounts: &str, expect: &str) {
        assert_eq!(what_is_mounted(mounts), expect);
    }

    #[test]
    fn the_refusal_says_what_is_there() {
        check("proc /proc proc rw 0 0\n", "no cgroup file system is mounted here");
        check(
            "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n",
            "this machine has cgroup v1 (/sys/fs/cgroup/cpu)",
        );
        check(
            "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n",
            "this machine is hybrid: v1 /sys/fs/cgroup/cpu, v2 /sys/fs/cgroup/unified",
        );
    }

    #[test]
    fn ticks_of_a_process_count_its_children() {
        assert_eq!(family_ticks("1 (x y) R 1 2 3 4 5 6 7 8 9 10 1 2 30 40 0"), Some(73));
        assert_eq!(busy_and_total("cpu  1 2 3 10 5 0 0 1\n"), Some((7, 22)));
    }
}
