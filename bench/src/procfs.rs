//! The few numbers of /proc the measurements need: node CPU time, one process's CPU time and
//! memory, run-queue delay of a thread. Parsing is separate from reading.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use model::units::{Bytes, Micros, Nanos};

/// USER_HZ is 100 on every Linux ABI of x86-64 and arm64.
const TICK: Micros = Micros(10_000);

/// Busy and total time of all CPUs together, cumulative, in clock ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeTime {
    pub busy: u64,
    pub total: u64,
}

impl NodeTime {
    pub fn read() -> Result<NodeTime> {
        let text = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
        node_time(&text).context("/proc/stat has no line \"cpu\"")
    }

    /// Share of the time since `earlier` in which CPUs were busy, 0..=1.
    pub fn utilisation_since(self, earlier: NodeTime) -> f64 {
        let total = self.total.saturating_sub(earlier.total);
        let busy = self.busy.saturating_sub(earlier.busy);
        if total == 0 { 0.0 } else { busy as f64 / total as f64 }
    }
}

/// CPU time a process has used, all threads.
pub fn process_cpu(pid: u32) -> Result<Micros> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    process_cpu_of(&text).with_context(|| format!("{path} has no CPU times"))
}

/// CPU time of a process by the names of its threads; those of one name are added up.
pub fn threads_cpu(pid: u32) -> Result<BTreeMap<String, Micros>> {
    let folder = format!("/proc/{pid}/task");
    let mut times: BTreeMap<String, Micros> = BTreeMap::new();
    for thread in fs::read_dir(&folder).with_context(|| format!("listing {folder}"))? {
        let path = thread?.path().join("stat");
        // A thread may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let Some((name, used)) = name_of(&text).zip(process_cpu_of(&text)) else { continue };
        times.entry(name.to_owned()).or_default().0 += used.0;
    }
    Ok(times)
}

/// Resident memory of a process.
pub fn process_rss(pid: u32) -> Result<Bytes> {
    let kib = line_of(&format!("/proc/{pid}/status"), "VmRSS:")?;
    Ok(Bytes(kib * 1024))
}

/// The most that was ever resident of a process.
pub fn process_peak(pid: u32) -> Result<Bytes> {
    let kib = line_of(&format!("/proc/{pid}/status"), "VmHWM:")?;
    Ok(Bytes(kib * 1024))
}

/// What a process has caused to be written to disks.
pub fn process_written(pid: u32) -> Result<Bytes> {
    line_of(&format!("/proc/{pid}/io"), "write_bytes:").map(Bytes)
}

/// The number behind `name` at the beginning of a line.
fn line_of(path: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    number_behind(&text, name).with_context(|| format!("{path} has no number behind {name}"))
}

fn number_behind(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// Time a thread was runnable but not running: second number of its `schedstat`.
pub fn run_delay(schedstat: &str) -> Option<Nanos> {
    schedstat.split_ascii_whitespace().nth(1)?.parse().ok().map(Nanos)
}

/// `true` where cgroup v2 is mounted at `root`.
pub fn is_cgroup_v2(root: &Path) -> bool {
    root.join("cgroup.controllers").exists()
}

fn node_time(stat: &str) -> Option<NodeTime> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> =
        line.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest times are part of user and nice
    let total = ticks.iter().take(8).sum();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some(NodeTime { busy: total - idle, total })
}

fn name_of(stat: &str) -> Option<&str> {
    Some(stat.split_once('(')?.1.rsplit_once(')')?.0)
}

fn process_cpu_of(stat: &str) -> Option<Micros> {
    // the command name may hold spaces and parentheses; fields count from behind the last one
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Micros((user + system) * TICK.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_time_counts_iowait_as_idle_and_guest_once() {
        let stat = "cpu  10 1 5 80 4 0 0 0 7 1\ncpu0 1 2 3\n";
        assert_eq!(node_time(stat), Some(NodeTime { busy: 16, total: 100 }));
        assert_eq!(node_time("intr 1\n"), None);
        let later = NodeTime { busy: 66, total: 200 };
        assert_eq!(later.utilisation_since(NodeTime { busy: 16, total: 100 }), 0.5);
        assert_eq!(later.utilisation_since(later), 0.0);
    }

    #[test]
    fn a_process_may_be_named_like_a_trap() {
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 30 12 0 0 20 0";
        assert_eq!(process_cpu_of(stat), Some(Micros(420_000)));
        assert_eq!(name_of(stat), Some("a) b"));
        assert_eq!(process_cpu_of("42"), None);
    }

    #[test]
    fn this_process_has_threads_with_names() {
        let look = || threads_cpu(std::process::id()).expect("own threads");
        let thread = std::thread::Builder::new().name("a-named-one".to_owned());
        let own = thread.spawn(look).expect("a thread").join().expect("its answer");
        assert!(own.contains_key("a-named-one"), "{own:?}");
    }

    #[test]
    fn a_number_is_that_of_its_own_line() {
        let io = "wchar: 1\nwrite_bytes: 4096\ncancelled_write_bytes: 7\n";
        assert_eq!(number_behind(io, "write_bytes:"), Some(4096));
        assert_eq!(number_behind("VmHWM:\t  300 kB\n", "VmHWM:"), Some(300));
        assert_eq!(number_behind("VmHWM:\n", "VmHWM:"), None);
        assert_eq!(number_behind(io, "read_bytes:"), None);
        process_peak(std::process::id()).unwrap();
        process_written(std::process::id()).unwrap();
    }

    #[test]
    fn run_delay_is_the_second_number() {
        assert_eq!(run_delay("100 250 3\n"), Some(Nanos(250)));
        assert_eq!(run_delay(""), None);
    }
}
