//! The one sequencer: every change goes through its lock, gets its revision there, and is answered when its group is durable. Reads take
//! the newest durable state and wait for nobody. Owns the order of things; what a change does is `txn`'s, when a group is written
//! `committer`'s.

mod committer;
mod compaction;
mod deferral;
mod history;
mod leases;
mod limits;
mod open;
mod policy;
mod superseded;
mod upkeep;
mod with_leases;

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use bytes::Bytes;
use proto::etcd::etcdserverpb::{ResponseHeader, TxnRequest, TxnResponse};
use tokio::sync::oneshot;

pub use committer::Ended;
pub use history::HistoryError;
pub use limits::Denial;
pub use open::{OpenError, Options};

use crate::alarm;
use crate::engine::{Engine, Epoch, HEADER_BYTES, Lsn, Pin, ReadError};
use crate::happening::Happening;
use crate::index::Index;
use crate::lease::Nanos;
use crate::metrics::Metrics;
use crate::mvcc::{Entry, Revision, Version, View};
use crate::policy::{Exceeded, growth};
use crate::range::Values;
use crate::recent::Recent;
use crate::refusal::Refusal;
use crate::reserve::Boot;
use crate::state::{State, Writing};
use crate::txn::taken::taken;
use crate::txn::{self, TxnError};
use crate::watch::Hub;
use superseded::Superseded;

/// A store that is open.
#[derive(Debug)]
pub struct Store {
    sequencer: Mutex<Sequencer>,
    /// The committer has something to do.
    work: Condvar,
    committed: RwLock<Arc<Committed>>,
    engine: Arc<dyn Engine>,
    epoch: Epoch,
    pub hub: Hub,
    pub identity: Identity,
    pub metrics: Metrics,
    pub policy: policy::Current,
    /// Held by whoever forgets, through the pause after it.
    forgetting: tokio::sync::Mutex<()>,
    /// Room is to be given back now, however little it is.
    wants_room: AtomicBool,
    /// Of the checkpoint that was read; 0 for none.
    opened_from: Lsn,
    began: Instant,
}

/// As clients see it: one member of a cluster of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub cluster: u64,
    pub member: u64,
}

/// Everything as it is durable, at one revision. It stays as it is and readable for as long as somebody holds it.
#[derive(Debug)]
pub struct Committed {
    pub index: Index<Entry>,
    pub revision: Revision,
    pub compacted: Revision,
    pin: Pin,
}

impl Committed {
    pub fn view(&self) -> View<'_> {
        View { index: &self.index, revision: self.revision, is_newest: true }
    }

    /// The keys as they were.
    pub fn view_at(&self, revision: Revision) -> View<'_> {
        View { index: &self.index, revision, is_newest: revision == self.revision }
    }
}

impl Values for Committed {
    type Error = ReadError;

    fn value(&self, _key: &[u8], version: &Version) -> Result<Bytes, ReadError> {
        read(&self.pin, version)
    }
}

fn read(pin: &Pin, version: &Version) -> Result<Bytes, ReadError> {
    match version.place.length {
        0 => Ok(Bytes::new()),
        length => pin.read(Lsn(version.place.lsn), length as usize),
    }
}

/// What is behind the lock: the state with writes that are not durable yet, and the group that they will be durable in.
#[derive(Debug)]
struct Sequencer {
    state: State,
    recent: Recent,
    group: Group,
    /// Who waits for the group that is being written, without a write in it.
    waiting: Vec<Waiter>,
    is_writing: bool,
    durable: Revision,
    /// Keys with something to forget, by the revision from which on it can be.
    superseded: Superseded,
    /// Where the log has the groups of the revisions that somebody may still watch from; one in a while.
    groups: VecDeque<(Revision, Lsn)>,
    pin: Pin,
    /// Somebody waits for a state between two groups.
    wants_snapshot: bool,
    taken: Option<Box<upkeep::Snapshot>>,
    /// Why nothing is done any more.
    ended: Option<Refusal>,
    is_closing: bool,
    /// Nobody writes groups any more: what is in one stays there.
    has_no_committer: bool,
    limits: limits::Limits,
    /// Keys whose transactions are answered before they are durable.
    deferred_prefixes: Vec<Bytes>,
    boot: Boot,
}

type Waiter = oneshot::Sender<Result<(), Refusal>>;

/// So much may wait for the log. An engine takes groups of 256 MiB, and no request is nearly as large as the rest.
const MOST_FORMING_BYTES: usize = 64 << 20;

/// Writes that become durable together.
#[derive(Debug)]
struct Group {
    at: Lsn,
    payload: Vec<u8>,
    /// So much of it may be lost with the power.
    deferred_bytes: usize,
    happenings: Vec<Arc<Happening>>,
    waiters: Vec<Waiter>,
}

impl Group {
    fn new(at: Lsn) -> Group {
        let (payload, happenings, waiters) = (Vec::new(), Vec::new(), Vec::new());
        Group { at, payload, deferred_bytes: 0, happenings, waiters }
    }

    /// Nobody minds if it is lost with the power.
    fn is_deferred(&self) -> bool {
        self.deferred_bytes == self.payload.len()
    }

    fn payload_lsn(&self) -> u64 {
        self.at.0 + HEADER_BYTES
    }

    fn end(&self) -> Lsn {
        Lsn(self.payload_lsn() + self.payload.len() as u64)
    }
}

/// Values of the newest state: those that are not durable are in memory.
struct Newest<'a> {
    recent: &'a Recent,
    pin: &'a Pin,
}

impl Values for Newest<'_> {
    type Error = ReadError;

    fn value(&self, key: &[u8], version: &Version) -> Result<Bytes, ReadError> {
        match self.recent.value(key, version) {
            Some(value) => Ok(value),
            None => read(self.pin, version),
        }
    }
}

/// Why a transaction has no answer.
#[derive(Debug)]
enum Failed {
    Txn(TxnError<ReadError>),
    Exceeded(Exceeded),
}

/// Comes when what was asked for is durable.
#[derive(Debug)]
#[must_use = "what is not durable is not to be told"]
pub struct Durable(Option<oneshot::Receiver<Result<(), Refusal>>>);

impl Durable {
    pub async fn wait(self) -> Result<(), Refusal> {
        match self.0 {
            None => Ok(()),
            // A committer that is gone has not said what became of the group.
            Some(answer) => answer.await.unwrap_or(Err(Refusal::TimedOut)),
        }
    }
}

impl Store {
    pub fn committed(&self) -> Arc<Committed> {
        Arc::clone(&self.committed.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn header(&self, revision: Revision) -> ResponseHeader {
        let Identity { cluster, member } = self.identity;
        ResponseHeader { cluster_id: cluster, member_id: member, revision, raft_term: self.epoch.0 }
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// Whether writes are taken.
    pub fn is_serving(&self) -> bool {
        self.locked().ended.is_none()
    }

    /// Nanoseconds of this process.
    pub fn now(&self) -> Nanos {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Answered when everything that the answer says is durable: also a transaction that found its comparison false has seen writes that
    /// may be on their way only. `request` was checked.
    pub async fn txn(&self, request: &TxnRequest) -> Result<TxnResponse, Refusal> {
        self.write(request).await.map_err(|denial| match denial {
            Denial::Refused(refusal) => refusal,
            Denial::Exceeded(_) => Refusal::TooManyRequests,
        })
    }

    /// The same, and which limit of a prefix was in the way.
    pub async fn write(&self, request: &TxnRequest) -> Result<TxnResponse, Denial> {
        let (response, durable) = self.begin_txn(request)?;
        durable.wait().await?;
        response.map_err(|failed| match failed {
            Failed::Exceeded(exceeded) => {
                self.metrics.refused(exceeded.reason());
                Denial::Exceeded(exceeded)
            }
            Failed::Txn(TxnError::Refused(refusal)) => Denial::Refused(refusal),
            Failed::Txn(TxnError::Value(error)) => {
                tracing::error!(error = %error, "A value of the log cannot be read");
                Denial::Refused(Refusal::Corrupt)
            }
        })
    }

    /// When all that was read of the newest state is durable: only then may it be told.
    pub async fn settled(&self) -> Result<(), Refusal> {
        let durable = self.sequencer()?.durable();
        durable.wait().await
    }

    fn begin_txn(
        &self,
        request: &TxnRequest,
    ) -> Result<(Result<TxnResponse, Failed>, Durable), Refusal> {
        let cost_bytes = alarm::cost(request);
        let mut sequencer = self.sequencer()?;
        if sequencer.group.payload.len() > MOST_FORMING_BYTES {
            return Err(Refusal::TooManyRequests);
        }
        if let Err(refusal) = sequencer.find_room(cost_bytes) {
            self.metrics.refused("no_space");
            let durable = sequencer.durable();
            self.wake(sequencer);
            return Ok((Err(Failed::Txn(refusal.into())), durable));
        }
        let Sequencer { state, recent, group, pin, limits, .. } = &mut *sequencer;
        let values = Newest { recent, pin };
        let path = match txn::decide(state, request, &values) {
            Ok(path) => path,
            Err(error) => return Ok((Err(Failed::Txn(error)), sequencer.durable())),
        };
        if let Some(enforced) = &mut limits.enforced {
            let growths = growth::of(state, enforced.prefixes(), &taken(request, &path));
            if let Err(exceeded) = enforced.admit(&growths, self.now()) {
                return Ok((Err(Failed::Exceeded(exceeded)), sequencer.durable()));
            }
        }
        let (payload_lsn, begun_at) = (group.payload_lsn(), group.payload.len());
        let mut writing = Writing::begin(state, &mut group.payload, payload_lsn);
        let response = txn::carry_out(&mut writing, request, &path, &values);
        let happening = writing.finish();
        let revision = sequencer.state.revision;
        sequencer.defer(begun_at, happening.as_deref());
        let durable = sequencer.changed(happening);
        self.wake(sequencer);
        let header = Some(self.header(revision));
        let response = response.map(|response| TxnResponse { header, ..response });
        Ok((response.map_err(|error| Failed::Txn(TxnError::Value(error))), durable))
    }

    fn sequencer(&self) -> Result<MutexGuard<'_, Sequencer>, Refusal> {
        let sequencer = self.locked();
        match sequencer.ended {
            None => Ok(sequencer),
            Some(refusal) => Err(refusal),
        }
    }

    /// A thread that panicked in here has broken nothing that the next start does not read from the log again, but nobody may go on.
    fn locked(&self) -> MutexGuard<'_, Sequencer> {
        let is_poisoned = self.sequencer.is_poisoned();
        let mut sequencer = self.sequencer.lock().unwrap_or_else(PoisonError::into_inner);
        if is_poisoned {
            sequencer.ended.get_or_insert(Refusal::Stopped);
            self.work.notify_all();
        }
        sequencer
    }

    /// Lets go of the lock and sends the committer for what is in the group.
    fn wake(&self, sequencer: MutexGuard<'_, Sequencer>) {
        let has_work = !sequencer.group.payload.is_empty() && !sequencer.is_writing;
        drop(sequencer);
        if has_work {
            self.work.notify_one();
        }
    }
}

impl Sequencer {
    /// Keeps what happened, and says when it is durable.
    fn changed(&mut self, happening: Option<Arc<Happening>>) -> Durable {
        if let Some(happening) = happening {
            for event in happening.events.iter().filter(|event| event.previous.is_some()) {
                self.superseded.push(happening.revision, &event.key);
            }
            self.limits.note(&happening);
            self.recent.push(Arc::clone(&happening), self.durable);
            self.group.happenings.push(happening);
        }
        self.durable()
    }

    /// When everything up to now is.
    fn durable(&mut self) -> Durable {
        let waiting = match (self.group.payload.is_empty(), self.is_writing) {
            (false, _) => &mut self.group.waiters,
            (true, true) => &mut self.waiting,
            (true, false) => return Durable(None),
        };
        let (waiter, answer) = oneshot::channel();
        waiting.push(waiter);
        Durable(Some(answer))
    }
}

#[cfg(test)]
mod tests;
