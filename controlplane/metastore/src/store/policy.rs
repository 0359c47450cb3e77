//! The policy of a store as it is now: who may do what, and whether the file that says it could be read the last time. Owns the exchange
//! for a newer one; limits of prefixes are kept in `limits`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::Store;
use crate::policy::{Clients, Policy};

/// Read for every request, exchanged when the file changes.
#[derive(Debug, Default)]
pub struct Current {
    clients: RwLock<Option<Arc<Clients>>>,
    /// Keys outside may not be touched by clients.
    key_prefix: OnceLock<String>,
    reload_failed: AtomicBool,
}

impl Current {
    /// `None` lets everybody do everything.
    pub fn clients(&self) -> Option<Arc<Clients>> {
        self.clients.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn key_prefix(&self) -> Option<&str> {
        self.key_prefix.get().map(String::as_str)
    }

    /// Once, before clients come.
    pub fn set_key_prefix(&self, prefix: String) {
        let _ = self.key_prefix.set(prefix);
    }

    pub fn has_failed(&self) -> bool {
        self.reload_failed.load(Ordering::Relaxed)
    }

    /// The policy before stays.
    pub fn failed(&self) {
        self.reload_failed.store(true, Ordering::Relaxed);
    }
}

impl Store {
    /// From now on; writes that are under way are of before.
    pub fn set_policy(&self, policy: Policy) {
        let Policy { prefixes, clients } = policy;
        *self.policy.clients.write().unwrap_or_else(PoisonError::into_inner) =
            clients.map(Arc::new);
        self.set_prefix_limits(prefixes);
        self.policy.reload_failed.store(false, Ordering::Relaxed);
    }
}
