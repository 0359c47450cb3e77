//! The watchers of a fan-out: opens them on the streams, takes in what comes, and says what came.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use proto::etcd::etcdserverpb::watch_request::RequestUnion;
use proto::etcd::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use proto::etcd::mvccpb::Event;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;

use super::Starts;
use crate::connections::{Connections, N_CONNECTIONS};
use crate::latency::Latencies;
use crate::objects::Objects;
use crate::value::stamp_of;

/// A server that sends nothing for so long will send no more; changes come every 70 ms at least.
const SILENCE: Duration = Duration::from_secs(20);

/// What watchers saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) latencies: Latencies,
    /// Not newer than the one before it at the same watcher.
    pub(super) n_disordered: u64,
    pub(super) n_without_prev: u64,
    /// When the last event came, in seconds from the first one.
    pub(super) last: f64,
}

pub(super) struct Fan {
    streams: JoinSet<anyhow::Result<Seen>>,
}

impl Fan {
    /// Answers when every watcher has been confirmed.
    pub(super) async fn open(
        connections: &Connections,
        watched: &Objects,
        n_watchers: usize,
        starts: &Arc<Starts>,
    ) -> anyhow::Result<Fan> {
        let mut streams = JoinSet::new();
        for stream in 0..N_CONNECTIONS {
            let n_here =
                n_watchers / N_CONNECTIONS + usize::from(stream < n_watchers % N_CONNECTIONS);
            if n_here == 0 {
                continue;
            }
            let (orders, inbox) = mpsc::unbounded_channel();
            (0..n_here).for_each(|_| drop(orders.send(create(watched))));
            let answers =
                connections.watch(stream).watch(UnboundedReceiverStream::new(inbox)).await;
            let mut answers = answers.context("open a stream of watches")?.into_inner();
            wait_until_created(&mut answers, n_here).await?;
            let starts = Arc::clone(starts);
            // The orders go with the task: a stream whose client says no more is closed by the server.
            streams.spawn(async move { take_in(answers, n_here, &starts, orders).await });
        }
        Ok(Fan { streams })
    }

    /// When all has come that was to come, or nothing comes any more.
    pub(super) async fn end(mut self) -> anyhow::Result<Seen> {
        let mut all = Seen::default();
        while let Some(ended) = self.streams.join_next().await {
            let of_stream = ended.context("a stream of watches ended early")??;
            all.latencies.append(of_stream.latencies);
            all.n_disordered += of_stream.n_disordered;
            all.n_without_prev += of_stream.n_without_prev;
            all.last = all.last.max(of_stream.last);
        }
        Ok(all)
    }
}

fn create(watched: &Objects) -> WatchRequest {
    let create = WatchCreateRequest {
        key: watched.prefix(),
        range_end: watched.prefix_end(),
        prev_kv: true,
        ..WatchCreateRequest::default()
    };
    WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }
}

async fn wait_until_created(
    answers: &mut Streaming<WatchResponse>,
    n_watchers: usize,
) -> anyhow::Result<()> {
    let mut n_created = 0;
    while n_created < n_watchers {
        let answer = tokio::time::timeout(SILENCE, answers.message()).await;
        let answer =
            answer.with_context(|| format!("{n_created} watchers of {n_watchers} are there"))?;
        let answer = answer.context("create watchers")?.context("the stream has ended")?;
        ensure!(!answer.canceled, "a watcher is refused: {}", answer.cancel_reason);
        n_created += usize::from(answer.created);
    }
    Ok(())
}

async fn take_in(
    mut answers: Streaming<WatchResponse>,
    n_watchers: usize,
    starts: &Starts,
    _orders: mpsc::UnboundedSender<WatchRequest>,
) -> anyhow::Result<Seen> {
    let n_expected = n_watchers * starts.nanos.len();
    let (mut seen, mut newest, mut first) = (Seen::default(), HashMap::new(), None);
    while seen.latencies.len() < n_expected {
        let Ok(answer) = tokio::time::timeout(SILENCE, answers.message()).await else { break };
        let Some(answer) = answer.context("watch")? else { bail!("the stream has ended") };
        ensure!(
            !answer.canceled,
            "watcher {} is canceled: {}",
            answer.watch_id,
            answer.cancel_reason
        );
        let now = Instant::now();
        let newest = newest.entry(answer.watch_id).or_insert(0);
        for event in &answer.events {
            seen.take(event, newest, starts, now)?;
        }
        seen.last = now.duration_since(*first.get_or_insert(now)).as_secs_f64();
    }
    Ok(seen)
}

impl Seen {
    /// A second delivery of a change counts as disorder, not as an event.
    fn take(
        &mut self,
        event: &Event,
        newest: &mut i64,
        starts: &Starts,
        now: Instant,
    ) -> anyhow::Result<()> {
        let kv = event.kv.as_ref().context("an event without a key")?;
        self.n_without_prev += u64::from(event.prev_kv.is_none());
        if kv.mod_revision <= *newest {
            self.n_disordered += 1;
            return Ok(());
        }
        *newest = kv.mod_revision;
        let took = stamp_of(&kv.value).and_then(|put| starts.since(put, now));
        self.latencies.record(took.context("an event of a value that nobody has put")?);
        Ok(())
    }
}
