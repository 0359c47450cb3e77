//! What reclaimed pods are told they may ask for: the headroom without its moments. Pure: owns how long a promise stands when its
//! measurement is gone.

use std::collections::BTreeMap;

use advisor::headroom::apportion;
use model::headroom::{Headroom, NodeHeadroom};
use model::{Nanos, NumaNodeId, Timestamp};

use super::settled::Settled;

/// A tick or two without a reading change no promise; after this nothing more is promised, as nobody knows what is there.
const HELD_FOR: Nanos = Nanos::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Promised {
    /// `None` until the window of measurements was full once.
    whole: Option<Whole>,
    /// Adds up to the whole.
    per_numa: BTreeMap<NumaNodeId, Amounts>,
    /// `None` as well once that is too long ago: what is known next is told at once.
    known_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Whole {
    milli_cpu: Settled,
    memory: Settled,
}

/// CPU in thousandths and memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amounts {
    pub(super) milli_cpu: u64,
    pub(super) memory: u64,
}

impl Promised {
    pub(super) fn look(&mut self, now: Timestamp, headroom: Option<&Headroom>) {
        let known = headroom.and_then(|headroom| {
            let (cpu, memory) =
                (headroom.cpu.value.as_ref().ok()?, headroom.memory.value.as_ref().ok()?);
            Some((headroom, Amounts { milli_cpu: cpu.0, memory: memory.0 }))
        });
        if let Some((headroom, seen)) = known {
            let went_on = self.whole.filter(|_| self.known_at.is_some());
            let whole = went_on.map_or_else(|| Whole::new(seen), |whole| whole.followed(now, seen));
            self.whole = Some(whole);
            self.per_numa = divided(whole.amounts(), &headroom.per_numa);
            self.known_at = Some(now);
        } else if self.known_at.is_some_and(|at| now.since(at) > HELD_FOR) {
            self.known_at = None;
            self.whole = Some(Whole::new(Amounts::default()));
            self.per_numa.values_mut().for_each(|part| *part = Amounts::default());
        }
    }

    #[cfg(test)]
    pub(super) fn of_whole(milli_cpu: u64, memory: u64) -> Promised {
        let whole = Whole::new(Amounts { milli_cpu, memory });
        Promised { whole: Some(whole), ..Promised::default() }
    }

    pub(super) fn whole(&self) -> Option<Amounts> {
        self.whole.map(|whole| whole.amounts())
    }

    /// `None` where nothing is promised yet.
    pub(super) fn of(&self, node: NumaNodeId) -> Option<Amounts> {
        self.whole?;
        Some(self.per_numa.get(&node).copied().unwrap_or_default())
    }
}

impl Whole {
    fn new(seen: Amounts) -> Whole {
        Whole { milli_cpu: Settled::new(seen.milli_cpu), memory: Settled::new(seen.memory) }
    }

    fn followed(mut self, now: Timestamp, seen: Amounts) -> Whole {
        self.milli_cpu.follow(now, seen.milli_cpu);
        self.memory.follow(now, seen.memory);
        self
    }

    fn amounts(&self) -> Amounts {
        Amounts { milli_cpu: self.milli_cpu.value(), memory: self.memory.value() }
    }
}

/// What is promised, on the nodes where it is.
fn divided(
    whole: Amounts,
    seen: &BTreeMap<NumaNodeId, NodeHeadroom>,
) -> BTreeMap<NumaNodeId, Amounts> {
    let cpus: Vec<u64> = seen.values().map(|part| part.cpu.map_or(0, |cpu| cpu.0)).collect();
    let bytes: Vec<u64> =
        seen.values().map(|part| part.memory.map_or(0, |memory| memory.0)).collect();
    let parts = apportion(whole.milli_cpu, &cpus).into_iter().zip(apportion(whole.memory, &bytes));
    let parts = parts.map(|(milli_cpu, memory)| Amounts { milli_cpu, memory });
    seen.keys().copied().zip(parts).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use model::headroom::{Absent, Amount, Explained, NodeHeadroom, Unit};
    use model::{Bytes, MilliCpu};

    use super::*;

    /// A quarter on node 0, the rest on node 1.
    pub(in super::super) fn headroom(cpu: Option<u64>) -> Headroom {
        let absent = |unit| Explained::absent(unit, Absent::Filling { have: 1, want: 5 });
        let value = |unit, value| Explained { unit, terms: Vec::new(), value: Ok(Amount(value)) };
        let part = |of: u64| NodeHeadroom {
            cpu: cpu.map(|cpu| MilliCpu(cpu * of / 4)),
            memory: Some(Bytes(7 * of / 4)),
        };
        Headroom {
            cpu: cpu.map_or_else(|| absent(Unit::MilliCpu), |cpu| value(Unit::MilliCpu, cpu)),
            memory: value(Unit::Bytes, 7),
            per_numa: [(NumaNodeId(0), part(1)), (NumaNodeId(1), part(3))].into(),
        }
    }

    /// At each second: what is measured -> what is promised, whole and on node 0.
    #[test]
    fn a_promise_stands_for_a_minute_without_a_measurement() {
        let rows: [(u64, Option<u64>, Option<u64>); 6] = [
            (0, None, None),
            (90, None, None),
            (100, Some(1500), Some(1500)),
            (160, None, Some(1500)),
            (161, None, Some(0)),
            (162, Some(800), Some(800)),
        ];
        let mut promised = Promised::default();
        for (second, measured, expect) in rows {
            promised.look(Timestamp(second * 1_000_000_000), Some(&headroom(measured)));
            let whole = promised.whole().map(|whole| whole.milli_cpu);
            let part = promised.of(NumaNodeId(0)).map(|part| part.milli_cpu);
            assert_eq!((whole, part), (expect, expect.map(|whole| whole / 4)), "at {second} s");
        }
        assert_eq!(promised.of(NumaNodeId(2)), Some(Amounts::default()));
    }

    #[test]
    fn the_parts_of_a_promise_that_stands_add_up_to_it() {
        let mut promised = Promised::default();
        promised.look(Timestamp(0), Some(&headroom(Some(1500))));
        promised.look(Timestamp(1_000_000_000), Some(&headroom(Some(100))));
        let amounts = |milli_cpu, memory| Some(Amounts { milli_cpu, memory });
        assert_eq!(promised.whole(), amounts(1500, 7));
        assert_eq!(promised.of(NumaNodeId(0)), amounts(375, 1));
        assert_eq!(promised.of(NumaNodeId(1)), amounts(1125, 6));
    }
}
