//! `berth-control metastore import`: an etcd is taken over while it runs. A snapshot of it becomes a store with all revisions, versions
//! and leases; then everything that happens goes there too, until clients change over. What has no snapshots (kine) is read as a list.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use metastore::copy::Copier;
use metastore::engine::log::LogEngine;
use metastore::hash;
use metastore::mvcc::{Place, Revision, Version};
use metastore::record::Copied;
use metastore::reserve::Boot;
use metastore::rewind::{self, LogValues};
use metastore::store::{Identity, Options, Store};
use proto::etcd::etcdserverpb::HashKvRequest;
use proto::etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcd::mvccpb::event::EventType;
use proto::etcd::mvccpb::{Event, KeyValue};
use tonic::transport::Channel;

use self::leases::Leases;
use super::client;
use super::follow::{Destination, Followed, follow, newest};
use super::new_store::NewStore;
use super::{backup, restore, say};
use crate::credentials::Credentials;

mod leases;
mod list;

#[derive(Debug, clap::Args)]
pub(in crate::metastore) struct Args {
    /// The etcd: etcd://HOST:PORT, several with commas between; with certificates it is reached over TLS
    #[arg(value_name = "URL", required_unless_present = "from")]
    url: Option<String>,
    /// The same
    #[arg(long, value_name = "URL", conflicts_with = "url")]
    from: Option<String>,
    /// The folder of the new store, which must not be there
    #[arg(long, visible_alias = "to", value_name = "FOLDER")]
    data_dir: PathBuf,
    /// End when it has caught up; without it, at SIGTERM or SIGINT, when everything up to then is taken
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    credentials: Credentials,
}

/// A source that compacts faster than it can be read would be begun with for ever.
const MOST_TRIES: u32 = 5;

pub(super) async fn run(args: &Args) -> anyhow::Result<()> {
    let from = args.url.as_deref().or(args.from.as_deref()).unwrap_or_default();
    let channel = client::connect(from, &args.credentials).await?;
    for n_try in 1..=MOST_TRIES {
        let new = NewStore::begin(&args.data_dir)?;
        match one_try(args, &channel, &new).await? {
            Followed::Until(revision) => return end(args, &channel, new, revision).await,
            Followed::Compacted(at) => say(&format!(
                "the source has compacted up to revision {at} before it was read: begun anew ({n_try} of {MOST_TRIES})"
            )),
        }
        new.again()?;
    }
    anyhow::bail!(
        "the source compacts faster than it can be read: compact it less often while it is taken over"
    )
}

async fn one_try(args: &Args, channel: &Channel, new: &NewStore) -> anyhow::Result<Followed> {
    let engine = new.engine()?;
    let mut copier = Copier::begin(&engine)?;
    let mut leases = Leases::new(channel);
    let (from, compacted) = begin(channel, new, &mut copier, &mut leases).await?;
    copier.flush()?;
    say(&format!("revision {from} is there; now what happens since"));
    let mut taker = Taker { copier: &mut copier, leases, compacted };
    let shutdown = kit::shutdown_signal()?;
    let followed = follow(channel, (from, args.once), &mut taker, shutdown).await?;
    if let Followed::Until(revision) = followed {
        taker.leases.reconcile(taker.copier).await?;
        taker.compact_as(channel, revision).await;
        copier.finish()?;
    }
    Ok(followed)
}

/// The newest and the compacted revision that were taken.
async fn begin(
    channel: &Channel,
    new: &NewStore,
    copier: &mut Copier<'_>,
    leases: &mut Leases,
) -> anyhow::Result<(Revision, Revision)> {
    let file = new.beside(".snapshot");
    if file.exists() {
        fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
    }
    match backup::fetch(channel.clone(), &file).await {
        Ok(_) => {
            let taken = restore::take_file(&file, copier, true);
            fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
            let taken = taken?;
            leases.are_there(taken.leases);
            Ok((taken.revision, taken.compacted))
        }
        Err(error) if error.downcast_ref().is_some_and(client::has_no_such_call) => {
            say("the source makes no snapshots: its keys are listed, without their history");
            let revision = list::take(channel, copier, leases).await?;
            Ok((revision, revision))
        }
        Err(error) => Err(error),
    }
}

/// Reads everything back, so that the first start begins with a checkpoint and need not read the whole log.
fn settle(engine: LogEngine) -> anyhow::Result<()> {
    say("it is read back once");
    let identity = Identity { cluster: 0, member: 1 };
    let options = Options { identity, recent_bytes: 0, boot: Boot::UNKNOWN };
    let store = Store::open(Arc::new(engine), &options).context("read the new store back")?;
    store.checkpoint().context("write a checkpoint of the new store")?;
    store.engine().close().context("end the new store's log")
}

/// Compares with the source, and gives the store its name.
async fn end(
    args: &Args,
    channel: &Channel,
    new: NewStore,
    revision: Revision,
) -> anyhow::Result<()> {
    let theirs = hash_of(channel, revision).await;
    settle(new.engine()?)?;
    {
        let engine = new.engine()?;
        let rewound = rewind::at(&engine, revision)?;
        let compacted = rewound.state.compacted;
        let ours = hash::at(&rewound.state.index, (revision, compacted), &LogValues(&engine))?;
        match theirs {
            Some((hash, at)) if at == compacted && hash != ours => anyhow::bail!(
                "HashKV at revision {revision} is {hash} at the source and {ours} here: what was taken is not what is there, and is left in {}.making",
                args.data_dir.display()
            ),
            Some((hash, at)) if at == compacted => {
                say(&format!("HashKV at revision {revision} is {hash} on both"));
            }
            // The source was compacted while it was asked.
            _ => say("HashKV could not be compared"),
        }
    }
    new.finish()?;
    say(&format!("{} is at revision {revision}", args.data_dir.display()));
    if let Ok(now) = newest(channel).await
        && now > revision
    {
        say(&format!(
            "the source is at revision {now} already: what came after {revision} is not here"
        ));
    }
    Ok(())
}

/// And the compacted revision that it counts from, 0 for none.
async fn hash_of(channel: &Channel, revision: Revision) -> Option<(u32, Revision)> {
    let asked = MaintenanceClient::new(channel.clone()).hash_kv(HashKvRequest { revision }).await;
    let answer = asked.ok()?.into_inner();
    Some((answer.hash, answer.compact_revision.max(0)))
}

/// Writes what happens into the new log.
struct Taker<'a, 'e> {
    copier: &'a mut Copier<'e>,
    leases: Leases,
    compacted: Revision,
}

impl Taker<'_, '_> {
    /// So that both forget the same.
    async fn compact_as(&mut self, channel: &Channel, revision: Revision) {
        if let Some((_, compacted)) = hash_of(channel, revision).await
            && compacted > self.compacted
        {
            self.copier.compacted(compacted);
        }
    }
}

impl Destination for Taker<'_, '_> {
    async fn transaction(&mut self, revision: Revision, events: &[Event]) -> anyhow::Result<()> {
        for event in events {
            let lease = event.kv.as_ref().map_or(0, |kv| kv.lease);
            self.leases.know(lease, self.copier).await?;
        }
        let writes = (0..).zip(events).map(|(sub, event)| copied(event, sub));
        let writes = writes.collect::<Option<Vec<_>>>();
        let writes = writes.context("an event without a key")?;
        Ok(self.copier.transaction(revision, &writes)?)
    }

    async fn nothing_until(&mut self, revision: Revision) -> anyhow::Result<()> {
        if revision > self.copier.revision() {
            self.copier.transaction(revision, &[])?;
        }
        Ok(())
    }

    async fn keep(&mut self) -> anyhow::Result<()> {
        Ok(self.copier.flush()?)
    }
}

fn copied(event: &Event, sub: u32) -> Option<Copied> {
    let kv = event.kv.as_ref()?;
    Some(match event.r#type() {
        EventType::Put => put(kv.clone(), sub),
        EventType::Delete => Copied {
            key: kv.key.clone(),
            version: Version::deleted_as(kv.mod_revision, sub),
            value: Bytes::new(),
        },
    })
}

/// Some sources do not count versions, and have 0 for them.
fn put(kv: KeyValue, sub: u32) -> Copied {
    let length = u32::try_from(kv.value.len()).unwrap_or(u32::MAX);
    let create_revision = if kv.create_revision > 0 { kv.create_revision } else { kv.mod_revision };
    let version = Version {
        mod_revision: kv.mod_revision,
        create_revision,
        number: kv.version.max(1),
        lease: kv.lease,
        place: Place { lsn: 0, length, sub },
    };
    Copied { key: kv.key, version, value: kv.value }
}
