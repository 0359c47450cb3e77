//! One server's calls.

use std::time::Duration;

use proto::etcd::etcdserverpb::cluster_client::ClusterClient;
use proto::etcd::etcdserverpb::kv_client::KvClient;
use proto::etcd::etcdserverpb::lease_client::LeaseClient;
use proto::etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcd::etcdserverpb::watch_client::WatchClient;
use proto::etcd::etcdserverpb::{
    AlarmRequest, LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseRevokeRequest, RangeRequest,
    RangeResponse,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use super::answer::Answer;
use super::op::Op;

#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) kv: KvClient<Channel>,
    pub(super) lease: LeaseClient<Channel>,
    pub(super) maintenance: MaintenanceClient<Channel>,
    pub(super) watch: WatchClient<Channel>,
    pub(super) cluster: ClusterClient<Channel>,
}

/// Nobody waits longer for one answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

impl Client {
    pub(super) async fn connect(url: &str) -> Client {
        let endpoint = Endpoint::from_shared(url.to_owned()).expect("it is a URL");
        let channel = endpoint.connect().await.expect("somebody listens there");
        Client {
            kv: KvClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
            lease: LeaseClient::new(channel.clone()),
            maintenance: MaintenanceClient::new(channel.clone()),
            cluster: ClusterClient::new(channel.clone()),
            watch: WatchClient::new(channel).max_decoding_message_size(usize::MAX),
        }
    }

    /// `None` for what is said on a stream of watches.
    pub(super) async fn ask(&mut self, op: &Op) -> Option<Answer> {
        let answered = tokio::time::timeout(PATIENCE, self.answered(op));
        answered.await.unwrap_or_else(|_elapsed| panic!("no answer to {op:?}"))
    }

    async fn answered(&mut self, op: &Op) -> Option<Answer> {
        let Client { kv, lease, maintenance, .. } = self;
        Some(match op.clone() {
            Op::Put(request) => Answer::of(kv.put(request).await, Answer::Put),
            Op::Range(request) => Answer::of(kv.range(request).await, Answer::Range),
            Op::RangeStream(request) => {
                Answer::of(streamed(kv, request).await.map(Response::new), Answer::Range)
            }
            Op::Delete(request) => Answer::of(kv.delete_range(request).await, Answer::Delete),
            Op::Txn(request) => Answer::of(kv.txn(request).await, Answer::Txn),
            Op::Compact(request) => Answer::of(kv.compact(request).await, Answer::Compact),
            Op::Grant(request) => Answer::of(lease.lease_grant(request).await, Answer::Grant),
            Op::Revoke(id) => {
                let request = LeaseRevokeRequest { id };
                Answer::of(lease.lease_revoke(request).await, Answer::Revoke)
            }
            Op::KeepAlive(id) => kept_alive(lease, id).await,
            Op::TimeToLive(request) => {
                Answer::of(lease.lease_time_to_live(request).await, Answer::TimeToLive)
            }
            Op::Leases => {
                Answer::of(lease.lease_leases(LeaseLeasesRequest {}).await, Answer::Leases)
            }
            Op::Alarms => {
                Answer::of(maintenance.alarm(AlarmRequest::default()).await, Answer::Alarms)
            }
            Op::HashKv(request) => Answer::of(maintenance.hash_kv(request).await, Answer::HashKv),
            Op::Watch(..) | Op::Cancel(..) | Op::Progress(_) => return None,
        })
    }
}

/// All parts as one answer. Header, count and whether there is more are only in the last part.
async fn streamed(
    kv: &mut KvClient<Channel>,
    request: RangeRequest,
) -> Result<RangeResponse, Status> {
    let mut parts = kv.range_stream(request).await?.into_inner();
    let mut whole = RangeResponse::default();
    while let Some(part) = parts.message().await? {
        assert!(whole.header.is_none(), "a part behind the last one: {part:?}");
        let part = part.range_response.expect("a part has a range");
        let mut kvs = std::mem::take(&mut whole.kvs);
        kvs.extend(part.kvs.iter().cloned());
        whole = RangeResponse { kvs, ..part };
    }
    Ok(whole)
}

async fn kept_alive(lease: &mut LeaseClient<Channel>, id: i64) -> Answer {
    let requests = tokio_stream::once(LeaseKeepAliveRequest { id });
    match lease.lease_keep_alive(requests).await {
        Err(status) => Answer::refused(&status),
        Ok(answers) => match answers.into_inner().message().await {
            Err(status) => Answer::refused(&status),
            Ok(answer) => {
                Answer::KeepAlive(answer.expect("one answer to one request")).comparable()
            }
        },
    }
}
