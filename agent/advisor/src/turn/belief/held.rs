//! What is known of one cgroup's files: what stands in them, what is on its way there, what the
//! kernel refused. Owns what one reading, one Step and one Outcome mean for one file.

use model::knob::{Knob, KnobValue, Knobs, Lane};
use model::plan::{Generation, Step};
use model::sample::ContainerSample;
use model::snapshot::WorkloadView;
use model::{CgroupId, CpuSet, Nanos, Timestamp};

/// A reading this much younger than our write has surely seen it; a cgroup's files are read one
/// after another under one time stamp.
const SETTLED: Nanos = Nanos::from_millis(100);

/// An Outcome of the fast lane that has not come after this long will not come: the Step is
/// emitted again.
const FAST_DUE: Nanos = Nanos::from_secs(2);

/// The slow lane may have a thousand cpusets before this one, each up to 120 ms beside hogs; a
/// lane that does nothing for so long hangs, which the loop sees for itself.
const SLOW_DUE: Nanos = Nanos::from_secs(10);

/// A refused file is tried again after this, then after twice as long, and so on ...
const FIRST_RETRY: Nanos = Nanos::from_secs(1);

/// ... up to this: often enough to notice within a minute that somebody fixed the permission.
const LAST_RETRY: Nanos = Nanos::from_secs(60);

#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pub(super) id: Option<CgroupId>,
    /// When a Snapshot last had it.
    pub(super) seen_at: Option<Timestamp>,
    /// It vanished then, and was not read since.
    pub(super) gone_at: Option<Timestamp>,
    knobs: Knobs,
    /// What would stand there had observe mode written.
    dry: Option<Box<Knobs>>,
    written_at: [Option<Timestamp>; Knob::ALL.len()],
    /// One per file at most, and most of the time none: a thousand of these are looked through at
    /// each tick, so what is rare is not kept in place.
    under_way: Vec<UnderWay>,
    refusals: Vec<Refusal>,
}

/// Emitted, no Outcome yet.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    value: KnobValue,
    since: Timestamp,
    generation: Generation,
}

#[derive(Clone, Copy, Debug)]
struct Refusal {
    knob: Knob,
    not_before: Timestamp,
    delay: Nanos,
}

/// What was read of one cgroup's files, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read<'a> {
    pub(super) id: CgroupId,
    pub(super) knobs: &'a Knobs,
    pub(super) at: Timestamp,
}

impl<'a> Read<'a> {
    pub(super) fn of(view: &'a WorkloadView) -> Read<'a> {
        Read { id: view.cgroup_id, knobs: &view.knobs, at: view.knobs_at }
    }

    pub(super) fn of_container(container: &'a ContainerSample, at: Timestamp) -> Read<'a> {
        Read { id: container.cgroup_id, knobs: &container.knobs, at }
    }
}

impl Held {
    /// A new cgroup under an old path is another cgroup.
    pub(super) fn recognise(&mut self, read: Read<'_>, now: Timestamp) {
        if self.id.is_some_and(|known| known != read.id) {
            self.forget_files();
            self.gone_at = None;
        }
        self.id = Some(read.id);
        self.seen_at = Some(now);
        self.gone_at = self.gone_at.filter(|gone_at| read.at <= *gone_at);
    }

    pub(super) fn forget_files(&mut self) {
        *self =
            Held { id: self.id, seen_at: self.seen_at, gone_at: self.gone_at, ..Held::default() };
    }

    pub(super) fn forget_dry_runs(&mut self) {
        self.dry = None;
        self.under_way.clear();
    }

    /// Nothing is known of what stands in the files any more.
    pub(super) fn forget_knobs(&mut self) {
        self.knobs = Knobs::default();
    }

    /// Takes over what was read from one file; answers with our value and the one found where
    /// somebody else has written.
    pub(super) fn observe(&mut self, read: Read<'_>, knob: Knob) -> Option<(KnobValue, KnobValue)> {
        let (knobs, knobs_at) = (read.knobs, read.at);
        let read = knobs.get(knob)?;
        // The weight of an idle group reads as something else than what will be after it.
        let masked = knob == Knob::CpuWeight && knobs.cpu_idle == Some(true);
        if masked || self.emitted_of(knob).is_some() {
            return None;
        }
        let written_at = self.written_at[knob as usize];
        let seldom_at = knobs.seldom_at.filter(|_| knob.is_seldom_read());
        let read_at = seldom_at.unwrap_or(knobs_at);
        if written_at.is_some_and(|written| read_at < written.after(SETTLED)) {
            return None;
        }
        let believed = self.knobs.get(knob);
        let foreign = believed.filter(|believed| *believed != read && written_at.is_some());
        if foreign.is_some() {
            self.written_at[knob as usize] = None;
        }
        record(&mut self.knobs, read);
        foreign.map(|ours| (ours, read))
    }

    /// What will stand in the files once the fast Steps under way are done. Slow ones are not
    /// counted: their order is safe only from what is known.
    pub(super) fn expected(&self, now: Timestamp) -> Knobs {
        let mut knobs = self.knobs;
        if let Some(dry) = &self.dry {
            Knob::ALL.into_iter().filter_map(|knob| dry.get(knob)).for_each(|v| knobs.record(v));
        }
        if self.under_way.is_empty() {
            return knobs;
        }
        // In the order of `Knob`: idle before weight, as they are written.
        for knob in Knob::ALL.into_iter().filter(|knob| knob.lane() == Lane::Fast) {
            if let Some(value) = self.under_way(knob, now) {
                record(&mut knobs, value);
            }
        }
        knobs
    }

    /// The value on its way into the file, unless its Outcome is overdue.
    pub(super) fn under_way(&self, knob: Knob, now: Timestamp) -> Option<KnobValue> {
        let under_way = self.emitted_of(knob)?;
        (now.since(under_way.since) < due(knob)).then_some(under_way.value)
    }

    fn emitted_of(&self, knob: Knob) -> Option<&UnderWay> {
        self.under_way.iter().find(|one| one.value.knob() == knob)
    }

    /// How many Steps of a lane are on their way.
    pub(super) fn n_under_way(&self, lane: Lane) -> usize {
        self.under_way.iter().filter(|one| one.value.knob().lane() == lane).count()
    }

    pub(super) fn drop_overdue(&mut self, now: Timestamp) {
        self.under_way.retain(|one| now.since(one.since) < due(one.value.knob()));
    }

    pub(super) fn may_try(&self, now: Timestamp, knob: Knob) -> bool {
        let refusal = self.refusals.iter().find(|refusal| refusal.knob == knob);
        self.gone_at.is_none() && refusal.is_none_or(|refusal| now >= refusal.not_before)
    }

    pub(super) fn cpuset(&self) -> Option<CpuSet> {
        self.knobs.cpuset_cpus
    }

    pub(super) fn emitted(&mut self, step: &Step, now: Timestamp) {
        let (value, generation) = (step.value, step.generation);
        self.under_way.retain(|one| one.value.knob() != value.knob());
        self.under_way.push(UnderWay { value, since: now, generation });
    }

    /// An Outcome of this Step came. One of an older batch says nothing of a newer one's.
    pub(super) fn arrived(&mut self, step: &Step) {
        self.under_way.retain(|it| it.value != step.value || it.generation != step.generation);
    }

    pub(super) fn written(&mut self, step: &Step, at: Timestamp) {
        record(&mut self.knobs, step.value);
        self.written_at[step.knob() as usize] = Some(at);
        self.refusals.retain(|refusal| refusal.knob != step.knob());
    }

    /// It is not ours any more.
    pub(super) fn released(&mut self, knob: Knob) {
        self.written_at[knob as usize] = None;
        self.under_way.retain(|one| one.value.knob() != knob);
        self.refusals.retain(|refusal| refusal.knob != knob);
        self.dry = None;
    }

    pub(super) fn dry_run(&mut self, step: &Step) {
        self.dry.get_or_insert_default().record(step.value);
    }

    pub(super) fn refused(&mut self, knob: Knob, at: Timestamp) {
        let earlier = self.refusals.iter().find(|refusal| refusal.knob == knob);
        let twice = |earlier: &Refusal| Nanos(earlier.delay.0 * 2).min(LAST_RETRY);
        let delay = earlier.map_or(FIRST_RETRY, twice);
        self.refusals.retain(|refusal| refusal.knob != knob);
        self.refusals.push(Refusal { knob, not_before: at.after(delay), delay });
    }
}

const fn due(knob: Knob) -> Nanos {
    match knob.lane() {
        Lane::Fast => FAST_DUE,
        Lane::Slow => SLOW_DUE,
    }
}

/// Records a value with what the kernel does beside it: `cpu.idle` hides the weight while it is
/// 1 and puts it back to the default when it goes to 0.
fn record(knobs: &mut Knobs, value: KnobValue) {
    if let KnobValue::CpuIdle(idle) = value
        && (idle || knobs.cpu_idle != Some(false))
    {
        knobs.cpu_weight = None;
    }
    knobs.record(value);
}
