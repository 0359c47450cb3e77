//! The map values as aya wants them, and decoding a ring-buffer record. The only place where bytes
//! from BPF become our records.

use agent_ebpf_common as common;
use model::sample::Burst;
use model::{CpuId, Nanos, SlotId, Timestamp};

macro_rules! value {
    ($name:ident($inner:ty)) => {
        #[derive(Clone, Copy, Debug)]
        #[repr(transparent)]
        pub(super) struct $name(pub(super) $inner);

        #[expect(unsafe_code, reason = "aya's Pod is an unsafe trait")]
        // SAFETY: `#[repr(C)]` of unsigned integers only, without padding (asserted below), so
        // every bit pattern is a value.
        unsafe impl aya::Pod for $name {}
    };
}

value!(CpuValue(common::CpuCell));
value!(ShardsValue(common::SlotShards));
value!(RowValue(common::OffenderRow));
value!(SettingValue(common::SlotSetting));
value!(GenerationValue(common::Generation));

// The sum of the fields' sizes: no padding anywhere.
const _: () = assert!(size_of::<common::CpuCell>() == 80 + 64 + 512 + 48);
const _: () = assert!(size_of::<common::SlotShards>() == 8 * (40 + 8) * 8);
const _: () = assert!(size_of::<common::OffenderRow>() == common::N_SLOTS * 8);
const _: () = assert!(size_of::<common::SlotSetting>() == 16);
const _: () = assert!(size_of::<common::Generation>() == 16);
const _: () = assert!(common::N_BUCKETS == model::histogram::N_BUCKETS);

impl Default for ShardsValue {
    fn default() -> Self {
        let cell = common::SlotCell {
            waits: [0; common::N_BUCKETS],
            on_cpu_ns: 0,
            waited_ns: 0,
            own_throttle_ns: 0,
            own_group_ns: 0,
            idle_ns: 0,
            untracked_ns: 0,
            unknown_ns: 0,
            _pad: 0,
        };
        ShardsValue(common::SlotShards { shards: [cell; common::N_SHARDS] })
    }
}

impl Default for RowValue {
    fn default() -> Self {
        RowValue(common::OffenderRow { waited_for_ns: [0; common::N_SLOTS] })
    }
}

/// Decodes a `common::BurstRecord`; `None` when it is not one.
pub(crate) fn burst(record: &[u8]) -> Option<Burst> {
    let wide = |at: usize| Some(u64::from_ne_bytes(*record.get(at..)?.first_chunk()?));
    let narrow = |at: usize| {
        let word = u32::from_ne_bytes(*record.get(at..)?.first_chunk()?);
        u16::try_from(word).ok()
    };
    Some(Burst {
        first_wait_at: Timestamp(wide(0)?),
        wait: Nanos(wide(8)?),
        victim: SlotId(narrow(16)?),
        offender: SlotId(narrow(20)?),
        cpu: CpuId(narrow(24)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_decoded_field_by_field() {
        let mut bytes = Vec::new();
        bytes.extend(7_u64.to_ne_bytes());
        bytes.extend(9_u64.to_ne_bytes());
        for word in [3_u32, 4, 5, 0] {
            bytes.extend(word.to_ne_bytes());
        }
        let expect = Burst {
            first_wait_at: Timestamp(7),
            wait: Nanos(9),
            victim: SlotId(3),
            offender: SlotId(4),
            cpu: CpuId(5),
        };
        assert_eq!(burst(&bytes), Some(expect));
        for len in 0..28 {
            assert_eq!(burst(&bytes[..len]), None, "{len} bytes");
        }
        bytes[16..20].copy_from_slice(&70_000_u32.to_ne_bytes());
        assert_eq!(burst(&bytes), None, "a slot that does not fit");
    }

    #[test]
    fn bpf_and_model_count_in_the_same_buckets() {
        let edges = (0..64).flat_map(|bit| {
            let power = 1_u64 << bit;
            [power - 1, power, power + 1]
        });
        for wait_ns in edges.chain([u64::MAX]) {
            let expect = model::Histogram::bucket_of(Nanos(wait_ns));
            assert_eq!(common::bucket_of(wait_ns), expect, "{wait_ns}");
        }
    }
}
