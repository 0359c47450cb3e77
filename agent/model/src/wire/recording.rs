//! A recording as lines of JSON: a head, then one line per entry into the turn with what was decided
//! at it. A Sample stands as the difference to the one before; a line of kind `standing` holds
//! everything whole and needs nothing before it. Owns the lines; their checksums and files are
//! `state`'s, running them again is `sim`'s.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::delta::{self, DeltaError};
use super::outcome::{Burst, Outcome};
use super::snapshot::Spec;
use super::{Decision, Overlay, Plan, Policy, Sample, Snapshot, WireError};
use crate::decision;
use crate::plan::Generation;
use crate::qos::WorkloadName;
use crate::record::{Entry, Recorded, Standing};
use crate::sample;
use crate::units::{MilliCpu, Timestamp};

/// The schema that is written; a new kind of line or a new meaning is a new number.
pub const RECORDING_SCHEMA: u32 = 2;

/// Why a line of a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    #[error("not a line of a recording")]
    NotALine { source: serde_json::Error },
    #[error("schema {found} cannot be read: this version knows up to {RECORDING_SCHEMA}")]
    UnknownSchema { found: u32 },
    #[error("entry {n} before any head and standing state")]
    NoStanding { n: u64 },
    #[error("entry {found} where {wanted} was expected: lines are missing")]
    Missing { wanted: u64, found: u64 },
    #[error("the difference of entry {n} does not fit the Sample before it: {why}")]
    BadDelta { n: u64, why: String },
    #[error("entry {n} does not have the shape of schema {RECORDING_SCHEMA}")]
    BadShape { n: u64, source: serde_json::Error },
    #[error("entry {n} has a value that cannot be")]
    BadValue { n: u64, source: WireError },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line {
    Head {
        schema: u32,
        agent: String,
    },
    /// So many entries were not recorded; the next line is a standing.
    Gap {
        lost: u64,
    },
    Standing {
        n: u64,
        /// A `State`. Read as a value first: keys that are numbers get lost where kinds are told
        /// apart by a tag.
        state: Value,
    },
    Begin {
        n: u64,
        now_ns: u64,
    },
    Finish {
        n: u64,
        now_ns: u64,
        /// The difference to the Sample before; absent when there is none.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        sample: Value,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        decisions: Vec<Decision>,
    },
    Burst {
        n: u64,
        now_ns: u64,
        burst: Burst,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        decisions: Vec<Decision>,
    },
    Expire {
        n: u64,
        now_ns: u64,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        decisions: Vec<Decision>,
    },
    /// Since schema 2.
    Reserve {
        n: u64,
        now_ns: u64,
        name: String,
        spec: Box<Spec>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        decisions: Vec<Decision>,
    },
    Outcome {
        n: u64,
        outcome: Box<Outcome>,
    },
    Policy {
        n: u64,
        policy: Box<Policy>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    policy: Policy,
    sample: Value,
    snapshot: Option<Snapshot>,
    plan: Option<Plan>,
    overlay: Option<Overlay>,
    overlay_ended_at_ns: Option<u64>,
    n_repeats: u8,
    calm_usage_milli: Option<u64>,
    generation: u64,
}

/// Writes lines; keeps the last Sample to write differences.
#[derive(Debug, Default)]
pub struct Encoder {
    sample: Value,
    n: u64,
}

impl Encoder {
    /// The first line of every file.
    pub fn head(agent: &str) -> String {
        text(&Line::Head { schema: RECORDING_SCHEMA, agent: agent.to_owned() })
    }

    pub fn gap(lost: u64) -> String {
        text(&Line::Gap { lost })
    }

    /// The line of one entry. The first one, and the first after a gap, is a standing.
    pub fn line(&mut self, recorded: &Recorded) -> String {
        self.n += 1;
        let n = self.n;
        let decisions: Vec<Decision> = recorded.decisions.iter().map(Decision::from).collect();
        let line = match &recorded.entry {
            Entry::Standing(standing) => {
                let state = state(standing);
                self.sample = state.sample.clone();
                Line::Standing { n, state: whole(&state) }
            }
            Entry::Begin { now } => Line::Begin { n, now_ns: now.0 },
            Entry::Finish { now, sample } => {
                let new = whole(&Sample::from(&**sample));
                let difference = delta::between(&self.sample, &new).unwrap_or_default();
                self.sample = new;
                Line::Finish { n, now_ns: now.0, sample: difference, decisions }
            }
            Entry::Burst { now, burst } => {
                Line::Burst { n, now_ns: now.0, burst: burst.into(), decisions }
            }
            Entry::Expire { now } => Line::Expire { n, now_ns: now.0, decisions },
            Entry::Reserve { now, name, spec } => Line::Reserve {
                n,
                now_ns: now.0,
                name: name.to_string(),
                spec: Box::new(Spec::from(&**spec)),
                decisions,
            },
            Entry::Outcome(outcome) => Line::Outcome { n, outcome: Box::new((&**outcome).into()) },
            Entry::Policy(policy) => Line::Policy { n, policy: Box::new((&**policy).into()) },
        };
        text(&line)
    }
}

fn text(line: &Line) -> String {
    serde_json::to_string(line).expect("invariant: keys are text and numbers are finite or null")
}

fn whole<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).expect("invariant: keys are text and numbers are finite or null")
}

fn state(standing: &Standing) -> State {
    State {
        policy: Policy::from(&standing.policy),
        sample: standing.sample.as_ref().map_or(Value::Null, |s| whole(&Sample::from(&**s))),
        snapshot: standing.snapshot.as_ref().map(|snapshot| Snapshot::from(&**snapshot)),
        plan: standing.plan.as_ref().map(|plan| Plan::from(&**plan)),
        overlay: standing.overlay.as_ref().map(Overlay::from),
        overlay_ended_at_ns: standing.overlay_ended_at.map(|at| at.0),
        n_repeats: standing.n_repeats,
        calm_usage_milli: standing.calm_usage.map(|usage| usage.0),
        generation: standing.generation.0,
    }
}

/// One line, read.
#[derive(Debug, PartialEq)]
pub enum Read {
    Head {
        agent: String,
    },
    Gap {
        lost: u64,
    },
    Entry {
        n: u64,
        entry: Entry,
        /// One line of JSON for each decision, as it was recorded.
        decisions: Vec<String>,
    },
}

/// Reads lines in their order.
#[derive(Debug, Default)]
pub struct Decoder {
    sample: Value,
    /// Of the last entry; `None` where only a standing may follow.
    n: Option<u64>,
}

impl Decoder {
    pub fn read(&mut self, json: &str) -> Result<Read, RecordingError> {
        let line: Line =
            serde_json::from_str(json).map_err(|source| RecordingError::NotALine { source })?;
        match line {
            Line::Head { schema, agent } => {
                if schema == 0 || schema > RECORDING_SCHEMA {
                    return Err(RecordingError::UnknownSchema { found: schema });
                }
                self.n = None;
                Ok(Read::Head { agent })
            }
            Line::Gap { lost } => {
                self.n = None;
                Ok(Read::Gap { lost })
            }
            Line::Standing { n, state } => {
                let state = State::deserialize(state)
                    .map_err(|source| RecordingError::BadShape { n, source })?;
                self.n = Some(n);
                self.sample = state.sample.clone();
                let standing = standing(state).map_err(|fault| fault.at(n))?;
                let entry = Entry::Standing(Box::new(standing));
                Ok(Read::Entry { n, entry, decisions: Vec::new() })
            }
            line => self.entry(line),
        }
    }

    fn entry(&mut self, line: Line) -> Result<Read, RecordingError> {
        let bad = |n| move |source| RecordingError::BadValue { n, source };
        let (n, entry, decisions) = match line {
            Line::Begin { n, now_ns } => (n, Entry::Begin { now: Timestamp(now_ns) }, Vec::new()),
            Line::Finish { n, now_ns, sample, decisions } => {
                let sample = Arc::new(self.next_sample(n, sample)?);
                (n, Entry::Finish { now: Timestamp(now_ns), sample }, decisions)
            }
            Line::Burst { n, now_ns, burst, decisions } => {
                (n, Entry::Burst { now: Timestamp(now_ns), burst: burst.into() }, decisions)
            }
            Line::Expire { n, now_ns, decisions } => {
                (n, Entry::Expire { now: Timestamp(now_ns) }, decisions)
            }
            Line::Reserve { n, now_ns, name, spec, decisions } => {
                let (now, name) = (Timestamp(now_ns), WorkloadName::new(name));
                let spec = Box::new((*spec).try_into().map_err(bad(n))?);
                (n, Entry::Reserve { now, name, spec }, decisions)
            }
            Line::Outcome { n, outcome } => {
                let outcome = (*outcome).try_into().map_err(bad(n))?;
                (n, Entry::Outcome(Box::new(outcome)), Vec::new())
            }
            Line::Policy { n, policy } => {
                let policy = (*policy).try_into().map_err(bad(n))?;
                (n, Entry::Policy(Box::new(policy)), Vec::new())
            }
            Line::Head { .. } | Line::Gap { .. } | Line::Standing { .. } => {
                unreachable!("invariant: `read` has taken these")
            }
        };
        self.follows(n)?;
        let decisions = decisions.iter().map(json_of).collect();
        Ok(Read::Entry { n, entry, decisions })
    }

    /// Lines are numbered, so that one that is cut out is noticed.
    fn follows(&mut self, n: u64) -> Result<(), RecordingError> {
        let wanted = self.n.ok_or(RecordingError::NoStanding { n })?.wrapping_add(1);
        if n != wanted {
            return Err(RecordingError::Missing { wanted, found: n });
        }
        self.n = Some(n);
        Ok(())
    }

    fn next_sample(&mut self, n: u64, difference: Value) -> Result<sample::Sample, RecordingError> {
        if self.n.is_none() {
            return Err(RecordingError::NoStanding { n });
        }
        if !difference.is_null() {
            let why = |error: DeltaError| RecordingError::BadDelta { n, why: error.to_string() };
            delta::apply(&mut self.sample, difference).map_err(why)?;
        }
        sample_of(&self.sample).map_err(|fault| fault.at(n))
    }
}

/// What is wrong with an entry whose number is not at hand.
enum Fault {
    Shape(serde_json::Error),
    Value(WireError),
}

impl Fault {
    fn at(self, n: u64) -> RecordingError {
        match self {
            Fault::Shape(source) => RecordingError::BadShape { n, source },
            Fault::Value(source) => RecordingError::BadValue { n, source },
        }
    }
}

fn sample_of(value: &Value) -> Result<sample::Sample, Fault> {
    let wire = Sample::deserialize(value).map_err(Fault::Shape)?;
    wire.try_into().map_err(Fault::Value)
}

fn standing(state: State) -> Result<Standing, Fault> {
    let sample = match &state.sample {
        Value::Null => None,
        value => Some(Arc::new(sample_of(value)?)),
    };
    let snapshot = state.snapshot.map(TryInto::try_into).transpose().map_err(Fault::Value)?;
    let plan = state.plan.map(TryInto::try_into).transpose().map_err(Fault::Value)?;
    Ok(Standing {
        policy: state.policy.try_into().map_err(Fault::Value)?,
        sample,
        snapshot: snapshot.map(Arc::new),
        plan: plan.map(Arc::new),
        overlay: state.overlay.map(Into::into),
        overlay_ended_at: state.overlay_ended_at_ns.map(Timestamp),
        n_repeats: state.n_repeats,
        calm_usage: state.calm_usage_milli.map(MilliCpu),
        generation: Generation(state.generation),
    })
}

/// A decision as it stands in a recording, for comparing byte by byte.
pub fn decision_json(decision: &decision::Decision) -> String {
    json_of(&Decision::from(decision))
}

fn json_of(decision: &Decision) -> String {
    serde_json::to_string(decision).expect("invariant: a decision is text and a number")
}

#[cfg(test)]
mod tests;
