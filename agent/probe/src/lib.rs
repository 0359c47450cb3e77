//! The agent's eyes on the run queues: probes the host's facts, plans which BPF programs and map
//! sizes it can have, loads them, and drains the maps into `model::sample::ProbeSample`. The BPF
//! side is `agent-ebpf`; what the numbers mean for anybody is decided in `advisor`.

mod btf;
mod bursts;
mod facts;
mod load;
mod maps;
mod offsets;
mod readplan;
mod sizing;
mod source;
mod stats;

pub use btf::BtfError;
pub use bursts::BurstReader;
pub use facts::{HostFacts, KernelRelease, probe_host};
pub use load::{Attached, LoadError, LoadOptions, load, load_object};
pub use maps::SchedProbe;
pub use offsets::FieldMissing;
pub use readplan::{Hooks, OffReason, ReadPlan, read_plan};
pub use sizing::{DEFAULT_MAP_BUDGET, MapPlan};
pub use source::{FakeProbe, OffProbe, ProbeSource, ReadError};
pub use stats::{ProgramStats, StatsError, StatsOn, enable_stats};

/// The object that `xtask ebpf` built, when there was one at compile time.
mod object {
    include!(concat!(env!("OUT_DIR"), "/object.rs"));
}
