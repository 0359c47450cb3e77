//! One stream: takes what the client asks for, sends what its queue holds, and reads on from the store for watches that are behind.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use prost::Message as _;
use proto::etcd::etcdserverpb::watch_create_request::FilterType;
use proto::etcd::etcdserverpb::watch_request::RequestUnion;
use proto::etcd::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tonic::{Status, Streaming};

use super::super::{Caller, OVERHEAD_BYTES, Shared, unreadable};
use super::answer::{self, Wanted};
use crate::happening::Happening;
use crate::index::KeyRange;
use crate::mvcc::Revision;
use crate::refusal::Refusal;
use crate::store::HistoryError;
use crate::watch::{Item, Matched, Queue, WatcherId};

/// The words are part of the protocol, as those of refusals, though without a name in front.
const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";
const EMPTY_RANGE: &str = "mvcc: watcher range is empty";

/// etcd's words for a watch that is not allowed are those of the whole error.
fn as_go_prints(status: &Status) -> String {
    format!("rpc error: code = {:?} desc = {}", status.code(), status.message())
}

/// Of this process.
static STREAMS: AtomicU64 = AtomicU64::new(1);

type Answers = mpsc::Sender<Result<Bytes, Status>>;

/// The client is gone, or was told why nothing more comes.
struct Over;

struct Stream {
    shared: Shared,
    caller: Caller,
    number: u64,
    queue: Arc<Queue>,
    watches: HashMap<i64, Watch>,
    /// What they wanted to hear of was forgotten. Their numbers are given to no other watch until the client lets go of them.
    lost: HashSet<i64>,
    next_id: i64,
    answers: Answers,
    /// The revision of a header never falls.
    last_header: Revision,
    /// The client wants to know how far it is, and one of its watches was behind.
    owes_progress: bool,
}

struct Watch {
    range: KeyRange,
    wanted: Wanted,
    progress: bool,
    fragment: bool,
    /// Where it reads on from the store.
    behind: Option<Revision>,
    /// Since the last tick.
    has_heard: bool,
}

pub(super) async fn run(
    shared: Shared,
    caller: Caller,
    mut requests: Streaming<WatchRequest>,
    answers: Answers,
) {
    let queue = Arc::new(Queue::new(shared.settings.stream_bytes));
    let every = shared.settings.progress_every;
    let mut tick = interval_at(Instant::now() + every, every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stream = Stream {
        shared,
        caller,
        number: STREAMS.fetch_add(1, Ordering::Relaxed),
        queue: Arc::clone(&queue),
        watches: HashMap::new(),
        lost: HashSet::new(),
        next_id: 0,
        answers: answers.clone(),
        last_header: 0,
        owes_progress: false,
    };
    let mut asks_more = true;
    loop {
        tokio::select! {
            request = requests.message(), if asks_more => match request {
                Ok(Some(request)) => match stream.asked(request).await {
                    Ok(()) => {}
                    Err(Over) => break,
                },
                // Who has said all that he asks for (grpcurl does so at once) still listens, as at etcd.
                Ok(None) => asks_more = false,
                Err(_) => break,
            },
            () = queue.news() => {}
            _ = tick.tick() => match stream.tick().await {
                Ok(()) => {}
                Err(Over) => break,
            },
            () = answers.closed() => break,
        }
        if stream.send_all().await.is_err() {
            break;
        }
    }
    stream.end();
}

impl Stream {
    async fn asked(&mut self, request: WatchRequest) -> Result<(), Over> {
        match request.request_union {
            Some(RequestUnion::CreateRequest(request)) => self.create(request).await,
            Some(RequestUnion::CancelRequest(request)) => self.cancel(request.watch_id).await,
            Some(RequestUnion::ProgressRequest(_)) => {
                self.owes_progress = true;
                self.tell_progress();
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn create(&mut self, request: WatchCreateRequest) -> Result<(), Over> {
        if request.start_revision < 0 {
            return self.refuse(&Refusal::Compacted.to_string()).await;
        }
        if let Err(status) = self.shared.permit_of(&self.caller).watch(&request) {
            return self.refuse(&as_go_prints(&status)).await;
        }
        let range = watched(&request);
        if range.is_empty() {
            return self.refuse(EMPTY_RANGE).await;
        }
        let Some(id) = self.id(request.watch_id) else { return self.refuse(DUPLICATE_ID).await };
        let has = |filter: FilterType| request.filters.contains(&filter.into());
        let wanted = Wanted {
            start: request.start_revision,
            with_previous: request.prev_kv,
            no_put: has(FilterType::Noput),
            no_delete: has(FilterType::Nodelete),
        };
        let (progress, fragment) = (request.progress_notify, request.fragment);
        let (behind, has_heard) = (None, true);
        let range_of_hub = range.clone();
        self.watches.insert(id, Watch { range, wanted, progress, fragment, behind, has_heard });
        let hub = &self.shared.store.hub;
        hub.subscribe(self.watcher(id), &self.queue, range_of_hub, request.start_revision);
        Ok(())
    }

    /// The client's, if nothing has it; else the next that is free.
    fn id(&mut self, wanted: i64) -> Option<i64> {
        let is_taken = |id: &i64| self.watches.contains_key(id) || self.lost.contains(id);
        if wanted != 0 {
            return (!is_taken(&wanted)).then_some(wanted);
        }
        while is_taken(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        Some(self.next_id - 1)
    }

    async fn refuse(&mut self, why: &str) -> Result<(), Over> {
        let revision = self.shared.store.hub.published();
        let response = WatchResponse {
            watch_id: -1,
            created: true,
            canceled: true,
            cancel_reason: why.to_owned(),
            ..WatchResponse::default()
        };
        self.send(revision, response).await
    }

    async fn cancel(&mut self, id: i64) -> Result<(), Over> {
        if self.watches.remove(&id).is_some() {
            self.shared.store.hub.unsubscribe(self.watcher(id));
        } else if !self.lost.remove(&id) {
            return Ok(());
        }
        let revision = self.shared.store.hub.published();
        let response = WatchResponse { watch_id: id, canceled: true, ..WatchResponse::default() };
        self.send(revision, response).await
    }

    async fn tick(&mut self) -> Result<(), Over> {
        for (id, watch) in self.watches.iter_mut().filter(|(_, watch)| watch.progress) {
            if !std::mem::take(&mut watch.has_heard) {
                let id = WatcherId { stream: self.number, watch: *id };
                self.shared.store.hub.progress_of(id, &self.queue);
            }
        }
        self.end_forbidden().await
    }

    /// Rules may have changed since a watch began.
    async fn end_forbidden(&mut self) -> Result<(), Over> {
        let forbidden: Vec<i64> = {
            let permit = self.shared.permit_of(&self.caller);
            let all = self.watches.iter();
            let forbidden = all.filter(|(_, watch)| !permit.still_reads(&watch.range));
            forbidden.map(|(id, _)| *id).collect()
        };
        for id in forbidden {
            self.watches.remove(&id);
            self.shared.store.hub.unsubscribe(self.watcher(id));
            let revision = self.shared.store.hub.published();
            let response = WatchResponse {
                watch_id: id,
                canceled: true,
                cancel_reason: as_go_prints(&Refusal::PermissionDenied.into()),
                ..WatchResponse::default()
            };
            self.send(revision, response).await?;
        }
        Ok(())
    }

    /// Says how far all watches are as soon as none of them is behind.
    fn tell_progress(&mut self) {
        if self.owes_progress && self.watches.values().all(|watch| watch.behind.is_none()) {
            let ids = self.watches.keys().map(|id| WatcherId { stream: self.number, watch: *id });
            self.owes_progress = !self.shared.store.hub.progress(ids, &self.queue);
        }
    }

    /// Until there is nothing, and nobody is behind.
    async fn send_all(&mut self) -> Result<(), Over> {
        loop {
            while let Some(item) = self.queue.pop() {
                self.take(item).await?;
            }
            let behind = self.watches.iter().filter_map(|(id, watch)| Some((*id, watch.behind?)));
            let behind: Vec<(i64, Revision)> = behind.collect();
            for (id, next) in &behind {
                self.read_on(*id, *next).await?;
            }
            self.tell_progress();
            if behind.is_empty() {
                return Ok(());
            }
        }
    }

    async fn take(&mut self, item: Item) -> Result<(), Over> {
        match item {
            Item::Created { watch, revision } => {
                let response =
                    WatchResponse { watch_id: watch, created: true, ..WatchResponse::default() };
                self.send(revision, response).await
            }
            Item::Events { watch, batch } => {
                let Some(held) = self.watches.get_mut(&watch) else { return Ok(()) };
                held.has_heard = true;
                let committed = self.shared.store.committed();
                if held.fragment {
                    let events = answer::of_events(&committed, batch.matched.iter(), held.wanted);
                    return self.send_events(watch, batch.revision, events).await;
                }
                let bytes = answer::of_batch(&committed, &batch, held.wanted);
                self.send_events(watch, batch.revision, bytes.map(|bytes| vec![bytes])).await
            }
            Item::Behind { watch, next } => {
                if let Some(held) = self.watches.get_mut(&watch) {
                    held.behind = Some(next);
                }
                Ok(())
            }
            Item::Progress { watch, revision } => {
                let is_gone = watch != -1 && !self.watches.contains_key(&watch);
                if is_gone {
                    return Ok(());
                }
                let header = Some(self.shared.store.header(revision));
                let response = WatchResponse { header, watch_id: watch, ..Default::default() };
                self.send_bytes(response.encode_to_vec().into()).await
            }
            Item::Over => self.fail(Refusal::NoLeader.into()).await,
        }
    }

    /// One step of a watch that is behind.
    async fn read_on(&mut self, id: i64, next: Revision) -> Result<(), Over> {
        let happenings = match self.shared.store.history(next) {
            Ok(happenings) => happenings,
            Err(HistoryError::Compacted { compacted }) => return self.lost(id, compacted).await,
            Err(error) => {
                return self.fail(unreadable(&error)).await;
            }
        };
        let last = happenings.last().map(|one| one.revision);
        let committed = self.shared.store.committed();
        let Some(watch) = self.watches.get_mut(&id) else { return Ok(()) };
        let matched: Vec<Matched> =
            happenings.iter().flat_map(|one| of(&watch.range, one)).collect();
        watch.has_heard |= !matched.is_empty();
        let events = answer::of_events(&committed, matched.iter(), watch.wanted);
        if !matched.is_empty() {
            self.send_events(id, committed.revision, events).await?;
        }
        let reached = last.unwrap_or(next - 1);
        let is_current = self.shared.store.hub.is_up_to_date(self.watcher(id), reached);
        if let Some(watch) = self.watches.get_mut(&id) {
            watch.behind = if is_current { None } else { Some(reached + 1) };
        }
        Ok(())
    }

    /// What it wanted to hear of is forgotten: the client begins anew, with a list.
    async fn lost(&mut self, id: i64, compacted: Revision) -> Result<(), Over> {
        self.watches.remove(&id);
        self.lost.insert(id);
        self.shared.store.hub.unsubscribe(self.watcher(id));
        let revision = self.shared.store.hub.published();
        let response = WatchResponse {
            watch_id: id,
            canceled: true,
            compact_revision: compacted,
            ..WatchResponse::default()
        };
        self.send(revision, response).await
    }

    async fn send_events<E: std::fmt::Display>(
        &mut self,
        id: i64,
        revision: Revision,
        events: Result<Vec<Bytes>, E>,
    ) -> Result<(), Over> {
        let events = match events {
            Ok(events) => events,
            Err(error) => {
                return self.fail(unreadable(&error)).await;
            }
        };
        if events.iter().all(Bytes::is_empty) {
            return Ok(());
        }
        let fragments = self.watches.get(&id).is_some_and(|watch| watch.fragment);
        let most = self.shared.settings.max_request_bytes + OVERHEAD_BYTES;
        let parts = answer::parts(events, if fragments { most } else { usize::MAX });
        self.last_header = self.last_header.max(revision);
        let header = self.shared.store.header(self.last_header);
        let n_parts = parts.len();
        for (nth, part) in parts.iter().enumerate() {
            let has_more = nth + 1 < n_parts;
            self.send_bytes(answer::with_events(header, id, (part, has_more))).await?;
        }
        Ok(())
    }

    async fn send(&mut self, revision: Revision, response: WatchResponse) -> Result<(), Over> {
        self.last_header = self.last_header.max(revision);
        let header = Some(self.shared.store.header(self.last_header));
        self.send_bytes(WatchResponse { header, ..response }.encode_to_vec().into()).await
    }

    async fn send_bytes(&mut self, bytes: Bytes) -> Result<(), Over> {
        self.answers.send(Ok(bytes)).await.map_err(|_gone| Over)
    }

    /// The last word of the stream. A client that is gone does not miss it.
    async fn fail(&mut self, status: Status) -> Result<(), Over> {
        let _ = self.answers.send(Err(status)).await;
        Err(Over)
    }

    fn watcher(&self, watch: i64) -> WatcherId {
        WatcherId { stream: self.number, watch }
    }

    fn end(&mut self) {
        for id in self.watches.keys() {
            self.shared.store.hub.unsubscribe(self.watcher(*id));
        }
    }
}

/// An empty key is the first one there can be.
fn watched(request: &WatchCreateRequest) -> KeyRange {
    let key = if request.key.is_empty() { Bytes::from_static(b"\0") } else { request.key.clone() };
    KeyRange::of_request(key, request.range_end.clone())
}

fn of(range: &KeyRange, happening: &Arc<Happening>) -> Vec<Matched> {
    let events = (0..).zip(&happening.events).filter(|(_, event)| range.contains(&event.key));
    events.map(|(nth, _)| Matched { happening: Arc::clone(happening), nth }).collect()
}
