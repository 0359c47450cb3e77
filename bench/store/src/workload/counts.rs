//! How many objects are there? An apiserver asks for every resource once a minute, and with every page of a list. Beside it the cheapest
//! question that there is, for a key that is not there: what it takes is the way there and back.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use proto::etcd::etcdserverpb::RangeRequest;

use super::Subject;
use crate::entry::Entry;
use crate::latency::Latencies;
use crate::usage::Meter;

pub(crate) async fn run(subject: &mut Subject<'_>) -> anyhow::Result<Vec<Entry>> {
    let objects = &subject.objects;
    let expected = objects.n_taken() as i64;
    let request = RangeRequest {
        key: objects.prefix(),
        range_end: objects.prefix_end(),
        count_only: true,
        ..RangeRequest::default()
    };
    let mut kv = subject.connections.kv(0);
    let absent = RangeRequest { key: "/absent".into(), ..RangeRequest::default() };
    let mut ways = Latencies::default();
    for _ in 0..subject.sizes.n_counts {
        let began = Instant::now();
        kv.range(absent.clone()).await.context("ask for a key that is not there")?;
        ways.record(began.elapsed());
    }
    let mut latencies = Latencies::default();
    let meter = Meter::start(subject.pid())?;
    for _ in 0..subject.sizes.n_counts {
        let began = Instant::now();
        let answer = kv.range(request.clone()).await.context("count the objects")?;
        latencies.record(began.elapsed());
        let count = answer.get_ref().count;
        ensure!(count == expected, "the server counts {count} objects of {expected}");
    }
    let n_counts = latencies.len() as u64;
    let entry = Entry::new("count").with("objects", expected as f64);
    let entry = entry.latencies("", latencies).latencies("way_", ways);
    Ok(vec![meter.stop()?.per_100k(n_counts, entry)])
}
