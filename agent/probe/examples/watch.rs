//! Loads the probe on this host, tracks the cgroup ids given as arguments, prints for a second.
//! Read-only: it traces and changes nothing.
#![expect(clippy::print_stdout, reason = "a command-line example")]

use std::path::Path;
use std::time::Duration;

use model::{CgroupId, SlotId, Timestamp};
use probe::{DEFAULT_MAP_BUDGET, LoadOptions, ProbeSource as _};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let facts = probe::probe_host(Path::new("/"));
    println!("{facts:#?}");
    let plan = probe::read_plan(&facts, DEFAULT_MAP_BUDGET);
    println!("{plan:#?}");
    let mut probe = probe::load(Path::new("/"), &plan, LoadOptions::default())?;
    for (slot, id) in (1..).zip(std::env::args().skip(1)) {
        probe.track(SlotId(slot), &[CgroupId(id.parse()?)])?;
    }
    std::thread::sleep(Duration::from_secs(1));
    println!("{:#?}", probe.read(Timestamp(0))?);
    Ok(())
}
