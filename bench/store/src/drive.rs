//! A closed loop: so many clients, each sending its next request when the last one is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;

use crate::latency::Latencies;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Done,
    /// The condition of a transaction did not hold.
    Lost,
    /// Nothing was left to do.
    NoWork,
}

#[derive(Debug, Default)]
pub(crate) struct Driven {
    /// Of the steps that were done.
    pub(crate) latencies: Latencies,
    pub(crate) n_lost: u64,
    pub(crate) took: Duration,
}

impl Driven {
    pub(crate) fn n_done(&self) -> u64 {
        self.latencies.len() as u64
    }

    pub(crate) fn per_s(&self) -> f64 {
        self.n_done() as f64 / self.took.as_secs_f64().max(1e-9)
    }
}

/// Until the time is up or no client finds work. `step` gets the number of its client. The first error ends all.
pub(crate) async fn closed<F, S>(
    n_clients: usize,
    limit: Duration,
    step: F,
) -> anyhow::Result<Driven>
where
    F: Fn(usize) -> S + Send + Sync + 'static,
    S: Future<Output = anyhow::Result<Step>> + Send,
{
    let step = Arc::new(step);
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..n_clients {
        let step = Arc::clone(&step);
        clients.spawn(async move { one(client, started + limit, step.as_ref()).await });
    }
    let mut all = Driven::default();
    while let Some(ended) = clients.join_next().await {
        let of_client = ended.context("a client ended early")??;
        all.latencies.append(of_client.latencies);
        all.n_lost += of_client.n_lost;
    }
    all.took = started.elapsed();
    Ok(all)
}

async fn one<F, S>(client: usize, deadline: Instant, step: &F) -> anyhow::Result<Driven>
where
    F: Fn(usize) -> S,
    S: Future<Output = anyhow::Result<Step>>,
{
    let mut driven = Driven::default();
    loop {
        let began = Instant::now();
        if began >= deadline {
            return Ok(driven);
        }
        match step(client).await? {
            Step::Done => driven.latencies.record(began.elapsed()),
            Step::Lost => driven.n_lost += 1,
            Step::NoWork => return Ok(driven),
        }
    }
}

/// No limit of time.
pub(crate) const NO_LIMIT: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test]
    async fn clients_end_when_there_is_no_work() {
        let left = AtomicU64::new(100);
        let step = move |_client| {
            let found =
                left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| it.checked_sub(1));
            std::future::ready(Ok(match found {
                Err(_none) => Step::NoWork,
                Ok(n) if n % 4 == 0 => Step::Lost,
                Ok(_) => Step::Done,
            }))
        };
        let driven = closed(7, NO_LIMIT, step).await.unwrap();
        assert_eq!((driven.n_done(), driven.n_lost), (75, 25));
    }

    #[tokio::test]
    async fn the_first_error_ends_all() {
        let step = |client| async move {
            anyhow::ensure!(client != 2, "client {client} has failed");
            tokio::task::yield_now().await;
            Ok(Step::Done)
        };
        let said = closed(3, NO_LIMIT, step).await.unwrap_err().to_string();
        assert_eq!(said, "client 2 has failed");
    }
}
