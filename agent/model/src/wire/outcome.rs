//! Wire forms of what comes back from outside of the turn: Outcomes and bursts.

use serde::{Deserialize, Serialize};

use super::plan::{cpu_max, cpu_weight};
use super::wish::nodes;
use super::{WireError, bad, parsed};
use crate::knob::{Knob, KnobValue};
use crate::plan::{self as inner, FailureKind, Generation, Phase};
use crate::qos::{CgroupPath, WorkloadName};
use crate::sample as source;
use crate::units::{Bytes, CpuId, Micros, Nanos, SlotId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    generation: u64,
    workload: String,
    cgroup: String,
    file: String,
    value: String,
    phase: Half,
    rule: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Half {
    Take,
    Give,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outcome {
    step: Step,
    result: Said,
    finished_at_ns: u64,
    took_ns: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    Written,
    WrittenBelowUse { in_use_bytes: u64 },
    AlreadyThere,
    DryRun,
    Superseded,
    Failed { kind: Kind, errno: Option<i32>, message: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Vanished,
    Busy,
    Invalid,
    NoSpace,
    Denied,
    Unsupported,
    Mismatch,
    Held,
    Other,
}

const KINDS: [(Kind, FailureKind); 9] = [
    (Kind::Vanished, FailureKind::Vanished),
    (Kind::Busy, FailureKind::Busy),
    (Kind::Invalid, FailureKind::Invalid),
    (Kind::NoSpace, FailureKind::NoSpace),
    (Kind::Denied, FailureKind::Denied),
    (Kind::Unsupported, FailureKind::Unsupported),
    (Kind::Mismatch, FailureKind::Mismatch),
    (Kind::Held, FailureKind::Held),
    (Kind::Other, FailureKind::Other),
];

/// The rules that Steps have; they are names in our code.
const RULES: [&str; 7] =
    ["suppress", "ceiling", "let-go", "weight", "pool", "pool-shrink", "pool-grow"];

impl From<&inner::Step> for Step {
    fn from(step: &inner::Step) -> Step {
        Step {
            generation: step.generation.0,
            workload: step.workload.to_string(),
            cgroup: step.cgroup.to_string(),
            file: step.knob().file().to_owned(),
            value: step.value.to_string(),
            phase: match step.phase {
                Phase::Take => Half::Take,
                Phase::Give => Half::Give,
            },
            rule: step.rule.to_owned(),
        }
    }
}

impl TryFrom<Step> for inner::Step {
    type Error = WireError;

    fn try_from(step: Step) -> Result<inner::Step, WireError> {
        let rule = RULES.into_iter().find(|rule| *rule == step.rule);
        Ok(inner::Step {
            generation: Generation(step.generation),
            value: value(&step.file, &step.value)?,
            workload: WorkloadName::new(step.workload),
            cgroup: CgroupPath::new(step.cgroup),
            phase: match step.phase {
                Half::Take => Phase::Take,
                Half::Give => Phase::Give,
            },
            // Of another version: it does not matter to what an Outcome means.
            rule: rule.unwrap_or("recorded"),
        })
    }
}

fn value(file: &str, text: &str) -> Result<KnobValue, WireError> {
    match Knob::from_file(file).ok_or_else(|| bad("step.file", file))? {
        Knob::CpuIdle => match text {
            "0" => Ok(KnobValue::CpuIdle(false)),
            "1" => Ok(KnobValue::CpuIdle(true)),
            _ => Err(bad("cpu.idle", text)),
        },
        Knob::CpuWeight => cpu_weight(parsed("cpu.weight", text)?).map(KnobValue::CpuWeight),
        Knob::CpuMax => cpu_max(text).map(KnobValue::CpuMax),
        Knob::CpuMaxBurst => parsed("cpu.max.burst", text).map(Micros).map(KnobValue::CpuMaxBurst),
        Knob::CpusetCpus => parsed("cpuset.cpus", text).map(KnobValue::CpusetCpus),
        Knob::CpusetMems => nodes("cpuset.mems", text).map(KnobValue::CpusetMems),
        Knob::MemoryMin => parsed("memory.min", text).map(KnobValue::MemoryMin),
        Knob::MemoryLow => parsed("memory.low", text).map(KnobValue::MemoryLow),
        Knob::MemoryHigh => parsed("memory.high", text).map(KnobValue::MemoryHigh),
        Knob::MemoryMax => parsed("memory.max", text).map(KnobValue::MemoryMax),
        Knob::OomScoreAdj => parsed("oom_score_adj", text).map(KnobValue::OomScoreAdj),
    }
}

impl From<&inner::Outcome> for Outcome {
    fn from(outcome: &inner::Outcome) -> Outcome {
        let result = match &outcome.result {
            Ok(inner::Applied::Written) => Said::Written,
            Ok(inner::Applied::WrittenBelowUse { in_use }) => {
                Said::WrittenBelowUse { in_use_bytes: in_use.0 }
            }
            Ok(inner::Applied::AlreadyThere) => Said::AlreadyThere,
            Ok(inner::Applied::DryRun) => Said::DryRun,
            Ok(inner::Applied::Superseded) => Said::Superseded,
            Err(failure) => Said::Failed {
                kind: KINDS
                    .into_iter()
                    .find(|(_, kind)| *kind == failure.kind)
                    .map_or(Kind::Other, |(kind, _)| kind),
                errno: failure.errno,
                message: failure.message.clone(),
            },
        };
        Outcome {
            step: Step::from(&outcome.step),
            result,
            finished_at_ns: outcome.finished_at.0,
            took_ns: outcome.took.0,
        }
    }
}

impl TryFrom<Outcome> for inner::Outcome {
    type Error = WireError;

    fn try_from(outcome: Outcome) -> Result<inner::Outcome, WireError> {
        let result = match outcome.result {
            Said::Written => Ok(inner::Applied::Written),
            Said::WrittenBelowUse { in_use_bytes } => {
                Ok(inner::Applied::WrittenBelowUse { in_use: Bytes(in_use_bytes) })
            }
            Said::AlreadyThere => Ok(inner::Applied::AlreadyThere),
            Said::DryRun => Ok(inner::Applied::DryRun),
            Said::Superseded => Ok(inner::Applied::Superseded),
            Said::Failed { kind, errno, message } => {
                let known = KINDS.into_iter().find(|(wire, _)| *wire == kind);
                let kind = known.map_or(FailureKind::Other, |(_, kind)| kind);
                Err(inner::StepFailure { kind, errno, message })
            }
        };
        Ok(inner::Outcome {
            step: outcome.step.try_into()?,
            result,
            finished_at: Timestamp(outcome.finished_at_ns),
            took: Nanos(outcome.took_ns),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Burst {
    victim: u16,
    cpu: u16,
    first_wait_at_ns: u64,
    wait_ns: u64,
    offender: u16,
}

impl From<&source::Burst> for Burst {
    fn from(burst: &source::Burst) -> Burst {
        Burst {
            victim: burst.victim.0,
            cpu: burst.cpu.0,
            first_wait_at_ns: burst.first_wait_at.0,
            wait_ns: burst.wait.0,
            offender: burst.offender.0,
        }
    }
}

impl From<Burst> for source::Burst {
    fn from(burst: Burst) -> source::Burst {
        source::Burst {
            victim: SlotId(burst.victim),
            cpu: CpuId(burst.cpu),
            first_wait_at: Timestamp(burst.first_wait_at_ns),
            wait: Nanos(burst.wait_ns),
            offender: SlotId(burst.offender),
        }
    }
}
