//! A stream of watches on one server: what was heard on it, in a form in which two servers can be compared.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::etcd::etcdserverpb::watch_request::RequestUnion;
use proto::etcd::etcdserverpb::{
    WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use proto::etcd::mvccpb::Event;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::client::{Client, PATIENCE};

/// A key that no sequence has, and the watch of it that every stream begins with: when it has heard of a revision, the others have too.
pub(super) const FENCE: &[u8] = b"~fence";
pub(super) const FENCE_ID: i64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Stream {
    requests: mpsc::Sender<WatchRequest>,
    heard: watch::Receiver<Heard>,
    n_created: usize,
    listening: AbortHandle,
}

impl Drop for Stream {
    /// A server goes on with a client that only asks no more.
    fn drop(&mut self) {
        self.listening.abort();
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    pub(super) responses: Vec<WatchResponse>,
    pub(super) ended: Option<(Code, String)>,
}

/// What a watch is told, however it is divided into responses.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    Created {
        revision: i64,
    },
    NotCreated {
        revision: i64,
        reason: String,
    },
    Event(Event),
    Canceled {
        revision: i64,
        reason: String,
    },
    /// At whatever revision the server found out.
    Lost {
        compacted: i64,
        reason: String,
    },
}

/// What no watch came of, in place of the id, which is -1 for all of them.
const REFUSALS: i64 = i64::MIN;

pub(super) type Views = (BTreeMap<i64, Vec<Seen>>, Option<(Code, String)>);

impl Stream {
    pub(super) async fn open(client: &Client) -> Stream {
        let (requests, outgoing) = mpsc::channel(16);
        let (tell, heard) = watch::channel(Heard::default());
        let mut client = client.watch.clone();
        let listening = tokio::spawn(async move {
            let ended = match client.watch(ReceiverStream::new(outgoing)).await {
                Ok(responses) => listen(responses.into_inner(), &tell).await,
                Err(status) => Some(status),
            };
            let ended = ended.map(|status| (status.code(), status.message().to_owned()));
            tell.send_modify(|heard| heard.ended = ended);
        });
        let listening = listening.abort_handle();
        let mut stream = Stream { requests, heard, n_created: 0, listening };
        let fence =
            WatchCreateRequest { key: FENCE.into(), watch_id: FENCE_ID, ..Default::default() };
        stream.create(fence).await;
        stream
    }

    /// Returns when it is answered.
    pub(super) async fn create(&mut self, request: WatchCreateRequest) {
        self.n_created += 1;
        let n_created = self.n_created;
        self.say(RequestUnion::CreateRequest(request)).await;
        self.until(PATIENCE, |heard| {
            heard.responses.iter().filter(|one| one.created).count() >= n_created
        })
        .await;
    }

    /// Returns when it is answered, which only a watch that is there is.
    pub(super) async fn cancel(&mut self, watch_id: i64) {
        let (is_there, n_canceled) = canceled(&self.heard.borrow(), watch_id);
        self.say(RequestUnion::CancelRequest(WatchCancelRequest { watch_id })).await;
        if is_there {
            self.until(PATIENCE, |heard| canceled(heard, watch_id).1 > n_canceled).await;
        }
    }

    /// Ends the client's side of the call.
    pub(super) fn ask_no_more(&mut self) {
        (self.requests, _) = mpsc::channel(1);
    }

    pub(super) async fn ask_progress(&self) {
        self.say(RequestUnion::ProgressRequest(WatchProgressRequest {})).await;
    }

    /// The start of one of its watches was compacted, and etcd tells nobody progress any more until the client cancels that watch.
    pub(super) fn has_lost(&self) -> bool {
        self.heard.borrow().responses.iter().any(|one| one.compact_revision != 0)
    }

    pub(super) fn n_heard(&self) -> usize {
        self.heard.borrow().responses.len()
    }

    /// What all watches of the stream were told of how far they are, in the first response that is not before `first`.
    pub(super) async fn progress(&mut self, first: usize, patience: Duration) -> Option<i64> {
        self.until(patience, |heard| progress_in(heard, first).is_some()).await;
        progress_in(&self.heard.borrow(), first)
    }

    /// Until the fence has heard of the revision; false when it does not.
    pub(super) async fn reach(&mut self, revision: i64) -> bool {
        let reached = |heard: &Heard| {
            let of_fence = heard.responses.iter().filter(|one| one.watch_id == FENCE_ID);
            let mut events = of_fence.flat_map(|one| &one.events);
            events.any(|event| mod_revision(event) >= revision)
        };
        self.until(PATIENCE, reached).await
    }

    pub(super) fn views(&self) -> Views {
        let heard = self.heard.borrow();
        let mut views: BTreeMap<i64, Vec<Seen>> = BTreeMap::new();
        for response in &heard.responses {
            // A client may call its watch -1 as well, and etcd tells that one of its end by a clock of its own.
            let is_refusal = response.created && response.canceled;
            let of = if is_refusal { REFUSALS } else { response.watch_id };
            views.entry(of).or_default().extend(seen(response));
        }
        views.retain(|_, seen| !seen.is_empty());
        (views, heard.ended.clone())
    }

    pub(super) fn responses(&self) -> Vec<WatchResponse> {
        self.heard.borrow().responses.clone()
    }

    pub(super) async fn until(&self, patience: Duration, is_so: impl Fn(&Heard) -> bool) -> bool {
        let mut heard = self.heard.clone();
        let waiting = heard.wait_for(|heard| is_so(heard) || heard.ended.is_some());
        match tokio::time::timeout(patience, waiting).await {
            Ok(Ok(heard)) => is_so(&heard),
            Ok(Err(_)) | Err(_) => false,
        }
    }

    async fn say(&self, union: RequestUnion) {
        let request = WatchRequest { request_union: Some(union) };
        // Who has ended the stream says so in what was heard.
        drop(self.requests.send(request).await);
    }
}

/// What is not the same, as text.
pub(super) fn different(etcd: &Stream, ours: &Stream) -> (String, String) {
    let ((mut etcd, etcd_end), (mut ours, ours_end)) = (etcd.views(), ours.views());
    let same: Vec<i64> =
        etcd.iter().filter(|(id, seen)| ours.get(id) == Some(seen)).map(|(id, _)| *id).collect();
    for id in same {
        etcd.remove(&id);
        ours.remove(&id);
    }
    (format!("{etcd:?} {etcd_end:?}"), format!("{ours:?} {ours_end:?}"))
}

async fn listen(
    mut responses: tonic::Streaming<WatchResponse>,
    tell: &watch::Sender<Heard>,
) -> Option<Status> {
    loop {
        match responses.message().await {
            Ok(Some(response)) => tell.send_modify(|heard| heard.responses.push(response)),
            Ok(None) => return Some(Status::ok("")),
            Err(status) => return Some(status),
        }
    }
}

/// Whether there is a watch that can be canceled, also one that is lost, and how often it was.
fn canceled(heard: &Heard, watch_id: i64) -> (bool, usize) {
    let of_it = heard.responses.iter().filter(|one| one.watch_id == watch_id);
    of_it.fold((false, 0), |(is_there, n), one| match (one.created, one.canceled) {
        (true, canceled) => (is_there || !canceled, n),
        (false, true) if one.compact_revision == 0 => (false, n + 1),
        (false, _) => (is_there, n),
    })
}

fn progress_in(heard: &Heard, first: usize) -> Option<i64> {
    let mut later = heard.responses.iter().skip(first);
    let is_progress = |one: &&WatchResponse| {
        one.watch_id == -1 && one.events.is_empty() && !one.created && !one.canceled
    };
    later.find(is_progress).map(header_revision)
}

fn seen(response: &WatchResponse) -> Vec<Seen> {
    let revision = header_revision(response);
    let reason = response.cancel_reason.clone();
    let compacted = response.compact_revision;
    match (response.created, response.canceled) {
        (true, true) => vec![Seen::NotCreated { revision, reason }],
        (true, false) => vec![Seen::Created { revision }],
        (false, true) if compacted != 0 => vec![Seen::Lost { compacted, reason }],
        (false, true) => vec![Seen::Canceled { revision, reason }],
        (false, false) => response.events.iter().cloned().map(Seen::Event).collect(),
    }
}

/// What is promised of every stream, and cannot be seen by comparing: the revision of a header never falls, and is not before an event; a
/// revision is not divided between two responses of a watch; and progress is not told before all events until then.
pub(super) fn broken_promise(responses: &[WatchResponse]) -> Option<String> {
    let mut last_header = 0;
    let mut watches: BTreeMap<i64, Told> = BTreeMap::new();
    for response in responses {
        let revision = header_revision(response);
        if revision < last_header {
            return Some(format!("the header falls from {last_header}: {response:?}"));
        }
        last_header = revision;
        let (Some(first), Some(last)) = (response.events.first(), response.events.last()) else {
            match (response.created, response.canceled, response.watch_id) {
                (true, ..) => drop(watches.insert(response.watch_id, Told::default())),
                (false, false, -1) => {
                    watches.values_mut().for_each(|told| told.progress = revision);
                }
                _ => {}
            }
            continue;
        };
        let (first, last) = (mod_revision(first), mod_revision(last));
        let told = watches.entry(response.watch_id).or_default();
        let divides = !told.goes_on && told.last >= first;
        if last > revision || divides || first <= told.progress {
            return Some(format!("{told:?} before {response:?}"));
        }
        (told.last, told.goes_on) = (last, response.fragment);
    }
    None
}

/// What a watch was told until now.
#[derive(Debug, Default)]
struct Told {
    /// The revision of the last event.
    last: i64,
    /// The last response was a fragment.
    goes_on: bool,
    /// That there is nothing more until there.
    progress: i64,
}

fn header_revision(response: &WatchResponse) -> i64 {
    response.header.as_ref().map_or(0, |header| header.revision)
}

fn mod_revision(event: &Event) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}
