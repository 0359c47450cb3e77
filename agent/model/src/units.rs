//! Ids and quantities with their units in the type. Owns no arithmetic beyond conversion and
//! saturating addition; a bare `u64` never crosses a crate edge.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

id!(/** A logical CPU as the kernel numbers it (`/sys/devices/system/cpu/cpuN`). */ CpuId(u16));
id!(/** A NUMA node (`/sys/devices/system/node/nodeN`). */ NumaNodeId(u16));
id!(/** A physical package (`topology/physical_package_id`). */ SocketId(u16));
id!(/** A physical core, unique on the machine: the lowest CPU of its sibling list. */ CoreId(u16));
id!(/** A last-level cache, unique on the machine: the lowest CPU that shares it. */ LlcId(u16));
id!(/** The inode number of a cgroup v2 directory, which is what BPF sees as cgroup id. */ CgroupId(u64));
id!(/** Dense index of a tracked workload in the BPF maps; 0 is "untracked". */ SlotId(u16));
id!(/** An amount of memory. */ Bytes(u64));
id!(/** Thousandths of one CPU; 1000 is one CPU for the whole time. */ MilliCpu(u64));
id!(/** A duration in microseconds, the kernel's unit in `cpu.stat` and PSI. */ Micros(u64));
id!(/** A duration in nanoseconds. */ Nanos(u64));
id!(/** Nanoseconds of CLOCK_MONOTONIC, the clock of `bpf_ktime_get_ns`. */ Timestamp(u64));

impl SlotId {
    /// Tasks whose cgroup is not tracked are accounted here.
    pub const UNTRACKED: SlotId = SlotId(0);
}

impl Nanos {
    pub const fn from_millis(millis: u64) -> Nanos {
        Nanos(millis * 1_000_000)
    }

    pub const fn from_secs(secs: u64) -> Nanos {
        Nanos(secs * 1_000_000_000)
    }

    pub const fn as_micros(self) -> Micros {
        Micros(self.0 / 1000)
    }
}

impl Micros {
    pub const fn as_nanos(self) -> Nanos {
        Nanos(self.0 * 1000)
    }
}

impl MilliCpu {
    pub const fn from_cpus(n_cpus: u64) -> MilliCpu {
        MilliCpu(n_cpus * 1000)
    }

    /// Whole CPUs needed to hold this much, rounded up.
    pub const fn ceil_cpus(self) -> u64 {
        self.0.div_ceil(1000)
    }
}

impl Timestamp {
    /// How long ago `earlier` was; zero when the clock says it lies in the future.
    pub const fn since(self, earlier: Timestamp) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }

    pub const fn after(self, span: Nanos) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }
}
