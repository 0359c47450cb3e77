//! The operations that a transaction comes to, once it is decided which branches are taken. Pure.

use proto::etcd::etcdserverpb::TxnRequest;
use proto::etcd::etcdserverpb::request_op::Request;

use super::{Path, branch};

/// In their order, those of transactions inside among them.
pub fn taken<'r>(request: &'r TxnRequest, path: &Path) -> Vec<&'r Request> {
    let mut found = Vec::new();
    collect(request, &mut path.0.iter().copied(), &mut found);
    found
}

fn collect<'r>(
    request: &'r TxnRequest,
    path: &mut impl Iterator<Item = bool>,
    found: &mut Vec<&'r Request>,
) {
    // The path has one answer for each transaction, in the same order.
    let holds = path.next().unwrap_or_default();
    for op in branch(request, holds) {
        match &op.request {
            Some(Request::RequestTxn(inner)) => collect(inner, path, found),
            Some(other) => found.push(other),
            None => {}
        }
    }
}
