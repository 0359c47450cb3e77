//! Two servers that are told the same, and whether they say the same.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proto::etcd::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseTimeToLiveRequest, PutRequest, RangeRequest,
};
use thiserror::Error;

use super::answer::Answer;
use super::client::Client;
use super::etcd::Etcd;
use super::op::Op;
use super::ours::{Kept, Ours};
use super::relative::Known;
use super::settings::Settings;
use super::tally::Tally;
use super::watching::{self, FENCE, Stream};

#[derive(Debug)]
pub(super) struct Pair {
    pub(super) etcd: Client,
    pub(super) ours: Client,
    pub(super) known: Known,
    streams: BTreeMap<usize, (Stream, Stream)>,
    /// A watch from the past, which etcd serves in a loop of its own.
    last_from_past: Option<Instant>,
    n_runs: usize,
    tally: Tally,
    ours_server: Option<Ours>,
    _etcd_server: Etcd,
}

/// What differs, after what.
#[derive(Debug, Error)]
#[error("at operation {nth}, {op}\n  etcd: {etcd}\n  ours: {ours}\n{before}")]
pub(super) struct Difference {
    nth: usize,
    op: String,
    etcd: String,
    ours: String,
    before: String,
}

type Differs = (String, String);

/// etcd looks for watches that are behind every 100 ms.
const ETCD_CATCHES_UP: Duration = Duration::from_millis(250);
/// For what is not told at all.
const SILENCE: Duration = Duration::from_millis(250);
/// Watchers that want to hear how far they are do so in no sequence.
const NO_PROGRESS: Duration = Duration::from_secs(3600);
/// This store is started again after so many sequences.
const RUNS_OF_A_START: usize = 5;
/// Leases that operations name.
const LEASES: std::ops::RangeInclusive<i64> = 1..=4;

impl Pair {
    pub(super) async fn start(settings: &Settings, kept: Kept) -> Pair {
        Pair::with_progress_every(settings, kept, NO_PROGRESS).await
    }

    pub(super) async fn with_progress_every(
        settings: &Settings,
        kept: Kept,
        progress_every: Duration,
    ) -> Pair {
        let etcd_server = Etcd::start(&settings.etcd, progress_every).await;
        let ours_server = Ours::start(kept, progress_every).await;
        let mut pair = Pair {
            etcd: Client::connect(&etcd_server.url).await,
            ours: Client::connect(&ours_server.url).await,
            known: Known { newest: 1, compacted: 0 },
            streams: BTreeMap::new(),
            last_from_past: None,
            n_runs: 0,
            tally: Tally::default(),
            ours_server: Some(ours_server),
            _etcd_server: etcd_server,
        };
        // An etcd that was never compacted can be at 0, though nothing is before 1.
        let first = Op::Compact(CompactionRequest { revision: 1, physical: false });
        pair.ask(&first).await.expect("a new store is compacted as another");
        pair
    }

    /// From an empty store, and to an empty one.
    pub(super) async fn run(&mut self, ops: &[Op]) -> Result<Tally, Difference> {
        let begun = Instant::now();
        let mut done = Vec::new();
        for (nth, op) in ops.iter().enumerate() {
            let op = op.at(&self.known);
            let stepped = self.step(&op).await;
            done.push(format!("    {nth}: {op:?} (newest {})", self.known.newest));
            stepped.map_err(|differs| difference(nth, format!("{op:?}"), differs, &done))?;
        }
        let ended = self.end().await;
        ended.map_err(|differs| difference(ops.len(), "the end".to_owned(), differs, &done))?;
        self.tally.sequence(begun.elapsed());
        Ok(std::mem::take(&mut self.tally))
    }

    /// One operation; a difference is an error.
    pub(super) async fn step(&mut self, op: &Op) -> Result<(), Differs> {
        match op {
            Op::Watch(stream, request) => {
                if request.watch_id != 0 {
                    // Whether a number is taken may depend on what is still to be told.
                    self.settle().await?;
                }
                let is_past = (1..=self.known.newest).contains(&request.start_revision);
                let (etcd, ours) = self.stream(*stream).await;
                tokio::join!(etcd.create(request.clone()), ours.create(request.clone()));
                if is_past {
                    self.last_from_past = Some(Instant::now());
                }
                self.count(op.name(), false);
                Ok(())
            }
            Op::Cancel(stream, id) => {
                self.settle().await?;
                let (etcd, ours) = self.stream(*stream).await;
                tokio::join!(etcd.cancel(*id), ours.cancel(*id));
                self.count(op.name(), false);
                Ok(())
            }
            Op::Progress(stream) => self.progress(*stream).await,
            Op::Compact(_) => {
                self.settle().await?;
                self.ask(op).await.map(drop)
            }
            _ => self.ask(op).await.map(drop),
        }
    }

    async fn ask(&mut self, op: &Op) -> Result<Answer, Differs> {
        let (etcd, ours) = tokio::join!(self.etcd.ask(op), self.ours.ask(op));
        let (mut etcd, mut ours) = (etcd.expect("a call has an answer"), ours.expect("the same"));
        if let Op::Range(RangeRequest { keys_only: true, .. })
        | Op::RangeStream(RangeRequest { keys_only: true, .. }) = op
        {
            (etcd, ours) = (etcd.without_leases(), ours.without_leases());
        }
        if etcd != ours {
            return Err((format!("{etcd:?}"), format!("{ours:?}")));
        }
        self.known.newest = self.known.newest.max(etcd.revision().unwrap_or(0));
        if let (Op::Compact(request), false) = (op, etcd.is_refused()) {
            self.known.compacted = request.revision;
        }
        self.count(op.name(), etcd.is_refused());
        Ok(etcd)
    }

    pub(super) async fn stream(&mut self, nth: usize) -> (&mut Stream, &mut Stream) {
        if !self.streams.contains_key(&nth) {
            let both = tokio::join!(Stream::open(&self.etcd), Stream::open(&self.ours));
            self.streams.insert(nth, both);
        }
        let (etcd, ours) = self.streams.get_mut(&nth).expect("it was inserted");
        (etcd, ours)
    }

    /// Until all watches have been told everything, which then has to be the same.
    pub(super) async fn settle(&mut self) -> Result<(), Differs> {
        if self.streams.is_empty() {
            return Ok(());
        }
        if let Some(last) = self.last_from_past.take() {
            tokio::time::sleep(ETCD_CATCHES_UP.saturating_sub(last.elapsed())).await;
        }
        self.ask(&Op::Put(PutRequest { key: FENCE.into(), ..PutRequest::default() })).await?;
        let fence = self.known.newest;
        for (etcd, ours) in self.streams.values_mut() {
            let (etcd_reached, ours_reached) = tokio::join!(etcd.reach(fence), ours.reach(fence));
            if !(etcd_reached && ours_reached) {
                return Err(watching::different(etcd, ours));
            }
            same(etcd, ours).await?;
        }
        Ok(())
    }

    async fn progress(&mut self, stream: usize) -> Result<(), Differs> {
        self.stream(stream).await;
        self.settle().await?;
        let (etcd, ours) = self.stream(stream).await;
        if etcd.has_lost() {
            return Ok(());
        }
        let (first_of_etcd, first_of_ours) = (etcd.n_heard(), ours.n_heard());
        tokio::join!(etcd.ask_progress(), ours.ask_progress());
        let mut told = tokio::join!(
            etcd.progress(first_of_etcd, SILENCE),
            ours.progress(first_of_ours, SILENCE)
        );
        if told.0.is_some() != told.1.is_some() {
            let patience = SILENCE * 8;
            told = tokio::join!(
                etcd.progress(first_of_etcd, patience),
                ours.progress(first_of_ours, patience)
            );
        }
        let is_silent = told.0.is_none();
        self.count("Watch progress", is_silent);
        if told.0 == told.1 {
            Ok(())
        } else {
            Err((format!("{:?}", told.0), format!("{:?}", told.1)))
        }
    }

    /// All that there is must be the same, here and after a start; then everything is removed.
    async fn end(&mut self) -> Result<(), Differs> {
        self.settle().await?;
        self.streams.clear();
        self.all().await?;
        self.n_runs += 1;
        let is_kept = self.ours_server.as_ref().is_some_and(|ours| ours.kept() == Kept::InLog);
        if is_kept && self.n_runs.is_multiple_of(RUNS_OF_A_START) {
            self.start_again().await;
            self.all().await?;
        }
        for id in LEASES {
            self.ask(&Op::Revoke(id)).await?;
        }
        let everything = DeleteRangeRequest { key: zero(), range_end: zero(), prev_kv: true };
        self.ask(&Op::Delete(everything)).await?;
        let (revision, physical) = (self.known.newest, self.n_runs.is_multiple_of(2));
        // It may be compacted already; then both say so.
        self.ask(&Op::Compact(CompactionRequest { revision, physical })).await?;
        Ok(())
    }

    async fn start_again(&mut self) {
        let ours = self.ours_server.take().expect("it is there between two starts");
        let ours = ours.again().await;
        self.ours = Client::connect(&ours.url).await;
        self.ours_server = Some(ours);
    }

    /// Every key at every revision that is left, and every lease.
    async fn all(&mut self) -> Result<(), Differs> {
        let first = self.known.compacted.saturating_sub(1).max(self.known.newest - 50);
        for revision in first..=self.known.newest + 1 {
            let request =
                RangeRequest { key: zero(), range_end: zero(), revision, ..Default::default() };
            self.ask(&Op::Range(request)).await?;
        }
        for id in LEASES {
            self.ask(&Op::TimeToLive(LeaseTimeToLiveRequest { id, keys: true })).await?;
        }
        Ok(())
    }

    fn count(&mut self, name: &'static str, is_refused: bool) {
        self.tally.count(name, is_refused);
    }
}

fn zero() -> bytes::Bytes {
    bytes::Bytes::from_static(b"\0")
}

/// Whoever is later has a little time.
async fn same(etcd: &Stream, ours: &Stream) -> Result<(), Differs> {
    let begun = Instant::now();
    while etcd.views() != ours.views() {
        if begun.elapsed() > SILENCE * 8 {
            return Err(watching::different(etcd, ours));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    match watching::broken_promise(&ours.responses()) {
        None => Ok(()),
        Some(broken) => Err(("keeps its promises".to_owned(), broken)),
    }
}

fn difference(nth: usize, op: String, (etcd, ours): Differs, done: &[String]) -> Difference {
    Difference { nth, op, etcd, ours, before: done.join("\n") }
}
