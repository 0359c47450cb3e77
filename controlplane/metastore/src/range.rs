//! What a range request selects: keys, order, limit, filters and count, from one view of the index. Pure but for values, which are read
//! where the order asks for them. Source: spec of etcd's `server/etcdserver/txn/range.go`, observed on etcd 3.7.

use std::cmp::{Ordering, Reverse};

use bytes::Bytes;
use proto::etcd::etcdserverpb::RangeRequest;
use proto::etcd::etcdserverpb::range_request::{SortOrder, SortTarget};

use crate::index::KeyRange;
use crate::mvcc::{Revision, Version, View};
use crate::refusal::Refusal;

/// Keys of a response, in its order; values are read by whoever sends them.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub keys: Vec<(Bytes, Version)>,
    pub more: bool,
    /// All keys of the range at the revision, whatever limit and filters say.
    pub count: i64,
}

/// Reads a value; an error is the log's.
pub trait Values {
    type Error;

    fn value(&self, key: &[u8], version: &Version) -> Result<Bytes, Self::Error>;
}

/// What is wrong with a request by itself.
pub fn check(request: &RangeRequest) -> Result<(), Refusal> {
    if request.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    let known = SortOrder::try_from(request.sort_order).is_ok()
        && SortTarget::try_from(request.sort_target).is_ok();
    if known { Ok(()) } else { Err(Refusal::InvalidSortOption) }
}

/// What a stream of parts cannot be: sorted, but for the order of the keys, or filtered. A target without an order passes, as in etcd.
pub fn check_stream(request: &RangeRequest) -> Result<(), Refusal> {
    check(request)?;
    let is_in_order = match request.sort_order() {
        SortOrder::None => true,
        SortOrder::Ascend => request.sort_target() == SortTarget::Key,
        SortOrder::Descend => false,
    };
    match (is_in_order, is_filtered(request)) {
        (false, _) => Err(Refusal::SortedStream),
        (true, true) => Err(Refusal::FilteredStream),
        (true, false) => Ok(()),
    }
}

/// The same inside a transaction, where one that is below zero is below what was forgotten, as in etcd.
pub fn revision_in_txn(
    request: &RangeRequest,
    newest: Revision,
    compacted: Revision,
) -> Result<Revision, Refusal> {
    match request.revision {
        revision if revision < 0 && compacted > 0 => Err(Refusal::Compacted),
        _ => revision_of(request, newest, compacted),
    }
}

/// The revision that a request is about, in a store of which `compacted` was forgotten.
pub fn revision_of(
    request: &RangeRequest,
    newest: Revision,
    compacted: Revision,
) -> Result<Revision, Refusal> {
    match request.revision {
        revision if revision > newest => Err(Refusal::FutureRevision),
        revision if revision <= 0 => Ok(newest),
        revision if revision < compacted => Err(Refusal::Compacted),
        revision => Ok(revision),
    }
}

/// Whether the keys come as they lie in the index, so that no more than `limit` of them need to be looked at.
pub fn is_plain(request: &RangeRequest) -> bool {
    is_in_order(request) && !is_filtered(request)
}

pub fn select<V: Values>(
    view: &View<'_>,
    request: &RangeRequest,
    values: &V,
) -> Result<Selection, V::Error> {
    let range = KeyRange::of_request(request.key.clone(), request.range_end.clone());
    let count = i64::try_from(view.count(&range)).unwrap_or(i64::MAX);
    if request.count_only {
        return Ok(Selection { count, ..Selection::default() });
    }
    let limit = usize::try_from(request.limit).unwrap_or(0);
    let limit = if limit == 0 { usize::MAX } else { limit };
    let existing = view.range(&range).map(|(key, version)| (key.to_bytes(), *version));
    if is_plain(request) {
        let keys: Vec<_> = existing.take(limit).collect();
        let more = keys.len() < usize::try_from(count).unwrap_or(usize::MAX);
        return Ok(Selection { keys, more, count });
    }
    // One more than the limit says whether there is more.
    let most = if is_cut_first(request) { limit.saturating_add(1) } else { usize::MAX };
    let existing = existing.filter(|(_, version)| passes(request, version)).take(most);
    let mut keys: Vec<_> = existing.collect();
    sort(&mut keys, request, values)?;
    let more = keys.len() > limit;
    keys.truncate(limit);
    Ok(Selection { keys, more, count })
}

fn is_in_order(request: &RangeRequest) -> bool {
    let by_key = request.sort_target() == SortTarget::Key;
    match request.sort_order() {
        SortOrder::None | SortOrder::Ascend => by_key,
        SortOrder::Descend => false,
    }
}

/// Another target without an order sorts what the first keys of the range are, and not the whole range: one of them more than the limit.
fn is_cut_first(request: &RangeRequest) -> bool {
    request.sort_order() == SortOrder::None && !is_filtered(request)
}

fn is_filtered(request: &RangeRequest) -> bool {
    [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ]
    .iter()
    .any(|bound| *bound != 0)
}

fn passes(request: &RangeRequest, version: &Version) -> bool {
    let within = |revision: Revision, least: i64, most: i64| {
        (least == 0 || revision >= least) && (most == 0 || revision <= most)
    };
    within(version.mod_revision, request.min_mod_revision, request.max_mod_revision)
        && within(version.create_revision, request.min_create_revision, request.max_create_revision)
}

/// Stable, so that equal ones stay in the order of their keys; another target without an order is ascending.
fn sort<V: Values>(
    keys: &mut Vec<(Bytes, Version)>,
    request: &RangeRequest,
    values: &V,
) -> Result<(), V::Error> {
    let descends = request.sort_order() == SortOrder::Descend;
    let by = |number: fn(&Version) -> i64| {
        move |(_, one): &(Bytes, Version), (_, other): &(Bytes, Version)| {
            ordered(&number(one), &number(other), descends)
        }
    };
    match request.sort_target() {
        SortTarget::Key => keys.sort_by(|one, other| ordered(&one.0, &other.0, descends)),
        SortTarget::Version => keys.sort_by(by(|version| version.number)),
        SortTarget::Create => keys.sort_by(by(|version| version.create_revision)),
        SortTarget::Mod => keys.sort_by(by(|version| version.mod_revision)),
        SortTarget::Value => {
            let read = |(key, version): &(Bytes, Version)| values.value(key, version);
            let read: Result<Vec<Bytes>, V::Error> = keys.iter().map(read).collect();
            let mut both: Vec<_> = read?.into_iter().zip(keys.drain(..)).collect();
            both.sort_by(|one, other| ordered(&one.0, &other.0, descends));
            keys.extend(both.into_iter().map(|(_, key)| key));
        }
    }
    Ok(())
}

fn ordered<T: Ord>(one: &T, other: &T, descends: bool) -> Ordering {
    if descends { Reverse(one).cmp(&Reverse(other)) } else { one.cmp(other) }
}

#[cfg(test)]
mod tests;
