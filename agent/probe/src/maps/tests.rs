//! Summing what the maps held, without a kernel.

use super::pod::{RowValue, ShardsValue};
use super::*;

const TRACKED: [SlotId; 2] = [SlotId(2), SlotId(3)];

fn sum(shards: &ShardsValue, row: &RowValue) -> SlotSample {
    sum_shards(&shards.0, &rows::named(&row.0), |slot| TRACKED.contains(&slot))
}

fn parts(causes: &WaitCauses) -> u64 {
    causes.by_offender.values().map(|ns| ns.0).sum::<u64>()
        + causes.own_throttle.0
        + causes.own_group.0
        + causes.idle_or_steal.0
        + causes.untracked.0
        + causes.unknown.0
}

#[test]
fn shards_are_added_and_names_of_the_gone_become_untracked() {
    let (mut shards, mut row) = (ShardsValue::default(), RowValue::default());
    for (idx, shard) in (1_u64..).zip(&mut shards.0.shards) {
        shard.waits[5] = idx;
        shard.on_cpu_ns = 10 * idx;
        shard.waited_ns = 100;
        shard.own_throttle_ns = 1;
        shard.untracked_ns = 2;
    }
    row.0.waited_for_ns[2] = 300;
    row.0.waited_for_ns[9] = 40;
    let sample = sum(&shards, &row);
    assert_eq!(sample.waits.buckets[5], 36); // 1 + .. + 8
    assert_eq!(sample.on_cpu, Nanos(360));
    let expect = WaitCauses {
        total: Nanos(800),
        by_offender: BTreeMap::from([(SlotId(2), Nanos(300))]),
        own_throttle: Nanos(8),
        untracked: Nanos(16 + 40),
        unknown: Nanos(800 - 300 - 8 - 56),
        ..WaitCauses::default()
    };
    assert_eq!(sample.causes, expect);
}

/// The row was read later than the total and is ahead of it.
#[test]
fn parts_always_sum_to_the_total() {
    for (waited_ns, offender_ns, unknown_ns) in
        [(0, 0, 0), (100, 100, 0), (100, 40, 0), (100, 400, 0), (100, 40, 90)]
    {
        let (mut shards, mut row) = (ShardsValue::default(), RowValue::default());
        shards.0.shards[3].waited_ns = waited_ns;
        shards.0.shards[4].unknown_ns = unknown_ns;
        row.0.waited_for_ns[3] = offender_ns;
        let causes = sum(&shards, &row).causes;
        assert_eq!(parts(&causes), causes.total.0, "{causes:?}");
        assert!(causes.total.0 >= waited_ns, "{causes:?}");
    }
}

fn cell(run_start_ns: u64, slot: u32) -> common::CpuCell {
    common::CpuCell {
        run_start_ns,
        run_start_exec_ns: 0,
        slot,
        pid: 1,
        generation: 1,
        head: 1,
        events: 0,
        lost_records: 0,
        lost_stamps: 0,
        next_check_ns: 0,
        peer_checked_ns: 0,
        peer: 0,
        pending: [common::Pending::default(); common::N_PENDING],
        segments: [common::Segment::default(); common::N_SEGMENTS],
        _pad: [0; 6],
    }
}

#[track_caller]
fn check_doubt(before: (u64, u32), after: (u64, u32), expect: &[u16]) {
    let found = ended_between(&[cell(before.0, before.1)], &[cell(after.0, after.1)]);
    let expect: BTreeSet<SlotId> = expect.iter().copied().map(SlotId).collect();
    assert_eq!(found, expect, "{before:?} {after:?}");
}

#[test]
fn only_long_segments_are_read_again() {
    check_doubt((5, 2), (5, 2), &[]); // still running
    check_doubt((5, 2), (6_000_000, 3), &[2]); // ran 6 ms and ended
    check_doubt((5, 2), (900_000, 3), &[]); // too short to matter
    check_doubt((5, common::SLOT_IDLE), (6_000_000, 3), &[0xffff]); // nobody asks for that slot
    check_doubt((0, 0), (0, 0), &[]); // a CPU that never switched
}

#[test]
fn what_runs_now_is_added_once() {
    let mut slots = BTreeMap::from([(SlotId(2), SlotSample::default())]);
    let wanted = BTreeSet::from([SlotId(2)]);
    let cells =
        [cell(100, 2), cell(150, 2), cell(100, 3), cell(0, 2), cell(100, common::SLOT_IDLE)];
    add_running(&mut slots, &wanted, &cells, Timestamp(200));
    assert_eq!(slots[&SlotId(2)].on_cpu, Nanos(100 + 50));
    // not asked for this time
    add_running(&mut slots, &BTreeSet::new(), &cells, Timestamp(200));
    assert_eq!(slots[&SlotId(2)].on_cpu, Nanos(150));
}
