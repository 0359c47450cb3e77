//! Opening a store: the newest checkpoint, the log behind it, and a writer that no other one precedes.

use std::collections::VecDeque;
use std::io::Read as _;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, RwLock};
use std::time::Instant;

use bytes::Bytes;
use thiserror::Error;
use tracing::warn;

use super::committer::remember;
use super::limits::Limits;
use super::policy::Current;
use super::superseded::Superseded;
use super::{Committed, Group, Identity, Sequencer, Store};
use crate::checkpoint::{self, CheckpointError};
use crate::engine::{AppendError, Engine, EngineError, Epoch, HEADER_BYTES, Lsn};
use crate::metrics::Metrics;
use crate::recent::Recent;
use crate::record;
use crate::replay::{self, ReplayError};
use crate::reserve::{Boot, Reserve};
use crate::state::State;
use crate::watch::Hub;

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub identity: Identity,
    /// How much of what happened last is kept in memory for watchers.
    pub recent_bytes: usize,
    /// Of the machine: whether the kernel still has what was written and not synced.
    pub boot: Boot,
}

#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error("go on behind revisions that may be lost: {0}")]
    GoOn(#[from] AppendError),
}

impl Store {
    /// Reads everything back. No other process writes from here on.
    pub fn open(engine: Arc<dyn Engine>, options: &Options) -> Result<Store, OpenError> {
        let (epoch, _) = engine.claim()?;
        let (mut state, mut from) = (State::default(), Lsn(0));
        let mut groups = VecDeque::new();
        let latest = engine.latest_checkpoint()?;
        for damaged in &latest.passed_over {
            warn!(error = %damaged, "A checkpoint is damaged, an older one takes its place");
        }
        if let Some(mut found) = latest.checkpoint {
            let read = checkpoint::read(&mut found.body.by_ref(), 0)?;
            (state, from) = (read.state, found.at);
            groups.extend(read.groups.into_iter().map(|(revision, at)| (revision, Lsn(at))));
        }
        let mut superseded = Superseded::default();
        for (revision, key) in replay::superseded(&state) {
            superseded.push(revision, &key);
        }
        for group in engine.groups(from)? {
            let group = group?;
            let first = state.revision + 1;
            let mut note = |revision, key: &Bytes| superseded.push(revision, key);
            replay::group(&mut state, (group.payload_at().0, &group.payload), 0, &mut note)?;
            if state.revision >= first {
                remember(&mut groups, first, group.at);
            }
        }
        if let Some(jump) = jump(&state, options.boot) {
            let at = go_on(engine.as_ref(), epoch, &jump)?;
            replay::group(&mut state, (at.0 + HEADER_BYTES, &jump), 0, &mut |_, _| {})?;
            remember(&mut groups, state.revision, at);
        }
        let began = Instant::now();
        // Nobody could keep anything alive meanwhile.
        state.leases.renew_all(0);
        let head = engine.size().head;
        let pin = engine.pin();
        let committed = Committed {
            index: state.index.clone(),
            revision: state.revision,
            compacted: state.compacted,
            pin: pin.clone(),
        };
        let hub = Hub::new(state.revision);
        let sequencer = Sequencer {
            durable: state.revision,
            state,
            recent: Recent::new(options.recent_bytes),
            group: Group::new(head),
            waiting: Vec::new(),
            is_writing: false,
            superseded,
            groups,
            pin,
            wants_snapshot: false,
            taken: None,
            ended: None,
            is_closing: false,
            has_no_committer: false,
            limits: Limits::default(),
            deferred_prefixes: Vec::new(),
            boot: options.boot,
        };
        Ok(Store {
            sequencer: Mutex::new(sequencer),
            work: Condvar::new(),
            committed: RwLock::new(Arc::new(committed)),
            engine,
            epoch,
            hub,
            identity: options.identity,
            metrics: Metrics::default(),
            policy: Current::default(),
            forgetting: tokio::sync::Mutex::default(),
            wants_room: AtomicBool::new(false),
            opened_from: from,
            began,
        })
    }
}

/// The group that takes a store behind the revisions that somebody may have seen and that may be lost.
fn jump(state: &State, boot: Boot) -> Option<Bytes> {
    let revision = state.reserve?.goes_on_at(state.revision, boot)?;
    warn!(
        after = state.revision,
        revision,
        "The machine has started anew, and writes that waited for their sync may be lost: clients list again"
    );
    let mut payload = Vec::new();
    record::copied(&mut payload, revision, &[]);
    record::compacted(&mut payload, revision);
    record::reserved(&mut payload, Reserve::settled(revision, boot));
    Some(payload.into())
}

/// Where it lies then.
fn go_on(engine: &dyn Engine, epoch: Epoch, jump: &Bytes) -> Result<Lsn, AppendError> {
    let at = engine.size().head;
    engine.append(epoch, at, &[jump])?;
    Ok(at)
}
