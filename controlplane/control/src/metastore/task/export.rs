//! `berth-control metastore export`: an etcd has the keys of a store, and goes on having them. Revisions cannot be given with a put, so
//! they are the etcd's own; the way back with revisions is a backup and `etcdutl snapshot restore`.

use std::collections::BTreeMap;

use anyhow::Context as _;
use metastore::mvcc::Revision;
use proto::etcd::etcdserverpb::kv_client::KvClient;
use proto::etcd::etcdserverpb::lease_client::LeaseClient;
use proto::etcd::etcdserverpb::request_op::Request as Op;
use proto::etcd::etcdserverpb::{
    DeleteRangeRequest, LeaseGrantRequest, LeaseTimeToLiveRequest, PutRequest, RangeRequest,
    RequestOp, TxnRequest,
};
use proto::etcd::mvccpb::event::EventType;
use proto::etcd::mvccpb::{Event, KeyValue};
use tonic::Code;
use tonic::transport::Channel;

use super::client;
use super::follow::{Destination, Followed, follow};
use super::progress::Progress;
use super::{say, usage};
use crate::credentials::Credentials;

#[derive(Debug, clap::Args)]
pub(in crate::metastore) struct Args {
    /// The store: http://HOST:PORT
    #[arg(long, value_name = "URL")]
    from: String,
    /// The etcd: etcd://HOST:PORT, several with commas between
    #[arg(long, value_name = "URL")]
    to: String,
    /// Write over the keys of an etcd that has some; those that only it has stay
    #[arg(long)]
    over: bool,
    /// End when it has caught up; without it, at SIGTERM or SIGINT
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    credentials: Credentials,
}

/// etcd's own limits are 128 operations and 1.5 MiB.
const MOST_OPS: usize = 100;
const MOST_BYTES: usize = 1 << 20;
const PAGE_KEYS: i64 = 500;

pub(super) async fn run(args: &Args) -> anyhow::Result<()> {
    let from = client::connect(&args.from, &args.credentials).await?;
    let to = client::connect(&args.to, &args.credentials).await?;
    if !args.over && count(&to).await? > 0 {
        return usage(format!("{} has keys already; --over writes over them", args.to));
    }
    let mut putter = Putter::new(&from, &to);
    let (revision, n_keys) = putter.copy(&from).await?;
    say(&format!("{n_keys} keys of revision {revision} are there; now what happens since"));
    let shutdown = kit::shutdown_signal()?;
    match follow(&from, (revision, args.once), &mut putter, shutdown).await? {
        Followed::Until(revision) => {
            say(&format!("everything up to revision {revision} is there"));
            Ok(())
        }
        Followed::Compacted(at) => anyhow::bail!(
            "the store has compacted up to revision {at} before it was read: begin again with --over"
        ),
    }
}

async fn count(channel: &Channel) -> anyhow::Result<i64> {
    let all = RangeRequest {
        key: "\0".into(),
        range_end: "\0".into(),
        count_only: true,
        ..RangeRequest::default()
    };
    let answer = KvClient::new(channel.clone()).range(all).await.context("count the keys")?;
    Ok(answer.into_inner().count)
}

struct Putter {
    kv: KvClient<Channel>,
    /// Of the store.
    leases: LeaseClient<Channel>,
    grants: LeaseClient<Channel>,
    /// Whether the etcd has it.
    known: BTreeMap<i64, bool>,
}

impl Putter {
    fn new(from: &Channel, to: &Channel) -> Putter {
        Putter {
            kv: KvClient::new(to.clone()),
            leases: LeaseClient::new(from.clone()),
            grants: LeaseClient::new(to.clone()),
            known: BTreeMap::new(),
        }
    }

    /// All keys at one revision; the revision, and how many there are.
    async fn copy(&mut self, from: &Channel) -> anyhow::Result<(Revision, u64)> {
        let mut source = KvClient::new(from.clone()).max_decoding_message_size(usize::MAX);
        let mut progress = Progress::new("exporting");
        let mut request = RangeRequest {
            key: "\0".into(),
            range_end: "\0".into(),
            limit: PAGE_KEYS,
            ..RangeRequest::default()
        };
        let mut n_keys = 0;
        loop {
            let page = source.range(request.clone()).await.context("list the keys")?.into_inner();
            if request.revision == 0 {
                request.revision = page.header.context("an answer without a header")?.revision;
            }
            let last = page.kvs.last().map(|kv| kv.key.clone());
            n_keys += page.kvs.len() as u64;
            let mut ops = Vec::new();
            for kv in page.kvs {
                ops.push(self.put(kv).await?);
            }
            self.write(ops).await?;
            progress.at(|| format!("{n_keys} keys"));
            match last {
                Some(last) if page.more => request.key = [&last[..], &[0]].concat().into(),
                _ => return Ok((request.revision, n_keys)),
            }
        }
    }

    async fn put(&mut self, kv: KeyValue) -> anyhow::Result<Op> {
        let lease = if self.has_lease(kv.lease).await? { kv.lease } else { 0 };
        let KeyValue { key, value, .. } = kv;
        Ok(Op::RequestPut(PutRequest { key, value, lease, ..PutRequest::default() }))
    }

    /// The etcd is given the same lease with its whole time. One that has ended at the store has no part in it: its keys are deleted next.
    async fn has_lease(&mut self, id: i64) -> anyhow::Result<bool> {
        if id == 0 {
            return Ok(false);
        }
        if let Some(has) = self.known.get(&id) {
            return Ok(*has);
        }
        let asked = LeaseTimeToLiveRequest { id, keys: false };
        let lease = self.leases.lease_time_to_live(asked).await.context("ask for a lease")?;
        let ttl = lease.into_inner().granted_ttl;
        let has = ttl > 0 && {
            let granted = self.grants.lease_grant(LeaseGrantRequest { id, ttl }).await;
            match granted {
                Ok(_) => true,
                Err(status) if status.code() == Code::FailedPrecondition => true,
                Err(status) => return Err(status).context("grant a lease"),
            }
        };
        self.known.insert(id, has);
        Ok(has)
    }

    async fn write(&mut self, ops: Vec<Op>) -> anyhow::Result<()> {
        let bytes = |op: &Op| match op {
            Op::RequestPut(put) => put.key.len() + put.value.len(),
            _ => 64,
        };
        let mut some = TxnRequest::default();
        let mut n_bytes = 0;
        for op in ops {
            let of_this = bytes(&op);
            let is_full = some.success.len() == MOST_OPS || n_bytes + of_this > MOST_BYTES;
            if is_full && !some.success.is_empty() {
                self.commit(std::mem::take(&mut some)).await?;
                n_bytes = 0;
            }
            n_bytes += of_this;
            some.success.push(RequestOp { request: Some(op) });
        }
        if some.success.is_empty() { Ok(()) } else { self.commit(some).await }
    }

    async fn commit(&mut self, txn: TxnRequest) -> anyhow::Result<()> {
        self.kv.txn(txn).await.context("write to the etcd")?;
        Ok(())
    }
}

impl Destination for Putter {
    /// Together where an etcd takes so much together.
    async fn transaction(&mut self, _: Revision, events: &[Event]) -> anyhow::Result<()> {
        let mut ops = Vec::with_capacity(events.len());
        for event in events {
            let kv = event.kv.clone().context("an event without a key")?;
            ops.push(match event.r#type() {
                EventType::Put => self.put(kv).await?,
                EventType::Delete => Op::RequestDeleteRange(DeleteRangeRequest {
                    key: kv.key,
                    ..DeleteRangeRequest::default()
                }),
            });
        }
        self.write(ops).await
    }

    async fn nothing_until(&mut self, _: Revision) -> anyhow::Result<()> {
        Ok(())
    }

    async fn keep(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}
