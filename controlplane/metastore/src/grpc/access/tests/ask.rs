//! Calls as values, and the code that each is answered with.

use proto::etcd::etcdserverpb::cluster_client::ClusterClient;
use proto::etcd::etcdserverpb::kv_client::KvClient;
use proto::etcd::etcdserverpb::lease_client::LeaseClient;
use proto::etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcd::etcdserverpb::watch_client::WatchClient;
use proto::etcd::etcdserverpb::watch_request::RequestUnion;
use proto::etcd::etcdserverpb::{
    AlarmRequest, CompactionRequest, DefragmentRequest, DeleteRangeRequest, HashKvRequest,
    HashRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseRevokeRequest,
    LeaseTimeToLiveRequest, MemberListRequest, PutRequest, RangeRequest, SnapshotRequest,
    StatusRequest, TxnRequest, WatchCreateRequest, WatchRequest,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

#[derive(Clone, Debug)]
pub(super) enum Ask {
    Range(RangeRequest),
    RangeStream(RangeRequest),
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    /// Of a revision that is not there: who may compact is told so.
    Compact,
    Watch(RangeRequest),
    Grant,
    GrantAs(i64),
    Revoke(i64),
    KeepAlive(i64),
    TimeToLive(i64, bool),
    Leases,
    Members,
    Status,
    Alarms,
    Defragment,
    Hash,
    HashKv,
    Snapshot,
}

pub(super) async fn ask(channel: &Channel, ask: &Ask) -> Code {
    match asked(channel.clone(), ask.clone()).await {
        Ok(()) => Code::Ok,
        Err(status) => status.code(),
    }
}

async fn asked(channel: Channel, ask: Ask) -> Result<(), Status> {
    match ask {
        Ask::Watch(range) => watched(channel, range).await,
        ask @ (Ask::Range(_)
        | Ask::RangeStream(_)
        | Ask::Put(_)
        | Ask::Delete(_)
        | Ask::Txn(_)
        | Ask::Compact) => of_keys(KvClient::new(channel), ask).await,
        ask @ (Ask::Grant
        | Ask::GrantAs(_)
        | Ask::Revoke(_)
        | Ask::KeepAlive(_)
        | Ask::TimeToLive(..)
        | Ask::Leases) => of_leases(LeaseClient::new(channel), ask).await,
        ask => of_server(channel, ask).await,
    }
}

async fn of_keys(mut kv: KvClient<Channel>, ask: Ask) -> Result<(), Status> {
    match ask {
        Ask::Range(range) => kv.range(range).await.map(drop),
        Ask::RangeStream(range) => {
            let mut chunks = kv.range_stream(range).await?.into_inner();
            while chunks.message().await?.is_some() {}
            Ok(())
        }
        Ask::Put(put) => kv.put(put).await.map(drop),
        Ask::Delete(delete) => kv.delete_range(delete).await.map(drop),
        Ask::Txn(txn) => kv.txn(txn).await.map(drop),
        _ => {
            let compaction = CompactionRequest { revision: 1 << 40, physical: false };
            kv.compact(compaction).await.map(drop)
        }
    }
}

async fn of_leases(mut leases: LeaseClient<Channel>, ask: Ask) -> Result<(), Status> {
    match ask {
        Ask::GrantAs(id) => leases.lease_grant(LeaseGrantRequest { ttl: 600, id }).await.map(drop),
        Ask::Revoke(id) => leases.lease_revoke(LeaseRevokeRequest { id }).await.map(drop),
        Ask::KeepAlive(id) => {
            let once = tokio_stream::iter([LeaseKeepAliveRequest { id }]);
            let mut answers = leases.lease_keep_alive(once).await?.into_inner();
            answers.message().await.map(drop)
        }
        Ask::TimeToLive(id, keys) => {
            leases.lease_time_to_live(LeaseTimeToLiveRequest { id, keys }).await.map(drop)
        }
        Ask::Leases => leases.lease_leases(LeaseLeasesRequest {}).await.map(drop),
        _ => leases.lease_grant(LeaseGrantRequest { ttl: 60, id: 0 }).await.map(drop),
    }
}

async fn of_server(channel: Channel, ask: Ask) -> Result<(), Status> {
    let mut server = MaintenanceClient::new(channel.clone());
    match ask {
        Ask::Members => {
            let list = MemberListRequest::default();
            ClusterClient::new(channel).member_list(list).await.map(drop)
        }
        Ask::Alarms => server.alarm(AlarmRequest::default()).await.map(drop),
        Ask::Defragment => server.defragment(DefragmentRequest {}).await.map(drop),
        Ask::Hash => server.hash(HashRequest {}).await.map(drop),
        Ask::HashKv => server.hash_kv(HashKvRequest::default()).await.map(drop),
        Ask::Snapshot => server.snapshot(SnapshotRequest::default()).await.map(drop),
        _ => server.status(StatusRequest::default()).await.map(drop),
    }
}

/// The first answer: that the watch is there, or why not.
async fn watched(channel: Channel, range: RangeRequest) -> Result<(), Status> {
    let (_open, mut answers) = watch(channel, range).await?;
    let first = answers.message().await?.unwrap_or_default();
    match first.cancel_reason.as_str() {
        "" => Ok(()),
        words if words.contains("etcdserver: permission denied") => {
            Err(Status::permission_denied(words))
        }
        words => Err(Status::invalid_argument(words)),
    }
}

/// The words of its end.
pub(super) async fn watch_until_canceled(channel: Channel, range: RangeRequest) -> String {
    let (_open, mut answers) = watch(channel, range).await.unwrap();
    loop {
        let answer = answers.message().await.unwrap().unwrap();
        if answer.canceled {
            return answer.cancel_reason;
        }
    }
}

type Open = tokio::sync::mpsc::Sender<WatchRequest>;
type Answers = tonic::Streaming<proto::etcd::etcdserverpb::WatchResponse>;

/// As long as somebody holds the first, the stream is open.
async fn watch(channel: Channel, range: RangeRequest) -> Result<(Open, Answers), Status> {
    let (open, requests) = tokio::sync::mpsc::channel(1);
    let RangeRequest { key, range_end, .. } = range;
    let create = WatchCreateRequest { key, range_end, ..WatchCreateRequest::default() };
    let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    open.send(request).await.map_err(|_closed| Status::internal("the stream is closed"))?;
    let answers = WatchClient::new(channel).watch(ReceiverStream::new(requests)).await?;
    Ok((open, answers.into_inner()))
}
