//! A store as it was at an earlier revision, from its own log. Owns from which checkpoint that can be had.
//!
//! Approach, in this order: the newest checkpoint at or before the revision, and the log behind it up to there, which is exact; else the
//! newest state, which has the old versions of keys until they are compacted; else an older checkpoint that had not compacted them yet. In
//! the two last cases leases are those of that state, because nobody keeps old ones: a key whose lease has ended since has none that ends.

use std::io::Read as _;

use bytes::Bytes;
use thiserror::Error;

use crate::checkpoint::{self, CheckpointError};
use crate::chronology::Chronology;
use crate::copy::{Copier, CopyError};
use crate::engine::log::LogEngine;
use crate::engine::{Engine as _, EngineError, Lsn, ReadError};
use crate::mvcc::{Place, Revision, Version};
use crate::range::Values;
use crate::record::Copied;
use crate::replay::{self, ReplayError};
use crate::state::State;

#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RewindError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error("revision {asked} is not there: the newest is {newest}")]
    Future { asked: Revision, newest: Revision },
    #[error(
        "revision {asked} was compacted and its log is gone: the oldest that is left is {oldest}"
    )]
    TooOld { asked: Revision, oldest: Revision },
}

/// A state that has everything that there was at a revision, and perhaps more.
#[derive(Debug)]
pub struct Rewound {
    pub state: State,
    pub at: Revision,
    /// Of the whole log: what follows is to have revisions above.
    pub newest: Revision,
    /// Whether leases are those of the revision.
    pub is_exact: bool,
}

/// Values as they lie in a log that nobody writes to.
#[derive(Debug)]
pub struct LogValues<'a>(pub &'a LogEngine);

impl Values for LogValues<'_> {
    type Error = ReadError;

    fn value(&self, _key: &[u8], version: &Version) -> Result<Bytes, ReadError> {
        match version.place {
            Place { length: 0, .. } => Ok(Bytes::new()),
            Place { lsn, length, .. } => self.0.read(Lsn(lsn), length as usize),
        }
    }
}

/// Reads from the log of a store that is stopped, or from a copy.
pub fn at(engine: &LogEngine, asked: Revision) -> Result<Rewound, RewindError> {
    let beginnings = beginnings(engine);
    let mut newest = None;
    let mut oldest = Revision::MAX;
    let mut best: Option<State> = None;
    for from in beginnings.into_iter().rev() {
        // A damaged one is passed over, as at a start.
        let Ok(begun) = begin(engine, from) else { continue };
        oldest = oldest.min(begun.compacted.max(1));
        if newest.is_none() {
            let mut whole = begun.clone();
            replay_until(engine, from, &mut whole, Revision::MAX)?;
            if asked > whole.revision {
                return Err(RewindError::Future { asked, newest: whole.revision });
            }
            newest = Some(whole.revision);
            best = Some(whole).filter(|whole| whole.compacted <= asked);
        }
        let newest = newest.unwrap_or_default();
        if begun.revision <= asked {
            let mut state = begun;
            replay_until(engine, from, &mut state, asked)?;
            return Ok(Rewound { state, at: asked, newest, is_exact: true });
        }
        best = best.or_else(|| Some(begun).filter(|begun| begun.compacted <= asked));
    }
    match (best, newest) {
        (Some(state), Some(newest)) => Ok(Rewound { state, at: asked, newest, is_exact: false }),
        (None, Some(_)) => Err(RewindError::TooOld { asked, oldest }),
        // No beginning at all can be read: what a start says of it is right.
        (_, None) => match engine.latest_checkpoint() {
            Err(error) => Err(error.into()),
            Ok(_) => Err(RewindError::Future { asked, newest: 0 }),
        },
    }
}

/// Writes what there was into a new log.
pub fn copy(
    engine: &LogEngine,
    rewound: &Rewound,
    copier: &mut Copier<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<(), RewindError> {
    let Rewound { state, at, .. } = rewound;
    for (id, lease) in state.leases.iter() {
        copier.lease(id, lease.ttl_s);
    }
    let mut writes: Vec<Copied> = Vec::new();
    for kept in Chronology::new(&state.index, *at, state.compacted).iter() {
        let revision = kept.version.mod_revision;
        if let Some(last) = writes.last().map(|last| last.version.mod_revision)
            && last != revision
        {
            copier.transaction(last, &std::mem::take(&mut writes))?;
            progress(copier.n_writes);
        }
        let value = LogValues(engine).value(&kept.key, &kept.version)?;
        writes.push(Copied { key: kept.key, version: kept.version, value });
    }
    if let Some(last) = writes.last().map(|last| last.version.mod_revision) {
        copier.transaction(last, &writes)?;
    }
    if *at > copier.revision() {
        copier.transaction(*at, &[])?;
    }
    if state.compacted > 0 {
        copier.compacted(state.compacted);
    }
    Ok(())
}

/// Places to begin at, oldest first.
fn beginnings(engine: &LogEngine) -> Vec<Lsn> {
    let checkpoints = engine.checkpoints();
    let has_first = engine.size().oldest == Lsn(0) && !checkpoints.contains(&Lsn(0));
    has_first.then_some(Lsn(0)).into_iter().chain(checkpoints).collect()
}

fn begin(engine: &LogEngine, from: Lsn) -> Result<State, RewindError> {
    if from == Lsn(0) {
        return Ok(State::default());
    }
    let mut found = engine.checkpoint(from)?;
    Ok(checkpoint::read(&mut found.body.by_ref(), 0)?.state)
}

fn replay_until(
    engine: &LogEngine,
    from: Lsn,
    state: &mut State,
    last: Revision,
) -> Result<(), RewindError> {
    for group in engine.groups(from)? {
        let group = group?;
        let payload = (group.payload_at().0, &group.payload);
        if !replay::group_until(state, payload, (0, last), &mut |_, _| {})? {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
