//! The host's own counters below `/proc`.
use crate::cgroup::read::PressureOf;
use crate::root::HostRoot;
use std::path::PathBuf;
pub(crate) fn pressure_path(host: &HostRoot, of: PressureOf) -> PathBuf {
    let name = match of {
        PressureOf::Cpu => "cpu",
        PressureOf::Memory => "memory",
        PressureOf::Io => "io",
    };
    host.proc().join("pressure").join(name)
}
