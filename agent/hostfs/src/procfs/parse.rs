//! The text of `/proc` files as values (Documentation/filesystems/proc.rst,
//! Documentation/scheduler/sched-stats.rst). Pure.

use std::collections::BTreeMap;

use model::sample::CpuTimes;
use model::{Bytes, CpuId, Micros, Nanos, NumaNodeId};

use crate::parse::{ParseError, number};
use crate::sysfs::parse::kilobytes;

/// Clock ticks per second in `/proc/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserHz(u64);

impl UserHz {
    /// Zero, which no kernel has, becomes the usual 100.
    pub const fn new(hz: u64) -> UserHz {
        UserHz(if hz == 0 { 100 } else { hz })
    }

    const fn as_micros(self, ticks: u64) -> Micros {
        Micros((ticks as u128 * 1_000_000 / self.0 as u128) as u64)
    }
}

/// Times of each CPU from `/proc/stat`. Offline CPUs have no line.
pub fn stat(text: &str, user_hz: UserHz) -> Result<BTreeMap<CpuId, CpuTimes>, ParseError> {
    let mut cpus = BTreeMap::new();
    for line in text.lines() {
        // "cpu " is the sum; after the last cpuN come lines of other kinds.
        let Some((id, times)) = line.strip_prefix("cpu").and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        if id.starts_with(|c: char| c.is_ascii_digit()) {
            cpus.insert(cpu_id(id)?, cpu_times(line, times, user_hz)?);
        }
    }
    match cpus.is_empty() {
        true => Err(ParseError::new(text, "a file with a line per CPU")),
        false => Ok(cpus),
    }
}

fn cpu_times(line: &str, text: &str, user_hz: UserHz) -> Result<CpuTimes, ParseError> {
    let mut ticks = [0; 8];
    let mut fields = text.split_ascii_whitespace();
    for tick in &mut ticks {
        let malformed = || ParseError::new(line, "a CPU line with eight numbers");
        *tick = number(fields.next().ok_or_else(malformed)?).map_err(|_nan| malformed())?;
    }
    let [user, nice, system, idle, iowait, irq, softirq, steal] =
        ticks.map(|ticks| user_hz.as_micros(ticks));
    Ok(CpuTimes { user, nice, system, idle, iowait, irq, softirq, steal })
}

fn cpu_id(text: &str) -> Result<CpuId, ParseError> {
    u16::try_from(number(text)?).map(CpuId).map_err(|_big| ParseError::new(text, "a CPU number"))
}

/// The two memory sizes that decisions need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub total: Option<Bytes>,
    pub available: Option<Bytes>,
}

pub fn meminfo(text: &str) -> Result<Memory, ParseError> {
    let mut memory = Memory::default();
    for line in text.lines() {
        match line.split_once(':') {
            Some(("MemTotal", value)) => memory.total = Some(kilobytes(value)?),
            Some(("MemAvailable", value)) => memory.available = Some(kilobytes(value)?),
            _ => {}
        }
    }
    Ok(memory)
}

/// The low watermark of each NUMA node in pages, summed over its zones, from `/proc/zoneinfo`.
pub fn low_watermarks(text: &str) -> Result<BTreeMap<NumaNodeId, u64>, ParseError> {
    let mut low: BTreeMap<NumaNodeId, u64> = BTreeMap::new();
    let mut node = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("Node ") {
            let malformed = || ParseError::new(line, "`Node N, zone NAME`");
            let (id, _zone) = rest.split_once(',').ok_or_else(malformed)?;
            let id = u16::try_from(number(id)?).map_err(|_big| malformed())?;
            node = Some(NumaNodeId(id));
        }
        let mut words = line.split_ascii_whitespace();
        if let (Some(node), Some("low"), Some(pages)) = (node, words.next(), words.next()) {
            let sum = low.entry(node).or_default();
            *sum = sum.saturating_add(number(pages)?);
        }
    }
    Ok(low)
}

/// One `cpuN` line of `/proc/schedstat`, cumulative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedstat {
    /// Time tasks ran on this CPU.
    pub ran: Nanos,
    /// Time tasks waited on its run queue.
    pub waited: Nanos,
    pub n_timeslices: u64,
}

/// Versions 15 to 17 end each CPU line with these three numbers; what comes before them differs.
pub fn schedstat(text: &str) -> Result<BTreeMap<CpuId, Schedstat>, ParseError> {
    let version = text.lines().next().and_then(|line| line.strip_prefix("version "));
    if !matches!(version, Some("15" | "16" | "17")) {
        return Err(ParseError::new(text, "schedstat version 15, 16 or 17"));
    }
    let mut cpus = BTreeMap::new();
    for line in text.lines() {
        let Some((id, numbers)) = line.strip_prefix("cpu").and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        let numbers: Vec<&str> = numbers.split_ascii_whitespace().collect();
        let [.., ran, waited, n_timeslices] = numbers[..] else {
            return Err(ParseError::new(line, "a CPU line that ends with three numbers"));
        };
        let stat = Schedstat {
            ran: Nanos(number(ran)?),
            waited: Nanos(number(waited)?),
            n_timeslices: number(n_timeslices)?,
        };
        cpus.insert(cpu_id(id)?, stat);
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HZ: UserHz = UserHz::new(100);

    #[test]
    fn low_watermarks_are_summed_over_zones() {
        let zone = |node, name, low| {
            format!(
                "Node {node}, zone {name}\n  pages free     9\n        min      1\n        low      \
                 {low}\n        high     3\n    cpu: 0\n              high:  4\n"
            )
        };
        let text = zone(0, "DMA", 12) + &zone(0, "Normal", 100) + &zone(1, "Normal", 7);
        let expect = BTreeMap::from([(NumaNodeId(0), 112), (NumaNodeId(1), 7)]);
        assert_eq!(low_watermarks(&text), Ok(expect));
        assert_eq!(low_watermarks("  low 3\n"), Ok(BTreeMap::new()));
        assert_eq!(low_watermarks("Node x, zone DMA\n").ok(), None);
        assert_eq!(low_watermarks("Node 0, zone DMA\n low x\n").ok(), None);
    }

    #[test]
    fn cpu_lines_are_scaled_to_microseconds() {
        let text = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\ncpu12 0 0 0 1 0 0 0 0\n\
                    intr 5 0\nctxt 1\nbtime 2\ncpufreq 1\n";
        let cpus = stat(text, HZ).expect("well formed");
        assert_eq!(cpus.keys().copied().collect::<Vec<_>>(), [CpuId(0), CpuId(12)]);
        let times = cpus[&CpuId(0)];
        assert_eq!((times.user, times.nice), (Micros(10_000), Micros(20_000)));
        assert_eq!((times.softirq, times.steal), (Micros(70_000), Micros(80_000)));
        assert_eq!(stat(text, UserHz::new(1000)).expect("ok")[&CpuId(12)].idle, Micros(1000));
    }

    #[test]
    fn broken_cpu_lines_are_malformed() {
        for text in
            ["", "cpu 1 2 3", "cpu0 1 2 3", "cpu0 1 2 3 4 5 6 7 x", "cpu99999 1 1 1 1 1 1 1 1"]
        {
            assert_eq!(stat(text, HZ).ok(), None, "{text:?}");
        }
    }

    #[test]
    fn a_counter_near_its_end_does_not_overflow() {
        let text = format!("cpu0 {} 0 0 0 0 0 0 0\n", u64::MAX / 10_000);
        assert!(stat(&text, HZ).expect("ok")[&CpuId(0)].user.0 > u64::MAX / 2);
    }

    #[test]
    fn memory_may_lack_what_old_kernels_lack() {
        let old = Memory { total: Some(Bytes(1024)), available: None };
        assert_eq!(meminfo("MemTotal: 1 kB\nMemFree: 1 kB\n"), Ok(old));
        assert_eq!(meminfo(""), Ok(Memory::default()));
        assert_eq!(meminfo("MemTotal: 1\n").ok(), None);
    }

    #[test]
    fn schedstat_versions_differ_in_front_only() {
        let expected = Schedstat { ran: Nanos(70), waited: Nanos(80), n_timeslices: 9 };
        for text in [
            "version 15\ntimestamp 1\ncpu0 0 0 1 2 3 4 70 80 9\ndomain0 3 1 2\n",
            "version 17\ntimestamp 1\ncpu0 70 80 9\n",
        ] {
            assert_eq!(schedstat(text), Ok(BTreeMap::from([(CpuId(0), expected)])), "{text}");
        }
        for text in ["", "version 99\n", "version 15\ncpu0 1 2\n", "version 15\ncpu0 1 2 x\n"] {
            assert_eq!(schedstat(text).ok(), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(
            text in crate::parse::tests::arb_text(),
            hz: u64,
        ) {
            let _ = (stat(&text, UserHz::new(hz)), meminfo(&text), schedstat(&text));
        }
    }
}
