//! Puts every recorded original back: at a clean stop, by the watchdog after a crash, or by the
//! next agent. Goes on past failures, because half a restoration beats none.

use model::knob::Knob;
use model::plan::{FailureKind, StepFailure};
use model::qos::CgroupPath;
use state::{NOT_MADE_YET, Original, Originals, OriginalsError};

use crate::files::KnobFiles;

/// What came of a restoration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    pub written: usize,
    /// The cgroup is gone or another one stands at its path.
    pub gone: usize,
    pub failures: Vec<StepFailure>,
}

/// Writes originals back and empties the journal when nothing failed.
pub fn restore(files: &mut dyn KnobFiles, originals: &mut Originals) -> Restored {
    let restored = put_back(files, originals.iter().cloned().collect());
    settled(restored, || originals.clear())
}

/// The same for some files of one cgroup, which stay in the journal where one failed.
pub fn release(
    files: &mut dyn KnobFiles,
    originals: &mut Originals,
    cgroup: &CgroupPath,
    knobs: &[Knob],
) -> Restored {
    let ours = |one: &&Original| one.cgroup == *cgroup && knobs.contains(&one.knob);
    let entries: Vec<Original> = originals.iter().filter(ours).cloned().collect();
    if entries.is_empty() {
        return Restored::default();
    }
    let restored = put_back(files, entries);
    settled(restored, || originals.settle(cgroup, knobs))
}

fn put_back(files: &mut dyn KnobFiles, mut entries: Vec<Original>) -> Restored {
    let mut restored = Restored::default();
    entries.sort_by(|a, b| (order(a), &a.cgroup).cmp(&(order(b), &b.cgroup)));
    for original in entries.iter().filter(|original| original.knob == Knob::CpuMaxBurst) {
        save_nothing(files, original);
    }
    for original in &entries {
        match restore_one(files, original) {
            Ok(()) => restored.written += 1,
            Err(failure) if failure.kind == FailureKind::Vanished => restored.gone += 1,
            Err(failure) => restored.failures.push(failure),
        }
    }
    restored
}

fn settled(
    mut restored: Restored,
    settle: impl FnOnce() -> Result<(), OriginalsError>,
) -> Restored {
    if restored.failures.is_empty()
        && let Err(error) = settle()
    {
        restored.failures.push(StepFailure {
            kind: FailureKind::Other,
            errno: None,
            message: format!("originals are back, but {error}"),
        });
    }
    restored
}

/// `cpu.idle` first: while it is 1 the kernel refuses `cpu.weight` (EINVAL). The burst behind the
/// quota it must fit into. An unlimited `memory.max` before `memory.high` and a limited one after it,
/// so that what is in use meets the limit that reclaims before the limit that kills.
fn order(original: &Original) -> u8 {
    match original.knob {
        Knob::CpuIdle => 0,
        Knob::CpuWeight => 1,
        Knob::CpuMax => 2,
        Knob::CpuMaxBurst => 3,
        Knob::CpusetCpus => 4,
        Knob::CpusetMems => 5,
        Knob::MemoryMin => 6,
        Knob::MemoryLow => 7,
        Knob::MemoryMax if original.text == "max" => 8,
        Knob::MemoryHigh => 9,
        Knob::MemoryMax => 10,
        Knob::OomScoreAdj => 11,
    }
}

/// A burst of ours may be over the quota that comes back, and the kernel refuses a quota below the
/// burst (EINVAL): it is 0 until its own turn comes, which also tells what failed here.
fn save_nothing(files: &mut dyn KnobFiles, original: &Original) {
    let same = files.id(&original.cgroup).is_ok_and(|id| id == original.cgroup_id);
    let ours = |text: String| text != original.text && text != "0";
    if same && files.text(&original.cgroup, Knob::CpuMaxBurst).is_ok_and(ours) {
        let _told_later = files.write(&original.cgroup, Knob::CpuMaxBurst, "0");
    }
}

/// Whether there is nothing to put back. A score is of many processes: that the first one has it
/// says nothing of the others, and where none is left the write finds none.
fn stands(files: &mut dyn KnobFiles, original: &Original) -> Result<bool, StepFailure> {
    let (cgroup, knob) = (&original.cgroup, original.knob);
    if knob == Knob::OomScoreAdj {
        let now = files.effective(cgroup, knob);
        return Ok(now.is_ok_and(|now| now.to_string() == original.text));
    }
    Ok(files.text(cgroup, knob)? == original.text)
}

fn restore_one(files: &mut dyn KnobFiles, original: &Original) -> Result<(), StepFailure> {
    let cgroup = &original.cgroup;
    let id = files.id(cgroup)?;
    if id != original.cgroup_id && original.cgroup_id != NOT_MADE_YET {
        return Err(StepFailure {
            kind: FailureKind::Vanished,
            errno: None,
            message: format!("{cgroup} was made anew"),
        });
    }
    let knob = original.knob;
    if stands(files, original)? {
        return Ok(());
    }
    match files.write(cgroup, knob, &original.text) {
        // A weight under an idle group: the group was idle before Berth came, so its weight
        // never mattered and cannot be set.
        Err(failure) if knob == Knob::CpuWeight && failure.kind == FailureKind::Invalid => {
            match files.text(cgroup, Knob::CpuIdle).as_deref() {
                Ok("1") => Ok(()),
                _ => Err(failure),
            }
        }
        // An empty cpuset ("inherit") cannot be written to a populated group; what it inherited
        // is the parent's mask.
        Err(failure) if failure.kind == FailureKind::NoSpace => {
            let inherited = files.parent_effective(cgroup, knob)?;
            files.write(cgroup, knob, &inherited)
        }
        result => result,
    }
}

#[cfg(test)]
mod tests;
