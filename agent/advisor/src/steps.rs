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
//! Around the CPUs go the memory nodes: first what a group holds *and* will have, then the CPUs
//! move, then the nodes are cut, so that no CPU of a group is ever without the memory beside it.
//! Behind them the memory files, in two phases again: protection is lowered and limits are
//! tightened, `memory.high` before `memory.max` so that the kernel reclaims before it may kill; then
//! limits are loosened, `memory.max` first, and protection is raised, so that the sum of what is
//! protected never grows over its end. `memory.low` stays at or above `memory.min` throughout.
//! `oom_score_adj` is last and waits for nobody.
//!
//! The cpuset of a pod stands in its containers' cgroups, and the pod's own is left alone: each of them
//! is a group of its own in the order above.
//!
//! # Quirks
//! The kernel keeps `cpu.max.burst` within a finite quota and refuses either write that would break
//! it (kernel/sched/core.c, `tg_set_cfs_bandwidth`): a burst shrinks before its quota does and grows
//! behind it.
//!
//! While `cpu.idle` is 1 the kernel refuses `cpu.weight` with EINVAL, and writing 0 puts the
//! weight back to 100 (kernel/sched/fair.c, `sched_group_set_idle`): 0 comes first and the weight
//! is written again behind it.

mod memory;

use std::borrow::Cow;

use model::knob::{Knob, KnobTable, KnobValue, Knobs, Lane};
use model::plan::{Generation, Phase, Plan, Step, WorkloadPlan};
use model::qos::{CgroupPath, WorkloadName};
use model::{Micros, NumaSet};

/// The writes that turn `believed` into `effective`. A value that is not known is written.
pub fn steps(believed: &KnobTable, effective: &Plan) -> Vec<Step> {
    let workloads = effective.workloads.iter().map(|(name, w)| (name, Cow::Borrowed(w)));
    let known = |cgroup: &CgroupPath| believed.get(cgroup).copied().unwrap_or_default();
    between(&[Lane::Fast, Lane::Slow], known, workloads, effective.generation)
}

/// The same for callers whose beliefs and wishes are not tables, and who know the files of some lanes
/// only: a Step for each file of the others would be made for nothing.
pub(crate) fn between<'a>(
    lanes: &[Lane],
    believed: impl Fn(&CgroupPath) -> Knobs,
    wanted: impl Iterator<Item = (&'a WorkloadName, Cow<'a, WorkloadPlan>)>,
    generation: Generation,
) -> Vec<Step> {
    let mut stages: [Vec<Step>; Stage::Mark as usize + 1] = Default::default();
    for (name, workload) in wanted {
        let now = believed(&workload.cgroup);
        let mut emit = |cgroup: &CgroupPath, stage: Stage, rule, value| {
            stages[stage as usize].push(Step {
                generation,
                workload: name.clone(),
                cgroup: cgroup.clone(),
                value,
                phase: stage.phase(),
                rule,
            });
        };
        let own = &workload.cgroup;
        if lanes.contains(&Lane::Fast) {
            fast(&now, &workload, &mut |stage, rule, value| emit(own, stage, rule, value));
        }
        if !lanes.contains(&Lane::Slow) {
            continue;
        }
        for cgroup in workload.cgroups_with(Knob::CpusetCpus) {
            let now = believed(cgroup);
            cpuset(&now, &workload, &mut |stage, rule, value| emit(cgroup, stage, rule, value));
        }
        of_memory(&now, &workload, &mut |stage, rule, value| emit(own, stage, rule, value));
    }
    stages.into_iter().flatten().collect()
}

/// In the order they are carried out. Fast and slow files have an actuator each, so only the
/// order inside a lane counts.
#[derive(Clone, Copy)]
enum Stage {
    Tighten,
    Loosen,
    Reach,
    Shrink,
    Widen,
    Leave,
    Limit,
    Relax,
    Mark,
}

impl Stage {
    const fn phase(self) -> Phase {
        match self {
            Stage::Tighten | Stage::Reach | Stage::Shrink | Stage::Limit | Stage::Mark => {
                Phase::Take
            }
            Stage::Loosen | Stage::Widen | Stage::Leave | Stage::Relax => Phase::Give,
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
    let saved = first_burst(now, wanted);
    if let Some(saved) = saved {
        emit(Stage::Tighten, "burst-cut", KnobValue::CpuMaxBurst(saved));
    }
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
    let stands = saved.or(now.cpu_burst);
    if let Some(burst) = wanted.cpu_burst.filter(|burst| stands != Some(*burst)) {
        emit(Stage::Loosen, "burst", KnobValue::CpuMaxBurst(burst));
    }
}

/// The burst before the quota moves: smaller ones at once, nothing where it is not known what
/// stands. One that the Plan leaves alone gives way to the quota, which may be a suppression.
fn first_burst(now: &Knobs, wanted: &WorkloadPlan) -> Option<Micros> {
    match (wanted.cpu_burst, now.cpu_burst) {
        (Some(_), None) => Some(Micros(0)),
        (Some(wanted), Some(now)) => (wanted < now).then_some(wanted),
        (None, now) => {
            let quota = wanted.cpu_max.and_then(|max| max.quota)?;
            now.filter(|now| *now > quota).map(|_over| quota)
        }
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

fn cpuset(
    now: &Knobs,
    wanted: &WorkloadPlan,
    emit: &mut impl FnMut(Stage, &'static str, KnobValue),
) {
    cpus(now, wanted, emit);
    mems(now, wanted, emit);
}

fn of_memory(
    now: &Knobs,
    wanted: &WorkloadPlan,
    emit: &mut impl FnMut(Stage, &'static str, KnobValue),
) {
    memory::between(now, wanted, emit);
    if let Some(score) = wanted.oom_score_adj.filter(|score| now.oom_score_adj != Some(*score)) {
        emit(Stage::Mark, "oom-score", KnobValue::OomScoreAdj(score));
    }
}

fn cpus(now: &Knobs, wanted: &WorkloadPlan, emit: &mut impl FnMut(Stage, &'static str, KnobValue)) {
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

fn mems(now: &Knobs, wanted: &WorkloadPlan, emit: &mut impl FnMut(Stage, &'static str, KnobValue)) {
    let Some(wanted) = wanted.mems.filter(|mems| !mems.is_empty()) else { return };
    if now.cpuset_mems == Some(wanted) {
        return;
    }
    // An unknown or empty (inheriting) set stands for all nodes: any set is a cut of it.
    let held = now.cpuset_mems.filter(|held| !held.is_empty());
    let both = held.map_or(NumaSet::EMPTY, |held| held.union(wanted));
    if held.is_some_and(|held| both != held) {
        emit(Stage::Reach, "mems-grow", KnobValue::CpusetMems(both));
    }
    if both != wanted {
        emit(Stage::Leave, "mems-shrink", KnobValue::CpusetMems(wanted));
    }
}

#[cfg(test)]
mod tests;
