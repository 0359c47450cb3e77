//! Runs a recording again: the same entries into the same `advisor::turn`, and compares every decision
//! with the recorded one byte by byte. Reads lines, no files.

use std::fmt::Write as _;

use advisor::Effects;
use advisor::turn::{PlanJob, TurnState};
use model::Timestamp;
use model::record::Entry;
use model::wire::recording::{Decoder, Read, RecordingError, decision_json};

/// A recording on its way through the turn.
#[derive(Debug, Default)]
pub struct Replay {
    decoder: Decoder,
    turn: Option<TurnState>,
    job: Option<PlanJob>,
    /// Counted so far.
    pub tally: Tally,
}

/// What a replay has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub n_entries: u64,
    pub n_decisions: u64,
    /// Entries that differ.
    pub n_different: u64,
    /// Entries that the agent could not record.
    pub n_lost: u64,
}

/// Why a line cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("the recording cannot be read further")]
    Read(#[from] RecordingError),
    #[error("entry {n} ends a tick that did not begin")]
    NoTick { n: u64 },
}

/// One line, run.
#[derive(Clone, Debug, PartialEq)]
pub enum Ran {
    /// The version of the agent that recorded.
    Head(String),
    Gap(u64),
    Entry(Box<Told>),
}

/// One entry with what was decided at it, then and now.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub n: u64,
    /// The entry in a few words.
    pub what: String,
    /// One line of JSON per decision.
    pub recorded: Vec<String>,
    pub made: Vec<String>,
    pub effects: Effects,
}

impl Told {
    pub fn is_same(&self) -> bool {
        self.recorded == self.made
    }

    /// Both lists, with `-` before what was recorded and `+` before what was made now, where they
    /// differ.
    pub fn difference(&self) -> String {
        let mut text = format!("entry {}: {}\n", self.n, self.what);
        let n_rows = self.recorded.len().max(self.made.len());
        for idx in 0..n_rows {
            let (then, now) = (self.recorded.get(idx), self.made.get(idx));
            // writing to a String cannot fail
            let _ = match (then, now) {
                (Some(then), Some(now)) if then == now => writeln!(text, "  {then}"),
                (then, now) => {
                    let lines = then.map(|json| format!("- {json}\n")).into_iter();
                    let lines = lines.chain(now.map(|json| format!("+ {json}\n")));
                    write!(text, "{}", lines.collect::<String>())
                }
            };
        }
        text
    }
}

impl Replay {
    /// Runs the next line.
    pub fn line(&mut self, json: &str) -> Result<Ran, ReplayError> {
        match self.decoder.read(json)? {
            Read::Head { agent } => Ok(Ran::Head(agent)),
            Read::Gap { lost } => {
                self.tally.n_lost = self.tally.n_lost.saturating_add(lost);
                Ok(Ran::Gap(lost))
            }
            Read::Entry { n, entry, decisions } => {
                let what = described(&entry);
                let effects = self.enter(n, entry)?;
                let made: Vec<String> = effects.decisions.iter().map(decision_json).collect();
                let told = Told { n, what, recorded: decisions, made, effects };
                self.tally.n_entries += 1;
                self.tally.n_decisions += told.made.len() as u64;
                self.tally.n_different += u64::from(!told.is_same());
                Ok(Ran::Entry(Box::new(told)))
            }
        }
    }

    fn enter(&mut self, n: u64, entry: Entry) -> Result<Effects, ReplayError> {
        let turn = match entry {
            Entry::Standing(standing) => {
                self.turn = Some(TurnState::standing_at(*standing));
                self.job = None;
                return Ok(Effects::default());
            }
            _ => self.turn.as_mut().ok_or(RecordingError::NoStanding { n })?,
        };
        Ok(match entry {
            Entry::Standing(_) => Effects::default(),
            Entry::Begin { now } => {
                self.job = Some(turn.begin(now));
                Effects::default()
            }
            Entry::Finish { now, sample } => {
                let job = self.job.take().ok_or(ReplayError::NoTick { n })?;
                let sample = std::sync::Arc::unwrap_or_clone(sample);
                turn.finish(now, job.run(sample))
            }
            Entry::Burst { now, burst } => turn.burst(now, &burst),
            Entry::Expire { now } => turn.expire(now),
            Entry::Reserve { now, name, spec } => {
                let reserved = turn.reserve(now, &name, &spec);
                let decisions = reserved.map(|reserved| reserved.decisions).unwrap_or_default();
                Effects { decisions, ..Effects::default() }
            }
            Entry::Outcome(outcome) => {
                turn.outcome(&outcome);
                Effects::default()
            }
            Entry::Policy(policy) => {
                turn.set_policy(*policy);
                Effects::default()
            }
        })
    }
}

fn described(entry: &Entry) -> String {
    match entry {
        Entry::Standing(standing) => format!("all state, Plan {}", standing.generation.0),
        Entry::Begin { now } => format!("{} a tick begins", seconds(*now)),
        Entry::Finish { now, sample } => {
            let n_workloads = sample.workloads.value().map_or(0, |workloads| workloads.len());
            format!("{} a tick ends, {n_workloads} workloads", seconds(*now))
        }
        Entry::Burst { now, burst } => format!(
            "{} slot {} waits {} us on CPU {} behind slot {}",
            seconds(*now),
            burst.victim,
            burst.wait.as_micros(),
            burst.cpu,
            burst.offender
        ),
        Entry::Expire { now } => format!("{} a deadline comes", seconds(*now)),
        Entry::Reserve { now, name, spec } => {
            format!("{} {name} ({}) is about to start", seconds(*now), spec.qos)
        }
        Entry::Outcome(outcome) => {
            let said = match &outcome.result {
                Ok(applied) => format!("{applied:?}"),
                Err(failure) => format!("{:?}", failure.kind),
            };
            format!("{} {}: {said}", seconds(outcome.finished_at), outcome.step)
        }
        Entry::Policy(policy) => format!("a new policy, mode {:?}", policy.mode),
    }
}

fn seconds(at: Timestamp) -> String {
    format!("{}.{:06}", at.0 / 1_000_000_000, at.0 / 1000 % 1_000_000)
}
