//! What a stream is to send next, in order, and how much of it there may be.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::happening::{Happened, Happening};
use crate::mvcc::Revision;

/// One answer in the making.
#[derive(Clone, Debug)]
pub enum Item {
    Created {
        watch: i64,
        revision: Revision,
    },
    /// Events of one audience.
    Events {
        watch: i64,
        batch: Arc<Batch>,
    },
    /// The watch reads on from the store: `next` is the first revision that it has not been handed.
    Behind {
        watch: i64,
        next: Revision,
    },
    /// -1 is all watches of the stream.
    Progress {
        watch: i64,
        revision: Revision,
    },
    Over,
}

/// Events of one publication that one key range has, for all who watch it.
#[derive(Debug)]
pub struct Batch {
    pub revision: Revision,
    pub matched: Vec<Matched>,
    /// All events one behind the other, without and with what was before; made by the first who sends them.
    pub encoded: [OnceLock<Bytes>; 2],
}

/// One event of a transaction.
#[derive(Clone, Debug)]
pub struct Matched {
    pub happening: Arc<Happening>,
    pub nth: u32,
}

impl Matched {
    pub fn event(&self) -> &Happened {
        // Made by whoever found it there.
        &self.happening.events[self.nth as usize]
    }
}

impl Batch {
    pub fn new(revision: Revision, matched: Vec<Matched>) -> Batch {
        Batch { revision, matched, encoded: Default::default() }
    }

    /// The first revision of an event that is not before `start`.
    pub fn first_from(&self, start: Revision) -> Option<Revision> {
        self.matched.iter().map(|one| one.happening.revision).find(|revision| *revision >= start)
    }

    fn bytes(&self) -> usize {
        self.matched.iter().map(|one| one.event().value.len() + one.event().key.len()).sum()
    }
}

/// Of one stream.
#[derive(Debug)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    news: Notify,
    most_bytes: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    items: VecDeque<Item>,
    bytes: usize,
}

/// What an item takes beside its events.
const ITEM_BYTES: usize = 64;

impl Queue {
    pub fn new(most_bytes: usize) -> Queue {
        Queue { waiting: Mutex::default(), news: Notify::new(), most_bytes }
    }

    pub fn push(&self, item: Item) {
        let mut waiting = self.locked();
        waiting.bytes += size(&item);
        waiting.items.push_back(item);
        drop(waiting);
        self.news.notify_one();
    }

    pub fn pop(&self) -> Option<Item> {
        let mut waiting = self.locked();
        let item = waiting.items.pop_front()?;
        waiting.bytes -= size(&item);
        Some(item)
    }

    pub fn is_full(&self) -> bool {
        self.locked().bytes > self.most_bytes
    }

    /// Comes when something may be there.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    fn locked(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(item: &Item) -> usize {
    match item {
        Item::Events { batch, .. } => ITEM_BYTES + batch.bytes(),
        _ => ITEM_BYTES,
    }
}
