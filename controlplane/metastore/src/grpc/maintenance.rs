//! Service Maintenance: what a server says of itself, hashes that compare two stores, and a whole store as a stream.

mod alarm;
mod snapshot;

use std::pin::Pin;
use std::sync::Arc;

use proto::etcd::etcdserverpb::{
    AlarmRequest, AlarmResponse, DefragmentRequest, DefragmentResponse, DowngradeRequest,
    DowngradeResponse, HashKvRequest, HashKvResponse, HashRequest, HashResponse, MoveLeaderRequest,
    MoveLeaderResponse, SnapshotRequest, SnapshotResponse, StatusRequest, StatusResponse,
    maintenance_server,
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::{Shared, unreadable};
use crate::mvcc::Revision;
use crate::snapshot::etcd::STORAGE_VERSION;
use crate::store::Committed;
use crate::{hash, range};

#[derive(Clone, Debug)]
pub(crate) struct Maintenance(pub(super) Shared);

/// The etcd whose calls and order of events this server has: clients turn features on by it.
pub(crate) const VERSION: &str = "3.7.3";

#[tonic::async_trait]
impl maintenance_server::Maintenance for Maintenance {
    type SnapshotStream = Pin<Box<dyn Stream<Item = Result<SnapshotResponse, Status>> + Send>>;

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        self.0.permit(request.extensions()).known()?;
        let Shared { store, settings } = &self.0;
        let committed = store.committed();
        let size = store.engine().size();
        let index = u64::try_from(committed.revision).unwrap_or_default();
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        Ok(Response::new(StatusResponse {
            header: Some(store.header(committed.revision)),
            version: VERSION.to_owned(),
            db_size: bytes(size.bytes_on_disk),
            leader: store.identity.member,
            raft_index: index,
            raft_term: store.epoch().0,
            raft_applied_index: index,
            db_size_in_use: bytes(store.room().live_bytes),
            storage_version: STORAGE_VERSION.to_owned(),
            db_size_quota: bytes(settings.quota_bytes),
            errors: store.no_space().map(|_| self.alarm_text()).into_iter().collect(),
            ..StatusResponse::default()
        }))
    }

    async fn alarm(
        &self,
        request: Request<AlarmRequest>,
    ) -> Result<Response<AlarmResponse>, Status> {
        self.0.permit(request.extensions()).admin()?;
        let alarms = alarm::answer(&self.0.store, request.into_inner()).await?;
        let header = Some(self.header());
        Ok(Response::new(AlarmResponse { header, alarms }))
    }

    /// Nothing has to stand still for the log to give room back; it is only done soon.
    async fn defragment(
        &self,
        request: Request<DefragmentRequest>,
    ) -> Result<Response<DefragmentResponse>, Status> {
        self.0.permit(request.extensions()).admin()?;
        self.0.store.ask_for_room();
        let header = Some(self.header());
        Ok(Response::new(DefragmentResponse { header }))
    }

    async fn hash(&self, request: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        self.0.permit(request.extensions()).admin()?;
        let committed = self.0.store.committed();
        let revision = committed.revision;
        let hash = hash_at(committed, revision).await?;
        Ok(Response::new(HashResponse { header: Some(self.header()), hash }))
    }

    async fn hash_kv(
        &self,
        request: Request<HashKvRequest>,
    ) -> Result<Response<HashKvResponse>, Status> {
        self.0.permit(request.extensions()).admin()?;
        let committed = self.0.store.committed();
        let asked = proto::etcd::etcdserverpb::RangeRequest {
            revision: request.into_inner().revision,
            ..Default::default()
        };
        let revision = range::revision_of(&asked, committed.revision, committed.compacted)?;
        let header = Some(self.0.store.header(committed.revision));
        // Of a store that was never compacted, as etcd has it.
        let compact_revision = if committed.compacted == 0 { -1 } else { committed.compacted };
        let hash = hash_at(committed, revision).await?;
        Ok(Response::new(HashKvResponse {
            header,
            hash,
            compact_revision,
            hash_revision: revision,
        }))
    }

    async fn snapshot(
        &self,
        request: Request<SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        self.0.permit(request.extensions()).admin()?;
        Ok(Response::new(snapshot::stream(&self.0.store)))
    }

    async fn move_leader(
        &self,
        _: Request<MoveLeaderRequest>,
    ) -> Result<Response<MoveLeaderResponse>, Status> {
        Err(Status::unimplemented("etcdserver: this store has one member, which leads"))
    }

    async fn downgrade(
        &self,
        _: Request<DowngradeRequest>,
    ) -> Result<Response<DowngradeResponse>, Status> {
        Err(Status::unimplemented("etcdserver: this store has no older format to go back to"))
    }
}

/// All keys and values are read for it, on a thread that nobody's answers wait for.
async fn hash_at(committed: Arc<Committed>, revision: Revision) -> Result<u32, Status> {
    let hash = tokio::task::spawn_blocking(move || {
        hash::at(&committed.index, (revision, committed.compacted), &*committed)
    });
    let hash = hash.await.map_err(|error| Status::internal(error.to_string()))?;
    hash.map_err(|error| unreadable(&error))
}

impl Maintenance {
    /// As etcd prints a member with an alarm.
    fn alarm_text(&self) -> String {
        format!("memberID:{} alarm:NOSPACE", self.0.store.identity.member)
    }

    fn header(&self) -> proto::etcd::etcdserverpb::ResponseHeader {
        self.0.store.header(self.0.store.committed().revision)
    }
}
