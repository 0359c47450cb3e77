//! The objects that the other workloads read: how fast they come in, what they cost in memory and on the disk.

use super::{Subject, writes};
use crate::entry::Entry;
use crate::process;
use crate::usage::Meter;
use crate::written::Written;

/// Creates all objects of the subject with values of `value_bytes`.
pub(crate) async fn run(
    subject: &mut Subject<'_>,
    workload: &str,
    value_bytes: usize,
) -> anyhow::Result<Vec<Entry>> {
    let pid = subject.pid();
    let (written, meter) = (Written::now(pid, subject.server.store())?, Meter::start(pid)?);
    let driven = writes::load(subject, value_bytes).await?;
    let usage = meter.stop()?;
    let n_objects = driven.n_done();
    let entry = usage.per_100k(n_objects, writes::entry(driven));
    let entry = at_rest(subject, entry, written, n_objects * value_bytes as u64).await?;
    Ok(vec![entry.named(workload)])
}

/// Memory once the server has come to rest, the size of its files, and what it has written for `value_bytes` bytes of values
/// since it had written `before`.
pub(crate) async fn at_rest(
    subject: &Subject<'_>,
    entry: Entry,
    before: Written,
    value_bytes: u64,
) -> anyhow::Result<Entry> {
    tokio::time::sleep(subject.sizes.settle).await;
    let entry = entry
        .with("rss_bytes", process::rss_bytes(subject.pid())?)
        .with("disk_bytes", process::disk_bytes(subject.server.store())?);
    let written = Written::now(subject.pid(), subject.server.store())?;
    Ok(written.since(before, value_bytes, entry))
}
