//! The log over a folder and over disks that fail, lose power, or have flipped bits.

use std::sync::Arc;

use super::super::conformance;
use super::super::power::PowerDisk;
use super::*;

mod damage;
mod faults;
mod folder;
mod power_cuts;

const SMALL: LogOptions = LogOptions { segment_bytes: 4096 };

fn open(disk: &PowerDisk) -> Result<(LogEngine, Opened), EngineError> {
    LogEngine::open_on(Arc::new(disk.clone()), SMALL)
}

#[test]
fn keeps_the_contract() {
    conformance::check(&|| Arc::new(open(&PowerDisk::new()).expect("a new log").0));
}
