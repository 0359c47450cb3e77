//! Fan-out: many watchers of one prefix, several on a stream as etcd's own client does it, while objects change at a fixed rate. Every
//! watcher must get every change once, in order, with what was there before.

mod fan;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use proto::etcd::etcdserverpb::kv_client::KvClient;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::{Clients, Subject, writes};
use crate::drive::{self, NO_LIMIT};
use crate::entry::Entry;
use crate::latency::Latencies;
use crate::objects::Objects;
use crate::sizes::FanOut;
use crate::txn::{self, Answer};
use crate::usage::Meter;
use crate::value::Random;
use crate::{connections, process};
use fan::Fan;

/// So many that none is changed again before its last change is answered.
const N_WATCHED: usize = 1000;

pub(crate) async fn run(subject: &mut Subject<'_>) -> anyhow::Result<Vec<Entry>> {
    let watched = Arc::new(Objects::new("leases", N_WATCHED));
    let (connections, value_bytes) = (subject.connections.clone(), subject.sizes.value_bytes);
    let clients = Clients { connections, objects: Arc::clone(&watched), value_bytes };
    drive::closed(writes::N_LOADERS, NO_LIMIT, move |it| clients.clone().create(it)).await?;
    let mut entries = Vec::new();
    for fan_out in subject.sizes.fan_outs {
        tokio::time::sleep(subject.sizes.settle).await;
        entries.push(one(subject, &watched, *fan_out).await?);
    }
    Ok(entries)
}

async fn one(subject: &Subject<'_>, watched: &Arc<Objects>, size: FanOut) -> anyhow::Result<Entry> {
    let pid = subject.pid();
    let stretch = subject.sizes.stretch;
    let n_puts = u64::from(size.puts_per_s) * stretch.as_secs().max(1);
    let starts = Arc::new(Starts::new(n_puts));
    process::forget_peak(pid)?;
    let fan = Fan::open(&subject.connections, watched, size.n_watchers, &starts).await?;
    let channel = connections::connect(&subject.server.endpoint()).await?;
    let meter = Meter::start(pid)?;
    let puts = put_all(channel, watched, size, &starts, subject.sizes.value_bytes).await?;
    let seen = fan.end().await?;
    let usage = meter.stop()?;
    let n_events = seen.latencies.len() as u64;
    let n_expected = puts.n_done * size.n_watchers as u64;
    ensure!(n_expected > 0, "no put of {n_puts} was done");
    let entry = Entry::new(format!("watch/{}", size.n_watchers))
        .with("watchers", size.n_watchers as f64)
        .with("asked_puts_per_s", f64::from(size.puts_per_s))
        .with("puts_per_s", puts.n_done as f64 / puts.took.as_secs_f64())
        .with("lost_puts", (n_puts - puts.n_done) as f64)
        .with("events_per_s", n_events as f64 / seen.last.max(1e-9))
        .with("delivered_ratio", n_events as f64 / n_expected as f64)
        .with("events_out_of_order", seen.n_disordered as f64)
        .with("events_without_prev", seen.n_without_prev as f64)
        .with("peak_rss_bytes", process::peak_bytes(pid)?)
        .latencies("put_", puts.latencies)
        .latencies("", seen.latencies);
    Ok(usage.per_100k(n_events, entry))
}

/// When each put began, by the number that its value begins with.
#[derive(Debug)]
struct Starts {
    base: Instant,
    nanos: Vec<AtomicU64>,
}

impl Starts {
    fn new(n_puts: u64) -> Starts {
        Starts { base: Instant::now(), nanos: (0..n_puts).map(|_| AtomicU64::new(0)).collect() }
    }

    fn begin(&self, put: u64) {
        let nanos = u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if let Some(place) = self.nanos.get(put as usize) {
            place.store(nanos, Ordering::Relaxed);
        }
    }

    fn since(&self, put: u64, now: Instant) -> Option<Duration> {
        let nanos = self.nanos.get(put as usize)?.load(Ordering::Relaxed);
        Some(now.saturating_duration_since(self.base + Duration::from_nanos(nanos)))
    }
}

#[derive(Debug, Default)]
struct Puts {
    n_done: u64,
    took: Duration,
    latencies: Latencies,
}

/// At a fixed rate, whether or not the last one is answered.
async fn put_all(
    channel: Channel,
    watched: &Arc<Objects>,
    size: FanOut,
    starts: &Arc<Starts>,
    value_bytes: usize,
) -> anyhow::Result<Puts> {
    let (kv, mut random) = (KvClient::new(channel), Random::new(0xfa));
    let interval = Duration::from_secs(1) / size.puts_per_s;
    let (began, mut running) = (Instant::now(), JoinSet::new());
    for put in 0..starts.nanos.len() as u64 {
        tokio::time::sleep_until((began + interval * put as u32).into()).await;
        let (watched, starts, mut kv) = (Arc::clone(watched), Arc::clone(starts), kv.clone());
        let value = random.stamped(put, value_bytes);
        running.spawn(async move {
            let idx = watched.pick().context("nothing is watched")?;
            let request = txn::update(&watched.key(idx), value, watched.revision(idx));
            starts.begin(put);
            let answer = kv.txn(request).await.context("put")?;
            let done = match txn::answer(answer.get_ref()) {
                Answer::Done(revision) => Some(revision),
                Answer::Lost(_) => None,
            };
            if let Some(revision) = done {
                watched.set(idx, revision);
            }
            anyhow::Ok(done.and_then(|_| starts.since(put, Instant::now())))
        });
    }
    let mut puts = Puts { took: began.elapsed(), ..Puts::default() };
    while let Some(ended) = running.join_next().await {
        if let Some(took) = ended.context("a put ended early")?? {
            puts.n_done += 1;
            puts.latencies.record(took);
        }
    }
    Ok(puts)
}
