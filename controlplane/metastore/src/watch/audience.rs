//! Which key ranges are watched, and which of them a key lies in: in time that grows with the number of different lengths of prefixes, not
//! with the number of watchers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::WatcherId;
use super::queue::{Batch, Matched};
use crate::happening::Happening;
use crate::index::{End, KeyRange};
use crate::mvcc::Revision;

/// All ranges with those who watch them.
#[derive(Debug, Default)]
pub(super) struct Audiences {
    single: HashMap<Bytes, Vec<WatcherId>>,
    prefix: HashMap<Bytes, Vec<WatcherId>>,
    /// How many prefixes of each length there are.
    lengths: BTreeMap<usize, usize>,
    /// Ranges of any other kind; nobody has many of them.
    other: Vec<(KeyRange, Vec<WatcherId>)>,
}

/// Where an audience is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Single(Bytes),
    Prefix(Bytes),
    Other(usize),
}

impl Audiences {
    pub(super) fn add(&mut self, range: &KeyRange, id: WatcherId) {
        match kind(range) {
            Kind::Single => self.single.entry(range.start.clone()).or_default().push(id),
            Kind::Prefix => {
                let members = self.prefix.entry(range.start.clone()).or_insert_with(|| {
                    *self.lengths.entry(range.start.len()).or_default() += 1;
                    Vec::new()
                });
                members.push(id);
            }
            Kind::Other => match self.other.iter_mut().find(|(known, _)| known == range) {
                Some((_, members)) => members.push(id),
                None => self.other.push((range.clone(), vec![id])),
            },
        }
    }

    pub(super) fn remove(&mut self, range: &KeyRange, id: WatcherId) {
        match kind(range) {
            Kind::Single => drop(leave(&mut self.single, &range.start, id)),
            Kind::Prefix => {
                if leave(&mut self.prefix, &range.start, id)
                    && let Some(n) = self.lengths.get_mut(&range.start.len())
                {
                    *n -= 1;
                    if *n == 0 {
                        self.lengths.remove(&range.start.len());
                    }
                }
            }
            Kind::Other => {
                let of_range = self.other.iter_mut().filter(|(known, _)| known == range);
                of_range.for_each(|(_, members)| members.retain(|member| *member != id));
                self.other.retain(|(_, members)| !members.is_empty());
            }
        }
    }

    /// Each audience that something happened to, with what it was.
    pub(super) fn matching(
        &self,
        revision: Revision,
        happenings: &[Arc<Happening>],
    ) -> Vec<(&[WatcherId], Arc<Batch>)> {
        let mut found: HashMap<Place, Vec<Matched>> = HashMap::new();
        for happening in happenings {
            for (nth, event) in (0..).zip(&happening.events) {
                for place in self.places(&event.key) {
                    let happening = Arc::clone(happening);
                    found.entry(place).or_default().push(Matched { happening, nth });
                }
            }
        }
        let of = |(place, matched)| {
            let members = self.members(&place)?;
            Some((members, Arc::new(Batch::new(revision, matched))))
        };
        found.into_iter().filter_map(of).collect()
    }

    fn places(&self, key: &Bytes) -> Vec<Place> {
        let mut places = Vec::new();
        if let Some((known, _)) = self.single.get_key_value(key) {
            places.push(Place::Single(known.clone()));
        }
        for length in self.lengths.keys() {
            let Some(start) = key.get(..*length) else { break };
            if let Some((known, _)) = self.prefix.get_key_value(start) {
                places.push(Place::Prefix(known.clone()));
            }
        }
        let others = (0..).zip(&self.other).filter(|(_, (range, _))| range.contains(key));
        places.extend(others.map(|(nth, _)| Place::Other(nth)));
        places
    }

    fn members(&self, place: &Place) -> Option<&[WatcherId]> {
        let members = match place {
            Place::Single(key) => self.single.get(key),
            Place::Prefix(prefix) => self.prefix.get(prefix),
            Place::Other(nth) => self.other.get(*nth).map(|(_, members)| members),
        };
        members.map(Vec::as_slice)
    }
}

enum Kind {
    Single,
    Prefix,
    Other,
}

fn kind(range: &KeyRange) -> Kind {
    match &range.end {
        End::Single => Kind::Single,
        End::Before(end) if follower(&range.start).as_deref() == Some(end) => Kind::Prefix,
        End::Before(_) | End::Unbounded => Kind::Other,
    }
}

/// The first key behind all that begin with `prefix`.
fn follower(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    *end.last_mut()? += 1;
    Some(end)
}

/// Whether nobody is left.
fn leave(all: &mut HashMap<Bytes, Vec<WatcherId>>, key: &Bytes, id: WatcherId) -> bool {
    let Some(members) = all.get_mut(key) else { return false };
    members.retain(|member| *member != id);
    let is_empty = members.is_empty();
    if is_empty {
        all.remove(key);
    }
    is_empty
}
