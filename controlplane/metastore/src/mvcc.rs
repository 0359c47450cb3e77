//! Keys with their versions: what one key was at each revision that is still kept, and what a range of keys held at one revision. Owns
//! visibility and what compaction leaves of a key; knows no request, no log and no value, only where values lie.

use std::sync::Arc;

use crate::index::{Index, Key, KeyRange, Range, Weigh};

/// Of the whole store: grows by one with each transaction that changes something, and is 1 in an empty store.
pub type Revision = i64;

/// Where a value lies in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Of its first byte.
    pub lsn: u64,
    pub length: u32,
    /// Which write of its transaction it is, from 0 on; also that of a deletion, which has no value.
    pub sub: u32,
}

/// One write of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    pub mod_revision: Revision,
    pub create_revision: Revision,
    /// Writes since the key was created; 0 is a deletion.
    pub number: i64,
    /// 0 for none.
    pub lease: i64,
    pub place: Place,
}

impl Version {
    pub fn deleted(at: Revision) -> Version {
        Version::deleted_as(at, 0)
    }

    /// As the write `sub` of its transaction.
    pub fn deleted_as(at: Revision, sub: u32) -> Version {
        let place = Place { sub, ..Place::default() };
        Version { mod_revision: at, create_revision: 0, number: 0, lease: 0, place }
    }

    pub fn is_deletion(&self) -> bool {
        self.number == 0
    }
}

/// All kept versions of one key. Older ones are shared with snapshots, so that a write costs the same however long the history is.
#[derive(Clone, Debug)]
pub struct Entry {
    newest: Version,
    older: Option<Arc<Older>>,
}

#[derive(Debug)]
struct Older {
    version: Version,
    next: Option<Arc<Older>>,
}

impl Drop for Older {
    /// One after the other: a history of a million versions must not become a million calls deep.
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(mut older) = next.and_then(Arc::into_inner) {
            next = older.next.take();
        }
    }
}

impl Entry {
    pub fn new(version: Version) -> Entry {
        Entry { newest: version, older: None }
    }

    /// `versions` oldest first; `None` where there are none.
    pub fn of(versions: impl IntoIterator<Item = Version>) -> Option<Entry> {
        let mut versions = versions.into_iter();
        let mut entry = Entry::new(versions.next()?);
        versions.for_each(|version| entry.push(version));
        Some(entry)
    }

    pub fn push(&mut self, version: Version) {
        let older = Older { version: self.newest, next: self.older.take() };
        self.older = Some(Arc::new(older));
        self.newest = version;
    }

    pub fn newest(&self) -> &Version {
        &self.newest
    }

    /// Newest first.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        let mut older = self.older.as_deref();
        let rest = std::iter::from_fn(move || {
            let one = older?;
            older = one.next.as_deref();
            Some(&one.version)
        });
        std::iter::once(&self.newest).chain(rest)
    }

    /// What the key was at a revision: `None` before it was first written and while it was deleted.
    pub fn at(&self, revision: Revision) -> Option<&Version> {
        let version = self.versions().find(|version| version.mod_revision <= revision)?;
        Some(version).filter(|version| !version.is_deletion())
    }

    /// What it was just before.
    pub fn before(&self, revision: Revision) -> Option<&Version> {
        self.at(revision - 1)
    }

    /// What somebody may still ask for when everything before `compacted` is forgotten, newest first: every later version, and the one
    /// that the key had then.
    pub fn kept(&self, compacted: Revision) -> impl Iterator<Item = &Version> {
        let mut is_over = false;
        self.versions().take_while(move |version| {
            let is_kept = !is_over;
            is_over |= version.mod_revision <= compacted;
            is_kept && !(is_over && version.is_deletion())
        })
    }

    /// Forgets what nobody may ask for any more: versions that were not the newest at `revision` or later. `None` when nothing is left.
    pub fn compact(&self, revision: Revision) -> Option<Entry> {
        let is_old = |version: &Version| version.mod_revision <= revision;
        let n_later = self.versions().take_while(|version| !is_old(version)).count();
        let n_kept = match self.versions().nth(n_later) {
            // A deletion at or before the revision shows nothing to anybody.
            Some(version) if !version.is_deletion() => n_later + 1,
            _ => n_later,
        };
        let mut kept: Vec<Version> = self.versions().take(n_kept).copied().collect();
        kept.reverse();
        Entry::of(kept)
    }

    /// The value of one version lies elsewhere from now on. False where the version is not kept.
    pub fn relocate(&mut self, mod_revision: Revision, place: Place) -> bool {
        let mut versions: Vec<Version> = self.versions().copied().collect();
        versions.reverse();
        let Some(version) = versions.iter_mut().find(|one| one.mod_revision == mod_revision) else {
            return false;
        };
        version.place = Place { sub: version.place.sub, ..place };
        if let Some(entry) = Entry::of(versions) {
            *self = entry;
        }
        true
    }
}

impl Weigh for Entry {
    fn weight(&self) -> u64 {
        u64::from(!self.newest.is_deletion())
    }
}

/// The keys as they are at one revision, while the index may have later versions of them.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub index: &'a Index<Entry>,
    pub revision: Revision,
    /// Whether the index has nothing later, so that its own counts hold.
    pub is_newest: bool,
}

impl<'a> View<'a> {
    pub fn get(&self, key: &[u8]) -> Option<&'a Version> {
        self.index.get(key)?.at(self.revision)
    }

    /// Keys that exist, ascending.
    pub fn range(&self, range: &KeyRange) -> Existing<'a> {
        Existing { entries: self.index.range(range), revision: self.revision }
    }

    /// How many keys exist in a range: O(log n) for the newest revision, a walk for an older one.
    pub fn count(&self, range: &KeyRange) -> u64 {
        match self.is_newest {
            true => self.index.weight_in(range),
            false => self.range(range).count() as u64,
        }
    }
}

/// Keys that exist at a revision.
#[derive(Debug)]
pub struct Existing<'a> {
    entries: Range<'a, Entry>,
    revision: Revision,
}

impl<'a> Iterator for Existing<'a> {
    type Item = (Key<'a>, &'a Version);

    fn next(&mut self) -> Option<(Key<'a>, &'a Version)> {
        loop {
            let (key, entry) = self.entries.next()?;
            if let Some(version) = entry.at(self.revision) {
                return Some((key, version));
            }
        }
    }
}

#[cfg(test)]
mod tests;
