//! The sources of the machine itself: topology, `/proc` and host pressure.

use std::io;

use hostfs::procfs::{HostFiles, user_hz};
use hostfs::{HostRoot, ReadError, TopologyError, read_topology};
use model::Topology;
use model::sample::{HostSample, SourceFault};

use crate::source::{self, SourceHandle, SourcePlan};

/// CPU times, memory and pressure of the host.
pub fn spawn_host(plan: SourcePlan, host: HostRoot) -> io::Result<SourceHandle<HostSample>> {
    let mut files: Option<HostFiles> = None;
    source::spawn(plan, move |_| {
        let open = match files.take() {
            Some(open) => open,
            None => HostFiles::open(&host, user_hz()).map_err(fault_of)?,
        };
        let sample = open.read().map_err(fault_of)?;
        files = Some(open);
        Ok(sample)
    })
}

/// CPUs and NUMA nodes; re-read because CPUs go offline and come back.
pub fn spawn_topology(plan: SourcePlan, host: HostRoot) -> io::Result<SourceHandle<Topology>> {
    source::spawn(plan, move |_| read_topology(&host).map_err(topology_fault))
}

pub(crate) fn fault_of(error: ReadError) -> SourceFault {
    match error {
        ReadError::Absent { path } => SourceFault::Absent { what: path.display().to_string() },
        ReadError::Unsupported { path } => {
            SourceFault::Unsupported { why: format!("{} is not offered", path.display()) }
        }
        error => SourceFault::Broken { error: error.to_string() },
    }
}

fn topology_fault(error: TopologyError) -> SourceFault {
    SourceFault::Broken { error: error.to_string() }
}
