//! What a reading and an Outcome teach about files of the slow lane.

use model::knob::{KnobValue, Lane, MemoryLimit};
use model::plan::{Applied, Generation, Outcome, Phase, Severity, Step};
use model::policy::Mode;
use model::{Bytes, Nanos, Timestamp};

use super::Belief;

fn at(ms: u64) -> Timestamp {
    Timestamp(0).after(Nanos::from_millis(ms))
}

fn step(value: KnobValue) -> Step {
    Step {
        generation: Generation(1),
        workload: "ml".into(),
        cgroup: "/2".into(),
        value,
        phase: Phase::Take,
        rule: "test",
    }
}

/// A value that is read every ten seconds is older than the Sample that carries it: what it said
/// before our write is nobody's foreign write, and what it says afterwards is.
#[test]
fn a_seldom_reading_from_before_our_write_says_nothing() {
    let mut belief = Belief::default();
    let step = step(KnobValue::MemoryHigh(MemoryLimit::at_most(Bytes(1 << 20))));
    let took = Nanos(0);
    let result = Ok(Applied::Written);
    belief.outcome(&Outcome { step, result, finished_at: at(5000), took });
    for (read_ms, expect) in [(1000, 0), (11_000, 1)] {
        let mut view = crate::testkit::batch(2);
        view.knobs.memory_high = Some(MemoryLimit::Max);
        (view.knobs.seldom_at, view.knobs_at) = (Some(at(read_ms)), at(12_000));
        let (name, mode) = ("ml".into(), Mode::Enforce);
        let views = std::iter::once((&name, &view));
        let found = belief.observe(Lane::Slow, views, at(12_000), mode);
        assert_eq!(found.len(), expect, "{found:?}");
    }
}

#[test]
fn a_memory_max_below_use_is_a_finding() {
    let step = step(KnobValue::MemoryMax(MemoryLimit::at_most(Bytes(1 << 20))));
    let result = Ok(Applied::WrittenBelowUse { in_use: Bytes(5 << 20) });
    let outcome = Outcome { step, result, finished_at: at(5000), took: Nanos(0) };
    let told = Belief::default().outcome(&outcome).expect("told");
    assert_eq!((told.rule, told.severity), ("memory-max-below-use", Severity::Warning));
    assert!(told.message.contains("set to 1048576 while 5242880 bytes"), "{}", told.message);
}
