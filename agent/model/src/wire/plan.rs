//! Wire forms of decided state: Plan, Overlay, knobs, Decision.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::advice::{BinderState, BurstState, HeadroomState};
use super::{Ledger, ProvisionState, WireError, bad, parsed};
use crate::cpuset::CpuSet;
use crate::headroom::Amount;
use crate::knob::{self, CpuMax, CpuWeight};
use crate::numa::NumaSet;
use crate::plan::{self as inner, Generation};
use crate::qos::{CgroupPath, PoolName, QosLevel, WorkloadName};
use crate::units::{Micros, MilliCpu, Timestamp};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub generation: u64,
    pub built_at_ns: u64,
    pub snapshot_at_ns: u64,
    pub pools: BTreeMap<String, PoolPlan>,
    pub workloads: BTreeMap<String, WorkloadPlan>,
    /// Added without a new schema: a Plan from before has nobody in it, and a node admits whom it
    /// finds.
    #[serde(default)]
    pub ledger: Ledger,
    #[serde(default)]
    pub regions: BTreeMap<String, RegionState>,
    /// What rules remember; what they say is worked out anew.
    #[serde(default)]
    pub headroom: HeadroomState,
    #[serde(default)]
    pub headroom_told: [Option<u64>; 2],
    #[serde(default)]
    pub pressure: BinderState,
    #[serde(default)]
    pub bursts: BurstState,
    #[serde(default)]
    pub provision: ProvisionState,
    /// Cgroup and `cpu.max` by workload.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ceilings: BTreeMap<String, [String; 2]>,
    /// What a Plan before `regions` remembered of its one share pool; never written.
    #[serde(default, skip_serializing)]
    pub share_low_since_ns: Option<u64>,
    #[serde(default, skip_serializing)]
    pub share_late_ticks: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionState {
    pub n_exclusive: u16,
    pub low_since_ns: Option<u64>,
    pub late_ticks: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolPlan {
    pub cpus: String,
    pub need_milli: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkloadPlan {
    pub qos: String,
    pub pool: String,
    pub cgroup: String,
    /// Of a pod: the cgroups that have the cpuset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<Vec<String>>,
    pub cpus: String,
    pub cpu_weight: Option<u16>,
    pub cpu_idle: Option<bool>,
    /// As in the file: `QUOTA PERIOD` or `max PERIOD`.
    pub cpu_max: Option<String>,
    #[serde(flatten)]
    pub more: MoreKnobs,
}

/// The knobs that came after the first recorded files: written where they are known, and absent in
/// older files. Each as in its file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoreKnobs {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_burst_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpuset_mems: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_min: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_low: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_high: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_max: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<String>,
}

impl From<&knob::Knobs> for MoreKnobs {
    fn from(knobs: &knob::Knobs) -> MoreKnobs {
        let text = |limit: Option<knob::MemoryLimit>| limit.map(|limit| limit.to_string());
        MoreKnobs {
            cpu_burst_us: knobs.cpu_burst.map(|burst| burst.0),
            cpuset_mems: knobs.cpuset_mems.map(|mems| mems.to_string()),
            memory_min: text(knobs.memory_min),
            memory_low: text(knobs.memory_low),
            memory_high: text(knobs.memory_high),
            memory_max: text(knobs.memory_max),
            oom_score_adj: knobs.oom_score_adj.map(|score| score.to_string()),
        }
    }
}

impl TryFrom<MoreKnobs> for knob::Knobs {
    type Error = WireError;

    /// The knobs that are not among them stay unknown.
    fn try_from(more: MoreKnobs) -> Result<knob::Knobs, WireError> {
        let mems = |text: String| NumaSet::parse(&text).ok_or_else(|| bad("cpuset_mems", text));
        Ok(knob::Knobs {
            cpu_burst: more.cpu_burst_us.map(Micros),
            cpuset_mems: more.cpuset_mems.map(mems).transpose()?,
            memory_min: maybe("memory_min", more.memory_min)?,
            memory_low: maybe("memory_low", more.memory_low)?,
            memory_high: maybe("memory_high", more.memory_high)?,
            memory_max: maybe("memory_max", more.memory_max)?,
            oom_score_adj: maybe("oom_score_adj", more.oom_score_adj)?,
            ..knob::Knobs::default()
        })
    }
}

fn maybe<T: std::str::FromStr>(
    field: &'static str,
    text: Option<String>,
) -> Result<Option<T>, WireError> {
    text.map(|text| parsed(field, &text)).transpose()
}

impl From<&inner::Plan> for Plan {
    fn from(plan: &inner::Plan) -> Plan {
        let pools = plan.pools.iter().map(|(name, pool)| {
            (name.to_string(), PoolPlan { cpus: pool.cpus.to_string(), need_milli: pool.need.0 })
        });
        let workloads = plan.workloads.iter().map(|(name, w)| (name.to_string(), w.into()));
        let ceilings = plan.advice.ceilings.iter();
        Plan {
            generation: plan.generation.0,
            built_at_ns: plan.built_at.0,
            snapshot_at_ns: plan.snapshot_at.0,
            pools: pools.collect(),
            workloads: workloads.collect(),
            ledger: Ledger::from(&*plan.ledger),
            headroom: HeadroomState::from(&plan.advice.headroom_state),
            headroom_told: plan.advice.told.map(|told| told.map(|it| it.0)),
            pressure: BinderState::from(&plan.advice.pressure),
            bursts: BurstState::from(&plan.advice.bursts),
            provision: ProvisionState::from(&plan.advice.provision),
            ceilings: ceilings.map(|(name, it)| (name.to_string(), ceiling_row(it))).collect(),
            share_low_since_ns: None,
            share_late_ticks: 0,
            regions: plan.regions.iter().map(|(name, it)| (name.to_string(), it.into())).collect(),
        }
    }
}

impl TryFrom<Plan> for inner::Plan {
    type Error = WireError;

    fn try_from(plan: Plan) -> Result<inner::Plan, WireError> {
        let mut pools = BTreeMap::new();
        for (name, pool) in plan.pools {
            let cpus = parsed("pool.cpus", &pool.cpus)?;
            let pool = inner::PoolPlan { cpus, need: MilliCpu(pool.need_milli) };
            pools.insert(PoolName::new(name), pool);
        }
        let mut workloads = BTreeMap::new();
        for (name, workload) in plan.workloads {
            workloads.insert(WorkloadName::new(name), workload.try_into()?);
        }
        let mut regions: BTreeMap<PoolName, inner::RegionState> =
            plan.regions.into_iter().map(|(name, it)| (PoolName::new(name), it.into())).collect();
        if regions.is_empty() {
            let low_since = plan.share_low_since_ns.map(Timestamp);
            regions.extend(one_region(&pools, low_since, plan.share_late_ticks));
        }
        let mut ceilings = BTreeMap::new();
        for (name, [cgroup, max]) in plan.ceilings {
            let max = cpu_max(&max)?;
            let ceiling = inner::Ceiling { cgroup: CgroupPath::new(cgroup), max };
            ceilings.insert(WorkloadName::new(name), ceiling);
        }
        Ok(inner::Plan {
            generation: Generation(plan.generation),
            built_at: Timestamp(plan.built_at_ns),
            snapshot_at: Timestamp(plan.snapshot_at_ns),
            pools,
            workloads,
            ledger: Arc::new(plan.ledger.try_into()?),
            regions,
            advice: inner::Advice {
                headroom: None,
                headroom_state: plan.headroom.try_into()?,
                told: plan.headroom_told.map(|told| told.map(Amount)),
                pressure: plan.pressure.try_into()?,
                bursts: plan.bursts.try_into()?,
                provision: plan.provision.try_into()?,
                ceilings,
            },
        })
    }
}

fn ceiling_row(ceiling: &inner::Ceiling) -> [String; 2] {
    [ceiling.cgroup.to_string(), ceiling.max.to_string()]
}

/// The region of a Plan from when there was only one.
fn one_region(
    pools: &BTreeMap<PoolName, inner::PoolPlan>,
    low_since: Option<Timestamp>,
    late_ticks: u8,
) -> Option<(PoolName, inner::RegionState)> {
    let share = pools.get(PoolName::SHARE)?.cpus;
    let reclaim = pools.get(PoolName::RECLAIM).map_or(CpuSet::EMPTY, |pool| pool.cpus);
    let n_exclusive = u16::try_from(share.difference(&reclaim).len()).unwrap_or(u16::MAX);
    let state = inner::RegionState { n_exclusive, low_since, late_ticks };
    Some((PoolName::from(PoolName::SHARE), state))
}

impl From<&inner::RegionState> for RegionState {
    fn from(state: &inner::RegionState) -> RegionState {
        RegionState {
            n_exclusive: state.n_exclusive,
            low_since_ns: state.low_since.map(|at| at.0),
            late_ticks: state.late_ticks,
        }
    }
}

impl From<RegionState> for inner::RegionState {
    fn from(state: RegionState) -> inner::RegionState {
        inner::RegionState {
            n_exclusive: state.n_exclusive,
            low_since: state.low_since_ns.map(Timestamp),
            late_ticks: state.late_ticks,
        }
    }
}

impl From<&inner::WorkloadPlan> for WorkloadPlan {
    fn from(workload: &inner::WorkloadPlan) -> WorkloadPlan {
        WorkloadPlan {
            qos: workload.qos.to_string(),
            pool: workload.pool.to_string(),
            cgroup: workload.cgroup.to_string(),
            containers: workload
                .containers
                .as_ref()
                .map(|all| all.iter().map(CgroupPath::to_string).collect()),
            cpus: workload.cpus.to_string(),
            cpu_weight: workload.cpu_weight.map(CpuWeight::get),
            cpu_idle: workload.cpu_idle,
            cpu_max: workload.cpu_max.map(|max| max.to_string()),
            more: MoreKnobs::from(&knob::Knobs {
                cpu_burst: workload.cpu_burst,
                cpuset_mems: workload.mems,
                memory_min: workload.memory_min,
                memory_low: workload.memory_low,
                memory_high: workload.memory_high,
                memory_max: workload.memory_max,
                oom_score_adj: workload.oom_score_adj,
                ..knob::Knobs::default()
            }),
        }
    }
}

impl TryFrom<WorkloadPlan> for inner::WorkloadPlan {
    type Error = WireError;

    fn try_from(workload: WorkloadPlan) -> Result<inner::WorkloadPlan, WireError> {
        let more = knob::Knobs::try_from(workload.more)?;
        Ok(inner::WorkloadPlan {
            qos: qos(&workload.qos)?,
            pool: PoolName::new(workload.pool),
            cgroup: CgroupPath::new(workload.cgroup),
            containers: workload
                .containers
                .map(|all| all.into_iter().map(CgroupPath::new).collect()),
            cpus: parsed("workload.cpus", &workload.cpus)?,
            cpu_weight: workload.cpu_weight.map(cpu_weight).transpose()?,
            cpu_idle: workload.cpu_idle,
            cpu_max: workload.cpu_max.as_deref().map(cpu_max).transpose()?,
            cpu_burst: more.cpu_burst,
            mems: more.cpuset_mems,
            memory_min: more.memory_min,
            memory_low: more.memory_low,
            memory_high: more.memory_high,
            memory_max: more.memory_max,
            oom_score_adj: more.oom_score_adj,
        })
    }
}

pub(super) fn qos(name: &str) -> Result<QosLevel, WireError> {
    QosLevel::from_name(name).ok_or_else(|| bad("qos", name))
}

pub(super) fn cpu_weight(weight: u16) -> Result<CpuWeight, WireError> {
    CpuWeight::new(weight).ok_or_else(|| bad("cpu_weight", weight))
}

pub(super) fn cpu_max(text: &str) -> Result<CpuMax, WireError> {
    let (quota, period) = text.split_once(' ').ok_or_else(|| bad("cpu_max", text))?;
    let quota = match quota {
        "max" => None,
        quota => Some(Micros(parsed("cpu_max quota", quota)?)),
    };
    Ok(CpuMax { quota, period: Micros(parsed("cpu_max period", period)?) })
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    pub began_at_ns: u64,
    pub expires_at_ns: u64,
    pub floor_milli: u64,
    pub cpu_idle: bool,
    #[serde(default)]
    pub throttle: bool,
    pub victim: String,
    pub first_wait_at_ns: u64,
}

impl From<&inner::Overlay> for Overlay {
    fn from(overlay: &inner::Overlay) -> Overlay {
        Overlay {
            began_at_ns: overlay.began_at.0,
            expires_at_ns: overlay.expires_at.0,
            floor_milli: overlay.floor.0,
            cpu_idle: overlay.cpu_idle,
            throttle: overlay.throttle,
            victim: overlay.victim.to_string(),
            first_wait_at_ns: overlay.first_wait_at.0,
        }
    }
}

impl From<Overlay> for inner::Overlay {
    fn from(overlay: Overlay) -> inner::Overlay {
        inner::Overlay {
            began_at: Timestamp(overlay.began_at_ns),
            expires_at: Timestamp(overlay.expires_at_ns),
            floor: MilliCpu(overlay.floor_milli),
            cpu_idle: overlay.cpu_idle,
            throttle: overlay.throttle,
            victim: WorkloadName::new(overlay.victim),
            first_wait_at: Timestamp(overlay.first_wait_at_ns),
        }
    }
}

/// Knobs by cgroup path; the originals in a checkpoint have this form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KnobTable(pub BTreeMap<String, Knobs>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knobs {
    pub cpu_idle: Option<bool>,
    pub cpu_weight: Option<u16>,
    pub cpu_max: Option<String>,
    pub cpuset_cpus: Option<String>,
    pub cpuset_effective: Option<String>,
    #[serde(flatten)]
    pub more: MoreKnobs,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seldom_at_ns: Option<u64>,
}

impl From<&knob::KnobTable> for KnobTable {
    fn from(table: &knob::KnobTable) -> KnobTable {
        KnobTable(table.iter().map(|(path, knobs)| (path.to_string(), knobs.into())).collect())
    }
}

impl TryFrom<KnobTable> for knob::KnobTable {
    type Error = WireError;

    fn try_from(table: KnobTable) -> Result<knob::KnobTable, WireError> {
        let rows = table.0.into_iter();
        rows.map(|(path, knobs)| Ok((CgroupPath::new(path), knobs.try_into()?))).collect()
    }
}

impl From<&knob::Knobs> for Knobs {
    fn from(knobs: &knob::Knobs) -> Knobs {
        Knobs {
            cpu_idle: knobs.cpu_idle,
            cpu_weight: knobs.cpu_weight.map(CpuWeight::get),
            cpu_max: knobs.cpu_max.map(|max| max.to_string()),
            cpuset_cpus: knobs.cpuset_cpus.map(|cpus| cpus.to_string()),
            cpuset_effective: knobs.cpuset_effective.map(|cpus| cpus.to_string()),
            more: MoreKnobs::from(knobs),
            seldom_at_ns: knobs.seldom_at.map(|at| at.0),
        }
    }
}

impl TryFrom<Knobs> for knob::Knobs {
    type Error = WireError;

    fn try_from(knobs: Knobs) -> Result<knob::Knobs, WireError> {
        Ok(knob::Knobs {
            cpu_idle: knobs.cpu_idle,
            cpu_weight: knobs.cpu_weight.map(cpu_weight).transpose()?,
            cpu_max: knobs.cpu_max.as_deref().map(cpu_max).transpose()?,
            cpuset_cpus: maybe("cpuset_cpus", knobs.cpuset_cpus)?,
            cpuset_effective: maybe("cpuset_effective", knobs.cpuset_effective)?,
            seldom_at: knobs.seldom_at_ns.map(Timestamp),
            ..knob::Knobs::try_from(knobs.more)?
        })
    }
}

/// A Decision for readers outside; it is not turned back, since its rule is a name in our code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub at_ns: u64,
    pub rule: String,
    pub subject: String,
    /// Name and value, in the order the arithmetic uses them.
    pub inputs: Vec<(String, String)>,
    pub result: String,
}

impl From<&crate::decision::Decision> for Decision {
    fn from(decision: &crate::decision::Decision) -> Decision {
        let inputs = decision.inputs.iter();
        Decision {
            at_ns: decision.at.0,
            rule: decision.rule.to_owned(),
            subject: decision.subject.clone(),
            inputs: inputs.map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            result: decision.result.clone(),
        }
    }
}
