//! The workloads. Each is a function from a subject to entries; in what order they meet which server is `scenario`'s.

pub(crate) mod compaction;
pub(crate) mod counts;
pub(crate) mod fleet;
pub(crate) mod history;
pub(crate) mod lists;
pub(crate) mod load;
pub(crate) mod restart;
pub(crate) mod storm;
pub(crate) mod watches;
pub(crate) mod writes;

use std::sync::Arc;

use crate::connections::Connections;
use crate::objects::Objects;
use crate::server::Server;
use crate::sizes::Sizes;

/// A server under load with what has been put into it.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) server: Server,
    pub(crate) connections: Connections,
    pub(crate) objects: Arc<Objects>,
    pub(crate) sizes: &'a Sizes,
}

impl Subject<'_> {
    pub(crate) fn pid(&self) -> u32 {
        self.server.pid()
    }
}

/// What a workload's clients share.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    pub(crate) connections: Connections,
    pub(crate) objects: Arc<Objects>,
    pub(crate) value_bytes: usize,
}

impl Subject<'_> {
    pub(crate) fn clients(&self, value_bytes: usize) -> Clients {
        let (connections, objects) = (self.connections.clone(), Arc::clone(&self.objects));
        Clients { connections, objects, value_bytes }
    }
}
