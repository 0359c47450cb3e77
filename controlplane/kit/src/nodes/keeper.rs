//! The owner of the intake: one task takes every question in order, publishes the table now and then, and forgets who
//! fell silent. Decides nothing.

use std::sync::Arc;
use std::time::Duration;

use proto::v1::{NodeIdentity, NodeReport};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::info;

use super::Config;
use super::intake::{Answer, Intake};
use super::limits::Refusal;
use super::metrics::Metrics;
use super::table::NodeTable;

/// Reports that wait for the keeper. A stream has one on its way at most; when more come at once, streams wait and with
/// them their agents.
const QUEUE: usize = 1024;
/// Taken at one go: a wake-up costs more than a report.
const BATCH: usize = 256;
/// Looking at every node costs as much as publishing.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);

/// A report of a node whose peer was found to be that node.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) identity: Arc<NodeIdentity>,
    pub(super) report: NodeReport,
    pub(super) reply: oneshot::Sender<Result<Answer, Refusal>>,
}

/// See [`Keeper::run`].
#[derive(Debug)]
pub struct Keeper {
    intake: Intake,
    inbox: mpsc::Receiver<Ask>,
    table: watch::Sender<Arc<NodeTable>>,
    publish_every: Duration,
    expire_at: Instant,
    metrics: Metrics,
}

pub(super) fn keeper(
    config: &Config,
    metrics: Metrics,
) -> (mpsc::Sender<Ask>, Keeper, watch::Receiver<Arc<NodeTable>>) {
    let (asks, inbox) = mpsc::channel(QUEUE);
    let (table, published) = watch::channel(Arc::default());
    let intake = Intake::new(config.limits, config.expiry());
    let publish_every = config.publish_every;
    let expire_at = Instant::now() + EXPIRE_EVERY;
    let keeper = Keeper { intake, inbox, table, publish_every, expire_at, metrics };
    (asks, keeper, published)
}

impl Keeper {
    /// Answers until nobody can ask any more.
    pub async fn run(mut self) {
        let mut ticks = tokio::time::interval(self.publish_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            // Under any load the table is published in time.
            tokio::select! {
                biased;
                _ = ticks.tick() => self.publish(),
                n_asks = self.inbox.recv_many(&mut batch, BATCH) => {
                    if n_asks == 0 {
                        return;
                    }
                    self.answer(&mut batch);
                }
            }
        }
    }

    fn answer(&mut self, batch: &mut Vec<Ask>) {
        let now = Instant::now().into_std();
        for Ask { identity, report, reply } in batch.drain(..) {
            let answer = self.intake.take(&identity, report, now);
            self.metrics.answered(&answer);
            // A stream that ended meanwhile wants no answer.
            drop(reply.send(answer));
        }
    }

    fn publish(&mut self) {
        let began = Instant::now();
        if began >= self.expire_at {
            self.expire_at = began + EXPIRE_EVERY;
            let n_nodes = self.intake.expire(began.into_std());
            self.metrics.expired(n_nodes);
            if n_nodes > 0 {
                info!(n_nodes, "Forgot nodes that fell silent");
            }
        }
        if let Some(table) = self.intake.changed_table() {
            self.table.send_replace(Arc::new(table));
            self.metrics.published(&self.intake, began.elapsed());
        }
    }
}
