//! Service Cluster: one member, which clients find their way back to by its URLs.

use proto::etcd::etcdserverpb::{
    Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
    MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse,
    MemberUpdateRequest, MemberUpdateResponse, cluster_server,
};
use tonic::{Request, Response, Status};

use super::Shared;

#[derive(Clone, Debug)]
pub(crate) struct Cluster(pub(super) Shared);

/// Clients that change members administer another kind of store.
const ONE_MEMBER: &str =
    "etcdserver: this store has one member, which is not added, removed, updated or promoted";

#[tonic::async_trait]
impl cluster_server::Cluster for Cluster {
    async fn member_list(
        &self,
        request: Request<MemberListRequest>,
    ) -> Result<Response<MemberListResponse>, Status> {
        self.0.permit(request.extensions()).known()?;
        let Shared { store, settings } = &self.0;
        let member = Member {
            id: store.identity.member,
            name: settings.name.clone(),
            client_ur_ls: settings.client_urls.clone(),
            ..Member::default()
        };
        let header = Some(store.header(store.committed().revision));
        Ok(Response::new(MemberListResponse { header, members: vec![member] }))
    }

    async fn member_add(
        &self,
        _: Request<MemberAddRequest>,
    ) -> Result<Response<MemberAddResponse>, Status> {
        Err(Status::unimplemented(ONE_MEMBER))
    }

    async fn member_remove(
        &self,
        _: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        Err(Status::unimplemented(ONE_MEMBER))
    }

    async fn member_update(
        &self,
        _: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        Err(Status::unimplemented(ONE_MEMBER))
    }

    async fn member_promote(
        &self,
        _: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        Err(Status::unimplemented(ONE_MEMBER))
    }
}
