//! The keys of a source that makes no snapshots, as they are at one revision. They are held in memory until all are there: the log wants
//! them in the order of their revisions, and a list has the order of keys.

use anyhow::Context as _;
use metastore::copy::Copier;
use metastore::mvcc::Revision;
use proto::etcd::etcdserverpb::RangeRequest;
use proto::etcd::etcdserverpb::kv_client::KvClient;
use proto::etcd::mvccpb::KeyValue;
use tonic::transport::Channel;

use super::super::progress::Progress;
use super::leases::Leases;
use super::put;

const PAGE_KEYS: i64 = 1000;

pub(super) async fn take(
    channel: &Channel,
    copier: &mut Copier<'_>,
    leases: &mut Leases,
) -> anyhow::Result<Revision> {
    let (revision, mut kvs) = listed(channel).await?;
    // kine's own mark, which it shows to nobody who asks for it by name. Keys of others are at 2 and later.
    kvs.retain(|kv| kv.mod_revision > 1);
    kvs.sort_by_key(|kv| kv.mod_revision);
    for of_one in kvs.chunk_by(|one, other| one.mod_revision == other.mod_revision) {
        for kv in of_one {
            leases.know(kv.lease, copier).await?;
        }
        let writes = (0..).zip(of_one).map(|(sub, kv)| put(kv.clone(), sub));
        copier.transaction(of_one[0].mod_revision, &writes.collect::<Vec<_>>())?;
    }
    if revision > copier.revision() {
        copier.transaction(revision, &[])?;
    }
    copier.compacted(revision);
    Ok(revision)
}

/// Page after page, all at the revision of the first.
async fn listed(channel: &Channel) -> anyhow::Result<(Revision, Vec<KeyValue>)> {
    let mut client = KvClient::new(channel.clone()).max_decoding_message_size(usize::MAX);
    let mut progress = Progress::new("listing");
    let mut request = RangeRequest {
        key: "\0".into(),
        range_end: "\0".into(),
        limit: PAGE_KEYS,
        ..RangeRequest::default()
    };
    let mut all: Vec<KeyValue> = Vec::new();
    loop {
        let page = client.range(request.clone()).await.context("list the keys")?.into_inner();
        if request.revision == 0 {
            request.revision = page.header.context("an answer without a header")?.revision;
        }
        all.extend(page.kvs);
        progress.at(|| format!("{} keys", all.len()));
        match all.last() {
            Some(last) if page.more => request.key = [&last.key[..], &[0]].concat().into(),
            _ => return Ok((request.revision, all)),
        }
    }
}
