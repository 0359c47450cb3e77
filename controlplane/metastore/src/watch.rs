//! Who watches what: hands each published transaction to the watchers of its keys, in order and without a copy for each. Owns which
//! watchers are up to date; what a stream makes of its queue is `grpc::watch`'s, and what happened before is the store's.
//!
//! A watcher that does not take what it is given is no longer handed anything: it reads on from the store until it is up to date again, so
//! that a slow client costs a bounded amount of memory and loses nothing.

mod audience;
mod queue;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use audience::Audiences;
pub use queue::{Batch, Item, Matched, Queue};

use crate::happening::Happening;
use crate::index::KeyRange;
use crate::mvcc::Revision;

/// One for a store.
#[derive(Debug)]
pub struct Hub {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Watchers that are up to date have everything until here in their queues.
    published: Revision,
    audiences: Audiences,
    watchers: HashMap<WatcherId, Watcher>,
}

/// A watch of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WatcherId {
    pub stream: u64,
    pub watch: i64,
}

#[derive(Debug)]
struct Watcher {
    queue: Arc<Queue>,
    range: KeyRange,
    /// Nothing before it is wanted.
    start: Revision,
    /// What the client has asked for: progress before it is told to nobody. 0 for who begins with whatever comes.
    asked: Revision,
    is_current: bool,
    /// The first revision that it has not been handed, as far as is known here; while it is not current only.
    next: Revision,
}

/// Those who watch a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    pub range: KeyRange,
    pub n_watches: u64,
    /// How many of them read on from the store.
    pub n_behind: u64,
    /// By how many revisions the last of them is.
    pub behind_by: Revision,
}

impl Hub {
    pub fn new(published: Revision) -> Hub {
        let audiences = Audiences::default();
        let inner = Inner { published, audiences, watchers: HashMap::new() };
        Hub { inner: Mutex::new(inner) }
    }

    pub fn published(&self) -> Revision {
        self.locked().published
    }

    pub fn n_watchers(&self) -> usize {
        self.locked().watchers.len()
    }

    /// Those that read on from the store, because they were not fast enough or began in the past.
    pub fn n_behind(&self) -> usize {
        self.locked().watchers.values().filter(|one| !one.is_current).count()
    }

    /// Ranges that are watched, in no order. What it takes under the lock is a copy of each watcher's range.
    pub fn watched(&self) -> Vec<Watched> {
        let (published, watchers) = {
            let inner = self.locked();
            let one = |watcher: &Watcher| {
                (watcher.range.clone(), (!watcher.is_current).then_some(watcher.next))
            };
            (inner.published, inner.watchers.values().map(one).collect::<Vec<_>>())
        };
        let mut by_range: HashMap<KeyRange, Watched> = HashMap::new();
        for (range, next) in watchers {
            let watched = by_range.entry(range).or_insert_with_key(|range| Watched {
                range: range.clone(),
                n_watches: 0,
                n_behind: 0,
                behind_by: 0,
            });
            watched.n_watches += 1;
            if let Some(next) = next {
                watched.n_behind += 1;
                watched.behind_by = watched.behind_by.max(published + 1 - next);
            }
        }
        by_range.into_values().collect()
    }

    /// From `start` on, or from now on where it is 0. The queue is told that it was created, and where it has to read on from the store
    /// first.
    pub fn subscribe(&self, id: WatcherId, queue: &Arc<Queue>, range: KeyRange, start: Revision) {
        let mut inner = self.locked();
        let published = inner.published;
        let (asked, start) = (start, if start == 0 { published + 1 } else { start });
        let is_current = start > published;
        queue.push(Item::Created { watch: id.watch, revision: published });
        if !is_current {
            queue.push(Item::Behind { watch: id.watch, next: start });
        }
        inner.audiences.add(&range, id);
        let queue = Arc::clone(queue);
        let next = start;
        inner.watchers.insert(id, Watcher { queue, range, start, asked, is_current, next });
    }

    /// Whether it was there.
    pub fn unsubscribe(&self, id: WatcherId) -> bool {
        let mut inner = self.locked();
        let Some(watcher) = inner.watchers.remove(&id) else { return false };
        inner.audiences.remove(&watcher.range, id);
        true
    }

    /// The next transactions, in order, all of them durable.
    pub fn publish(&self, revision: Revision, happenings: &[Arc<Happening>]) {
        self.publish_with(revision, happenings, || {});
    }

    /// `make_readable` lets everybody read them. Nobody is told how far a watcher is between that and its events: a watcher that has read
    /// them from the store would be handed them again.
    pub fn publish_with(
        &self,
        revision: Revision,
        happenings: &[Arc<Happening>],
        make_readable: impl FnOnce(),
    ) {
        let mut inner = self.locked();
        make_readable();
        let Inner { audiences, watchers, .. } = &mut *inner;
        for (members, batch) in audiences.matching(revision, happenings) {
            for id in members {
                if let Some(watcher) = watchers.get_mut(id).filter(|one| one.is_current) {
                    watcher.hand(*id, &batch);
                }
            }
        }
        inner.published = revision;
    }

    /// Says how far the watches of a stream are, once for all of them, behind everything that they have been handed. False while one of
    /// them is not up to date, or waits for a revision that has not come.
    pub fn progress(&self, ids: impl Iterator<Item = WatcherId>, queue: &Queue) -> bool {
        let inner = self.locked();
        let mut ids = ids.peekable();
        // Nobody who watches nothing is told how far it is.
        let has_some = ids.peek().is_some();
        let all = ids.all(|id| inner.has_all(id));
        if all && has_some {
            queue.push(Item::Progress { watch: -1, revision: inner.published });
        }
        all
    }

    /// The same for one watch.
    pub fn progress_of(&self, id: WatcherId, queue: &Queue) {
        let inner = self.locked();
        if inner.has_all(id) {
            queue.push(Item::Progress { watch: id.watch, revision: inner.published });
        }
    }

    /// A watcher has read everything until `revision`; whether it is handed the rest from now on. If not, there is more to read.
    pub fn is_up_to_date(&self, id: WatcherId, revision: Revision) -> bool {
        let mut inner = self.locked();
        let is_now = revision >= inner.published;
        if let Some(watcher) = inner.watchers.get_mut(&id) {
            watcher.is_current = is_now;
            watcher.next = revision + 1;
        }
        is_now
    }

    /// Nothing is published any more.
    pub fn end(&self) {
        let inner = self.locked();
        inner.watchers.values().for_each(|watcher| watcher.queue.push(Item::Over));
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Whether a watcher has been handed everything, and has asked for nothing later.
    fn has_all(&self, id: WatcherId) -> bool {
        let watcher = self.watchers.get(&id);
        watcher.is_some_and(|one| one.is_current && one.asked <= self.published)
    }
}

impl Watcher {
    fn hand(&mut self, id: WatcherId, batch: &Arc<Batch>) {
        let WatcherId { watch, .. } = id;
        let Some(first) = batch.first_from(self.start) else { return };
        if self.queue.is_full() {
            self.is_current = false;
            self.next = first;
            self.queue.push(Item::Behind { watch, next: first });
        } else {
            self.queue.push(Item::Events { watch, batch: Arc::clone(batch) });
        }
    }
}

#[cfg(test)]
mod tests;
