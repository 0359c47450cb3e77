//! Create, update and delete in the shapes of an apiserver, by so many clients in a closed loop.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use proto::etcd::etcdserverpb::TxnRequest;

use super::{Clients, Subject};
use crate::drive::{self, Driven, NO_LIMIT, Step};
use crate::entry::Entry;
use crate::objects::Idx;
use crate::txn::{self, Answer};
use crate::usage::Meter;
use crate::value::Random;

/// Each for a stretch: create new objects, then update those, then delete them until none is left.
pub(crate) async fn run(subject: &mut Subject<'_>, n_clients: usize) -> anyhow::Result<Vec<Entry>> {
    let clients = subject.clients(subject.sizes.value_bytes);
    let (pid, stretch) = (subject.pid(), subject.sizes.stretch);
    let create = {
        let clients = clients.clone();
        measured(pid, drive::closed(n_clients, stretch, move |it| clients.clone().create(it)))
            .await?
    };
    let update = {
        let clients = clients.clone();
        measured(pid, drive::closed(n_clients, stretch, move |it| clients.clone().update(it)))
            .await?
    };
    clients.objects.restart_picks();
    let delete =
        measured(pid, drive::closed(n_clients, stretch, move |it| clients.clone().delete(it)))
            .await?;
    let named = [("create", create), ("update", update), ("delete", delete)];
    let entry = |(name, entry): (&str, Entry)| entry.named(format!("{name}/{n_clients}"));
    Ok(named.into_iter().map(entry).collect())
}

async fn measured(
    pid: u32,
    driven: impl Future<Output = anyhow::Result<Driven>>,
) -> anyhow::Result<Entry> {
    let meter = Meter::start(pid)?;
    let driven = driven.await?;
    let usage = meter.stop()?;
    Ok(usage.per_100k(driven.n_done(), entry(driven)))
}

/// Rate, quantiles and how many transactions lost.
pub(crate) fn entry(driven: Driven) -> Entry {
    let entry = Entry::new("")
        .with("txns_per_s", driven.per_s())
        .with("txns", driven.n_done() as f64)
        .with("lost_txns", driven.n_lost as f64);
    entry.latencies("", driven.latencies)
}

/// Creates `n` objects of the subject, as fast as 64 clients can.
pub(crate) async fn load(subject: &Subject<'_>, value_bytes: usize) -> anyhow::Result<Driven> {
    let clients = subject.clients(value_bytes);
    drive::closed(N_LOADERS, NO_LIMIT, move |it| clients.clone().create(it)).await
}

/// Enough to fill the groups in which servers write.
pub(crate) const N_LOADERS: usize = 64;

/// Updates the objects of the subject until that has been done `n` times.
pub(crate) async fn rewrite(subject: &Subject<'_>, n: usize) -> anyhow::Result<Driven> {
    let clients = subject.clients(subject.sizes.value_bytes);
    let until = clients.objects.n_picks() + n;
    drive::closed(N_LOADERS, NO_LIMIT, move |client| {
        let clients = clients.clone();
        async move {
            if clients.objects.n_picks() >= until {
                return Ok(Step::NoWork);
            }
            clients.update(client).await
        }
    })
    .await
}

/// Updates for as long as it takes, by so many clients.
pub(crate) async fn keep_updating(
    clients: Clients,
    n_clients: usize,
    limit: Duration,
) -> anyhow::Result<Driven> {
    drive::closed(n_clients, limit, move |it| clients.clone().update(it)).await
}

static SEEDS: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static RANDOM: RefCell<Random> =
        RefCell::new(Random::new(SEEDS.fetch_add(1, Ordering::Relaxed)));
}

fn value(n_bytes: usize) -> Bytes {
    RANDOM.with_borrow_mut(|random| random.value(n_bytes))
}

impl Clients {
    pub(crate) async fn create(self, client: usize) -> anyhow::Result<Step> {
        let Some(idx) = self.objects.take_new() else { return Ok(Step::NoWork) };
        let request = txn::create(&self.objects.key(idx), value(self.value_bytes));
        self.send(client, idx, request).await
    }

    pub(crate) async fn update(self, client: usize) -> anyhow::Result<Step> {
        let Some(idx) = self.objects.pick() else { return Ok(Step::NoWork) };
        self.update_one(client, idx).await
    }

    pub(crate) async fn update_one(self, client: usize, idx: usize) -> anyhow::Result<Step> {
        let (key, revision) = (self.objects.key(idx), self.objects.revision(idx));
        let request = txn::update(&key, value(self.value_bytes), revision);
        self.send(client, idx, request).await
    }

    pub(crate) async fn delete(self, client: usize) -> anyhow::Result<Step> {
        let Some(idx) = self.objects.pick() else { return Ok(Step::NoWork) };
        let revision = self.objects.revision(idx);
        if revision == 0 {
            // Picks come to each object once before they come again, so all the others are gone or on their way.
            return Ok(Step::NoWork);
        }
        let request = txn::delete(&self.objects.key(idx), revision);
        let step = self.send(client, idx, request).await?;
        if step == Step::Done {
            self.objects.set(idx, 0);
        }
        Ok(step)
    }

    async fn send(&self, client: usize, idx: Idx, request: TxnRequest) -> anyhow::Result<Step> {
        let response = self.connections.kv(client).txn(request).await;
        let response = response.with_context(|| format!("a transaction on object {idx}"))?;
        match txn::answer(response.get_ref()) {
            Answer::Done(revision) => {
                self.objects.set(idx, revision);
                Ok(Step::Done)
            }
            Answer::Lost(current) => {
                if let Some(revision) = current {
                    self.objects.set(idx, revision);
                }
                Ok(Step::Lost)
            }
        }
    }
}
