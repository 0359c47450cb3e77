//! The baseline `rule65`: koordlet's CPU suppression with its `cfsQuota` policy, written anew
//! from the published rule. Every second batch may use
//!
//! ```text
//! capacity x 65 % - used by services - max(used by the system, reserved)
//! ```
//!
//! of CPU time, as one quota on the batch parent: never under 2 ms per 100 ms period, growing by
//! at most 10 % of the capacity per step, left alone when it would change by less than 1 %.
//! Deciding is `quota`, a pure function; `Regulator` reads and writes.

use std::path::PathBuf;

use anyhow::Result;
use model::units::{Micros, MilliCpu, Timestamp};

use crate::cgroup;
use crate::clock;
use crate::procfs::NodeTime;

/// `cpu.max` period.
const PERIOD: Micros = Micros(100_000);
const THRESHOLD_PCT: u64 = 65;
const FLOOR: Micros = Micros(2_000);
const MAX_GROWTH_PCT: u64 = 10;
const IGNORED_CHANGE_PCT: u64 = 1;

/// Usage of the node over the last second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub capacity: MilliCpu,
    pub services: MilliCpu,
    /// Everything outside services and batch.
    pub system: MilliCpu,
}

/// The quota for the next second; `None` leaves the present one. `present == None` is no quota.
pub fn quota(usage: Usage, present: Option<Micros>) -> Option<Micros> {
    let quota_of = |cpu: MilliCpu| Micros(cpu.0 * PERIOD.0 / 1000);
    let allowed = MilliCpu(usage.capacity.0 * THRESHOLD_PCT / 100);
    let left = allowed.0.saturating_sub(usage.services.0).saturating_sub(usage.system.0);
    let wanted = quota_of(MilliCpu(left)).max(FLOOR);
    let Some(present) = present else { return Some(wanted) };
    let step = Micros(quota_of(usage.capacity).0 * MAX_GROWTH_PCT / 100);
    let bounded = wanted.min(Micros(present.0 + step.0));
    let change = bounded.0.abs_diff(present.0);
    let ignored = quota_of(usage.capacity).0 * IGNORED_CHANGE_PCT / 100;
    (change >= ignored).then_some(bounded)
}

/// Cumulative CPU times at one moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Timestamp,
    services: Micros,
    batch: Micros,
    node: NodeTime,
}

/// Applies the rule to two cgroups; the caller turns it once a second.
#[derive(Debug)]
pub struct Regulator {
    services: PathBuf,
    batch: PathBuf,
    capacity: MilliCpu,
    last: Reading,
    quota: Option<Micros>,
}

impl Regulator {
    pub fn new(services: PathBuf, batch: PathBuf, n_cpus: u64) -> Result<Regulator> {
        let last = read(&services, &batch)?;
        let capacity = MilliCpu::from_cpus(n_cpus);
        Ok(Regulator { services, batch, capacity, last, quota: None })
    }

    /// Reads usage, decides, writes. Returns the quota when it was changed.
    pub fn turn(&mut self) -> Result<Option<Micros>> {
        let now = read(&self.services, &self.batch)?;
        let usage = usage_between(self.last, now, self.capacity);
        self.last = now;
        let Some(next) = quota(usage, self.quota) else { return Ok(None) };
        cgroup::write(&self.batch, "cpu.max", &format!("{} {}", next.0, PERIOD.0))?;
        self.quota = Some(next);
        Ok(Some(next))
    }
}

fn read(services: &std::path::Path, batch: &std::path::Path) -> Result<Reading> {
    Ok(Reading {
        at: clock::now(),
        services: cgroup::cpu_usage(services)?,
        batch: cgroup::cpu_usage(batch)?,
        node: NodeTime::read()?,
    })
}

fn usage_between(from: Reading, to: Reading, capacity: MilliCpu) -> Usage {
    let span_us = to.at.since(from.at).as_micros().0.max(1);
    let rate = |used: u64| MilliCpu(used * 1000 / span_us);
    let services = rate(to.services.0.saturating_sub(from.services.0));
    let batch = rate(to.batch.0.saturating_sub(from.batch.0));
    let busy = (capacity.0 as f64 * to.node.utilisation_since(from.node)) as u64;
    let system = MilliCpu(busy.saturating_sub(services.0).saturating_sub(batch.0));
    Usage { capacity, services, system }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(services: u64, system: u64, present: Option<u64>, expect: Option<u64>) {
        let usage = Usage {
            capacity: MilliCpu(2000),
            services: MilliCpu(services),
            system: MilliCpu(system),
        };
        assert_eq!(quota(usage, present.map(Micros)), expect.map(Micros));
    }

    #[test]
    fn sixty_five_percent_less_what_others_use() {
        // 2000m x 65 % = 1300m; 1300 - 850 - 50 = 400m = 40 ms per 100 ms
        check(850, 50, None, Some(40_000));
        check(0, 0, None, Some(130_000));
    }

    #[test]
    fn never_under_the_floor() {
        check(1500, 0, None, Some(2_000));
        check(1500, 0, Some(100_000), Some(2_000));
    }

    #[test]
    fn grows_in_steps_and_shrinks_at_once() {
        // a tenth of 2 CPUs is 20 ms per period
        check(0, 0, Some(40_000), Some(60_000));
        check(0, 0, Some(120_000), Some(130_000));
        check(1000, 0, Some(130_000), Some(30_000));
    }

    #[test]
    fn small_changes_are_left() {
        // 1 % of 2 CPUs is 2 ms per period
        check(0, 0, Some(130_000), None);
        check(0, 0, Some(128_001), None);
        check(0, 0, Some(128_000), Some(130_000));
    }
}
