//! Whether somebody may do what he asks for: his name comes with the connection, the rules are those of the moment. Owns which right each
//! request needs; where a range lies is decided by `policy::access`. As in etcd, what answers with the value before also needs the right to
//! read it, and whoever gives a key to a lease needs the right to write all keys of that lease.

use std::sync::Arc;

use bytes::Bytes;
use http::Extensions;
use proto::etcd::etcdserverpb::request_op::Request;
use proto::etcd::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest, WatchCreateRequest,
};
use tonic::Status;

use super::Shared;
use crate::alarm::COMPACT_REV_KEY;
use crate::index::KeyRange;
use crate::policy::access::{Wish, is_inside};
use crate::policy::{Clients, Rights};
use crate::refusal::Refusal;
use crate::store::Store;

/// Who is at the other end of a connection; without a name he shows no certificate, or one without a common name.
#[derive(Clone, Debug, Default)]
pub struct Caller(pub Option<Arc<str>>);

/// What one caller may do now.
pub(super) struct Permit<'a> {
    store: &'a Store,
    clients: Option<Arc<Clients>>,
    caller: Option<Arc<str>>,
}

impl Shared {
    pub(super) fn permit(&self, extensions: &Extensions) -> Permit<'_> {
        self.permit_of(&Caller::of(extensions))
    }

    pub(super) fn permit_of(&self, caller: &Caller) -> Permit<'_> {
        let clients = self.store.policy.clients();
        Permit { store: &self.store, clients, caller: caller.0.clone() }
    }
}

/// For pages that say what is in the store.
pub(crate) fn is_admin(store: &Store, extensions: &Extensions) -> bool {
    let (clients, caller) = (store.policy.clients(), Caller::of(extensions).0);
    Permit { store, clients, caller }.admin().is_ok()
}

impl Caller {
    pub(super) fn of(extensions: &Extensions) -> Caller {
        extensions.get().cloned().unwrap_or_default()
    }
}

impl Permit<'_> {
    /// `None` is everything.
    fn rights(&self) -> Option<&Rights> {
        self.clients.as_ref().map(|clients| clients.rights_of(self.caller.as_deref()))
    }

    /// Whether there is nothing that could be refused, so that nobody has to look.
    fn is_open(&self) -> bool {
        self.clients.is_none() && self.store.policy.key_prefix().is_none()
    }

    /// Anybody who may do anything: it says nothing of keys.
    pub(super) fn known(&self) -> Result<(), Status> {
        self.grant(self.rights().is_none_or(|rights| !rights.is_empty()))
    }

    pub(super) fn admin(&self) -> Result<(), Status> {
        self.grant(self.rights().is_none_or(|rights| rights.admin))
    }

    pub(super) fn range(&self, request: &RangeRequest) -> Result<(), Status> {
        self.keys(Wish::Read, &request.key, &request.range_end)
    }

    pub(super) fn watch(&self, request: &WatchCreateRequest) -> Result<(), Status> {
        self.keys(Wish::Read, &request.key, &request.range_end)
    }

    pub(super) fn put(&self, request: &PutRequest) -> Result<(), Status> {
        self.keys(Wish::Write, &request.key, &Bytes::new())?;
        if request.prev_kv {
            self.keys(Wish::Read, &request.key, &Bytes::new())?;
        }
        if request.lease == 0 { Ok(()) } else { self.lease(Wish::Write, request.lease) }
    }

    pub(super) fn delete(&self, request: &DeleteRangeRequest) -> Result<(), Status> {
        self.keys(Wish::Write, &request.key, &request.range_end)?;
        match request.prev_kv {
            true => self.keys(Wish::Read, &request.key, &request.range_end),
            false => Ok(()),
        }
    }

    /// Both branches, whichever will be taken: an answer would tell what the comparisons found.
    pub(super) fn txn(&self, request: &TxnRequest) -> Result<(), Status> {
        if self.is_open() {
            return Ok(());
        }
        for compare in &request.compare {
            self.keys(Wish::Read, &compare.key, &compare.range_end)?;
        }
        for op in request.success.iter().chain(&request.failure) {
            match &op.request {
                Some(Request::RequestRange(range)) => self.range(range)?,
                Some(Request::RequestPut(put)) => self.put(put)?,
                Some(Request::RequestDeleteRange(delete)) => self.delete(delete)?,
                Some(Request::RequestTxn(inner)) => self.txn(inner)?,
                None => {}
            }
        }
        Ok(())
    }

    /// All keys of a lease.
    pub(super) fn lease(&self, wish: Wish, id: i64) -> Result<(), Status> {
        let Some(rights) = self.rights() else { return Ok(()) };
        if rights.allow(wish, &KeyRange::all()) {
            return Ok(());
        }
        let may =
            |key: &Bytes| rights.allow(wish, &KeyRange::of_request(key.clone(), Bytes::new()));
        self.grant(!rights.is_empty() && self.store.all_keys_of_lease(id, may))
    }

    /// Whether what was allowed when it began still is.
    pub(super) fn still_reads(&self, range: &KeyRange) -> bool {
        self.rights().is_none_or(|rights| rights.allow(Wish::Read, range))
    }

    fn keys(&self, wish: Wish, key: &Bytes, range_end: &Bytes) -> Result<(), Status> {
        if self.is_open() {
            return Ok(());
        }
        let range = KeyRange::of_request(key.clone(), range_end.clone());
        if let Some(rights) = self.rights() {
            self.grant(rights.allow(wish, &range))?;
        }
        match self.store.policy.key_prefix() {
            Some(prefix) if !is_below(&range, prefix) => {
                self.store.metrics.refused("outside_key_prefix");
                let why = format!("etcdserver: the keys are not below --key-prefix {prefix}");
                Err(Status::invalid_argument(why))
            }
            _ => Ok(()),
        }
    }

    fn grant(&self, is_allowed: bool) -> Result<(), Status> {
        if is_allowed {
            return Ok(());
        }
        self.store.metrics.refused("permission_denied");
        Err(Refusal::PermissionDenied.into())
    }
}

/// The key of apiservers that compact lies beside the prefix that they were given. The prefix has no slash at its end, and `/registry` is
/// not the beginning of `/registry2`.
fn is_below(range: &KeyRange, prefix: &str) -> bool {
    let is_own = *range == KeyRange::of_request(Bytes::from_static(COMPACT_REV_KEY), Bytes::new());
    is_own || is_inside(range, format!("{prefix}/").as_bytes())
}

#[cfg(test)]
mod tests;
