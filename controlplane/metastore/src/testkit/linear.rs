//! Whether answers that overlap in time fit one order in which each operation happens at one moment between its call and its answer: the
//! search of Wing and Gong with Lowe's memory of what was tried. Owns the search and the model, a few keys with values; an operation
//! without an answer may have happened at any later time, or never, and is tried when nothing else fits: a thousand kills leave
//! thousands of them, each of which could be the next whenever its key is as it was.
//!
//! Values are written once, so that a value says who wrote it. Revisions that were answered must rise along the order.

use std::collections::{BTreeMap, HashSet};

use thiserror::Error;

use crate::engine::power::Random;
use crate::mvcc::Revision;

/// Of one attempt; no two write the same.
pub type Value = u64;

/// A key by its number, and what it is; `None` is not there.
pub type Cell = (usize, Option<Value>);

#[derive(Clone, Debug)]
pub struct Operation {
    /// Ticks of one clock for all clients.
    pub called: u64,
    pub call: Call,
    /// `None`: nobody knows.
    pub answer: Option<Answer>,
}

/// If all of `guard` is so, all of `then` is written.
#[derive(Clone, Debug, Default)]
pub struct Call {
    pub guard: Vec<Cell>,
    pub then: Vec<Cell>,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub at: u64,
    pub succeeded: bool,
    pub revision: Revision,
    /// What was there before anything was written.
    pub seen: Vec<Cell>,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Nonlinear {
    #[error("no order explains operation {nth}; the longest one has {n_explained} operations")]
    NoOrder { nth: usize, n_explained: usize },
    #[error("undecided after {n_tried} states")]
    Undecided { n_tried: usize },
}

/// More than any history of ours needs by a factor of a hundred.
const MOST_STATES: usize = 4_000_000;

/// `n_keys` keys that are not there at the beginning.
pub fn check(n_keys: usize, operations: &[Operation]) -> Result<(), Nonlinear> {
    let start = State { cells: vec![None; n_keys], revision: 0 };
    Search::new(operations, start).run()
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    cells: Vec<Option<Value>>,
    /// The highest that an operation was answered with so far.
    revision: Revision,
}

impl State {
    fn is(&self, (key, value): &Cell) -> bool {
        self.cells[*key] == *value
    }

    /// The state after the operation, if it can happen here. One without an answer that changes nothing need not happen at all.
    fn after(&self, operation: &Operation) -> Option<State> {
        let Operation { call, answer, .. } = operation;
        let holds = call.guard.iter().all(|cell| self.is(cell));
        let changes = holds && call.then.iter().any(|cell| cell.1.is_some() || !self.is(cell));
        let revision = match answer {
            None if !changes => return None,
            None => self.revision,
            Some(answer) => {
                let least = self.revision + i64::from(changes);
                let fits = holds == answer.succeeded && answer.revision >= least;
                if !fits || !answer.seen.iter().all(|cell| self.is(cell)) {
                    return None;
                }
                answer.revision
            }
        };
        // Most of those without an answer were turned away by now: thousands are asked at each step.
        let mut next = State { revision, ..self.clone() };
        if holds {
            call.then.iter().for_each(|(key, value)| next.cells[*key] = *value);
        }
        Some(next)
    }
}

/// Which operations have happened, as the exclusive or of a random number for each (Zobrist): a bit for each would take a gigabyte in a
/// history of a million. Two sets with one number are as likely as a fault of the memory, and would only make the search give up an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Happened(u128);

impl Happened {
    /// With one more, or without the one.
    fn or_not(self, nth: usize) -> Happened {
        let mut random = Random::new(nth as u64);
        Happened(self.0 ^ (u128::from(random.number()) << 64 | u128::from(random.number())))
    }
}

/// Calls and answers in the order of time, as two lists from which those of operations that have happened are taken out: of the operations
/// that were answered, and of the others.
struct Search<'a> {
    operations: &'a [Operation],
    /// Which operation, and whether it is its answer; before them the heads of the lists.
    events: Vec<(usize, bool)>,
    next: Vec<usize>,
    previous: Vec<usize>,
    call_at: Vec<usize>,
    answer_at: Vec<Option<usize>>,
    happened: Happened,
    state: State,
    tried: HashSet<(Happened, State)>,
    /// Operations in the order that is tried, each with the state before.
    order: Vec<(usize, State)>,
    /// Of the answers that are left, with how many have each.
    revisions: BTreeMap<Revision, usize>,
}

const ANSWERED: usize = 0;
const UNANSWERED: usize = 1;

/// The heads of both lists, and then all events in the order of time.
fn events(operations: &[Operation]) -> Vec<(usize, bool)> {
    let calls = operations.iter().enumerate().map(|(nth, one)| (one.called, nth, false));
    let answers = operations.iter().enumerate();
    let answers = answers.filter_map(|(nth, one)| Some((one.answer.as_ref()?.at, nth, true)));
    let mut timed: Vec<(u64, usize, bool)> = calls.chain(answers).collect();
    timed.sort_unstable();
    let heads = [(usize::MAX, false); 2];
    heads.into_iter().chain(timed.into_iter().map(|(_, nth, is_answer)| (nth, is_answer))).collect()
}

/// What is next and previous to each event in its list; behind the last one is a place that no event has.
fn linked(operations: &[Operation], events: &[(usize, bool)]) -> (Vec<usize>, Vec<usize>) {
    let end = events.len();
    let (mut next, mut previous) = (vec![end; end], vec![ANSWERED; end + 1]);
    let mut last = [ANSWERED, UNANSWERED];
    for (place, (nth, _)) in events.iter().enumerate().skip(2) {
        let last = &mut last[usize::from(operations[*nth].answer.is_none())];
        (next[*last], previous[place]) = (place, *last);
        *last = place;
    }
    (next, previous)
}

impl<'a> Search<'a> {
    fn new(operations: &'a [Operation], state: State) -> Search<'a> {
        let events = events(operations);
        let (next, previous) = linked(operations, &events);
        let mut call_at = vec![ANSWERED; operations.len()];
        let mut answer_at = vec![None; operations.len()];
        for (place, (nth, is_answer)) in events.iter().enumerate().skip(2) {
            match is_answer {
                true => answer_at[*nth] = Some(place),
                false => call_at[*nth] = place,
            }
        }
        let mut revisions = BTreeMap::new();
        for answer in operations.iter().filter_map(|one| one.answer.as_ref()) {
            *revisions.entry(answer.revision).or_default() += 1;
        }
        Search {
            operations,
            events,
            revisions,
            next,
            previous,
            call_at,
            answer_at,
            happened: Happened(0),
            state,
            tried: HashSet::new(),
            order: Vec::new(),
        }
    }

    fn run(mut self) -> Result<(), Nonlinear> {
        let mut place = self.next[ANSWERED];
        let mut furthest = (0, 0);
        while !self.revisions.is_empty() {
            // Whatever is next was called before the first answer of something that has not happened.
            let answer = self.first_answer();
            place = match self.events.get(place).copied() {
                Some((nth, false)) if place < answer => match self.happens(nth) {
                    true => self.next[ANSWERED],
                    false => self.next[place],
                },
                Some((_, true)) => self.next[UNANSWERED],
                // Nothing is left to try.
                _ => {
                    if self.order.len() >= furthest.1 {
                        furthest = (self.events[answer].0, self.order.len());
                    }
                    let (nth, n_explained) = furthest;
                    let last = self.take_back().ok_or(Nonlinear::NoOrder { nth, n_explained })?;
                    self.next[self.call_at[last]]
                }
            };
            if self.tried.len() > MOST_STATES {
                return Err(Nonlinear::Undecided { n_tried: self.tried.len() });
            }
        }
        Ok(())
    }

    /// Its place: while any is left, the list of the answered ones has it.
    fn first_answer(&self) -> usize {
        let mut place = self.next[ANSWERED];
        while self.events.get(place).is_some_and(|(_, is_answer)| !is_answer) {
            place = self.next[place];
        }
        place
    }

    /// Whether it can be the next, and was not tried here before.
    fn happens(&mut self, nth: usize) -> bool {
        let answer = self.operations[nth].answer.as_ref().map(|answer| answer.revision);
        // Nothing with a lower one could happen after it.
        let least = self.revisions.first_key_value().map(|(revision, _)| *revision);
        if answer > least {
            return false;
        }
        let Some(after) = self.state.after(&self.operations[nth]) else { return false };
        let happened = self.happened.or_not(nth);
        if !self.tried.insert((happened, after.clone())) {
            return false;
        }
        self.happened = happened;
        self.order.push((nth, std::mem::replace(&mut self.state, after)));
        self.unlink(self.call_at[nth]);
        if let Some(answer) = self.answer_at[nth] {
            self.unlink(answer);
            self.count(nth, false);
        }
        true
    }

    fn take_back(&mut self) -> Option<usize> {
        let (nth, state) = self.order.pop()?;
        self.state = state;
        self.happened = self.happened.or_not(nth);
        if let Some(answer) = self.answer_at[nth] {
            self.link(answer);
            self.count(nth, true);
        }
        self.link(self.call_at[nth]);
        Some(nth)
    }

    /// Whether the answer of an operation is left again, or not any more.
    fn count(&mut self, nth: usize, is_left: bool) {
        let Some(answer) = &self.operations[nth].answer else { return };
        let left = self.revisions.entry(answer.revision).or_default();
        if is_left {
            *left += 1;
        } else {
            *left -= 1;
            if *left == 0 {
                self.revisions.remove(&answer.revision);
            }
        }
    }

    fn unlink(&mut self, place: usize) {
        let (before, after) = (self.previous[place], self.next[place]);
        self.next[before] = after;
        self.previous[after] = before;
    }

    /// In the reverse order of `unlink`.
    fn link(&mut self, place: usize) {
        let (before, after) = (self.previous[place], self.next[place]);
        self.next[before] = place;
        self.previous[after] = place;
    }
}

#[cfg(test)]
mod tests;
