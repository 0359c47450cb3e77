//! Many clients that read and write the same few keys and write down what they asked and were told. Owns what they do; how they reach the
//! store is a `Door`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use proto::etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcd::etcdserverpb::kv_client::KvClient;
use proto::etcd::etcdserverpb::request_op::Request;
use proto::etcd::etcdserverpb::response_op::Response;
use proto::etcd::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RangeResponse, RequestOp, TxnRequest,
    TxnResponse,
};
use proto::etcd::mvccpb::KeyValue;
use tonic::transport::Channel;

use super::chronicle::{Change, Chronicle};
use super::linear::{self, Answer, Call, Cell, Operation, Value};
use crate::engine::power::Random;
use crate::mvcc::Revision;

/// The way to a store. No answer means that nobody knows.
pub trait Door: Clone + Send + Sync + 'static {
    fn txn(&self, request: TxnRequest) -> impl Future<Output = Option<TxnResponse>> + Send;
    fn range(&self, request: RangeRequest) -> impl Future<Output = Option<RangeResponse>> + Send;
}

/// As clients have, so that nobody waits for ever for a server that is gone.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

impl Door for KvClient<Channel> {
    async fn txn(&self, request: TxnRequest) -> Option<TxnResponse> {
        let mut client = self.clone();
        in_time(KvClient::txn(&mut client, request)).await
    }

    async fn range(&self, request: RangeRequest) -> Option<RangeResponse> {
        let mut client = self.clone();
        in_time(KvClient::range(&mut client, request)).await
    }
}

async fn in_time<T>(
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Option<T> {
    let answer = tokio::time::timeout(REQUEST_TIMEOUT, call).await.ok()?;
    answer.ok().map(tonic::Response::into_inner)
}

/// What all of them did.
#[derive(Debug, Default)]
pub struct Crowd {
    clock: AtomicU64,
    values: AtomicU64,
    /// Each with its group of keys; no operation is about two groups.
    done: Mutex<Vec<(u64, Operation)>>,
}

const N_GROUPS: u64 = 16;
const KEYS_OF_GROUP: usize = 2;
pub const PREFIX: &str = "/registry/crowd/";

/// What a client has seen last of the keys of a group.
type Seen = [(Option<Value>, Revision); KEYS_OF_GROUP];

impl Crowd {
    /// While `goes_on`, and so many times at most.
    pub async fn client(
        &self,
        door: impl Door,
        seed: u64,
        most: usize,
        goes_on: impl Fn() -> bool + Send,
    ) {
        let mut random = Random::new(seed);
        let mut seen: HashMap<u64, Seen> = HashMap::new();
        for _ in 0..most {
            if !goes_on() {
                return;
            }
            // Mostly keys that are known, so that most operations write.
            let elsewhere = random.below(N_GROUPS);
            let stays = !random.one_in(4);
            let known = seen.keys().min_by_key(|group| (**group + elsewhere) % N_GROUPS).copied();
            let group = known.filter(|_| stays).unwrap_or(elsewhere);
            let known = seen.remove(&group);
            let kind = random.below(10);
            let now = match known {
                Some(known) if kind >= 3 => self.write(&door, group, known, &mut random).await,
                _ => self.read(&door, group).await,
            };
            seen.extend(now.map(|now| (group, now)));
        }
    }

    pub fn n_operations(&self) -> usize {
        self.done().len()
    }

    /// Of operations without an answer.
    pub fn n_unknown(&self) -> usize {
        self.done().iter().filter(|(_, one)| one.answer.is_none()).count()
    }

    /// The highest revision of any answer.
    pub fn highest(&self) -> Revision {
        let of = |(_, one): &(u64, Operation)| one.answer.as_ref().map(|answer| answer.revision);
        self.done().iter().filter_map(of).max().unwrap_or(1)
    }

    /// Whether one order explains all answers. What became of a write without an answer is said by the chronicle, where a value names who
    /// wrote it: of a thousand kills there are too many of them to try all that may have been.
    pub fn check_order(&self, chronicle: &Chronicle) -> Result<(), String> {
        let written = written(chronicle);
        for group in 0..N_GROUPS {
            let done = self.done();
            let of_group = done.iter().filter(|(of, _)| *of == group);
            let of_group: Vec<Operation> =
                of_group.filter_map(|(_, one)| settled(one, &written)).collect();
            drop(done);
            linear::check(KEYS_OF_GROUP, &of_group).map_err(|error| {
                let operation = match &error {
                    linear::Nonlinear::NoOrder { nth, .. } => of_group.get(*nth),
                    linear::Nonlinear::Undecided { .. } => None,
                };
                format!("group {group}: {error}: {operation:?}")
            })?;
        }
        Ok(())
    }

    /// What was acknowledged is there as it was written, and what is there somebody wrote, once and whole.
    pub fn check_written(&self, chronicle: &Chronicle) -> Result<(), String> {
        let done = self.done();
        let mut by_value = HashMap::new();
        for (group, one) in done.iter().filter(|(_, one)| !one.call.then.is_empty()) {
            let value = one.call.then.iter().find_map(|cell| cell.1);
            by_value.extend(value.map(|value| (value, (*group, one))));
            let Some(answer) = one.answer.as_ref().filter(|answer| answer.succeeded) else {
                continue;
            };
            let is = chronicle.at(answer.revision).unwrap_or_default();
            if is != changes(*group, &one.call) {
                return Err(format!("acknowledged {one:?}, and there is {is:?}"));
            }
        }
        for (revision, is) in chronicle.from(2) {
            let value = is.iter().find_map(|change| value_of(change.value.as_ref()?));
            // Deletions say nothing of who asked for them; the order of operations does.
            let Some(value) = value else { continue };
            let written = by_value.remove(&value);
            let (group, one) = written.ok_or_else(|| format!("nobody wrote {revision}, {is:?}"))?;
            let is_told = one.answer.as_ref().is_none_or(|answer| answer.revision == revision);
            if is != changes(group, &one.call) || !is_told {
                return Err(format!("revision {revision} is {is:?}, of {one:?}"));
            }
        }
        Ok(())
    }

    /// Key and revision of the newest writes that were acknowledged, newest first.
    pub fn acknowledged(&self, most: usize) -> Vec<(Bytes, Revision)> {
        let done = self.done();
        let of = |(group, one): &(u64, Operation)| {
            let answer = one.answer.as_ref().filter(|answer| answer.succeeded)?;
            Some((key(*group, one.call.then.first()?.0), answer.revision))
        };
        done.iter().rev().filter_map(of).take(most).collect()
    }

    fn done(&self) -> MutexGuard<'_, Vec<(u64, Operation)>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn note(&self, group: u64, called: u64, call: Call, answer: Option<Answer>) {
        self.done().push((group, Operation { called, call, answer }));
    }

    /// Both keys, by a range request.
    async fn read(&self, door: &impl Door, group: u64) -> Option<Seen> {
        let called = self.tick();
        let (start, end) = (key(group, 0), key(group, KEYS_OF_GROUP));
        let request = RangeRequest { key: start, range_end: end, ..RangeRequest::default() };
        let response = door.range(request).await?;
        let seen = seen(group, response.kvs.iter());
        let revision = response.header.unwrap_or_default().revision;
        let answer = Answer { at: self.tick(), succeeded: true, revision, seen: cells(&seen) };
        self.note(group, called, Call::default(), Some(answer));
        Some(seen)
    }

    async fn write(
        &self,
        door: &impl Door,
        group: u64,
        known: Seen,
        random: &mut Random,
    ) -> Option<Seen> {
        let call = self.call(known, random);
        let request = request(group, &call, known);
        let called = self.tick();
        let response = door.txn(request).await;
        let Some(response) = response else {
            self.note(group, called, call, None);
            return None;
        };
        let at = self.tick();
        let revision = response.header.unwrap_or_default().revision;
        let succeeded = response.succeeded;
        let mut now = known;
        if succeeded {
            for (nth, value) in &call.then {
                now[*nth] = (*value, value.map_or(0, |_| revision));
            }
        } else {
            now = seen(group, response.responses.iter().filter_map(got));
        }
        let seen = if succeeded { call.guard.clone() } else { cells(&now) };
        // What was not guarded may have changed: it is known again after the next read only.
        let is_known = !succeeded || call.guard.len() == KEYS_OF_GROUP;
        self.note(group, called, call, Some(Answer { at, succeeded, revision, seen }));
        is_known.then_some(now)
    }

    fn call(&self, known: Seen, random: &mut Random) -> Call {
        let value = || Some(self.values.fetch_add(1, Ordering::Relaxed) + 1);
        let nth = random.below(KEYS_OF_GROUP as u64) as usize;
        let both: Vec<Cell> = cells(&known);
        match random.below(8) {
            0 => Call { guard: Vec::new(), then: vec![(nth, value())] },
            1 | 2 => Call { guard: both, then: vec![(0, value()), (1, value())] },
            3 if known[nth].0.is_some() => Call { guard: both, then: vec![(nth, None)] },
            4 => Call { guard: vec![both[nth]], then: vec![(nth, value())] },
            _ => Call { guard: both, then: vec![(nth, value())] },
        }
    }
}

/// Every value that ever was, and its revision.
fn written(chronicle: &Chronicle) -> HashMap<Value, Revision> {
    let changes =
        chronicle.from(2).flat_map(|(at, changes)| changes.iter().map(move |one| (at, one)));
    let value = |(at, change): (Revision, &Change)| Some((value_of(change.value.as_ref()?)?, at));
    changes.filter_map(value).collect()
}

/// `None` of one that never happened. Deletions without an answer stay open.
fn settled(one: &Operation, written: &HashMap<Value, Revision>) -> Option<Operation> {
    let value = one.call.then.iter().find_map(|cell| cell.1);
    match (&one.answer, value) {
        (None, Some(value)) => {
            let revision = *written.get(&value)?;
            let seen = one.call.guard.clone();
            let answer = Answer { at: u64::MAX, succeeded: true, revision, seen };
            Some(Operation { answer: Some(answer), ..one.clone() })
        }
        _ => Some(one.clone()),
    }
}

fn key(group: u64, nth: usize) -> Bytes {
    Bytes::from(format!("{PREFIX}{group:02}/{nth}"))
}

fn value_of(bytes: &Bytes) -> Option<Value> {
    std::str::from_utf8(bytes).ok()?.trim_end_matches('.').parse().ok()
}

/// Long enough to fill the buffers of connections to those who do not read.
fn bytes_of(value: Value) -> Bytes {
    Bytes::from(format!("{value}{}", ".".repeat(400)))
}

fn changes(group: u64, call: &Call) -> Vec<Change> {
    let of = |(nth, value): &Cell| {
        let (key, value) = (key(group, *nth), value.map(bytes_of));
        Change { key, value, lease: 0 }
    };
    call.then.iter().map(of).collect()
}

fn request(group: u64, call: &Call, known: Seen) -> TxnRequest {
    let compare = |(nth, _): &Cell| Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: key(group, *nth),
        target_union: Some(TargetUnion::ModRevision(known[*nth].1)),
        ..Compare::default()
    };
    let op = |change: Change| match change.value {
        Some(value) => {
            Request::RequestPut(PutRequest { key: change.key, value, ..Default::default() })
        }
        None => Request::RequestDeleteRange(DeleteRangeRequest {
            key: change.key,
            ..Default::default()
        }),
    };
    let get =
        |nth| Request::RequestRange(RangeRequest { key: key(group, nth), ..Default::default() });
    let ops = |requests: Vec<Request>| {
        requests.into_iter().map(|request| RequestOp { request: Some(request) }).collect()
    };
    TxnRequest {
        compare: call.guard.iter().map(compare).collect(),
        success: ops(changes(group, call).into_iter().map(op).collect()),
        failure: ops((0..KEYS_OF_GROUP).map(get).collect()),
    }
}

fn got(op: &proto::etcd::etcdserverpb::ResponseOp) -> Option<&KeyValue> {
    match &op.response {
        Some(Response::ResponseRange(range)) => range.kvs.first(),
        _ => None,
    }
}

fn seen<'a>(group: u64, kvs: impl Iterator<Item = &'a KeyValue>) -> Seen {
    let mut seen = Seen::default();
    for kv in kvs {
        let of_key = (0..KEYS_OF_GROUP).filter(|nth| kv.key == key(group, *nth));
        of_key.for_each(|nth| seen[nth] = (value_of(&kv.value), kv.mod_revision));
    }
    seen
}

fn cells(seen: &Seen) -> Vec<Cell> {
    seen.iter().enumerate().map(|(nth, (value, _))| (nth, *value)).collect()
}
