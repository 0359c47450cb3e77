//! What a cluster of 20 000 nodes does to its store all day: every node renews its Lease object every ten seconds, watchers follow objects
//! that change, and the store has a million objects. How long writes take then, what reaches the watchers, and what it costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;

use super::{Clients, Subject, watches, writes};
use crate::drive::{self, NO_LIMIT, Step};
use crate::entry::Entry;
use crate::latency::Latencies;
use crate::objects::Objects;
use crate::process;
use crate::usage::Meter;

/// As a kubelet's `renewInterval`.
const RENEWED_EVERY: Duration = Duration::from_secs(10);
/// About what a Lease of `coordination.k8s.io` takes on the wire of an apiserver.
const LEASE_BYTES: usize = 512;
const N_RENEWERS: usize = 256;

/// Renewals and watchers at once.
pub(crate) async fn run(subject: &mut Subject<'_>) -> anyhow::Result<Vec<Entry>> {
    let leases = Arc::new(Objects::new("node-leases", subject.sizes.n_leases));
    let connections = subject.connections.clone();
    let clients = Clients { connections, objects: leases, value_bytes: LEASE_BYTES };
    let creating = clients.clone();
    drive::closed(writes::N_LOADERS, NO_LIMIT, move |it| creating.clone().create(it)).await?;
    let over = Arc::new(AtomicBool::new(false));
    process::forget_peak(subject.pid())?;
    let meter = Meter::start(subject.pid())?;
    let renewing = tokio::spawn(renew_all(clients, Arc::clone(&over)));
    let watched = watches::run(subject).await;
    over.store(true, Ordering::Relaxed);
    let renewed = renewing.await.context("the renewing ended early")??;
    let usage = meter.stop()?;
    let n_renewed = renewed.latencies.len() as f64;
    let entry = Entry::new(format!("fleet/{}", subject.sizes.n_leases))
        .with("renewals_per_s", n_renewed / usage.took.as_secs_f64())
        .with("lost_renewals", renewed.n_lost as f64)
        .with("rss_bytes", process::rss_bytes(subject.pid())?)
        .with("peak_rss_bytes", process::peak_bytes(subject.pid())?)
        .latencies("renewal_", renewed.latencies);
    let mut entries = vec![usage.utilisation(entry)];
    entries.extend(watched?);
    Ok(entries)
}

#[derive(Debug, Default)]
struct Renewed {
    /// From the time at which each was due.
    latencies: Latencies,
    n_lost: u64,
}

/// Until it is over. Each renewer has a share of the leases and comes to each of them once in ten seconds.
async fn renew_all(clients: Clients, over: Arc<AtomicBool>) -> anyhow::Result<Renewed> {
    let began = Instant::now();
    let mut renewers = JoinSet::new();
    for renewer in 0..N_RENEWERS.min(clients.objects.n_taken()) {
        renewers.spawn(renew(clients.clone(), renewer, began, Arc::clone(&over)));
    }
    let mut all = Renewed::default();
    while let Some(ended) = renewers.join_next().await {
        let of_one = ended.context("a renewer ended early")??;
        all.latencies.append(of_one.latencies);
        all.n_lost += of_one.n_lost;
    }
    Ok(all)
}

async fn renew(
    clients: Clients,
    renewer: usize,
    began: Instant,
    over: Arc<AtomicBool>,
) -> anyhow::Result<Renewed> {
    let n_leases = clients.objects.n_taken();
    let per_s = n_leases as f64 / RENEWED_EVERY.as_secs_f64();
    let mut renewed = Renewed::default();
    for turn in 0_usize.. {
        let nth = turn * N_RENEWERS + renewer;
        let due = began + Duration::from_secs_f64(nth as f64 / per_s);
        tokio::time::sleep_until(due.into()).await;
        if over.load(Ordering::Relaxed) {
            break;
        }
        match clients.clone().update_one(renewer, nth % n_leases).await? {
            Step::Done => renewed.latencies.record(due.elapsed()),
            Step::Lost | Step::NoWork => renewed.n_lost += 1,
        }
    }
    Ok(renewed)
}
