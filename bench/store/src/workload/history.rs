//! Objects that are updated again and again while nobody compacts: what revisions cost in memory and on the disk.

use super::load::at_rest;
use super::{Subject, writes};
use crate::entry::Entry;
use crate::usage::Meter;
use crate::written::Written;

pub(crate) async fn run(subject: &mut Subject<'_>) -> anyhow::Result<Vec<Entry>> {
    let pid = subject.pid();
    let (written, meter) = (Written::now(pid, subject.server.store())?, Meter::start(pid)?);
    let driven = writes::rewrite(subject, subject.sizes.n_history).await?;
    let usage = meter.stop()?;
    let n_updates = driven.n_done();
    let entry = usage.per_100k(n_updates, writes::entry(driven));
    let value_bytes = n_updates * subject.sizes.value_bytes as u64;
    let entry = at_rest(subject, entry, written, value_bytes).await?;
    Ok(vec![entry.named(format!("history/{}", subject.sizes.n_history))])
}
