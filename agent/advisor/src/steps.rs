//! What stands in the files + what should -> the writes between, in an order of which every
//! prefix is safe. Owns the order and the quirks of the files; who is allowed to write when
//! (back-off, vanished groups) is `turn`, and putting originals back is the actuator's.
//!
//! # Order
//! Fast files: batch work is held down first, then let go. Slow files, in two phases: every
//! cpuset is first cut to what it holds *and* keeps, then widened to its final value. After any
//! prefix of phase one each group stands inside its old set, after any prefix of phase two
//! inside its new one, so two groups meet only on CPUs where they met before or will meet when
//! all is done. A group whose old and new sets share nothing (its CPUs went offline, somebody
//! else moved it) cannot be cut and moves in phase two.
//!
//! # Quirks
//! While `cpu.idle` is 1 the kernel refuses `cpu.weight` with EINVAL, and writing 0 puts the
//! weight back to 100 (kernel/sched/fair.c, `sched_group_set_idle`): 0 comes first and the weight
//! is written again behind it.

use std::borrow::Cow;

use model::knob::{KnobTable, KnobValue, Knobs};
use model::plan::{Generation, Phase, Plan, Step, WorkloadPlan};
use model::qos::{CgroupPath, WorkloadName};

/// The writes that turn `believed` into `effective`. A value that is not known is written.
pub fn steps(believed: &KnobTable, effective: &Plan) -> Vec<Step> {
    let workloads = effective.workloads.iter().map(|(name, w)| (name, Cow::Borrowed(w)));
    let known = |cgroup: &CgroupPath| believed.get(cgroup).copied().unwrap_or_default();
    between(known, workloads, effective.generation)
}

/// The same for callers whose beliefs and wishes are not tables.
pub(crate) fn between<'a>(
    believed: impl Fn(&CgroupPath) -> Knobs,
    wanted: impl Iterator<Item = (&'a WorkloadName, Cow<'a, WorkloadPlan>)>,
    generation: Generation,
) -> Vec<Step> {
    let mut stages: [Vec<Step>; 4] = Default::default();
    for (name, workload) in wanted {
        let now = believed(&workload.cgroup);
        let mut emit = |stage: Stage, rule, value| {
            stages[stage as usize].push(Step {
                generation,
                workload: name.clone(),
                cgroup: workload.cgroup.clone(),
                value,
                phase: stage.phase(),
                rule,
            });
        };
        fast(&now, &workload, &mut emit);
        slow(&now, &workload, &mut emit);
    }
    stages.into_iter().flatten().collect()
}

/// In the order they are carried out. Fast and slow files have an actuator each, so only the
/// order inside a lane counts.
#[derive(Clone, Copy)]
enum Stage {
    Tighten,
    Loosen,
    Shrink,
    Widen,
}

impl Stage {
    const fn phase(self) -> Phase {
        match self {
            Stage::Tighten | Stage::Shrink => Phase::Take,
            Stage::Loosen | Stage::Widen => Phase::Give,
        }
    }
}

fn fast(now: &Knobs, wanted: &WorkloadPlan, emit: &mut impl FnMut(Stage, &'static str, KnobValue)) {
    let idle = wanted.cpu_idle.filter(|idle| now.cpu_idle != Some(*idle));
    let max = wanted.cpu_max.filter(|max| now.cpu_max != Some(*max));
    let lets_go = idle == Some(false);
    if idle == Some(true) {
        emit(Stage::Tighten, "suppress", KnobValue::CpuIdle(true));
    }
    let tightens = max.is_some_and(|max| now.cpu_max.is_none_or(|now| is_less(max, now)));
    if let Some(max) = max.filter(|_| tightens) {
        let rule = if wanted.cpu_idle == Some(true) { "suppress" } else { "ceiling" };
        emit(Stage::Tighten, rule, KnobValue::CpuMax(max));
    }
    if lets_go {
        emit(Stage::Loosen, "let-go", KnobValue::CpuIdle(false));
    }
    let is_idle = match wanted.cpu_idle {
        Some(idle) => idle,
        None => now.cpu_idle == Some(true),
    };
    let weight = wanted.cpu_weight.filter(|weight| lets_go || now.cpu_weight != Some(*weight));
    if let Some(weight) = weight.filter(|_| !is_idle) {
        emit(Stage::Loosen, "weight", KnobValue::CpuWeight(weight));
    }
    if let Some(max) = max.filter(|_| !tightens) {
        emit(Stage::Loosen, "let-go", KnobValue::CpuMax(max));
    }
}

/// Whether `a` allows less CPU time than `b`; `max` allows all.
fn is_less(a: model::knob::CpuMax, b: model::knob::CpuMax) -> bool {
    match (a.quota, b.quota) {
        (Some(x), Some(y)) => {
            u128::from(x.0) * u128::from(b.period.0) < u128::from(y.0) * u128::from(a.period.0)
        }
        (Some(_), None) => true,
        (None, _) => false,
    }
}

fn slow(now: &Knobs, wanted: &WorkloadPlan, emit: &mut impl FnMut(Stage, &'static str, KnobValue)) {
    if wanted.cpus.is_empty() || now.cpuset_cpus == Some(wanted.cpus) {
        return;
    }
    let pool_value = KnobValue::CpusetCpus(wanted.cpus);
    // An unknown or empty (inheriting) set stands for all CPUs: any set is a cut of it.
    let Some(held) = now.cpuset_cpus.filter(|held| !held.is_empty()) else {
        return emit(Stage::Shrink, "pool", pool_value);
    };
    let kept = held.intersection(&wanted.cpus);
    if kept == wanted.cpus {
        return emit(Stage::Shrink, "pool-shrink", pool_value);
    }
    if !kept.is_empty() && kept != held {
        emit(Stage::Shrink, "pool-shrink", KnobValue::CpusetCpus(kept));
    }
    emit(Stage::Widen, "pool-grow", pool_value);
}

#[cfg(test)]
mod tests;
