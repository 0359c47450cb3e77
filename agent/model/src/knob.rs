//! The cgroup v2 files the agent writes, as typed values (kernel Documentation/admin-guide/
//! cgroup-v2.rst). Owns values and their text form; who writes what when is `Step`.

use std::collections::BTreeMap;
use std::fmt;

use crate::cpuset::CpuSet;
use crate::qos::CgroupPath;
use crate::units::Micros;

/// `cpu.weight`, 1..=10000, default 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuWeight(u16);

impl CpuWeight {
    pub const MIN: CpuWeight = CpuWeight(1);
    pub const DEFAULT: CpuWeight = CpuWeight(100);

    /// `None` outside 1..=10000, which the kernel answers with ERANGE.
    pub const fn new(weight: u16) -> Option<CpuWeight> {
        if weight >= 1 && weight <= 10_000 { Some(CpuWeight(weight)) } else { None }
    }

    pub const fn get(self) -> u16 {
        self.0
    }
}

/// `cpu.max`: how much CPU time per period, or no limit. The kernel refuses a quota or a period
/// under 1 ms and a period over 1 s (kernel/sched/core.c, `tg_set_cfs_bandwidth`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuMax {
    /// `None` is `max`.
    pub quota: Option<Micros>,
    pub period: Micros,
}

impl CpuMax {
    /// The kernel's default period.
    pub const PERIOD: Micros = Micros(100_000);
    /// Smallest quota the kernel accepts.
    pub const MIN_QUOTA: Micros = Micros(1000);
    pub const UNLIMITED: CpuMax = CpuMax { quota: None, period: CpuMax::PERIOD };
}

impl fmt::Display for CpuMax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.quota {
            Some(quota) => write!(f, "{quota} {}", self.period),
            None => write!(f, "max {}", self.period),
        }
    }
}

/// One value for one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KnobValue {
    /// `cpu.idle`: SCHED_IDLE for the whole group. While it is 1 the kernel refuses `cpu.weight`
    /// with EINVAL.
    CpuIdle(bool),
    CpuWeight(CpuWeight),
    CpuMax(CpuMax),
    /// `cpuset.cpus`. Never empty: an empty write to a populated group is ENOSPC.
    CpusetCpus(CpuSet),
}

/// Which file a value belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Knob {
    CpuIdle,
    CpuWeight,
    CpuMax,
    CpusetCpus,
}

impl Knob {
    pub const ALL: [Knob; 4] = [Knob::CpuIdle, Knob::CpuWeight, Knob::CpuMax, Knob::CpusetCpus];

    pub const fn file(self) -> &'static str {
        match self {
            Knob::CpuIdle => "cpu.idle",
            Knob::CpuWeight => "cpu.weight",
            Knob::CpuMax => "cpu.max",
            Knob::CpusetCpus => "cpuset.cpus",
        }
    }

    pub fn from_file(file: &str) -> Option<Knob> {
        Knob::ALL.into_iter().find(|knob| knob.file() == file)
    }

    /// Which actuator owns the file. Measured beside 16 hogs, `cpuset.cpus` takes 80-120 ms at
    /// p99 because it walks every task; the others take 0.4-0.8 ms at p50.
    pub const fn lane(self) -> Lane {
        match self {
            Knob::CpuIdle | Knob::CpuWeight | Knob::CpuMax => Lane::Fast,
            Knob::CpusetCpus => Lane::Slow,
        }
    }
}

impl KnobValue {
    pub const fn knob(&self) -> Knob {
        match self {
            KnobValue::CpuIdle(_) => Knob::CpuIdle,
            KnobValue::CpuWeight(_) => Knob::CpuWeight,
            KnobValue::CpuMax(_) => Knob::CpuMax,
            KnobValue::CpusetCpus(_) => Knob::CpusetCpus,
        }
    }
}

impl fmt::Display for KnobValue {
    /// The bytes that are written to the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KnobValue::CpuIdle(idle) => write!(f, "{}", u8::from(*idle)),
            KnobValue::CpuWeight(weight) => write!(f, "{}", weight.get()),
            KnobValue::CpuMax(max) => write!(f, "{max}"),
            KnobValue::CpusetCpus(cpus) => write!(f, "{cpus}"),
        }
    }
}

/// The two actuators. A file has exactly one owner, so no two threads ever race on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Own thread, held file descriptors, microseconds; carries suppression.
    Fast,
    /// Files whose write may block in the kernel.
    Slow,
}

/// What is believed to stand in the files of one cgroup; `None` is "never seen".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Knobs {
    pub cpu_idle: Option<bool>,
    pub cpu_weight: Option<CpuWeight>,
    pub cpu_max: Option<CpuMax>,
    /// As written; empty means "inherit".
    pub cpuset_cpus: Option<CpuSet>,
    /// What the kernel made of it.
    pub cpuset_effective: Option<CpuSet>,
}

impl Knobs {
    pub fn get(&self, knob: Knob) -> Option<KnobValue> {
        match knob {
            Knob::CpuIdle => self.cpu_idle.map(KnobValue::CpuIdle),
            Knob::CpuWeight => self.cpu_weight.map(KnobValue::CpuWeight),
            Knob::CpuMax => self.cpu_max.map(KnobValue::CpuMax),
            Knob::CpusetCpus => self.cpuset_cpus.map(KnobValue::CpusetCpus),
        }
    }

    pub fn record(&mut self, value: KnobValue) {
        match value {
            KnobValue::CpuIdle(idle) => self.cpu_idle = Some(idle),
            KnobValue::CpuWeight(weight) => self.cpu_weight = Some(weight),
            KnobValue::CpuMax(max) => self.cpu_max = Some(max),
            KnobValue::CpusetCpus(cpus) => self.cpuset_cpus = Some(cpus),
        }
    }
}

/// Knobs by cgroup.
pub type KnobTable = BTreeMap<CgroupPath, Knobs>;
