//! A server that is killed while clients write, and started again: how long until it answers, and whether it still has every write that it
//! had acknowledged. The files are in the page cache, as they are after the crash of a process.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use proto::etcd::etcdserverpb::RangeRequest;

use super::{Subject, writes};
use crate::connections::Connections;
use crate::drive::{NO_LIMIT, Step};
use crate::entry::Entry;
use crate::latency::Latencies;

const N_WRITERS: usize = 16;
/// How long they write before the kill.
const WRITING: Duration = Duration::from_millis(700);
const PAGE: i64 = 5000;

pub(crate) async fn run(subject: &mut Subject<'_>) -> anyhow::Result<Vec<Entry>> {
    let (mut ranges, mut txns, mut n_lost) = (Latencies::default(), Latencies::default(), 0);
    for _ in 0..subject.sizes.n_restarts {
        kill_while_writing(subject).await?;
        let range = subject.server.start_again().await?;
        ranges.record(range);
        subject.connections = Connections::open(&subject.server.endpoint()).await?;
        n_lost += check(subject).await?;
        let began = Instant::now();
        let step = subject.clients(subject.sizes.value_bytes).update(0).await?;
        ensure!(step == Step::Done, "the first transaction after a start lost: {step:?}");
        txns.record(began.elapsed());
    }
    let n_objects = subject.objects.n_taken();
    let entry = Entry::new(format!("restart/{n_objects}"))
        .with("lost_writes", n_lost as f64)
        .latencies("range_", ranges)
        .latencies("txn_", txns);
    Ok(vec![entry])
}

async fn kill_while_writing(subject: &mut Subject<'_>) -> anyhow::Result<()> {
    let clients = subject.clients(subject.sizes.value_bytes);
    let writers = tokio::spawn(writes::keep_updating(clients, N_WRITERS, NO_LIMIT));
    tokio::time::sleep(WRITING).await;
    subject.server.check()?;
    subject.server.kill();
    // They end with the connection's error.
    let ended = writers.await.context("the writers ended early")?;
    ensure!(ended.is_err(), "writers went on without a server");
    Ok(())
}

/// How many objects are older than what was acknowledged. Those that were being written may be newer: that is taken over.
async fn check(subject: &Subject<'_>) -> anyhow::Result<u64> {
    let (objects, found) = (&subject.objects, found(subject).await?);
    let mut n_lost = 0;
    for idx in 0..objects.n_taken() {
        let revision = found.get(&objects.key(idx)).copied().unwrap_or(0);
        n_lost += u64::from(revision < objects.revision(idx));
        if revision != objects.revision(idx) {
            objects.set(idx, revision);
        }
    }
    Ok(n_lost)
}

/// Keys and their revisions.
async fn found(subject: &Subject<'_>) -> anyhow::Result<HashMap<Bytes, i64>> {
    let (mut found, mut kv) = (HashMap::new(), subject.connections.kv(0));
    let (key, range_end) = (subject.objects.prefix(), subject.objects.prefix_end());
    let mut request = RangeRequest { key, range_end, limit: PAGE, ..RangeRequest::default() };
    loop {
        let answer = kv.range(request.clone()).await.context("list after a start")?.into_inner();
        let Some(last) = answer.kvs.last() else { return Ok(found) };
        request.key = [&last.key[..], b"\0"].concat().into();
        // Copied, so that the answer's memory is not kept for its keys.
        found
            .extend(answer.kvs.iter().map(|kv| (Bytes::copy_from_slice(&kv.key), kv.mod_revision)));
        if !answer.more {
            return Ok(found);
        }
    }
}
