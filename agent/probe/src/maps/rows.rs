//! Offender rows that need not be read again. A row has 8 KiB and most victims did not wait since
//! the last reading; their slot's counters, which are read anyway, tell.

use std::collections::BTreeMap;

use agent_ebpf_common::OffenderRow;
use model::{Nanos, SlotId, Timestamp};

/// BPF adds to the waited time first and names the offenders right after, so a row that is read
/// at once may lack a name. An emulated CPU can stand still in between, but not for so long.
const NAMED_WITHIN: Nanos = Nanos::from_millis(100);

/// The names of one row that are not zero.
pub(super) type Offenders = Vec<(SlotId, Nanos)>;

/// The last reading of each row.
#[derive(Debug, Default)]
pub(super) struct KeptRows {
    by_victim: BTreeMap<SlotId, Kept>,
}

#[derive(Debug)]
struct Kept {
    waited: Nanos,
    /// First reading with this waited time.
    since: Timestamp,
    offenders: Offenders,
    complete: bool,
}

impl KeptRows {
    /// The row of a victim that has waited for `waited` so far; `None` when it must be read.
    pub(super) fn get(&self, victim: SlotId, waited: Nanos) -> Option<&Offenders> {
        let kept = self.by_victim.get(&victim)?;
        (kept.complete && kept.waited == waited).then_some(&kept.offenders)
    }

    pub(super) fn keep(
        &mut self,
        victim: SlotId,
        waited: Nanos,
        now: Timestamp,
        row: &OffenderRow,
    ) -> &Offenders {
        let before = self.by_victim.remove(&victim);
        let since = before.filter(|before| before.waited == waited).map_or(now, |kept| kept.since);
        let offenders = named(row);
        let complete = now.since(since) >= NAMED_WITHIN;
        &self
            .by_victim
            .entry(victim)
            .or_insert(Kept { waited, since, offenders, complete })
            .offenders
    }

    /// User space wrote to the rows.
    pub(super) fn forget_all(&mut self) {
        self.by_victim.clear();
    }
}

pub(super) fn named(row: &OffenderRow) -> Offenders {
    let all = (0_u16..).map(SlotId).zip(row.waited_for_ns.map(Nanos));
    all.filter(|(_, waited)| *waited != Nanos(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_until_it_is_surely_complete() {
        let (mut rows, victim) = (KeptRows::default(), SlotId(7));
        let mut row = OffenderRow { waited_for_ns: [0; agent_ebpf_common::N_SLOTS] };
        row.waited_for_ns[3] = 40;
        let mut reading = |at_ms: u64, waited: u64| {
            let known = rows.get(victim, Nanos(waited)).cloned();
            if known.is_none() {
                rows.keep(victim, Nanos(waited), Timestamp(at_ms * 1_000_000), &row);
            }
            known
        };
        let offenders = Some(vec![(SlotId(3), Nanos(40))]);
        let rows = [
            (1000, 40, None), // never read
            (1001, 40, None), // too soon after: the name may be missing still
            (2000, 40, None), // read again, and now it is complete
            // the victim did not wait since, and then it did
            (3000, 40, offenders.clone()),
            (4000, 41, None),
            (5000, 41, None),
            (6000, 41, offenders),
        ];
        for (at_ms, waited, expect) in rows {
            assert_eq!(reading(at_ms, waited), expect, "at {at_ms} ms");
        }
    }

    #[test]
    fn nothing_is_known_after_the_rows_were_written() {
        let mut rows = KeptRows::default();
        let row = OffenderRow { waited_for_ns: [1; agent_ebpf_common::N_SLOTS] };
        for at_ms in [0, 500] {
            rows.keep(SlotId(1), Nanos(9), Timestamp(at_ms * 1_000_000), &row);
        }
        assert!(rows.get(SlotId(1), Nanos(9)).is_some());
        rows.forget_all();
        assert_eq!(rows.get(SlotId(1), Nanos(9)), None);
    }
}
