//! All objects of a resource, in the three ways in which a client can ask: page by page, in one answer, as a stream.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use proto::etcd::etcdserverpb::{RangeRequest, RangeResponse};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Streaming};
use tonic_prost::ProstCodec;

use super::Subject;
use crate::connections::Connections;
use crate::entry::Entry;
use crate::latency::Latencies;
use crate::process;
use crate::usage::{Meter, Usage};

/// kubectl's.
const PAGE: i64 = 500;

#[derive(Debug, Clone, Copy)]
enum Way {
    Pages,
    Unary,
    Stream,
}

pub(crate) async fn run(subject: &mut Subject<'_>) -> anyhow::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for way in [Way::Pages, Way::Unary, Way::Stream] {
        tokio::time::sleep(subject.sizes.settle).await;
        entries.push(one_way(subject, way).await?);
    }
    Ok(entries)
}

async fn one_way(subject: &Subject<'_>, way: Way) -> anyhow::Result<Entry> {
    let name = way.name();
    let (pid, n_objects) = (subject.pid(), subject.objects.n_taken());
    process::forget_peak(pid)?;
    let quiet_bytes = process::rss_bytes(pid)?;
    let mut all = Times::default();
    let meter = Meter::start(pid)?;
    for _ in 0..subject.sizes.n_lists {
        match one_list(subject, way).await {
            Ok(list) => all.take(list, n_objects).with_context(|| name.to_owned())?,
            Err(Failure::Unimplemented) => {
                return Ok(Entry::skipped(name, "the server does not implement RangeStream"));
            }
            Err(Failure::Broken(error)) => return Err(error.context(name)),
        }
    }
    let entry = Entry::new(name)
        .with("quiet_rss_bytes", quiet_bytes)
        .with("peak_rss_bytes", process::peak_bytes(pid)?)
        .with("rss_bytes", process::rss_bytes(pid)?);
    Ok(all.figures(entry, meter.stop()?))
}

#[derive(Debug, Default)]
struct Times {
    first_bytes: Latencies,
    first_objects: Latencies,
    totals: Latencies,
}

impl Times {
    fn take(&mut self, list: List, n_expected: usize) -> anyhow::Result<()> {
        let (found, revisions) = (list.n_objects, list.revisions);
        ensure!(found == n_expected, "a list of {found} objects, {n_expected} are there");
        ensure!(revisions == (0, 0), "a list out of order or without revision: {revisions:?}");
        self.first_bytes.record(list.first_byte.unwrap_or(list.took));
        self.first_objects.record(list.first_object.unwrap_or(list.took));
        self.totals.record(list.took);
        Ok(())
    }

    fn figures(self, entry: Entry, usage: Usage) -> Entry {
        let n_lists = self.totals.len().max(1) as f64;
        let entry = entry
            .latencies("first_byte_", self.first_bytes)
            .latencies("first_object_", self.first_objects)
            .latencies("list_", self.totals)
            .with("server_cpu_s_per_list", usage.server.as_secs_f64() / n_lists)
            .with("generator_cpu_s_per_list", usage.generator.as_secs_f64() / n_lists);
        usage.utilisation(entry)
    }
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Way::Pages => "list/pages",
            Way::Unary => "list/unary",
            Way::Stream => "list/stream",
        }
    }
}

enum Failure {
    Unimplemented,
    Broken(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Broken(error)
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Failure {
        match status.code() {
            Code::Unimplemented => Failure::Unimplemented,
            _ => Failure::Broken(anyhow::Error::new(status).context("list")),
        }
    }
}

/// One list as it comes in.
struct List {
    began: Instant,
    /// The answer begins: of pages, the first has come; otherwise, its headers.
    first_byte: Option<Duration>,
    /// A client can use an object.
    first_object: Option<Duration>,
    took: Duration,
    n_objects: usize,
    last: Bytes,
    /// Keys out of order, objects without revision.
    revisions: (usize, usize),
}

impl List {
    fn begin() -> List {
        let (began, took) = (Instant::now(), Duration::ZERO);
        let (first_byte, first_object, revisions) = (None, None, (0, 0));
        List { began, first_byte, first_object, took, n_objects: 0, last: Bytes::new(), revisions }
    }

    fn first_byte(&mut self) {
        self.first_byte.get_or_insert_with(|| self.began.elapsed());
    }

    fn take(&mut self, answer: RangeResponse) {
        if !answer.kvs.is_empty() {
            self.first_object.get_or_insert_with(|| self.began.elapsed());
        }
        for kv in answer.kvs {
            self.revisions.0 += usize::from(kv.key <= self.last);
            self.revisions.1 += usize::from(kv.mod_revision == 0);
            self.last = kv.key;
            self.n_objects += 1;
        }
    }

    fn end(mut self) -> List {
        self.took = self.began.elapsed();
        self
    }
}

async fn one_list(subject: &Subject<'_>, way: Way) -> Result<List, Failure> {
    let objects = &subject.objects;
    let (key, range_end) = (objects.prefix(), objects.prefix_end());
    let request = RangeRequest { key, range_end, ..RangeRequest::default() };
    match way {
        Way::Pages => pages(&subject.connections, request).await,
        Way::Unary => unary(subject.connections.channel(0), request).await,
        Way::Stream => stream(&subject.connections, request).await,
    }
}

async fn pages(connections: &Connections, first: RangeRequest) -> Result<List, Failure> {
    let (mut list, mut kv) = (List::begin(), connections.kv(0));
    let mut request = RangeRequest { limit: PAGE, ..first };
    loop {
        let answer = kv.range(request.clone()).await?.into_inner();
        list.first_byte();
        if request.revision == 0 {
            request.revision = answer.header.as_ref().map_or(0, |header| header.revision);
        }
        let more = answer.more;
        list.take(answer);
        if !more {
            return Ok(list.end());
        }
        request.key = behind(&list.last);
    }
}

/// The first key behind another.
fn behind(key: &[u8]) -> Bytes {
    [key, b"\0"].concat().into()
}

/// As if it were a stream of one message: the answer's headers are then seen before all of it has come.
async fn unary(channel: Channel, request: RangeRequest) -> Result<List, Failure> {
    let mut list = List::begin();
    let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(usize::MAX);
    grpc.ready().await.context("connection")?;
    let path = PathAndQuery::from_static("/etcdserverpb.KV/Range");
    let codec = ProstCodec::<RangeRequest, RangeResponse>::default();
    let answer = grpc.server_streaming(Request::new(request), path, codec).await?;
    list.first_byte();
    let mut answers: Streaming<RangeResponse> = answer.into_inner();
    while let Some(answer) = answers.message().await? {
        list.take(answer);
    }
    Ok(list.end())
}

async fn stream(connections: &Connections, request: RangeRequest) -> Result<List, Failure> {
    let (mut list, mut kv) = (List::begin(), connections.kv(0));
    let mut pieces = kv.range_stream(request).await?.into_inner();
    list.first_byte();
    while let Some(piece) = pieces.message().await? {
        list.take(piece.range_response.unwrap_or_default());
    }
    Ok(list.end())
}
