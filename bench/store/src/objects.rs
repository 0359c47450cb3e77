//! The objects that a workload has put into a store: their keys, and the revision that the server last acknowledged for each.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use bytes::Bytes;

/// The number of an object in the order of its creation.
pub(crate) type Idx = usize;

#[derive(Debug)]
pub(crate) struct Objects {
    prefix: String,
    /// 0: not there.
    revisions: Vec<AtomicI64>,
    /// The next to create; may have run beyond the end.
    next_new: AtomicUsize,
    /// How many picks there were of those that exist.
    n_picks: AtomicUsize,
    n_updates: AtomicUsize,
}

/// Neighbours in time are no neighbours by name, as with real objects; coprime to 10^10 and larger than any number of objects.
const SCATTER: u64 = 2_654_435_761;
const N_NAMES: u64 = 10_000_000_000;
const N_NAMESPACES: u64 = 500;

impl Objects {
    /// Room for so many; `resource` is `pods` in `/registry/pods/`.
    pub(crate) fn new(resource: &str, capacity: usize) -> Objects {
        Objects {
            prefix: format!("/registry/{resource}/"),
            revisions: (0..capacity).map(|_| AtomicI64::new(0)).collect(),
            next_new: AtomicUsize::new(0),
            n_picks: AtomicUsize::new(0),
            n_updates: AtomicUsize::new(0),
        }
    }

    pub(crate) fn prefix(&self) -> Bytes {
        Bytes::copy_from_slice(self.prefix.as_bytes())
    }

    /// The first key behind all that begin with the prefix.
    pub(crate) fn prefix_end(&self) -> Bytes {
        let mut end = self.prefix.clone().into_bytes();
        if let Some(last) = end.last_mut() {
            // '/' becomes '0'
            *last += 1;
        }
        Bytes::from(end)
    }

    /// About 60 bytes.
    pub(crate) fn key(&self, idx: Idx) -> Bytes {
        let idx = idx as u64;
        let (namespace, name) = (idx % N_NAMESPACES, idx * SCATTER % N_NAMES);
        let key =
            format!("{}namespace-{namespace:04}/workload-5f6d8b7c-pod-{name:010}", self.prefix);
        Bytes::from(key)
    }

    /// One to create; `None` when there is room for no more.
    pub(crate) fn take_new(&self) -> Option<Idx> {
        let idx = self.next_new.fetch_add(1, Ordering::Relaxed);
        (idx < self.revisions.len()).then_some(idx)
    }

    /// How many have been handed out for creation.
    pub(crate) fn n_taken(&self) -> usize {
        self.next_new.load(Ordering::Relaxed).min(self.revisions.len())
    }

    /// One of those that exist: each once, in an order that looks random, before any comes again.
    pub(crate) fn pick(&self) -> Option<Idx> {
        let n = self.n_taken() as u64;
        let pick = self.n_picks.fetch_add(1, Ordering::Relaxed) as u64;
        // SCATTER is a prime above n, so this visits all of 0..n.
        (n > 0).then(|| (pick % n * SCATTER % n) as usize)
    }

    /// The picks begin anew; `pick` then comes to each once again.
    pub(crate) fn restart_picks(&self) {
        self.n_picks.store(0, Ordering::Relaxed);
    }

    pub(crate) fn n_picks(&self) -> usize {
        self.n_picks.load(Ordering::Relaxed)
    }

    pub(crate) fn revision(&self, idx: Idx) -> i64 {
        self.revisions[idx].load(Ordering::Relaxed)
    }

    /// What the server acknowledged.
    pub(crate) fn set(&self, idx: Idx, revision: i64) {
        let before = self.revisions[idx].swap(revision, Ordering::Relaxed);
        if before != 0 {
            self.n_updates.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Revisions that later ones have replaced.
    pub(crate) fn n_updates(&self) -> usize {
        self.n_updates.load(Ordering::Relaxed)
    }

    pub(crate) fn newest(&self) -> i64 {
        self.revisions.iter().map(|it| it.load(Ordering::Relaxed)).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Objects;

    #[test]
    fn keys_are_of_one_length_and_differ() {
        let objects = Objects::new("pods", 20_000);
        let keys: BTreeSet<_> = (0..20_000).map(|idx| objects.key(idx)).collect();
        assert_eq!(keys.len(), 20_000);
        assert!(keys.iter().all(|key| key.len() == 62), "{:?}", keys.first());
        assert!(keys.iter().all(|key| *key >= objects.prefix() && *key < objects.prefix_end()));
    }

    #[test]
    fn a_pick_comes_to_each_before_it_comes_again() {
        let objects = Objects::new("pods", 700);
        assert_eq!(objects.pick(), None);
        objects.restart_picks();
        let taken: Vec<_> = (0..701).map(|_| objects.take_new()).collect();
        assert_eq!((taken[699], taken[700], objects.n_taken()), (Some(699), None, 700));
        let round =
            |objects: &Objects| (0..700).filter_map(|_| objects.pick()).collect::<BTreeSet<_>>();
        assert_eq!(round(&objects).len(), 700);
        assert_eq!(round(&objects).len(), 700);
    }

    #[test]
    fn an_update_is_counted_and_a_creation_is_not() {
        let objects = Objects::new("pods", 2);
        objects.set(0, 5);
        assert_eq!((objects.n_updates(), objects.newest()), (0, 5));
        objects.set(0, 6);
        assert_eq!((objects.n_updates(), objects.newest(), objects.revision(1)), (1, 6, 0));
    }
}
