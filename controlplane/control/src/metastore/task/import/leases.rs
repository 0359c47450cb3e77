//! The leases of a source: which the new log has already, and what it takes for it to have the same.

use std::collections::BTreeSet;

use anyhow::Context as _;
use metastore::copy::Copier;
use metastore::lease::{MAX_TTL_S, MIN_TTL_S};
use proto::etcd::etcdserverpb::lease_client::LeaseClient;
use proto::etcd::etcdserverpb::{LeaseLeasesRequest, LeaseTimeToLiveRequest};
use tonic::transport::Channel;

use super::super::client::has_no_such_call;

#[derive(Debug)]
pub(super) struct Leases {
    client: LeaseClient<Channel>,
    known: BTreeSet<i64>,
}

impl Leases {
    pub(super) fn new(channel: &Channel) -> Leases {
        Leases { client: LeaseClient::new(channel.clone()), known: BTreeSet::new() }
    }

    /// Those that the log has from a snapshot.
    pub(super) fn are_there(&mut self, ids: impl IntoIterator<Item = i64>) {
        self.known.extend(ids);
    }

    /// Before a key that has it. Time that is left is not taken over: it begins anew with the first start of the store, as after every
    /// start.
    pub(super) async fn know(&mut self, id: i64, copier: &mut Copier<'_>) -> anyhow::Result<()> {
        if id == 0 || self.known.contains(&id) {
            return Ok(());
        }
        let asked = LeaseTimeToLiveRequest { id, keys: false };
        let granted_s = match self.client.lease_time_to_live(asked).await {
            Ok(answer) => answer.into_inner().granted_ttl,
            // There a lease is nothing but its time.
            Err(status) if has_no_such_call(&status) => id,
            Err(status) => return Err(status).context("ask for a lease"),
        };
        // One that is gone already: its keys go with the next transactions.
        if granted_s > 0 {
            copier.lease(id, granted_s.clamp(MIN_TTL_S, MAX_TTL_S));
            self.known.insert(id);
        }
        Ok(())
    }

    /// At the end: those without a key too, and none that has ended.
    pub(super) async fn reconcile(&mut self, copier: &mut Copier<'_>) -> anyhow::Result<()> {
        let answer = match self.client.lease_leases(LeaseLeasesRequest {}).await {
            Ok(answer) => answer.into_inner(),
            Err(status) if has_no_such_call(&status) => return Ok(()),
            Err(status) => return Err(status).context("ask for the leases"),
        };
        let there: BTreeSet<i64> = answer.leases.into_iter().map(|lease| lease.id).collect();
        for id in &there {
            self.know(*id, copier).await?;
        }
        for gone in self.known.difference(&there) {
            copier.lease_is_gone(*gone);
        }
        Ok(())
    }
}
