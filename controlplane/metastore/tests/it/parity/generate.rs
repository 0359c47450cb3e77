//! What sequences are made of: few keys, values and leases, so that operations meet, and every field of every request.

mod txn;

use bytes::Bytes;
use proptest::prelude::*;
use proto::etcd::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, HashKvRequest, LeaseGrantRequest,
    LeaseTimeToLiveRequest, PutRequest, RangeRequest, WatchCreateRequest,
};

use super::op::Op;
use super::relative;

/// With the one of the fence there are twelve: see the module's first lines.
const KEYS: [&[u8]; 11] = [
    b"a",
    b"a\0",
    b"a\0\0",
    b"a/b",
    b"a/c",
    b"b",
    b"/registry/x/1",
    b"/registry/x/2",
    b"/registry/y/1",
    b"\xff",
    b"\xff\xff",
];

const VALUES: [&[u8]; 5] = [b"", b"v", b"w", b"\0\xff\0", &[b'x'; 300]];

pub(super) fn op() -> BoxedStrategy<Op> {
    prop_oneof![
        20 => put().prop_map(Op::Put),
        14 => range().prop_map(Op::Range),
        6 => streamed().prop_map(Op::RangeStream),
        8 => delete().prop_map(Op::Delete),
        20 => txn::any().prop_map(Op::Txn),
        3 => (revision(), any::<bool>()).prop_map(|(revision, physical)| {
            Op::Compact(CompactionRequest { revision, physical })
        }),
        7 => grant().prop_map(Op::Grant),
        2 => lease().prop_map(Op::Revoke),
        2 => lease().prop_map(Op::KeepAlive),
        3 => (lease(), any::<bool>()).prop_map(|(id, keys)| {
            Op::TimeToLive(LeaseTimeToLiveRequest { id, keys })
        }),
        1 => Just(Op::Leases),
        1 => Just(Op::Alarms),
        2 => revision().prop_map(|revision| Op::HashKv(HashKvRequest { revision })),
        8 => (0..2_usize, watch()).prop_map(|(stream, create)| Op::Watch(stream, create)),
        2 => (0..2_usize, watch_id()).prop_map(|(stream, id)| Op::Cancel(stream, id)),
        1 => (0..2_usize).prop_map(Op::Progress),
    ]
    .boxed()
}

/// Rarely none.
fn key() -> BoxedStrategy<Bytes> {
    prop_oneof![60 => prop::sample::select(&KEYS[..]), 1 => Just(&b""[..])]
        .prop_map(Bytes::from_static)
        .boxed()
}

fn value() -> BoxedStrategy<Bytes> {
    prop::sample::select(&VALUES[..]).prop_map(Bytes::from_static).boxed()
}

/// Key and end of one key, of a prefix, of all from a key on, of everything, and of two keys in whatever order.
fn span() -> BoxedStrategy<(Bytes, Bytes)> {
    let zero = Bytes::from_static(b"\0");
    let (from, all) = (zero.clone(), zero);
    let prefixes = [&b"a"[..], b"/registry/", b"/registry/x/", b"\xff"];
    prop_oneof![
        6 => key().prop_map(|key| (key, Bytes::new())),
        4 => prop::sample::select(prefixes.to_vec()).prop_map(|prefix| (prefix.into(), end_of(prefix))),
        2 => key().prop_map(move |key| (key, from.clone())),
        2 => Just((all.clone(), all)),
        4 => (key(), key()),
    ].boxed()
}

/// The first key behind all that begin so.
fn end_of(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(b"\0")
}

/// 0 is the newest, or from now on.
fn revision() -> BoxedStrategy<i64> {
    prop_oneof![
        4 => Just(0),
        6 => (-12..=0_i64).prop_map(relative::newest),
        2 => (1..=4_i64).prop_map(relative::newest),
        4 => (-2..=2_i64).prop_map(relative::compacted),
        1 => prop::sample::select(vec![-1, 1, i64::MIN, i64::MAX]),
    ]
    .boxed()
}

/// In a transaction etcd takes a deletion of all keys from one on for one of none when it looks for keys that are put too.
fn bounded(request: DeleteRangeRequest) -> DeleteRangeRequest {
    match &request.range_end[..] {
        b"\0" => DeleteRangeRequest { range_end: Bytes::from_static(b"\xff\xff\xff"), ..request },
        _ => request,
    }
}

fn bound() -> BoxedStrategy<i64> {
    prop_oneof![16 => Just(0), 3 => (-12..=1_i64).prop_map(relative::newest), 1 => Just(-1)].boxed()
}

fn rarely(one_in: u32) -> BoxedStrategy<bool> {
    prop_oneof![one_in - 1 => Just(false), 1 => Just(true)].boxed()
}

fn lease() -> BoxedStrategy<i64> {
    prop_oneof![12 => 1..=3_i64, 1 => Just(4), 1 => Just(-1), 1 => Just(0), 1 => Just(i64::MAX)]
        .boxed()
}

fn put() -> BoxedStrategy<PutRequest> {
    let lease = prop_oneof![8 => Just(0), 3 => lease()];
    (key(), value(), lease, any::<bool>(), rarely(7), rarely(7), rarely(4))
        .prop_map(|(key, value, lease, prev_kv, ignore_value, ignore_lease, contradicts)| {
            PutRequest {
                key,
                value: if ignore_value && !contradicts { Bytes::new() } else { value },
                lease: if ignore_lease && !contradicts { 0 } else { lease },
                prev_kv,
                ignore_value,
                ignore_lease,
            }
        })
        .boxed()
}

fn delete() -> BoxedStrategy<DeleteRangeRequest> {
    (span(), any::<bool>())
        .prop_map(|((key, range_end), prev_kv)| DeleteRangeRequest { key, range_end, prev_kv })
        .boxed()
}

fn range() -> BoxedStrategy<RangeRequest> {
    let limit = prop_oneof![6 => Just(0), 4 => 1..6_i64, 1 => Just(-1), 1 => Just(i64::MAX)];
    let order = prop_oneof![8 => Just(0), 3 => Just(1), 3 => Just(2), 1 => prop::sample::select(vec![3, -1])];
    let target = prop_oneof![8 => Just(0), 6 => 1..5_i32, 1 => prop::sample::select(vec![5, -1])];
    let flags = (rarely(4), rarely(5), rarely(6));
    (span(), limit, revision_or_now(), order, target, flags, [bound(), bound(), bound(), bound()])
        .prop_map(|((key, range_end), limit, revision, sort_order, sort_target, flags, bounds)| {
            let (serializable, keys_only, count_only) = flags;
            let [min_mod_revision, max_mod_revision, min_create_revision, max_create_revision] =
                bounds;
            RangeRequest {
                key,
                range_end,
                limit,
                revision,
                sort_order,
                sort_target,
                serializable,
                keys_only,
                count_only,
                min_mod_revision,
                max_mod_revision,
                min_create_revision,
                max_create_revision,
            }
        })
        .boxed()
}

/// Mostly what a stream can be. Where it has a target without an order, etcd sorts each part and reads on behind the last key of it: keys
/// come twice or never.
fn streamed() -> BoxedStrategy<RangeRequest> {
    let any_order = range().prop_map(|request| {
        let sort_target = if request.sort_order == 0 { 0 } else { request.sort_target };
        RangeRequest { sort_target, ..request }
    });
    let plain = range().prop_map(|request| RangeRequest {
        sort_order: request.sort_order.clamp(0, 1),
        sort_target: 0,
        min_mod_revision: 0,
        max_mod_revision: 0,
        min_create_revision: 0,
        max_create_revision: 0,
        ..request
    });
    prop_oneof![1 => any_order, 3 => plain].boxed()
}

fn revision_or_now() -> BoxedStrategy<i64> {
    prop_oneof![1 => Just(0), 1 => revision()].boxed()
}

/// Long enough that none ends in a sequence.
fn grant() -> BoxedStrategy<LeaseGrantRequest> {
    let ttl = prop_oneof![
        8 => prop::sample::select(vec![600, 3600, 9_000_000_000]),
        1 => prop::sample::select(vec![9_000_000_001, i64::MAX]),
    ];
    let id = prop_oneof![12 => 1..=3_i64, 2 => Just(4)];
    (id, ttl).prop_map(|(id, ttl)| LeaseGrantRequest { id, ttl }).boxed()
}

/// 0 is the server's choice, which begins with 0.
fn watch_id() -> BoxedStrategy<i64> {
    prop_oneof![6 => 0..4_i64, 1 => prop::sample::select(vec![7, -3, -1])].boxed()
}

fn watch() -> BoxedStrategy<WatchCreateRequest> {
    let id = prop_oneof![6 => Just(0), 2 => watch_id()];
    let filters = prop_oneof![
        6 => Just(vec![]),
        3 => prop::collection::vec(0..2_i32, 1..3),
        1 => Just(vec![7]),
    ];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (span(), revision_or_now(), id, filters, flags)
        .prop_map(
            |(
                (key, range_end),
                start_revision,
                watch_id,
                filters,
                (prev_kv, fragment, progress_notify),
            )| {
                WatchCreateRequest {
                    key,
                    range_end,
                    start_revision,
                    progress_notify,
                    filters,
                    prev_kv,
                    watch_id,
                    fragment,
                }
            },
        )
        .boxed()
}
