//! A store with its committer's thread, and a runtime for its clients.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::Runtime;

use crate::engine::Engine;
use crate::reserve::Boot;
use crate::store::{Ended, Identity, OpenError, Options, Store};

/// Little is kept in memory, so that the log is read for what happened before.
const RECENT_BYTES: usize = 4 << 10;

pub(super) struct Rig {
    pub(super) store: Arc<Store>,
    committer: JoinHandle<Ended>,
}

impl Rig {
    pub(super) fn open(engine: Arc<dyn Engine>) -> Result<Rig, OpenError> {
        Rig::open_in(Boot::UNKNOWN, engine)
    }

    /// On a machine in that boot.
    pub(super) fn open_in(boot: Boot, engine: Arc<dyn Engine>) -> Result<Rig, OpenError> {
        let identity = Identity { cluster: 1, member: 1 };
        let store = Store::open(engine, &Options { identity, recent_bytes: RECENT_BYTES, boot })?;
        let store = Arc::new(store);
        let committing = Arc::clone(&store);
        Ok(Rig { store, committer: std::thread::spawn(move || committing.commit()) })
    }

    /// Closes the store, if it has not ended by itself.
    pub(super) fn end(self) -> Ended {
        self.store.close();
        self.committer.join().expect("the committer does not panic")
    }
}

pub(super) fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime")
}

/// From the environment, for long runs.
pub(super) fn rounds(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
