//! The loaded probe: drains its maps into model types and tells it what to track. Knows the maps'
//! layout (`agent-ebpf-common`), not why anybody asks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use agent_ebpf_common as common;
use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData, MapError, RingBuf};
use model::histogram::Histogram;
use model::sample::{Burst, ProbeSample, SlotSample, WaitCauses};
use model::{CgroupId, Nanos, SlotId, Timestamp};

use crate::bursts::BurstReader;
use crate::load::{Attached, LoadError};
use crate::sizing::MapPlan;
use crate::source::{ProbeSource, ReadError};
use crate::stats::ProgramStats;

pub(crate) mod pod;
mod rows;

use pod::{CpuValue, GenerationValue, RowValue, SettingValue, ShardsValue};
use rows::KeptRows;

/// The BPF programs in the kernel and their maps; dropping it detaches and frees them.
pub struct SchedProbe {
    ebpf: Ebpf,
    attached: Attached,
    plan: MapPlan,
    burst_gap: Nanos,
    cgroups: HashMap<MapData, u64, u32>,
    cpus: Array<MapData, CpuValue>,
    slots: Array<MapData, ShardsValue>,
    offenders: Array<MapData, RowValue>,
    settings: Array<MapData, SettingValue>,
    generation: Array<MapData, GenerationValue>,
    /// `None` once it was handed out by `take_bursts`.
    bursts: Option<BurstReader>,
    tracked: BTreeMap<SlotId, BTreeSet<CgroupId>>,
    thresholds: BTreeMap<SlotId, Nanos>,
    rows: KeptRows,
    generation_number: u64,
}

impl fmt::Debug for SchedProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("SchedProbe");
        out.field("plan", &self.plan).field("tracked", &self.tracked).finish_non_exhaustive()
    }
}

/// A run segment longer than this that ends between two reads is worth reading again for.
const LONG_SEGMENT_NS: u64 = 1_000_000;
/// Each retry needs another long segment to end within microseconds; three in a row do not happen.
const MAX_REREADS: usize = 3;

impl SchedProbe {
    pub(crate) fn new(
        mut ebpf: Ebpf,
        attached: Attached,
        plan: MapPlan,
        burst_gap: Nanos,
    ) -> Result<SchedProbe, LoadError> {
        let mut probe = SchedProbe {
            cgroups: take(&mut ebpf, common::MAP_CGROUPS)?,
            cpus: take(&mut ebpf, common::MAP_CPUS)?,
            slots: take(&mut ebpf, common::MAP_SLOTS)?,
            offenders: take(&mut ebpf, common::MAP_OFFENDERS)?,
            settings: take(&mut ebpf, common::MAP_SETTINGS)?,
            generation: take(&mut ebpf, common::MAP_GENERATION)?,
            bursts: Some(BurstReader::new(take::<RingBuf<MapData>>(
                &mut ebpf,
                common::MAP_BURSTS,
            )?)),
            ebpf,
            attached,
            plan,
            burst_gap,
            tracked: BTreeMap::new(),
            thresholds: BTreeMap::new(),
            rows: KeptRows::default(),
            generation_number: 0,
        };
        probe.bump_generation().map_err(|error| LoadError::BadObject { why: error.to_string() })?;
        Ok(probe)
    }

    pub fn attached(&self) -> &Attached {
        &self.attached
    }

    /// Hands out the ring buffer; from then on this probe tells no bursts. `None` the second time.
    pub fn take_bursts(&mut self) -> Option<BurstReader> {
        self.bursts.take()
    }

    /// The sizes it was loaded with.
    pub fn map_plan(&self) -> MapPlan {
        self.plan
    }

    /// From now on at most one record per slot in `gap`.
    pub fn set_burst_gap(&mut self, gap: Nanos) -> Result<(), ReadError> {
        self.burst_gap = gap;
        let thresholds: Vec<_> = self.thresholds.iter().map(|(slot, ns)| (*slot, *ns)).collect();
        for (slot, threshold) in thresholds {
            self.set_threshold(slot, threshold)?;
        }
        Ok(())
    }

    /// Waits that were lost because two runnable tasks shared a cell (`MapPlan::n_tasks`).
    pub fn lost_stamps(&self) -> Result<u64, ReadError> {
        Ok(self.cpu_cells()?.iter().map(|cell| cell.lost_stamps).sum())
    }

    /// What the programs cost while `enable_stats` was on.
    pub fn run_stats(&self) -> Vec<ProgramStats> {
        let programs = self.ebpf.programs();
        let stats = programs.filter_map(|(name, program)| {
            // A program of the other kind of hook was never loaded and has no statistics.
            let stats = program.info().ok()?;
            Some(ProgramStats {
                name: name.to_owned(),
                run_cnt: stats.run_count(),
                run_time: Nanos(u64::try_from(stats.run_time().as_nanos()).unwrap_or(u64::MAX)),
            })
        });
        stats.collect()
    }

    fn check_slot(&self, slot: SlotId) -> Result<u32, ReadError> {
        let idx = u32::from(slot.0);
        if idx == 0 || idx >= self.plan.n_slots {
            return Err(ReadError::NoSuchSlot { slot, n_slots: self.plan.n_slots });
        }
        Ok(idx)
    }

    fn zero(&mut self, slot: u32) -> Result<(), ReadError> {
        self.rows.forget_all();
        let empty = ShardsValue::default();
        self.slots.set(slot, empty, 0).map_err(updating(common::MAP_SLOTS, slot))?;
        let empty = RowValue::default();
        self.offenders.set(slot, empty, 0).map_err(updating(common::MAP_OFFENDERS, slot))?;
        // Its name may have stood in the others' rows for a workload that had the slot before.
        let victims: Vec<u32> = self.tracked.keys().map(|slot| u32::from(slot.0)).collect();
        for victim in victims {
            let mut row = self.row(victim)?;
            if std::mem::take(&mut row.0.waited_for_ns[slot as usize]) != 0 {
                self.offenders
                    .set(victim, row, 0)
                    .map_err(updating(common::MAP_OFFENDERS, victim))?;
            }
        }
        Ok(())
    }

    /// Makes BPF look every cached slot up again.
    fn bump_generation(&mut self) -> Result<(), ReadError> {
        self.generation_number += 1;
        let value = GenerationValue(common::Generation {
            number: self.generation_number,
            changed_ns: monotonic_now().0,
        });
        self.generation
            .set(common::GENERATION_USER, value, 0)
            .map_err(updating(common::MAP_GENERATION, common::GENERATION_USER))
    }

    fn cpu_cells(&self) -> Result<Vec<common::CpuCell>, ReadError> {
        let cell = |cpu: u32| match self.cpus.get(&cpu, 0) {
            Ok(value) => Ok(value.0),
            Err(source) => {
                Err(ReadError::Lookup { map: common::MAP_CPUS, key: u64::from(cpu), source })
            }
        };
        (0..self.plan.n_cpus).map(cell).collect()
    }

    fn row(&self, victim: u32) -> Result<RowValue, ReadError> {
        self.offenders.get(&victim, 0).map_err(|source| ReadError::Lookup {
            map: common::MAP_OFFENDERS,
            key: u64::from(victim),
            source,
        })
    }

    fn slot_sample(&mut self, slot: SlotId, now: Timestamp) -> Result<SlotSample, ReadError> {
        let idx = u32::from(slot.0);
        let shards = self.slots.get(&idx, 0).map_err(|source| ReadError::Lookup {
            map: common::MAP_SLOTS,
            key: u64::from(idx),
            source,
        })?;
        let waited = sum(&shards.0, |cell| cell.waited_ns);
        let offenders = match self.rows.get(slot, waited) {
            Some(known) => known,
            None => {
                let row = self.row(idx)?;
                self.rows.keep(slot, waited, now, &row.0)
            }
        };
        Ok(sum_shards(&shards.0, offenders, |slot| self.tracked.contains_key(&slot)))
    }
}

impl ProbeSource for SchedProbe {
    fn read(&mut self, now: Timestamp) -> Result<ProbeSample, ReadError> {
        let mut before = self.cpu_cells()?;
        let mut slots = BTreeMap::new();
        let mut wanted: BTreeSet<SlotId> = self.tracked.keys().copied().collect();
        let mut after = Vec::new();
        for _ in 0..=MAX_REREADS {
            for slot in &wanted {
                slots.insert(*slot, self.slot_sample(*slot, now)?);
            }
            after = self.cpu_cells()?;
            let in_doubt = ended_between(&before, &after);
            add_running(&mut slots, &wanted, &after, now.max(monotonic_now()));
            wanted.retain(|slot| in_doubt.contains(slot));
            if wanted.is_empty() {
                break;
            }
            before.clone_from(&after);
        }
        Ok(ProbeSample {
            slots,
            lost_records: after.iter().map(|cell| cell.lost_records).sum(),
            events: after.iter().map(|cell| cell.events).sum(),
        })
    }

    fn track(&mut self, slot: SlotId, cgroups: &[CgroupId]) -> Result<(), ReadError> {
        let idx = self.check_slot(slot)?;
        let wanted: BTreeSet<CgroupId> = cgroups.iter().copied().collect();
        if self.tracked.get(&slot) == Some(&wanted) {
            return Ok(());
        }
        if !self.tracked.contains_key(&slot) {
            self.zero(idx)?;
        }
        let known = self.tracked.entry(slot).or_default().clone();
        for gone in known.difference(&wanted) {
            self.forget(*gone)?;
        }
        for cgroup in wanted.difference(&known) {
            for owned in self.tracked.values_mut() {
                owned.remove(cgroup);
            }
            self.cgroups.insert(cgroup.0, idx, 0).map_err(|source| ReadError::Update {
                map: common::MAP_CGROUPS,
                key: cgroup.0,
                source,
            })?;
            self.tracked.entry(slot).or_default().insert(*cgroup);
        }
        self.bump_generation()
    }

    fn untrack(&mut self, slot: SlotId) -> Result<(), ReadError> {
        let idx = self.check_slot(slot)?;
        self.set_threshold(slot, Nanos(0))?;
        for cgroup in self.tracked.get(&slot).cloned().unwrap_or_default() {
            self.forget(cgroup)?;
        }
        self.tracked.remove(&slot);
        self.bump_generation()?;
        self.zero(idx)
    }

    fn set_threshold(&mut self, slot: SlotId, threshold: Nanos) -> Result<(), ReadError> {
        let idx = self.check_slot(slot)?;
        let value = SettingValue(common::SlotSetting {
            threshold_ns: threshold.0,
            burst_gap_ns: self.burst_gap.0,
        });
        self.settings.set(idx, value, 0).map_err(updating(common::MAP_SETTINGS, idx))?;
        match threshold.0 {
            0 => self.thresholds.remove(&slot),
            _ => self.thresholds.insert(slot, threshold),
        };
        Ok(())
    }

    fn bursts(&mut self) -> Vec<Burst> {
        self.bursts.as_mut().map(BurstReader::drain).unwrap_or_default()
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.bursts.as_ref().map(AsFd::as_fd)
    }
}

impl SchedProbe {
    fn forget(&mut self, cgroup: CgroupId) -> Result<(), ReadError> {
        match self.cgroups.remove(&cgroup.0) {
            Ok(()) | Err(MapError::KeyNotFound) => {}
            Err(source) => {
                return Err(ReadError::Update { map: common::MAP_CGROUPS, key: cgroup.0, source });
            }
        }
        for owned in self.tracked.values_mut() {
            owned.remove(&cgroup);
        }
        Ok(())
    }
}

/// The clock of `bpf_ktime_get_ns`.
fn monotonic_now() -> Timestamp {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Timestamp(seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// Slots that had a long segment end between two looks at the CPUs: whether their counters hold it
/// already cannot be told.
fn ended_between(before: &[common::CpuCell], after: &[common::CpuCell]) -> BTreeSet<SlotId> {
    let pairs = before.iter().zip(after);
    let ended = pairs.filter(|(before, after)| {
        before.run_start_ns != after.run_start_ns
            && after.run_start_ns.saturating_sub(before.run_start_ns) > LONG_SEGMENT_NS
    });
    ended.filter_map(|(before, _)| u16::try_from(before.slot).ok()).map(SlotId).collect()
}

/// Adds what is running right now, which BPF counts only when it is switched out.
fn add_running(
    slots: &mut BTreeMap<SlotId, SlotSample>,
    wanted: &BTreeSet<SlotId>,
    cells: &[common::CpuCell],
    now: Timestamp,
) {
    for cell in cells.iter().filter(|cell| cell.run_start_ns != 0) {
        let Ok(slot) = u16::try_from(cell.slot) else { continue };
        if let Some(sample) = slots.get_mut(&SlotId(slot))
            && wanted.contains(&SlotId(slot))
        {
            sample.on_cpu.0 += now.since(Timestamp(cell.run_start_ns)).0;
        }
    }
}

/// Adds the shards up. An offender that is tracked no more counts as untracked. The parts of the
/// waited time are read at slightly different times; what `total` has beyond them is unknown,
/// and it is never less than they are.
fn sum_shards(
    shards: &common::SlotShards,
    offenders: &[(SlotId, Nanos)],
    is_tracked: impl Fn(SlotId) -> bool,
) -> SlotSample {
    let sum = |field| sum(shards, field);
    let mut waits = Histogram::default();
    for shard in &shards.shards {
        waits.add(&Histogram { buckets: shard.waits });
    }
    let (by_offender, gone): (BTreeMap<SlotId, Nanos>, BTreeMap<SlotId, Nanos>) =
        offenders.iter().copied().partition(|(slot, _)| is_tracked(*slot));
    let gone: u64 = gone.values().map(|waited| waited.0).sum();
    let mut causes = WaitCauses {
        total: sum(|cell| cell.waited_ns),
        own_throttle: sum(|cell| cell.own_throttle_ns),
        own_group: sum(|cell| cell.own_group_ns),
        idle_or_steal: sum(|cell| cell.idle_ns),
        untracked: Nanos(sum(|cell| cell.untracked_ns).0 + gone),
        unknown: sum(|cell| cell.unknown_ns),
        by_offender,
    };
    let parts = causes.by_offender.values().map(|ns| ns.0).sum::<u64>()
        + causes.own_throttle.0
        + causes.own_group.0
        + causes.idle_or_steal.0
        + causes.untracked.0
        + causes.unknown.0;
    causes.unknown.0 += causes.total.0.saturating_sub(parts);
    causes.total.0 = causes.total.0.max(parts);
    SlotSample { waits, on_cpu: sum(|cell| cell.on_cpu_ns), causes }
}

fn sum(shards: &common::SlotShards, field: fn(&common::SlotCell) -> u64) -> Nanos {
    Nanos(shards.shards.iter().map(field).fold(0, u64::saturating_add))
}

fn take<T>(ebpf: &mut Ebpf, name: &str) -> Result<T, LoadError>
where
    T: TryFrom<aya::maps::Map, Error = MapError>,
{
    let bad = |why: String| LoadError::BadObject { why: format!("map {name}: {why}") };
    let map = ebpf.take_map(name).ok_or_else(|| bad("absent".to_owned()))?;
    T::try_from(map).map_err(|error| bad(error.to_string()))
}

fn updating(map: &'static str, key: u32) -> impl Fn(MapError) -> ReadError {
    move |source| ReadError::Update { map, key: u64::from(key), source }
}

#[cfg(test)]
mod tests;
