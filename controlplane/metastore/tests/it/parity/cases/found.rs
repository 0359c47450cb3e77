//! What this store had otherwise before random sequences and a look into etcd's code found it.

use proto::etcd::etcdserverpb::compare::CompareTarget;
use proto::etcd::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcd::etcdserverpb::{
    CompactionRequest, Compare, HashKvRequest, LeaseGrantRequest, PutRequest, RangeRequest,
    TxnRequest, WatchCreateRequest,
};

use super::super::op::Op;
use super::super::ours::Kept;
use super::super::pair::Pair;
use super::super::relative;
use super::super::settings::Settings;
use super::{delete, inside, put, range, to_delete, to_get, to_put, txn, watch};

#[test]
fn what_was_found_once() {
    let settings = Settings::from_environment();
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let failed: Vec<String> = runtime.block_on(async {
        let mut failed = Vec::new();
        for (name, ops) in ranges().into_iter().chain(txns()).chain(others()) {
            let mut pair = Pair::start(&settings, Kept::InMemory).await;
            if let Err(difference) = pair.run(&ops).await {
                failed.push(format!("{name}: {difference}"));
            }
        }
        failed
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

type Case = (&'static str, Vec<Op>);

/// Four keys whose values are in the opposite order.
fn keys() -> Vec<Op> {
    let pairs = [("a", "4"), ("b", "3"), ("c", "2"), ("d", "1")];
    pairs.iter().map(|(key, value)| Op::Put(put(key, value))).collect()
}

fn after_keys(ops: Vec<Op>) -> Vec<Op> {
    keys().into_iter().chain(ops).collect()
}

fn sorted(target: SortTarget, order: SortOrder, limit: i64) -> RangeRequest {
    let (sort_target, sort_order) = (target.into(), order.into());
    RangeRequest { sort_target, sort_order, limit, ..range("a", "z") }
}

fn ranges() -> Vec<Case> {
    let streams = [
        sorted(SortTarget::Key, SortOrder::Ascend, 0),
        sorted(SortTarget::Value, SortOrder::None, 0),
        sorted(SortTarget::Value, SortOrder::Ascend, 0),
        sorted(SortTarget::Key, SortOrder::Descend, 0),
        RangeRequest { min_mod_revision: 1, ..range("a", "z") },
        RangeRequest { max_create_revision: 1, ..sorted(SortTarget::Key, SortOrder::Descend, 0) },
    ];
    let cut = [1, 2, 4, 5].map(|limit| sorted(SortTarget::Value, SortOrder::None, limit));
    let filtered =
        RangeRequest { min_mod_revision: 1, ..sorted(SortTarget::Value, SortOrder::None, 2) };
    vec![
        ("what a stream of a range cannot be", after_keys(streams.map(Op::RangeStream).into())),
        (
            "a target without an order sorts what the limit leaves",
            after_keys(cut.map(Op::Range).into()),
        ),
        ("but not where there is a filter", after_keys(vec![Op::Range(filtered)])),
    ]
}

fn txns() -> Vec<Case> {
    let many = |n: usize| vec![to_get(range("a", "")); n];
    let deep = |outer: usize, inner: usize| {
        let mut ops = many(outer - 1);
        ops.push(inside(many(inner), vec![]));
        txn(ops)
    };
    let either = inside(vec![to_put("a")], vec![to_delete("a", "")]);
    let unknown = |result, target| {
        let compare = Compare { result, target, key: "a".into(), ..Compare::default() };
        Op::Txn(TxnRequest { compare: vec![compare], ..TxnRequest::default() })
    };
    let negative = |revision| txn(vec![to_get(RangeRequest { revision, ..range("a", "") })]);
    let neither = PutRequest { lease: 99, ignore_value: true, value: "".into(), ..put("a", "") };
    vec![
        ("operations inside count as well", vec![deep(100, 28), deep(100, 29), deep(1, 128)]),
        ("one branch puts what the other deletes", vec![txn(vec![either.clone()])]),
        ("a deletion inside, a put outside", vec![txn(vec![to_put("a"), either.clone()])]),
        ("a put behind a transaction that deletes", vec![txn(vec![either, to_put("a")])]),
        (
            "comparisons that nobody knows",
            vec![
                unknown(7, 0),
                unknown(0, 7),
                unknown(1, 7),
                unknown(7, CompareTarget::Value.into()),
            ],
        ),
        ("a negative revision in a transaction is compacted", vec![negative(-1), negative(0)]),
        ("a lease that is not there before a key that is not", vec![Op::Put(neither)]),
    ]
}

fn others() -> Vec<Case> {
    let negative_and_empty = watch("b", "a", -1);
    let with_id = |watch_id, start| WatchCreateRequest { watch_id, ..watch("a", "", start) };
    let lost = relative::compacted(-1);
    let compact = Op::Compact(CompactionRequest { revision: relative::newest(0), physical: false });
    let grant = |id, ttl| Op::Grant(LeaseGrantRequest { id, ttl });
    vec![
        ("a start before an empty range", vec![Op::Watch(0, negative_and_empty)]),
        ("the words of an empty range", vec![Op::Watch(0, watch("b", "a", 0))]),
        (
            "the words of a number that is taken",
            vec![Op::Watch(0, with_id(5, 0)), Op::Watch(0, with_id(5, 0))],
        ),
        (
            "the number of a lost watch is not free before it is cancelled",
            after_keys(vec![
                compact.clone(),
                Op::Watch(0, with_id(5, lost)),
                Op::Watch(0, with_id(5, 0)),
                Op::Cancel(0, 5),
                Op::Cancel(0, 5),
                Op::Watch(0, with_id(5, 0)),
                Op::Delete(delete("a", "")),
            ]),
        ),
        (
            "progress before the start of a watch",
            vec![
                Op::Watch(0, watch("a", "", relative::newest(2))),
                Op::Progress(0),
                Op::Put(put("b", "")),
                Op::Progress(0),
            ],
        ),
        (
            "leases in the order of their ends",
            vec![grant(1, 3600), grant(3, 600), grant(2, 900), Op::Leases],
        ),
        (
            "what a hash says of compactions",
            after_keys(vec![
                Op::HashKv(HashKvRequest { revision: 0 }),
                compact,
                Op::Put(put("a", "")),
                Op::HashKv(HashKvRequest { revision: 0 }),
            ]),
        ),
    ]
}
