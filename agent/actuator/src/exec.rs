//! One batch of Steps against the files: record the original, write, read back. Idempotent; knows
//! the two phases and the generation, and nothing else.

use model::knob::{Knob, KnobValue, Lane, MemoryLimit};
use model::plan::{Applied, FailureKind, Generation, Outcome, Phase, Step, StepFailure};
use model::policy::Mode;
use model::qos::CgroupPath;
use model::{Nanos, Timestamp};
use state::{Original, Originals};

use crate::files::KnobFiles;

/// Steps of one generation for one lane, Takes before Gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub generation: Generation,
    pub mode: Mode,
    pub steps: Vec<Step>,
}

/// Carries out a batch. `clock` stamps Outcomes; `newer` is asked between two Steps and ends the
/// batch when a newer one waits: what was not sent yet is superseded.
pub fn carry_out(
    files: &mut dyn KnobFiles,
    originals: &mut Originals,
    batch: Batch,
    clock: &dyn Fn() -> Timestamp,
    newer: &mut dyn FnMut() -> bool,
    report: &mut dyn FnMut(Outcome),
) {
    let mut take_failed = false;
    let mut superseded = false;
    for step in batch.steps {
        superseded = superseded || newer();
        let began = clock();
        let result = if superseded {
            Ok(Applied::Superseded)
        } else if batch.mode == Mode::Observe {
            Ok(Applied::DryRun)
        } else if take_failed && step.phase == Phase::Give {
            Err(held(&step))
        } else {
            write_one(files, originals, &step)
        };
        if let Err(failure) = &result {
            take_failed |= step.phase == Phase::Take && failure.kind.is_fatal();
            if failure.kind == FailureKind::Vanished {
                files.forget(&step.cgroup);
            }
        }
        let finished_at = clock();
        let took = finished_at.since(began);
        report(Outcome { step, result, finished_at, took });
    }
}

fn held(step: &Step) -> StepFailure {
    StepFailure {
        kind: FailureKind::Held,
        errno: None,
        message: format!("{step}: not tried, an earlier Take of this batch failed"),
    }
}

fn write_one(
    files: &mut dyn KnobFiles,
    originals: &mut Originals,
    step: &Step,
) -> Result<Applied, StepFailure> {
    match step.knob() {
        Knob::OomScoreAdj => write_below(files, originals, step),
        Knob::MemoryMax => write_memory_max(files, originals, step),
        _ => write_file(files, originals, step, &step.cgroup),
    }
}

/// A knob that is of processes: each group with processes is written, with an original of its own.
/// One that went away or lost its last process meanwhile has nothing left to write.
fn write_below(
    files: &mut dyn KnobFiles,
    originals: &mut Originals,
    step: &Step,
) -> Result<Applied, StepFailure> {
    let groups = files.groups_with_processes(&step.cgroup)?;
    let mut applied = None;
    for group in &groups {
        match write_file(files, originals, step, group) {
            Ok(Applied::AlreadyThere) => applied = applied.or(Some(Applied::AlreadyThere)),
            Ok(other) => applied = Some(other),
            Err(failure) if failure.kind.is_fatal() => return Err(failure),
            Err(_gone) => {}
        }
    }
    applied.ok_or_else(|| StepFailure {
        kind: FailureKind::Unsupported,
        errno: None,
        message: format!("{step}: no process is there to have it"),
    })
}

/// A limit under what is in use makes the kernel reclaim and then kill; that is said, never silent.
fn write_memory_max(
    files: &mut dyn KnobFiles,
    originals: &mut Originals,
    step: &Step,
) -> Result<Applied, StepFailure> {
    let in_use = files.memory_in_use(&step.cgroup)?;
    let applied = write_file(files, originals, step, &step.cgroup)?;
    let below = step.value < KnobValue::MemoryMax(MemoryLimit::Bytes(in_use));
    Ok(match applied {
        Applied::Written if below => Applied::WrittenBelowUse { in_use },
        applied => applied,
    })
}

fn write_file(
    files: &mut dyn KnobFiles,
    originals: &mut Originals,
    step: &Step,
    cgroup: &CgroupPath,
) -> Result<Applied, StepFailure> {
    let knob = step.knob();
    let text = step.value.to_string();
    keep_original(files, originals, cgroup, knob)?;
    // A cpuset write walks every task (80-120 ms beside hogs), a read costs microseconds.
    if step.lane() == Lane::Slow
        && files.text(cgroup, knob)? == text
        && files.effective(cgroup, knob)? == step.value
    {
        return Ok(Applied::AlreadyThere);
    }
    files.write(cgroup, knob, &text)?;
    let found = files.effective(cgroup, knob)?;
    if found == step.value {
        return Ok(Applied::Written);
    }
    Err(StepFailure {
        kind: FailureKind::Mismatch,
        errno: None,
        message: format!("{step}: written without an error, but the kernel applies {found}"),
    })
}

/// Records what stands in a file before Berth's first write to it, and in any file that this write
/// changes too: `cpu.idle` hides `cpu.weight` while it is 1 and resets it when it goes to 0.
fn keep_original(
    files: &mut dyn KnobFiles,
    originals: &mut Originals,
    cgroup: &CgroupPath,
    knob: Knob,
) -> Result<(), StepFailure> {
    if knob == Knob::CpuIdle {
        unless_absent(keep_one(files, originals, cgroup, Knob::CpuWeight))?;
    }
    keep_one(files, originals, cgroup, knob)
}

/// A file that this kernel does not have holds nothing that could be lost.
fn unless_absent(kept: Result<(), StepFailure>) -> Result<(), StepFailure> {
    match kept {
        Err(failure) if failure.kind != FailureKind::Unsupported => Err(failure),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn keep_one(
    files: &mut dyn KnobFiles,
    originals: &mut Originals,
    cgroup: &CgroupPath,
    knob: Knob,
) -> Result<(), StepFailure> {
    let cgroup_id = files.id(cgroup)?;
    if originals.contains(cgroup, cgroup_id, knob) {
        return Ok(());
    }
    let text = files.text(cgroup, knob)?;
    let original = Original { cgroup: cgroup.clone(), cgroup_id, knob, text };
    originals.record(original).map_err(|error| StepFailure {
        kind: FailureKind::Other,
        errno: None,
        message: format!(
            "{cgroup}/{}: not written, its original could not be kept: {error}",
            knob.file()
        ),
    })
}

/// Records originals of a cgroup before anything has to be fast.
pub(crate) fn prepare(
    files: &mut dyn KnobFiles,
    originals: &mut Originals,
    cgroup: &CgroupPath,
    knobs: impl Iterator<Item = Knob>,
) -> Result<(), StepFailure> {
    for knob in knobs {
        unless_absent(keep_original(files, originals, cgroup, knob))?;
    }
    Ok(())
}

/// How long a batch may take before the loop raises a finding: a cpuset write beside 16 hogs takes
/// 120 ms at p99, so this is a lane that hangs in the kernel, not a slow one.
pub const SLOW_BATCH_DEADLINE: Nanos = Nanos::from_secs(10);

#[cfg(test)]
mod tests;
