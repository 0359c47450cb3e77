//! One endpoint's task: waits for something to tell, connects, carries reports and directives, and tries again after a
//! pause. What is said and what an answer means is `talk`'s; here are waiting, logs, counts and findings.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cluster::node::NodeHeard;
use model::plan::Finding;
use model::{Nanos, Timestamp};
use prost::Message as _;
use proto::v1::node_report::Content;
use proto::v1::{NodeDirective, NodeIdentity, NodeReport};
use runtime::pauses::{self, Pauses};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use super::Deps;
use super::dial::{self, Ended, Stream};
use super::findings::findings;
use super::metrics::EndpointMetrics;
use super::source::SharedSource;
use super::talk::{Talk, Turn};
use crate::config::ReportConfig;

/// Before the first tick, or while the loop is stuck.
const LOOK_AGAIN: Nanos = Nanos::from_secs(1);
/// A connection that lasted so long was a good one: the next failure is a new one.
const GOOD: Nanos = Nanos::from_secs(30);

/// An endpoint with everything that belongs to it.
pub(super) struct Line {
    endpoint: String,
    config: ReportConfig,
    talk: Talk,
    source: SharedSource,
    node: Option<watch::Receiver<NodeHeard>>,
    teller: watch::Sender<Arc<Vec<Finding>>>,
    metrics: EndpointMetrics,
    clock: fn() -> Timestamp,
    pauses: Pauses,
    /// How the last connection ended; `None` as soon as the next one works.
    ended: Option<Ended>,
    /// No report of this connection was taken yet.
    is_new: bool,
}

enum Next {
    Report(Box<NodeReport>),
    Until(Timestamp),
}

impl Line {
    pub(super) fn new(
        endpoint: &str,
        config: &ReportConfig,
        identity: &NodeIdentity,
        deps: &Deps,
        (source, teller): (SharedSource, watch::Sender<Arc<Vec<Finding>>>),
    ) -> Line {
        Line {
            endpoint: endpoint.to_owned(),
            config: config.clone(),
            talk: Talk::new(identity.clone(), config.interval, (deps.clock)()),
            source,
            node: deps.node.clone(),
            teller,
            metrics: deps.metrics.of(endpoint),
            clock: deps.clock,
            pauses: deps.pauses,
            ended: None,
            is_new: true,
        }
    }

    /// Reports for as long as it is polled.
    pub(super) async fn keep(mut self) {
        let mut n_failed = 0;
        loop {
            self.wait_for_state().await;
            let began = (self.clock)();
            let ended = match self.converse().await {
                Err(ended) => ended,
                Ok(never) => match never {},
            };
            let now = (self.clock)();
            self.talk.close();
            n_failed = if now.since(began) >= GOOD { 0 } else { n_failed + 1 };
            let pause = self.pauses.after(n_failed, pauses::random());
            self.note_end(ended, pause);
            self.rest_until(now.after(Nanos(pause.as_nanos() as u64))).await;
        }
    }

    /// One connection, from the first packet to its end.
    async fn converse(&mut self) -> Result<Infallible, Ended> {
        let channel = dial::connected(&self.endpoint, &self.config).await?;
        self.talk.open((self.clock)());
        let Next::Report(first) = self.next()? else { return Err(Ended::NoState) };
        let mut stream = dial::opened(channel, &self.config, *first).await?;
        self.metrics.connected();
        loop {
            match self.next()? {
                // A stream that has ended says why in place of an answer.
                Next::Report(report) => drop(stream.reports.try_send(*report)),
                Next::Until(until) => {
                    if let Some(told) = answer(&mut stream, self.left_until(until)).await? {
                        self.hear(&told)?;
                    }
                }
            }
        }
    }

    /// What the conversation wants now.
    fn next(&mut self) -> Result<Next, Ended> {
        let now = (self.clock)();
        self.tell(now);
        if self.other_uid().is_some() {
            return Err(Ended::OtherNode { was: self.talk.uid().to_owned() });
        }
        match self.talk.turn(now)? {
            Turn::Wait { until, n_skipped } => {
                self.metrics.dropped(n_skipped);
                Ok(Next::Until(until))
            }
            Turn::Report => match self.source.borrow_mut().seen(self.talk.decided(), now) {
                Some(seen) => {
                    let report = Box::new(self.talk.report(now, seen));
                    let is_full = matches!(report.content, Some(Content::Full(_)));
                    self.metrics.sent(is_full, report.encoded_len());
                    Ok(Next::Report(report))
                }
                None => {
                    self.metrics.dropped(self.talk.skip(now));
                    Ok(Next::Until(now.after(LOOK_AGAIN)))
                }
            },
        }
    }

    fn hear(&mut self, told: &NodeDirective) -> Result<(), Ended> {
        let heard = self.talk.hear((self.clock)(), told)?;
        if heard.is_taken {
            self.metrics.acknowledged();
            if self.is_new {
                info!(endpoint = %self.endpoint, "Reports are taken");
            }
            (self.is_new, self.ended) = (false, None);
        }
        if let Some((asked, taken)) = heard.clamped {
            let (asked_ms, taken_ms) = (asked.0 / 1_000_000, taken.0 / 1_000_000);
            warn!(endpoint = %self.endpoint, asked_ms, taken_ms, "The report interval is out of bounds");
        }
        if let Some(n_bytes) = heard.refused_policy {
            warn!(endpoint = %self.endpoint, n_bytes, "A policy document is refused: policy comes from the file");
        }
        Ok(())
    }

    fn note_end(&mut self, ended: Ended, pause: Duration) {
        let error = kit::chain(&ended).to_string();
        let pause_ms = pause.as_millis() as u64;
        warn!(endpoint = %self.endpoint, %error, pause_ms, "No reports are taken");
        self.metrics.ended(ended.kind());
        (self.is_new, self.ended) = (true, Some(ended));
    }

    /// Publishes what a person should know of the endpoint, where it is something else than before.
    fn tell(&self, now: Timestamp) {
        let found = findings(&self.endpoint, &self.talk, self.ended.as_ref(), now);
        let is_known = **self.teller.borrow() == found;
        if !is_known {
            self.teller.send_replace(Arc::new(found));
        }
    }

    /// Of the Node object, where it is another one than that of the talk. One that is gone is still the one that was.
    fn other_uid(&self) -> Option<String> {
        let node = self.node.as_ref()?.borrow().node.clone()?;
        Some(&node.uid).filter(|uid| !uid.is_empty() && *uid != self.talk.uid()).cloned()
    }

    /// Whether it is known which machine reports.
    fn is_named(&mut self) -> bool {
        if let Some(uid) = self.other_uid() {
            self.talk.rename(uid);
        }
        let is_named = !self.talk.uid().is_empty();
        if !is_named && self.ended.is_none() {
            self.ended = Some(Ended::NoName);
        }
        is_named
    }

    /// Until the loop has published something that may be told, and it is known of which machine.
    async fn wait_for_state(&mut self) {
        loop {
            let now = (self.clock)();
            if self.is_named() && self.source.borrow().is_fresh(now) {
                return;
            }
            self.rest_until(now.after(LOOK_AGAIN)).await;
        }
    }

    /// Without a connection: what is due meanwhile is passed over.
    async fn rest_until(&mut self, end: Timestamp) {
        while let Ok(Next::Until(until)) = self.next()
            && (self.clock)() < end
        {
            tokio::time::sleep(self.left_until(until.min(end))).await;
        }
    }

    fn left_until(&self, at: Timestamp) -> Duration {
        Duration::from_nanos(at.since((self.clock)()).0)
    }
}

/// The next directive, if it comes in time.
async fn answer(stream: &mut Stream, within: Duration) -> Result<Option<NodeDirective>, Ended> {
    match timeout(within, stream.directives.message()).await {
        Err(_elapsed) => Ok(None),
        Ok(told) => told?.ok_or(Ended::Closed).map(Some),
    }
}
