//! The sources of the machine itself: topology, `/proc` and host pressure.

use std::collections::BTreeMap;
use std::io;

use hostfs::procfs::{HostFiles, user_hz};
use hostfs::sysfs::memory::NodeMemoryFiles;
use hostfs::{HostRoot, ReadError, TopologyError, read_topology};
use model::measured::NodeMemory;
use model::sample::{HostSample, SourceFault};
use model::{NumaNodeId, Topology};

use crate::source::{self, SourceHandle, SourcePlan};

/// CPU times, memory and pressure of the host.
pub fn spawn_host(plan: SourcePlan, host: HostRoot) -> io::Result<SourceHandle<HostSample>> {
    let mut files: Option<HostFiles> = None;
    let mut memory = MemoryReader::default();
    source::spawn(plan, move |_| {
        let open = match files.take() {
            Some(open) => open,
            None => HostFiles::open(&host, user_hz()).map_err(fault_of)?,
        };
        let mut sample = open.read().map_err(fault_of)?;
        // Without it headroom of memory says that nothing was read; CPUs must not be lost with it.
        sample.memory = memory.read(&host).unwrap_or_default();
        files = Some(open);
        Ok(sample)
    })
}

/// Headroom follows memory over minutes: every fifth reading is enough.
const MEMORY_EVERY: u32 = 5;
/// Watermarks change when somebody tunes them.
const WATERMARKS_EVERY: u32 = 60;

/// Memory of the nodes, kept between readings.
#[derive(Default)]
struct MemoryReader {
    files: Option<NodeMemoryFiles>,
    latest: BTreeMap<NumaNodeId, NodeMemory>,
    n_readings: u32,
}

impl MemoryReader {
    fn read(&mut self, host: &HostRoot) -> Result<BTreeMap<NumaNodeId, NodeMemory>, ReadError> {
        if self.n_readings.is_multiple_of(WATERMARKS_EVERY) {
            // Anew: nodes come and go with hotplug.
            self.files = Some(NodeMemoryFiles::open(host)?);
        }
        if let Some(files) = &self.files
            && self.n_readings.is_multiple_of(MEMORY_EVERY)
        {
            self.latest = files.read()?;
        }
        self.n_readings = self.n_readings.wrapping_add(1);
        Ok(self.latest.clone())
    }
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
