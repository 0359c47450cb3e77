//! Transactions: those of Kubernetes, and of every other shape.

use bytes::Bytes;
use proptest::prelude::*;
use proto::etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcd::etcdserverpb::request_op::Request;
use proto::etcd::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};

use super::super::relative;
use super::{bounded, delete, key, lease, put, range, rarely, span, value};

/// etcd's `--max-txn-ops`.
const MAX_OPS: usize = 128;

pub(super) fn any() -> BoxedStrategy<TxnRequest> {
    prop_oneof![6 => of_kubernetes(), 10 => nested(), 1 => wide()].boxed()
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

/// Create, update, delete, the old delete, and what its compactor does.
fn of_kubernetes() -> BoxedStrategy<TxnRequest> {
    let at = prop_oneof![2 => Just(0), 4 => (-6..=0_i64).prop_map(relative::newest)];
    (0..5_usize, key(), value(), 0..2_i64, at)
        .prop_map(|(shape, key, value, lease, at)| {
            let get =
                op(Request::RequestRange(RangeRequest { key: key.clone(), ..Default::default() }));
            let put = PutRequest { key: key.clone(), value, lease, ..Default::default() };
            let put = op(Request::RequestPut(put));
            let delete = DeleteRangeRequest { key: key.clone(), ..Default::default() };
            let delete = op(Request::RequestDeleteRange(delete));
            let is_at = |at| Compare {
                result: CompareResult::Equal.into(),
                target: CompareTarget::Mod.into(),
                key: key.clone(),
                range_end: Bytes::new(),
                target_union: Some(TargetUnion::ModRevision(at)),
            };
            let is_version = Compare {
                target: CompareTarget::Version.into(),
                target_union: Some(TargetUnion::Version(at.min(1))),
                ..is_at(0)
            };
            let (compare, success, failure) = match shape {
                0 => (vec![is_at(0)], vec![put], vec![]),
                1 => (vec![is_at(at)], vec![put], vec![get]),
                2 => (vec![is_at(at)], vec![delete], vec![get]),
                3 => (vec![], vec![get, delete], vec![]),
                _ => (vec![is_version], vec![put], vec![get]),
            };
            TxnRequest { compare, success, failure }
        })
        .boxed()
}

fn nested() -> BoxedStrategy<TxnRequest> {
    let flat = with_ops(leaf().boxed());
    flat.prop_recursive(2, 12, 4, |inner| {
        let inner = inner.prop_map(|txn| op(Request::RequestTxn(txn)));
        with_ops(prop_oneof![4 => leaf(), 1 => inner].boxed())
    })
    .boxed()
}

fn with_ops(ops: BoxedStrategy<RequestOp>) -> BoxedStrategy<TxnRequest> {
    let compares = prop::collection::vec(compare(), 0..3);
    let (success, failure) =
        (prop::collection::vec(ops.clone(), 0..4), prop::collection::vec(ops, 0..4));
    (compares, success, failure)
        .prop_map(|(compare, mut success, mut failure)| {
            seen_by_etcd(&mut success);
            seen_by_etcd(&mut failure);
            TxnRequest { compare, success, failure }
        })
        .boxed()
}

/// A transaction inside may delete what an earlier one beside it puts: etcd overlooks it, and this store refuses it. So only the first one
/// of a branch deletes.
fn seen_by_etcd(ops: &mut [RequestOp]) {
    let inner = ops.iter_mut().filter_map(|op| match &mut op.request {
        Some(Request::RequestTxn(inner)) => Some(inner),
        _ => None,
    });
    inner.skip(1).for_each(delete_nothing);
}

fn delete_nothing(txn: &mut TxnRequest) {
    for ops in [&mut txn.success, &mut txn.failure] {
        ops.retain(|op| !matches!(op.request, Some(Request::RequestDeleteRange(_))));
        for op in ops {
            if let Some(Request::RequestTxn(inner)) = &mut op.request {
                delete_nothing(inner);
            }
        }
    }
}

fn leaf() -> BoxedStrategy<RequestOp> {
    prop_oneof![
        24 => put().prop_map(|request| op(Request::RequestPut(request))),
        16 => range().prop_map(|request| {
            // Its leases are left out by etcd, see the answers.
            op(Request::RequestRange(RangeRequest { keys_only: false, ..request }))
        }),
        8 => delete().prop_map(bounded).prop_map(|request| op(Request::RequestDeleteRange(request))),
        1 => Just(RequestOp { request: None }),
    ].boxed()
}

/// As many operations as there may be, one fewer, one more.
fn wide() -> BoxedStrategy<TxnRequest> {
    (MAX_OPS - 1..=MAX_OPS + 1, leaf(), 0..3_usize, compare())
        .prop_map(|(n, leaf, place, compare)| {
            let mut txn = TxnRequest::default();
            match place {
                0 => txn.success = vec![leaf; n],
                1 => txn.failure = vec![leaf; n],
                _ => txn.compare = vec![compare; n],
            }
            txn
        })
        .boxed()
}

fn compare() -> BoxedStrategy<Compare> {
    let result = prop_oneof![24 => 0..4_i32, 1 => Just(7)];
    let target = prop_oneof![24 => 0..5_i32, 1 => Just(7)];
    let end = prop_oneof![3 => Just(false), 1 => Just(true)];
    (result, target, span(), end, union())
        .prop_map(|(result, target, span, has_end, union)| {
            let (key, range_end) = span;
            let range_end = if has_end { range_end } else { Bytes::new() };
            // The field that goes with the target, mostly: another one is no error, but zero.
            let target_union = match (target, union) {
                (target, (number, value, lease, false)) => match target {
                    0 => Some(TargetUnion::Version(number % 4)),
                    1 => Some(TargetUnion::CreateRevision(number)),
                    2 => Some(TargetUnion::ModRevision(number)),
                    3 => Some(TargetUnion::Value(value)),
                    4 => Some(TargetUnion::Lease(lease)),
                    _ => None,
                },
                (target, (number, value, _, true)) => match target {
                    0 => Some(TargetUnion::Value(value)),
                    3 => Some(TargetUnion::Version(number % 4)),
                    1 => Some(TargetUnion::ModRevision(number)),
                    _ => None,
                },
            };
            Compare { result, target, key, range_end, target_union }
        })
        .boxed()
}

fn union() -> BoxedStrategy<(i64, Bytes, i64, bool)> {
    let number = prop_oneof![1 => 0..3_i64, 2 => (-8..=0_i64).prop_map(relative::newest)];
    let lease = prop_oneof![1 => Just(0), 1 => lease()];
    (number, value(), lease, rarely(12)).boxed()
}
