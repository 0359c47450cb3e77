//! The edge between the loop and the kernel's BPF: a real source (`SchedProbe`), one that is off
//! and says why, and a scripted one for tests.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::BorrowedFd;

use model::sample::{Burst, ProbeSample};
use model::{CgroupId, Nanos, SlotId, Timestamp};

/// Reading or writing a map failed. The probe stays loaded; the next turn tries again.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("reading entry {key} of BPF map {map} failed")]
    Lookup {
        map: &'static str,
        key: u64,
        #[source]
        source: aya::maps::MapError,
    },
    #[error("writing entry {key} of BPF map {map} failed")]
    Update {
        map: &'static str,
        key: u64,
        #[source]
        source: aya::maps::MapError,
    },
    #[error("slot {slot} is outside 1..{n_slots}, the slots this probe was loaded with")]
    NoSuchSlot { slot: SlotId, n_slots: u32 },
    #[error("the probe is off: {why}")]
    Off { why: String },
    #[error("the script has no answer left")]
    ScriptEnded,
}

/// Where run-queue waits come from.
pub trait ProbeSource: Send {
    /// All tracked slots; `now` is CLOCK_MONOTONIC.
    fn read(&mut self, now: Timestamp) -> Result<ProbeSample, ReadError>;

    /// Makes `cgroups` (and every cgroup below them) count for `slot`, and only these: one that
    /// was named before and is not now counts no more. A slot's first call zeroes its counters.
    fn track(&mut self, slot: SlotId, cgroups: &[CgroupId]) -> Result<(), ReadError>;

    /// Forgets the slot and its counters.
    fn untrack(&mut self, slot: SlotId) -> Result<(), ReadError>;

    /// A wait of the slot beyond `threshold` is a burst; zero switches that off.
    fn set_threshold(&mut self, slot: SlotId, threshold: Nanos) -> Result<(), ReadError>;

    /// The bursts since the last call. Never blocks.
    fn bursts(&mut self) -> Vec<Burst>;

    /// Becomes readable when a burst is there; `None` when there is nothing to wait for.
    fn as_fd(&self) -> Option<BorrowedFd<'_>>;
}

/// No probe, with the reason that every read repeats.
#[derive(Clone, Debug)]
pub struct OffProbe {
    pub why: String,
}

impl ProbeSource for OffProbe {
    fn read(&mut self, _now: Timestamp) -> Result<ProbeSample, ReadError> {
        Err(ReadError::Off { why: self.why.clone() })
    }

    fn track(&mut self, _slot: SlotId, _cgroups: &[CgroupId]) -> Result<(), ReadError> {
        Ok(())
    }

    fn untrack(&mut self, _slot: SlotId) -> Result<(), ReadError> {
        Ok(())
    }

    fn set_threshold(&mut self, _slot: SlotId, _threshold: Nanos) -> Result<(), ReadError> {
        Ok(())
    }

    fn bursts(&mut self) -> Vec<Burst> {
        Vec::new()
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Answers from a script and remembers what it was told.
#[derive(Debug, Default)]
pub struct FakeProbe {
    pub samples: VecDeque<ProbeSample>,
    pub bursts: Vec<Burst>,
    pub tracked: BTreeMap<SlotId, Vec<CgroupId>>,
    pub thresholds: BTreeMap<SlotId, Nanos>,
}

impl ProbeSource for FakeProbe {
    fn read(&mut self, _now: Timestamp) -> Result<ProbeSample, ReadError> {
        self.samples.pop_front().ok_or(ReadError::ScriptEnded)
    }

    fn track(&mut self, slot: SlotId, cgroups: &[CgroupId]) -> Result<(), ReadError> {
        self.tracked.insert(slot, cgroups.to_vec());
        Ok(())
    }

    fn untrack(&mut self, slot: SlotId) -> Result<(), ReadError> {
        self.tracked.remove(&slot);
        self.thresholds.remove(&slot);
        Ok(())
    }

    fn set_threshold(&mut self, slot: SlotId, threshold: Nanos) -> Result<(), ReadError> {
        self.thresholds.insert(slot, threshold);
        Ok(())
    }

    fn bursts(&mut self) -> Vec<Burst> {
        std::mem::take(&mut self.bursts)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
