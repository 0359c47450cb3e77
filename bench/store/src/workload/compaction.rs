//! Writes while everything old is thrown away: how long transactions take before, during and after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use proto::etcd::etcdserverpb::CompactionRequest;

use super::{Clients, Subject, writes};
use crate::drive::{self, Driven, Step};
use crate::entry::Entry;
use crate::process;

const N_WRITERS: usize = 16;
/// A quantile of a few hundred writes at least, however fast the compaction is.
const LEAST: Duration = Duration::from_secs(1);
/// A compaction that takes longer counts as far as this.
const MOST: Duration = Duration::from_secs(300);

pub(crate) async fn run(subject: &mut Subject<'_>) -> anyhow::Result<Vec<Entry>> {
    let missing = subject.sizes.n_compacted.saturating_sub(subject.objects.n_updates());
    writes::rewrite(subject, missing).await?;
    tokio::time::sleep(subject.sizes.settle).await;
    let clients = subject.clients(subject.sizes.value_bytes);
    let stretch = subject.sizes.stretch;
    let quiet = writes::keep_updating(clients.clone(), N_WRITERS, stretch).await?;
    let n_old = subject.objects.n_updates();
    let rss_before = process::rss_bytes(subject.pid())?;
    let (during, compacted) = with_compaction(clients.clone()).await?;
    let after = writes::keep_updating(clients, N_WRITERS, stretch).await?;
    tokio::time::sleep(subject.sizes.settle).await;
    let entry = Entry::new(format!("compaction/{}", subject.sizes.n_compacted))
        .with("old_revisions", n_old as f64)
        .with("compact_ms", compacted.as_secs_f64() * 1e3)
        .with("before_rss_bytes", rss_before)
        .with("after_rss_bytes", process::rss_bytes(subject.pid())?);
    let windows = [("quiet_", quiet), ("during_", during), ("after_", after)];
    let entry = windows.into_iter().fold(entry, |entry, (name, driven)| {
        entry.with(format!("{name}txns_per_s"), driven.per_s()).latencies(name, driven.latencies)
    });
    Ok(vec![entry])
}

/// The writes from the request on until it is answered, and how long that took.
async fn with_compaction(clients: Clients) -> anyhow::Result<(Driven, Duration)> {
    let done = Arc::new(AtomicBool::new(false));
    let (flag, began) = (Arc::clone(&done), Instant::now());
    let writers = clients.clone();
    let writes = tokio::spawn(drive::closed(N_WRITERS, MOST, move |client| {
        let is_over = flag.load(Ordering::Relaxed) && began.elapsed() >= LEAST;
        let writers = writers.clone();
        async move { if is_over { Ok(Step::NoWork) } else { writers.update(client).await } }
    }));
    // Physical: answered when the old revisions are gone, not when they are promised to go.
    let request = CompactionRequest { revision: clients.objects.newest(), physical: true };
    let answer = clients.connections.kv(0).compact(request).await;
    let took = began.elapsed();
    done.store(true, Ordering::Relaxed);
    let driven = writes.await.context("the writers ended early")??;
    answer.context("compact")?;
    Ok((driven, took))
}
