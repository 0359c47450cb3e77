//! Puts every recorded original back: at a clean stop, by the watchdog after a crash, or by the
//! next agent. Goes on past failures, because half a restoration beats none.

use model::knob::Knob;
use model::plan::{FailureKind, StepFailure};
use state::{Original, Originals};

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
    let mut restored = Restored::default();
    let mut entries: Vec<Original> = originals.iter().cloned().collect();
    entries.sort_by(|a, b| (order(a.knob), &a.cgroup).cmp(&(order(b.knob), &b.cgroup)));
    for original in &entries {
        match restore_one(files, original) {
            Ok(()) => restored.written += 1,
            Err(failure) if failure.kind == FailureKind::Vanished => restored.gone += 1,
            Err(failure) => restored.failures.push(failure),
        }
    }
    if restored.failures.is_empty()
        && let Err(error) = originals.clear()
    {
        restored.failures.push(StepFailure {
            kind: FailureKind::Other,
            errno: None,
            message: format!("originals are back, but {error}"),
        });
    }
    restored
}

/// `cpu.idle` first: while it is 1 the kernel refuses `cpu.weight` (EINVAL).
fn order(knob: Knob) -> u8 {
    match knob {
        Knob::CpuIdle => 0,
        Knob::CpuWeight => 1,
        Knob::CpuMax => 2,
        Knob::CpusetCpus => 3,
    }
}

fn restore_one(files: &mut dyn KnobFiles, original: &Original) -> Result<(), StepFailure> {
    let cgroup = &original.cgroup;
    if files.id(cgroup)? != original.cgroup_id {
        return Err(StepFailure {
            kind: FailureKind::Vanished,
            errno: None,
            message: format!("{cgroup} was made anew"),
        });
    }
    let knob = original.knob;
    if files.text(cgroup, knob)? == original.text {
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
            let inherited = files.parent_effective(cgroup)?;
            files.write(cgroup, knob, &inherited)
        }
        result => result,
    }
}

#[cfg(test)]
mod tests;
