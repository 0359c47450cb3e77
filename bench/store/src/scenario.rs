//! A store from its first object to its last, and what is measured on the way. Each scenario begins with an empty store, and the servers take
//! turns in it.

use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;

use crate::connections::Connections;
use crate::entry::Entry;
use crate::objects::Objects;
use crate::server::{Launch, Server};
use crate::sizes::Sizes;
use crate::workload::{
    Subject, compaction, counts, fleet, history, lists, load, restart, storm, watches, writes,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Create, update, delete; each number of clients on a store of its own
    Writes,
    /// 100 000 objects: memory, counts, lists, watches, restart, compaction
    Objects,
    /// The same number of 4 KiB each, and ten clients that list them all at once
    Large,
    /// A million objects and a restart
    Million,
    /// A million objects, 20 000 nodes that renew their leases, 100 watchers, and a restart
    Fleet,
}

impl Scenario {
    /// Without those of a million objects, of which each takes a quarter of an hour for each server.
    pub(crate) const USUAL: [Scenario; 3] = [Scenario::Writes, Scenario::Objects, Scenario::Large];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Scenario::Writes => "writes",
            Scenario::Objects => "objects",
            Scenario::Large => "large",
            Scenario::Million => "million",
            Scenario::Fleet => "fleet",
        }
    }
}

/// Where servers run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) cpus: Option<&'a str>,
    pub(crate) sizes: &'a Sizes,
}

/// Adds to `entries`. What could not be measured is an entry that says why; `Err` is a server with which nothing more can be done.
pub(crate) async fn run(
    scenario: Scenario,
    launch: &Launch,
    ground: Ground<'_>,
    entries: &mut Vec<Entry>,
) -> anyhow::Result<()> {
    match scenario {
        Scenario::Writes => all_writes(launch, ground, entries).await,
        Scenario::Objects => objects(launch, ground, entries).await,
        Scenario::Large => large(launch, ground, entries).await,
        Scenario::Million => million(launch, ground, entries).await,
        Scenario::Fleet => fleet(launch, ground, entries).await,
    }
}

async fn subject<'a>(
    launch: &Launch,
    ground: Ground<'a>,
    n_objects: usize,
) -> anyhow::Result<Subject<'a>> {
    let server = Server::start(launch, ground.folder, ground.cpus).await?;
    let connections = Connections::open(&server.endpoint()).await?;
    let objects = Arc::new(Objects::new("pods", n_objects));
    Ok(Subject { server, connections, objects, sizes: ground.sizes })
}

/// More than any of the servers creates in a second on one core.
const CREATES_PER_S: usize = 60_000;

async fn all_writes(
    launch: &Launch,
    ground: Ground<'_>,
    entries: &mut Vec<Entry>,
) -> anyhow::Result<()> {
    let most = CREATES_PER_S * ground.sizes.stretch.as_secs().max(1) as usize;
    for n_clients in ground.sizes.n_clients {
        let mut subject = subject(launch, ground, most).await?;
        let found = writes::run(&mut subject, *n_clients).await;
        note(entries, &format!("writes/{n_clients}"), found);
    }
    Ok(())
}

async fn objects(
    launch: &Launch,
    ground: Ground<'_>,
    entries: &mut Vec<Entry>,
) -> anyhow::Result<()> {
    let sizes = ground.sizes;
    let mut subject = subject(launch, ground, sizes.n_objects).await?;
    entries.extend(load::run(&mut subject, "load", sizes.value_bytes).await?);
    let found = history::run(&mut subject).await;
    note(entries, "history", found);
    let found = counts::run(&mut subject).await;
    note(entries, "count", found);
    let found = lists::run(&mut subject).await;
    note(entries, "list", found);
    let found = watches::run(&mut subject).await;
    note(entries, "watch", found);
    let found = restart::run(&mut subject).await;
    note(entries, "restart", found);
    subject.server.check()?;
    let found = compaction::run(&mut subject).await;
    note(entries, "compaction", found);
    Ok(())
}

async fn large(
    launch: &Launch,
    ground: Ground<'_>,
    entries: &mut Vec<Entry>,
) -> anyhow::Result<()> {
    let sizes = ground.sizes;
    let mut subject = subject(launch, ground, sizes.n_objects).await?;
    entries.extend(load::run(&mut subject, "load-large", sizes.large_value_bytes).await?);
    let found = storm::run(&mut subject).await;
    note(entries, "list-storm", found);
    Ok(())
}

async fn million(
    launch: &Launch,
    ground: Ground<'_>,
    entries: &mut Vec<Entry>,
) -> anyhow::Result<()> {
    let sizes = ground.sizes;
    let mut subject = subject(launch, ground, sizes.n_million).await?;
    entries.extend(load::run(&mut subject, "load-million", sizes.value_bytes).await?);
    let found = restart::run(&mut subject).await;
    note(entries, "restart-million", found);
    Ok(())
}

async fn fleet(
    launch: &Launch,
    ground: Ground<'_>,
    entries: &mut Vec<Entry>,
) -> anyhow::Result<()> {
    let sizes = ground.sizes.of_fleet();
    let mut subject = subject(launch, Ground { sizes: &sizes, ..ground }, sizes.n_million).await?;
    entries.extend(load::run(&mut subject, "load-fleet", sizes.value_bytes).await?);
    let found = fleet::run(&mut subject).await;
    note(entries, "fleet", found);
    let found = restart::run(&mut subject).await;
    note(entries, "restart-fleet", found);
    Ok(())
}

fn note(entries: &mut Vec<Entry>, workload: &str, found: anyhow::Result<Vec<Entry>>) {
    match found {
        Ok(found) => entries.extend(found),
        Err(error) => entries.push(Entry::skipped(workload, format!("failed: {error:#}"))),
    }
}
