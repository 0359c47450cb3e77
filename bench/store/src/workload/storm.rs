//! Ten clients that list everything at once, as controllers do when an apiserver comes back: how much memory the server takes for it.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use proto::etcd::etcdserverpb::RangeRequest;
use tokio::task::JoinSet;

use super::Subject;
use crate::entry::Entry;
use crate::latency::Latencies;
use crate::usage::Meter;
use crate::{process, raw};

pub(crate) async fn run(subject: &mut Subject<'_>) -> anyhow::Result<Vec<Entry>> {
    let (pid, sizes, objects) = (subject.pid(), subject.sizes, &subject.objects);
    let (key, range_end) = (objects.prefix(), objects.prefix_end());
    let request = Arc::new(RangeRequest { key, range_end, ..RangeRequest::default() });
    let quiet_bytes = process::rss_bytes(pid)?;
    process::forget_peak(pid)?;
    let meter = Meter::start(pid)?;
    let mut lists = JoinSet::new();
    for client in 0..sizes.n_storm_clients {
        let (request, endpoint) = (Arc::clone(&request), subject.server.endpoint());
        let channel = subject.connections.channel(client);
        lists.spawn(async move { raw::range(&endpoint, channel, &request).await });
    }
    let (mut first_bytes, mut totals) = (Latencies::default(), Latencies::default());
    let least = objects.n_taken() as u64 * sizes.large_value_bytes as u64;
    while let Some(ended) = lists.join_next().await {
        let received = ended.context("a list ended early")??;
        ensure!(
            received.n_bytes >= least,
            "a list of {} bytes, of {least} at least",
            received.n_bytes
        );
        first_bytes.record(received.first_byte);
        totals.record(received.took);
    }
    let usage = meter.stop()?;
    let peak_bytes = process::peak_bytes(pid)?;
    let entry = Entry::new(format!("list-storm/{}", sizes.n_storm_clients))
        .with("quiet_rss_bytes", quiet_bytes)
        .with("peak_rss_bytes", peak_bytes)
        .with("added_rss_bytes", (peak_bytes - quiet_bytes).max(0.0))
        .with("objects_bytes", least as f64)
        .with("took_ms", usage.took.as_secs_f64() * 1e3)
        .with("server_cpu_s", usage.server.as_secs_f64())
        .latencies("first_byte_", first_bytes)
        .latencies("list_", totals);
    Ok(vec![usage.utilisation(entry)])
}
