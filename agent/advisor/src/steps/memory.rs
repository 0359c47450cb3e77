//! The memory files of one cgroup: what is lowered, what is raised, and in which order. A value that
//! is not known counts as the kernel's default: no protection, no limit. A Plan says bytes; what is
//! written is what every kernel keeps of them, so that it is read back as it was written.

use model::Bytes;
use model::knob::{KnobValue, Knobs, MemoryLimit};
use model::plan::WorkloadPlan;

use super::Stage;

const NOTHING: MemoryLimit = MemoryLimit::Bytes(Bytes(0));

/// What stands, what is wanted, what an unknown value counts as, and which file it is.
type Row = (Option<MemoryLimit>, Option<MemoryLimit>, MemoryLimit, fn(MemoryLimit) -> KnobValue);

/// Protection and limits that are lowered take memory (stage `Limit`), those that are raised give
/// it (`Relax`). The rows are in the order of taking; giving goes the other way round, which keeps
/// `memory.low` over `memory.min` and `memory.max` over `memory.high` after every Step.
pub(super) fn between(
    now: &Knobs,
    wanted: &WorkloadPlan,
    emit: &mut impl FnMut(Stage, &'static str, KnobValue),
) {
    use KnobValue::{MemoryHigh, MemoryLow, MemoryMax, MemoryMin};
    let rows: [Row; 4] = [
        (now.memory_min, wanted.memory_min, NOTHING, MemoryMin),
        (now.memory_low, wanted.memory_low, NOTHING, MemoryLow),
        (now.memory_high, wanted.memory_high, MemoryLimit::Max, MemoryHigh),
        (now.memory_max, wanted.memory_max, MemoryLimit::Max, MemoryMax),
    ];
    let changed = |(stands, value, default, wrap): Row| {
        let value = value.map(MemoryLimit::kept).filter(|value| stands != Some(*value))?;
        Some((value <= stands.unwrap_or(default), wrap(value)))
    };
    for (lowered, value) in rows.into_iter().filter_map(changed) {
        if lowered {
            emit(Stage::Limit, rule(&value, lowered), value);
        }
    }
    for (lowered, value) in rows.into_iter().rev().filter_map(changed) {
        if !lowered {
            emit(Stage::Relax, rule(&value, lowered), value);
        }
    }
}

const fn rule(value: &KnobValue, lowered: bool) -> &'static str {
    match (value, lowered) {
        (KnobValue::MemoryMin(_) | KnobValue::MemoryLow(_), true) => "memory-unprotect",
        (KnobValue::MemoryMin(_) | KnobValue::MemoryLow(_), false) => "memory-protect",
        (_, true) => "memory-limit",
        (_, false) => "memory-relax",
    }
}
