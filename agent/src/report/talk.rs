//! One endpoint's conversation as a state machine: what is reported when, in full or as a delta, and what a directive
//! means. Pure: time and states come in as values, reports and faults go out. Knows no connection; `send` carries the
//! messages.
//!
//! One report is on its way at most and one waits behind it, which is made when it can be sent: newer states take the
//! place of older ones, and those that were due and never sent are counted. Sequences are the endpoint's own, since a
//! delta builds on the report just before it. Reports of all endpoints fall on the same times (multiples of the interval
//! since the start of the agent), so one conversion serves all of them.

use std::sync::Arc;

use model::{Nanos, Timestamp};
use proto::delta;
use proto::v1::{
    Decision, NodeDirective, NodeIdentity, NodeReport, NodeState, PolicyDocument, node_report,
};

use crate::config::{MAX_INTERVAL, MIN_INTERVAL};

/// Without an answer for so long the other end is taken for dead.
pub(super) const ANSWER_LIMIT: Nanos = Nanos::from_secs(30);
/// A person is told of an endpoint that got nothing for so many intervals,
const SILENT_INTERVALS: u64 = 5;
/// but not of one that is about to be tried again.
const SILENT_AT_LEAST: Nanos = Nanos::from_secs(30);

/// A conversation over all of its connections.
#[derive(Debug)]
pub(super) struct Talk {
    identity: NodeIdentity,
    started: Timestamp,
    interval: Nanos,
    /// Of the last report that was made.
    sequence: u64,
    due: Timestamp,
    /// A report was due that could not be made.
    is_queued: bool,
    is_open: bool,
    /// This connection has heard who reports.
    is_introduced: bool,
    /// What the endpoint has for certain.
    base: Option<Arc<NodeState>>,
    outstanding: Option<Outstanding>,
    /// The newest decision that it has.
    decided: u64,
    delivered: Timestamp,
    /// A document that it sent and that is not followed.
    refused_policy: Option<Vec<u8>>,
}

/// A report without an answer yet.
#[derive(Debug)]
struct Outstanding {
    sent: Timestamp,
    state: Arc<NodeState>,
    decided: u64,
    is_full: bool,
}

/// What goes into a report.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) state: Arc<NodeState>,
    /// Those after [`Talk::decided`].
    pub(super) decisions: Vec<Decision>,
    pub(super) n_lost_decisions: u64,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing until this time. So many reports were due and will never be sent.
    Wait {
        until: Timestamp,
        n_skipped: u64,
    },
    Report,
}

/// What a directive changed, for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// The report is in force there.
    pub(super) is_taken: bool,
    /// Asked for and taken over, where they differ.
    pub(super) clamped: Option<(Nanos, Nanos)>,
    /// Length of a document that was refused.
    pub(super) refused_policy: Option<usize>,
}

/// The other end does not keep to the contract. The stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("report {acknowledged} was acknowledged, {sent} were sent")]
    Ahead { acknowledged: u64, sent: u64 },
    #[error("report {acknowledged} was acknowledged in answer to report {sent}")]
    Behind { acknowledged: u64, sent: u64 },
    #[error("a directive came without a report, acknowledging {acknowledged}")]
    Unasked { acknowledged: u64 },
    #[error("report {sequence} was not answered within {} s", ANSWER_LIMIT.0 / 1_000_000_000)]
    NoAnswer { sequence: u64 },
}

impl Talk {
    /// Of the agent that started at `started`, as the identity says too.
    pub(super) fn new(identity: NodeIdentity, interval: Nanos, now: Timestamp) -> Talk {
        let mut talk = Talk {
            started: Timestamp(identity.agent_started_mono_ns),
            identity,
            interval,
            sequence: 0,
            due: now,
            is_queued: false,
            is_open: false,
            is_introduced: false,
            base: None,
            outstanding: None,
            decided: 0,
            delivered: now,
            refused_policy: None,
        };
        talk.due = talk.next_due(now);
        talk
    }

    /// The machine that reports; empty while nobody knows.
    pub(super) fn uid(&self) -> &str {
        &self.identity.node_uid
    }

    /// Another machine has the name from now on. Between two connections only: on one the identity never changes.
    pub(super) fn rename(&mut self, uid: String) {
        self.identity.node_uid = uid;
    }

    /// A connection begins: the other end may be another one than before, and is told everything at once.
    pub(super) fn open(&mut self, now: Timestamp) {
        (self.is_open, self.is_introduced, self.is_queued) = (true, false, false);
        (self.base, self.outstanding, self.refused_policy) = (None, None, None);
        self.due = now;
    }

    /// It has ended. Whether the report on its way arrived is not known.
    pub(super) fn close(&mut self) {
        (self.is_open, self.base, self.outstanding) = (false, None, None);
    }

    /// What is to be done now.
    pub(super) fn turn(&mut self, now: Timestamp) -> Result<Turn, Fault> {
        let given_up = self.outstanding.as_ref().map(|waiting| waiting.sent.after(ANSWER_LIMIT));
        match given_up {
            None if self.is_open && self.due <= now => Ok(Turn::Report),
            Some(given_up) if given_up <= now => Err(Fault::NoAnswer { sequence: self.sequence }),
            given_up => {
                let n_skipped = self.skip(now);
                let until = given_up.map_or(self.due, |given_up| given_up.min(self.due));
                Ok(Turn::Wait { until, n_skipped })
            }
        }
    }

    /// Passes over what was due and cannot be told now: the newest of it waits for the next occasion. Returns how many
    /// older ones it took the place of.
    pub(super) fn skip(&mut self, now: Timestamp) -> u64 {
        if self.due > now {
            return 0;
        }
        let n_passed = now.since(self.due).0 / self.interval.0 + 1;
        self.due = self.multiple_from(now.after(Nanos(1)));
        let was_queued = std::mem::replace(&mut self.is_queued, true);
        n_passed - u64::from(!was_queued)
    }

    /// The report for [`Turn::Report`].
    pub(super) fn report(&mut self, now: Timestamp, seen: Seen) -> NodeReport {
        let Seen { state, decisions, n_lost_decisions } = seen;
        self.sequence += 1;
        (self.due, self.is_queued) = (self.next_due(now), false);
        let change = self.base.as_ref().and_then(|base| delta::between(base, &state));
        let is_full = change.is_none();
        let content = match change {
            Some(change) => node_report::Content::Delta(change),
            None => node_report::Content::Full(NodeState::clone(&state)),
        };
        let decided = decisions.last().map_or(self.decided, |newest| newest.sequence);
        self.outstanding = Some(Outstanding { sent: now, state, decided, is_full });
        let is_introduced = std::mem::replace(&mut self.is_introduced, true);
        NodeReport {
            identity: (!is_introduced).then(|| self.identity.clone()),
            sequence: self.sequence,
            now_mono_ns: now.0,
            content: Some(content),
            decisions,
            n_lost_decisions,
        }
    }

    /// The answer to the report on its way.
    pub(super) fn hear(&mut self, now: Timestamp, told: &NodeDirective) -> Result<Heard, Fault> {
        let (acknowledged, sent) = (told.acknowledged, self.sequence);
        let waiting = self.outstanding.take().ok_or(Fault::Unasked { acknowledged })?;
        if acknowledged > sent {
            return Err(Fault::Ahead { acknowledged, sent });
        }
        let is_taken = acknowledged == sent;
        if !is_taken && told.full_wanted.is_none() {
            return Err(Fault::Behind { acknowledged, sent });
        }
        if is_taken {
            (self.decided, self.delivered) = (waiting.decided, now);
        }
        self.base = Some(waiting.state).filter(|_| told.full_wanted.is_none());
        let clamped = told.report_interval_ms.and_then(|asked| self.set_interval(asked, now));
        // Whoever wants a full one in answer to a full one gets it, but not at once for ever.
        let is_at_once = told.full_wanted.is_some() && !waiting.is_full;
        if is_at_once || self.is_queued {
            self.due = now;
        }
        let refused_policy = told.policy.as_ref().map(|document| self.refuse(document));
        Ok(Heard { is_taken, clamped, refused_policy })
    }

    /// The newest decision that the endpoint has.
    pub(super) const fn decided(&self) -> u64 {
        self.decided
    }

    /// The document (its hash) that this connection's server wants to be followed.
    pub(super) fn refused_policy(&self) -> Option<&[u8]> {
        self.refused_policy.as_deref()
    }

    /// For how long the endpoint has got nothing, once that is longer than it may be.
    pub(super) fn silent_for(&self, now: Timestamp) -> Option<Nanos> {
        let silence = now.since(self.delivered);
        let patience = Nanos(self.interval.0 * SILENT_INTERVALS).max(SILENT_AT_LEAST);
        Some(silence).filter(|silence| *silence > patience)
    }

    /// Policy comes from the agent's file only.
    fn refuse(&mut self, document: &PolicyDocument) -> usize {
        self.refused_policy = Some(document.sha256.clone());
        document.document.len()
    }

    fn set_interval(&mut self, asked_ms: u32, now: Timestamp) -> Option<(Nanos, Nanos)> {
        let asked = Nanos::from_millis(asked_ms.into());
        let taken = asked.clamp(MIN_INTERVAL, MAX_INTERVAL);
        if taken != self.interval {
            self.interval = taken;
            self.due = self.next_due(now);
        }
        (asked != taken).then_some((asked, taken))
    }

    /// When the next report follows one of now: not much earlier than after an interval.
    fn next_due(&self, now: Timestamp) -> Timestamp {
        self.multiple_from(now.after(Nanos(self.interval.0 / 2)))
    }

    /// The first multiple of the interval since the start of the agent that is not before `least`.
    fn multiple_from(&self, least: Timestamp) -> Timestamp {
        let intervals = least.since(self.started).0.div_ceil(self.interval.0);
        self.started.after(Nanos(intervals * self.interval.0))
    }
}

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
