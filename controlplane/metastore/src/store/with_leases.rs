//! A state together with the leases that its keys have, for copies of the whole store.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Committed, Store};

impl Store {
    /// The newest durable state, and id and seconds of its leases, by id as etcd orders them. Leases are ahead of what is durable, so those
    /// of before and of after are taken: one too many ends by itself, one too few would let its keys stay for ever.
    pub fn with_leases(&self) -> (Arc<Committed>, Vec<(i64, i64)>) {
        let mut leases = self.lease_seconds();
        let committed = self.committed();
        leases.extend(self.lease_seconds());
        let by_id: BTreeMap<u64, i64> =
            leases.into_iter().map(|(id, ttl_s)| (id.cast_unsigned(), ttl_s)).collect();
        (committed, by_id.into_iter().map(|(id, ttl_s)| (id.cast_signed(), ttl_s)).collect())
    }

    pub fn n_leases(&self) -> usize {
        self.locked().state.leases.len()
    }

    fn lease_seconds(&self) -> Vec<(i64, i64)> {
        self.locked().state.leases.iter().map(|(id, lease)| (id, lease.ttl_s)).collect()
    }
}
