//! What reclaimed pods are told they may ask for. Pure: owns how long a promise stands when its measurement is gone.

use std::collections::BTreeMap;

use model::headroom::Headroom;
use model::{Nanos, NumaNodeId, Timestamp};

/// A tick or two without a reading change no promise; after this nothing more is promised, as nobody knows what is there.
const HELD_FOR: Nanos = Nanos::from_secs(60);

/// CPU in thousandths and memory in bytes; `None` until the window of measurements was full once.
#[derive(Debug, Default)]
pub(super) struct Promised {
    whole: Option<Amounts>,
    per_numa: BTreeMap<NumaNodeId, Amounts>,
    known_at: Option<Timestamp>,
}

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
        if let Some((headroom, whole)) = known {
            self.whole = Some(whole);
            let parts = headroom.per_numa.iter().map(|(node, part)| {
                let milli_cpu = part.cpu.map_or(0, |cpu| cpu.0);
                (*node, Amounts { milli_cpu, memory: part.memory.map_or(0, |memory| memory.0) })
            });
            self.per_numa = parts.collect();
            self.known_at = Some(now);
        } else if self.known_at.is_some_and(|at| now.since(at) > HELD_FOR) {
            self.whole = Some(Amounts::default());
            self.per_numa.values_mut().for_each(|part| *part = Amounts::default());
        }
    }

    #[cfg(test)]
    pub(super) fn of_whole(milli_cpu: u64, memory: u64) -> Promised {
        Promised { whole: Some(Amounts { milli_cpu, memory }), ..Promised::default() }
    }

    pub(super) fn whole(&self) -> Option<Amounts> {
        self.whole
    }

    /// `None` where nothing is promised yet.
    pub(super) fn of(&self, node: NumaNodeId) -> Option<Amounts> {
        self.whole?;
        Some(self.per_numa.get(&node).copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use model::headroom::{Absent, Amount, Explained, NodeHeadroom, Unit};
    use model::{Bytes, MilliCpu};

    use super::*;

    fn headroom(cpu: Option<u64>) -> Headroom {
        let absent = |unit| Explained::absent(unit, Absent::Filling { have: 1, want: 5 });
        let value = |unit, value| Explained { unit, terms: Vec::new(), value: Ok(Amount(value)) };
        let part = NodeHeadroom { cpu: cpu.map(MilliCpu), memory: Some(Bytes(7)) };
        Headroom {
            cpu: cpu.map_or_else(|| absent(Unit::MilliCpu), |cpu| value(Unit::MilliCpu, cpu)),
            memory: value(Unit::Bytes, 7),
            per_numa: [(NumaNodeId(0), part)].into(),
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
            assert_eq!((whole, part), (expect, expect), "at {second} s");
        }
        assert_eq!(promised.of(NumaNodeId(1)), Some(Amounts::default()));
    }
}
