//! Clients that work until the store ends, and write down what they asked for and what they were told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use bytes::Bytes;

use super::requests;
use crate::engine::power::Random;
use crate::mvcc::Revision;
use crate::refusal::Refusal;
use crate::store::Store;
use crate::testkit::chronicle::Change;

/// A client's attempt to write.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// What is written if it is; deletions only of keys that are there.
    pub(super) changes: Vec<Change>,
    /// The key as it must be for that.
    pub(super) guard: Option<(Bytes, Revision)>,
    pub(super) told: Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing, or that it is not known.
    Nothing,
    Written(Revision),
    NotWritten,
}

/// What all clients together asked for and were told, over all lives of a store.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) attempts: Vec<Attempt>,
    /// Asked for, and whether that was acknowledged.
    pub(super) granted: BTreeMap<i64, bool>,
    pub(super) revoked: BTreeMap<i64, bool>,
    pub(super) compactions: BTreeSet<Revision>,
    pub(super) compacted: Revision,
    /// The highest revision of any answer.
    pub(super) highest: Revision,
    pub(super) broken: Vec<String>,
    /// Values of committed states that were read, for the chronicle to agree with.
    pub(super) read: Vec<Read>,
}

/// A key at a revision: when it was written, and what.
pub(super) type Read = (Bytes, Revision, Option<(Revision, Bytes)>);

#[derive(Clone)]
pub(super) struct Client {
    pub(super) store: Arc<Store>,
    pub(super) journal: Arc<Mutex<Journal>>,
    pub(super) random: Random,
}

const N_KEYS: u64 = 12;

impl Client {
    /// Until the store ends; a bound keeps a store that does not end from growing for ever.
    pub(super) async fn work(mut self, most: usize) {
        for _ in 0..most {
            let done = match self.random.below(24) {
                0 => self.grant().await,
                1 => self.revoke().await,
                2 => self.compact().await,
                3..6 => self.several().await,
                6 => self.give_up().await,
                7..10 => self.read(),
                _ => self.one().await,
            };
            if matches!(done, Err(Refusal::TimedOut | Refusal::Stopped)) {
                return;
            }
            if self.random.one_in(8) {
                tokio::task::yield_now().await;
            }
        }
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&mut self) -> Bytes {
        Bytes::from(format!("/registry/pods/{}", self.random.below(N_KEYS)))
    }

    fn note(&self, changes: &[Change], guard: Option<(Bytes, Revision)>) -> usize {
        let mut journal = self.journal();
        let (changes, told) = (changes.to_vec(), Told::Nothing);
        journal.attempts.push(Attempt { changes, guard, told });
        journal.attempts.len() - 1
    }

    /// Values say who wrote them.
    fn put(&mut self, key: Bytes) -> Change {
        let number = self.random.number();
        let filler = [0, 3, 200, 1500][self.random.below(4) as usize];
        let value = Some(Bytes::from(format!("{number:016x}{}", "v".repeat(filler))));
        Change { key, value, lease: 0 }
    }

    fn now(&self, key: &[u8]) -> Revision {
        let committed = self.store.committed();
        committed.view().get(key).map_or(0, |version| version.mod_revision)
    }

    /// Create, update or delete.
    async fn one(&mut self) -> Result<(), Refusal> {
        let key = self.key();
        let now = self.now(&key);
        let is_deletion = now > 0 && self.random.one_in(4);
        let mut change = match is_deletion {
            true => Change { key: key.clone(), value: None, lease: 0 },
            false => self.put(key.clone()),
        };
        if !is_deletion && self.random.one_in(6) {
            change.lease = self.store.leases()?.last().copied().unwrap_or(0);
        }
        let request = requests::guarded(&key, now, &change);
        let nth = self.note(&[change], Some((key, now)));
        let response = self.store.txn(&request).await.inspect_err(|refusal| {
            // A lease may be gone by now: that is an answer too.
            if *refusal == Refusal::LeaseNotFound {
                self.journal().attempts[nth].told = Told::NotWritten;
            }
        })?;
        self.told(nth, response.succeeded, response.header.unwrap_or_default().revision);
        Ok(())
    }

    fn told(&self, nth: usize, is_written: bool, revision: Revision) {
        let mut journal = self.journal();
        let told = if is_written { Told::Written(revision) } else { Told::NotWritten };
        journal.attempts[nth].told = told;
        journal.highest = journal.highest.max(revision);
    }

    /// Two keys are written and a third goes, all or nothing.
    async fn several(&mut self) -> Result<(), Refusal> {
        let first = self.random.below(N_KEYS - 2);
        let key = |nth: u64| Bytes::from(format!("/registry/pods/{}", first + nth));
        let gone = Change { key: key(2), value: None, lease: 0 };
        let changes = [self.put(key(0)), self.put(key(1)), gone];
        let nth = self.note(&changes, None);
        let response = self.store.txn(&requests::all(&changes)).await?;
        self.told(nth, response.succeeded, response.header.unwrap_or_default().revision);
        Ok(())
    }

    /// Asks, and does not wait for the answer.
    async fn give_up(&mut self) -> Result<(), Refusal> {
        let key = self.key();
        let change = self.put(key);
        self.note(std::slice::from_ref(&change), None);
        let request = requests::all(&[change]);
        let mut asked = pin!(self.store.txn(&request));
        poll_fn(|context| {
            let _ = asked.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
        Ok(())
    }

    fn read(&mut self) -> Result<(), Refusal> {
        let key = self.key();
        let committed = self.store.committed();
        let version = committed.view().get(&key).copied();
        let value = version.map(|version| {
            let value = crate::range::Values::value(&*committed, &key, &version);
            (version.mod_revision, value.expect("what is committed can be read"))
        });
        let mut journal = self.journal();
        journal.highest = journal.highest.max(committed.revision);
        journal.read.push((key, committed.revision, value));
        Ok(())
    }

    async fn grant(&mut self) -> Result<(), Refusal> {
        let id = i64::try_from(self.random.number() >> 1).unwrap_or(1);
        self.journal().granted.insert(id, false);
        self.store.grant(id, 3600).await?;
        self.journal().granted.insert(id, true);
        Ok(())
    }

    async fn revoke(&mut self) -> Result<(), Refusal> {
        let leases = self.store.leases()?;
        let Some(id) = leases.first().copied() else { return Ok(()) };
        self.journal().revoked.entry(id).or_insert(false);
        let revision = self.store.revoke(id).await?;
        let mut journal = self.journal();
        journal.revoked.insert(id, true);
        journal.highest = journal.highest.max(revision);
        Ok(())
    }

    async fn compact(&mut self) -> Result<(), Refusal> {
        let newest = self.store.committed().revision;
        let revision = newest - i64::try_from(self.random.below(20)).unwrap_or(0);
        if revision <= 1 {
            return Ok(());
        }
        self.journal().compactions.insert(revision);
        self.store.compact(revision).await?;
        let mut journal = self.journal();
        journal.compacted = journal.compacted.max(revision);
        drop(journal);
        while self.store.forget_some()? {}
        Ok(())
    }
}

/// Which attempt wrote a value.
pub(super) fn by_value(journal: &Journal) -> HashMap<Bytes, usize> {
    let of = |(nth, attempt): (usize, &Attempt)| {
        let value = attempt.changes.iter().find_map(|change| change.value.clone())?;
        Some((value, nth))
    };
    journal.attempts.iter().enumerate().filter_map(of).collect()
}
