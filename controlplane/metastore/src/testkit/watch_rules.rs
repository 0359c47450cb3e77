//! The nine things that hold of every stream of a watch (etcd's robustness tests have them): the events are those asked for, ordered,
//! unique and whole, progress is true, nothing is left out where a watch begins or later, and what an event says of its key is so. Owns
//! the rules; what was written is the chronicle's.

use std::collections::HashSet;

use bytes::Bytes;
use proto::etcd::etcdserverpb::watch_create_request::FilterType;
use proto::etcd::etcdserverpb::{WatchCreateRequest, WatchResponse};
use proto::etcd::mvccpb::Event;
use proto::etcd::mvccpb::event::EventType;

use super::chronicle::{Change, Chronicle};
use crate::index::KeyRange;
use crate::mvcc::Revision;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    Filter,
    Ordered,
    Unique,
    Atomic,
    Bookmarkable,
    Resumable,
    Reliable,
    PreviousKv,
    IsCreate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    pub rule: Rule,
    pub told: String,
}

/// One watch: what was asked for, and the answers for its id and for all watches of its stream, in order.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    pub request: WatchCreateRequest,
    pub responses: Vec<WatchResponse>,
}

/// Until `compacted` what a key was before may be left out of its event.
pub fn breaches(recorded: &Recorded, chronicle: &Chronicle, compacted: Revision) -> Vec<Breach> {
    let request = &recorded.request;
    let range = KeyRange::of_request(request.key.clone(), request.range_end.clone());
    let mut check = Check { recorded, chronicle, compacted, range, found: Vec::new() };
    check.filter();
    check.ordered_and_unique();
    check.atomic();
    check.bookmarkable();
    check.complete();
    check.canceled();
    check.events().iter().for_each(|event| check.of_key(event));
    check.found
}

/// What the last of the events or words of progress reaches: a watch that goes on begins behind it.
pub fn reached(recorded: &Recorded) -> Revision {
    let of = |response: &WatchResponse| {
        let events = response.events.iter().map(mod_revision).max();
        if is_progress(response) { header_revision(response) } else { events.unwrap_or(0) }
    };
    recorded.responses.iter().map(of).max().unwrap_or(0)
}

struct Check<'a> {
    recorded: &'a Recorded,
    chronicle: &'a Chronicle,
    compacted: Revision,
    range: KeyRange,
    found: Vec<Breach>,
}

impl Check<'_> {
    fn breach(&mut self, rule: Rule, told: String) {
        self.found.push(Breach { rule, told });
    }

    fn events(&self) -> Vec<Event> {
        self.recorded.responses.iter().flat_map(|one| one.events.iter().cloned()).collect()
    }

    fn is_wanted(&self, key: &[u8], is_deletion: bool) -> bool {
        let filter = if is_deletion { FilterType::Nodelete } else { FilterType::Noput };
        self.range.contains(key) && !self.recorded.request.filters.contains(&filter.into())
    }

    fn filter(&mut self) {
        for event in self.events() {
            let kv = event.kv.clone().unwrap_or_default();
            let is_early = kv.mod_revision < self.recorded.request.start_revision;
            if is_early || !self.is_wanted(&kv.key, event.r#type() == EventType::Delete) {
                self.breach(Rule::Filter, format!("{event:?} was not asked for"));
            }
        }
    }

    fn ordered_and_unique(&mut self) {
        let (mut last, mut known) = (0, HashSet::new());
        for event in self.events() {
            let revision = mod_revision(&event);
            if revision < last {
                self.breach(Rule::Ordered, format!("{revision} comes after {last}"));
            }
            last = revision;
            let kv = event.kv.unwrap_or_default();
            if !known.insert((revision, kv.key.clone())) {
                self.breach(Rule::Unique, format!("{:?} at {revision} comes twice", kv.key));
            }
        }
    }

    /// A revision is in one answer, or in the parts of one.
    fn atomic(&mut self) {
        let mut last: Option<(Revision, bool)> = None;
        for response in &self.recorded.responses {
            let Some(first) = response.events.first().map(mod_revision) else { continue };
            if last.is_some_and(|(revision, is_part)| revision == first && !is_part) {
                self.found.push(Breach {
                    rule: Rule::Atomic,
                    told: format!("revision {first} is in two answers"),
                });
            }
            last = response.events.last().map(|event| (mod_revision(event), response.fragment));
        }
    }

    /// Also the word that a watch from now on is there says from where on.
    fn bookmarkable(&mut self) {
        let (mut told, mut last) = (0, 0);
        let is_from_now = self.recorded.request.start_revision == 0;
        for response in &self.recorded.responses {
            let header = header_revision(response);
            if is_progress(response) && header < last.max(told) {
                let told = format!("progress {header} after revision {}", last.max(told));
                self.found.push(Breach { rule: Rule::Bookmarkable, told });
            }
            if is_progress(response) || (response.created && is_from_now) {
                told = told.max(header);
            }
            for revision in response.events.iter().map(mod_revision) {
                if revision <= told {
                    let told = format!("revision {revision} after progress {told}");
                    self.found.push(Breach { rule: Rule::Bookmarkable, told });
                }
                last = last.max(revision);
            }
        }
    }

    /// All that was wanted came, from the start to what was reached, as it was written.
    fn complete(&mut self) {
        let Some(first) = self.first() else { return };
        let until = reached(self.recorded);
        let of = |(revision, changes): (Revision, &[Change])| {
            let wanted = |change: &&Change| self.is_wanted(&change.key, change.value.is_none());
            changes.iter().filter(wanted).map(|one| (revision, one.clone())).collect::<Vec<_>>()
        };
        let written = self.chronicle.from(first).take_while(|(revision, _)| *revision <= until);
        let written: Vec<(Revision, Change)> = written.flat_map(of).collect();
        let events = self.events();
        let told: Vec<(Revision, Change)> =
            events.iter().map(|event| (mod_revision(event), Change::of_event(event))).collect();
        if written == told {
            return;
        }
        let nth = written.iter().zip(&told).take_while(|(one, other)| one == other).count();
        let rule = if nth == 0 { Rule::Resumable } else { Rule::Reliable };
        let (is, should) = (told.get(nth), written.get(nth));
        self.breach(rule, format!("event {nth} is {is:?} and should be {should:?}"));
    }

    /// A watch that nobody cancelled ends where it wants what was compacted, and nowhere else.
    fn canceled(&mut self) {
        let canceled = self.recorded.responses.iter().find(|one| one.canceled && !one.created);
        let (Some(canceled), Some(first)) = (canceled, self.first()) else { return };
        let (compacted, next) = (canceled.compact_revision, first.max(reached(self.recorded) + 1));
        if compacted <= next {
            self.breach(Rule::Reliable, format!("canceled by {compacted}, and wants {next}"));
        }
    }

    /// Where the watch begins; `None` where it was never made.
    fn first(&self) -> Option<Revision> {
        let created = self.recorded.responses.iter().find(|one| one.created && !one.canceled)?;
        match self.recorded.request.start_revision {
            0 => Some(header_revision(created) + 1),
            start => Some(start),
        }
    }

    /// What the event says of its key before and after.
    fn of_key(&mut self, event: &Event) {
        let revision = mod_revision(event);
        let kv = event.kv.clone().unwrap_or_default();
        let before = self.chronicle.key_at(&kv.key, revision - 1).cloned();
        if event.r#type() == EventType::Put {
            let is = self.chronicle.key_at(&kv.key, revision);
            let is_create = kv.create_revision == kv.mod_revision;
            if is_create != before.is_none() || is != Some(&kv) {
                self.breach(Rule::IsCreate, format!("{kv:?} and {is:?}, before it {before:?}"));
            }
        }
        let is_asked = self.recorded.request.prev_kv;
        let may_be_absent = revision <= self.compacted;
        let is_right = match &event.prev_kv {
            None => !is_asked || before.is_none() || may_be_absent,
            Some(told) => is_asked && before.as_ref() == Some(told),
        };
        if !is_right {
            let told = format!("at {revision} {:?} instead of {before:?}", event.prev_kv);
            self.breach(Rule::PreviousKv, told);
        }
    }
}

fn mod_revision(event: &Event) -> Revision {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

fn header_revision(response: &WatchResponse) -> Revision {
    response.header.as_ref().map_or(0, |header| header.revision)
}

fn is_progress(response: &WatchResponse) -> bool {
    response.events.is_empty() && !response.created && !response.canceled
}

/// A watch of all keys that begin with `prefix`.
pub fn of_prefix(prefix: &str, start_revision: Revision) -> WatchCreateRequest {
    let mut end = prefix.as_bytes().to_vec();
    // Prefixes of ours end with a letter or a slash.
    end.iter_mut().next_back().into_iter().for_each(|last| *last += 1);
    WatchCreateRequest {
        key: Bytes::copy_from_slice(prefix.as_bytes()),
        range_end: end.into(),
        start_revision,
        prev_kv: true,
        ..WatchCreateRequest::default()
    }
}

#[cfg(test)]
mod tests;
