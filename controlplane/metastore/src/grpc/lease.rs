//! Service Lease.

use std::pin::Pin;

use proto::etcd::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, lease_server,
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::Shared;
use crate::policy::access::Wish;
use crate::refusal::Refusal;

#[derive(Clone, Debug)]
pub(crate) struct Leases(pub(super) Shared);

type Lives = Pin<Box<dyn Stream<Item = Result<LeaseKeepAliveResponse, Status>> + Send>>;

#[tonic::async_trait]
impl lease_server::Lease for Leases {
    type LeaseKeepAliveStream = Lives;

    async fn lease_grant(
        &self,
        request: Request<LeaseGrantRequest>,
    ) -> Result<Response<LeaseGrantResponse>, Status> {
        self.0.permit(request.extensions()).known()?;
        let LeaseGrantRequest { ttl, id } = request.into_inner();
        let (id, ttl, revision) = self.0.store.grant(id, ttl).await?;
        let header = Some(self.0.store.header(revision));
        Ok(Response::new(LeaseGrantResponse { header, id, ttl, error: String::new() }))
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        self.0.permit(request.extensions()).lease(Wish::Write, request.get_ref().id)?;
        let revision = self.0.store.revoke(request.into_inner().id).await?;
        let header = Some(self.0.store.header(revision));
        Ok(Response::new(LeaseRevokeResponse { header }))
    }

    /// A lease that is not there has no time left; that is an answer, not an error.
    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Lives>, Status> {
        self.0.permit(request.extensions()).known()?;
        let shared = self.0.clone();
        let answers = request.into_inner().then(move |request| {
            let shared = shared.clone();
            async move { kept_alive(&shared, request?.id).await }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        let permit = self.0.permit(request.extensions());
        match request.get_ref().keys {
            true => permit.lease(Wish::Read, request.get_ref().id)?,
            false => permit.known()?,
        }
        let LeaseTimeToLiveRequest { id, keys: with_keys } = request.into_inner();
        let header = Some(self.0.store.header(self.0.store.committed().revision));
        let known = self.0.store.lease(id)?;
        self.0.store.settled().await?;
        let response = match known {
            None => LeaseTimeToLiveResponse { header, id, ttl: -1, ..Default::default() },
            Some(known) => LeaseTimeToLiveResponse {
                header,
                id,
                ttl: known.remaining_s,
                granted_ttl: known.granted_s,
                keys: if with_keys { known.keys } else { Vec::new() },
            },
        };
        Ok(Response::new(response))
    }

    async fn lease_leases(
        &self,
        request: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        self.0.permit(request.extensions()).known()?;
        let header = Some(self.0.store.header(self.0.store.committed().revision));
        let ids = self.0.store.leases()?;
        self.0.store.settled().await?;
        let leases = ids.into_iter().map(|id| LeaseStatus { id }).collect();
        Ok(Response::new(LeaseLeasesResponse { header, leases }))
    }
}

async fn kept_alive(shared: &Shared, id: i64) -> Result<LeaseKeepAliveResponse, Status> {
    let ttl = match shared.store.keep_alive(id) {
        Ok(ttl) => ttl,
        Err(Refusal::LeaseNotFound) => 0,
        Err(refusal) => return Err(refusal.into()),
    };
    shared.store.settled().await?;
    let header = Some(shared.store.header(shared.store.committed().revision));
    Ok(LeaseKeepAliveResponse { header, id, ttl })
}
