//! All that happens in a store from a revision on, a transaction at a time, into some other place. Owns the watch and when it is enough:
//! when it has caught up, or when a signal comes and everything until then is there.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context as _;
use metastore::mvcc::Revision;
use proto::etcd::etcdserverpb::kv_client::KvClient;
use proto::etcd::etcdserverpb::watch_client::WatchClient;
use proto::etcd::etcdserverpb::watch_request::RequestUnion;
use proto::etcd::etcdserverpb::{
    RangeRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use proto::etcd::mvccpb::Event;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tonic::Streaming;
use tonic::transport::Channel;

use super::progress::Progress;
use super::say;

/// Where what happens goes.
pub(super) trait Destination {
    /// All of one revision, in the order of its writes.
    async fn transaction(&mut self, revision: Revision, events: &[Event]) -> anyhow::Result<()>;

    /// Nothing has happened up to a revision.
    async fn nothing_until(&mut self, revision: Revision) -> anyhow::Result<()>;

    /// Once in a while.
    async fn keep(&mut self) -> anyhow::Result<()>;
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// Everything up to a revision is there.
    Until(Revision),
    /// What would have come next is gone from the source.
    Compacted(Revision),
}

const TURN: Duration = Duration::from_millis(200);
/// How long it may take to catch up after a signal, without any news.
const MOST_SILENT_TURNS: u32 = 150;

/// The newest revision of a store; all writes that were answered are in it.
pub(super) async fn newest(channel: &Channel) -> anyhow::Result<Revision> {
    let key = RangeRequest { key: "\0".into(), limit: 1, ..RangeRequest::default() };
    let answer = KvClient::new(channel.clone()).range(key).await.context("ask for the revision")?;
    answer.into_inner().header.map(|header| header.revision).context("an answer without a header")
}

/// Everything behind `from`. With `is_once` it ends when it has caught up, else when `shutdown` comes and it has.
pub(super) async fn follow(
    channel: &Channel,
    (from, is_once): (Revision, bool),
    destination: &mut impl Destination,
    shutdown: impl Future<Output = &'static str>,
) -> anyhow::Result<Followed> {
    let mut watching = Watching::begin(channel, from).await?;
    let mut goal = if is_once { Some(newest(channel).await?) } else { None };
    let mut progress = Progress::new("following");
    let mut turns = interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut shutdown = std::pin::pin!(shutdown);
    let (mut is_told, mut n_silent) = (false, 0);
    loop {
        tokio::select! {
            answer = watching.answers.message() => {
                let answer = answer.context("watch")?.context("the watch was ended")?;
                if answer.canceled {
                    return watching.canceled(&answer);
                }
                watching.take(answer);
                n_silent = 0;
                while let Some((revision, events)) = watching.whole.pop_front() {
                    destination.transaction(revision, &events).await?;
                }
                if watching.news_until > watching.reached {
                    destination.nothing_until(watching.news_until).await?;
                    watching.reached = watching.news_until;
                }
            }
            _ = turns.tick() => {
                destination.keep().await?;
                n_silent += 1;
                if n_silent > MOST_SILENT_TURNS && is_told {
                    anyhow::bail!("the source does not say what happened up to revision {goal:?}");
                }
                // Revisions without a key of ours are heard of in this way only.
                watching.ask().await;
            }
            name = shutdown.as_mut(), if !is_told => {
                is_told = true;
                goal = Some(newest(channel).await.unwrap_or(watching.reached));
                say(&format!("{name}: everything up to revision {} is taken first", goal.unwrap_or_default()));
            }
        }
        progress.at(|| format!("revision {}", watching.reached));
        if goal.is_some_and(|goal| watching.reached >= goal) {
            destination.keep().await?;
            return Ok(Followed::Until(watching.reached));
        }
    }
}

struct Watching {
    requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
    reached: Revision,
    /// Without an event.
    news_until: Revision,
    /// Events of a revision of which more may come.
    part: Vec<Event>,
    whole: VecDeque<(Revision, Vec<Event>)>,
}

impl Watching {
    async fn begin(channel: &Channel, from: Revision) -> anyhow::Result<Watching> {
        let (requests, queued) = mpsc::channel(4);
        let all = WatchCreateRequest {
            key: "\0".into(),
            range_end: "\0".into(),
            start_revision: from + 1,
            fragment: true,
            ..WatchCreateRequest::default()
        };
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(all)) };
        requests.send(create).await.context("watch")?;
        let queued = tokio_stream::wrappers::ReceiverStream::new(queued);
        let mut client = WatchClient::new(channel.clone()).max_decoding_message_size(usize::MAX);
        let answers = client.watch(queued).await.context("watch")?.into_inner();
        Ok(Watching {
            requests,
            answers,
            reached: from,
            news_until: from,
            part: Vec::new(),
            whole: VecDeque::new(),
        })
    }

    async fn ask(&self) {
        let ask = RequestUnion::ProgressRequest(WatchProgressRequest {});
        // A stream that is over says so itself.
        let _ = self.requests.send(WatchRequest { request_union: Some(ask) }).await;
    }

    fn canceled(&self, answer: &WatchResponse) -> anyhow::Result<Followed> {
        match answer.compact_revision {
            0 => anyhow::bail!("the watch was cancelled: {}", answer.cancel_reason),
            compacted => Ok(Followed::Compacted(compacted)),
        }
    }

    fn take(&mut self, answer: WatchResponse) {
        let is_progress = answer.events.is_empty() && !answer.created && self.part.is_empty();
        if is_progress {
            let revision = answer.header.map_or(0, |header| header.revision);
            self.news_until = self.news_until.max(revision);
            return;
        }
        self.part.extend(answer.events);
        let revision = |event: &Event| event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
        let last = self.part.last().map(revision);
        let mut events = std::mem::take(&mut self.part).into_iter().peekable();
        while let Some(first) = events.next() {
            let at = revision(&first);
            let mut of_one = vec![first];
            while let Some(event) = events.next_if(|event| revision(event) == at) {
                of_one.push(event);
            }
            if answer.fragment && Some(at) == last {
                self.part = of_one;
            } else {
                self.whole.push_back((at, of_one));
                (self.reached, self.news_until) = (at, self.news_until.max(at));
            }
        }
    }
}
