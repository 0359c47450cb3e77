//! Service KV: requests are checked, become transactions or reads of the newest durable state, and are answered.

use std::pin::Pin;

use proto::etcd::etcdserverpb::request_op::Request as Op;
use proto::etcd::etcdserverpb::response_op::Response as Answer;
use proto::etcd::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, RangeStreamResponse, RequestOp, TxnRequest,
    TxnResponse, kv_server,
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::{Shared, unreadable};
use crate::range::{self, Selection, Values as _};
use crate::refusal::Refusal;
use crate::store::Committed;
use crate::txn::{check, key_value};

#[derive(Clone, Debug)]
pub(crate) struct Kv(pub(super) Shared);

type Chunks = Pin<Box<dyn Stream<Item = Result<RangeStreamResponse, Status>> + Send>>;

#[tonic::async_trait]
impl kv_server::Kv for Kv {
    type RangeStreamStream = Chunks;

    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<RangeResponse>, Status> {
        let request = request.into_inner();
        range::check(&request)?;
        let committed = self.0.store.committed();
        let selected = selected(&committed, &request)?;
        let header = Some(self.0.store.header(committed.revision));
        let mut kvs = Vec::with_capacity(selected.keys.len());
        for (key, version) in &selected.keys {
            let value = match request.keys_only {
                true => bytes::Bytes::new(),
                false => committed.value(key, version).map_err(|error| unreadable(&error))?,
            };
            kvs.push(key_value(key, version, value));
        }
        let Selection { more, count, .. } = selected;
        Ok(Response::new(RangeResponse { header, kvs, more, count }))
    }

    async fn range_stream(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<Chunks>, Status> {
        let request = request.into_inner();
        range::check_stream(&request)?;
        let committed = self.0.store.committed();
        let selected = selected(&committed, &request)?;
        let header = self.0.store.header(committed.revision);
        let chunks = super::kv::chunks::Chunks::new(committed, &request, selected, header);
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let request = request.into_inner();
        check::put(&request)?;
        self.0.admit(&request.key, request.value.len())?;
        let response = self.single(Op::RequestPut(request)).await?;
        let header = response.header;
        match response.responses.into_iter().next().and_then(|op| op.response) {
            Some(Answer::ResponsePut(put)) => Ok(Response::new(PutResponse { header, ..put })),
            _ => Err(Status::internal("a put was answered with something else")),
        }
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        let request = request.into_inner();
        check::delete(&request)?;
        let response = self.single(Op::RequestDeleteRange(request)).await?;
        let header = response.header;
        match response.responses.into_iter().next().and_then(|op| op.response) {
            Some(Answer::ResponseDeleteRange(deleted)) => {
                Ok(Response::new(DeleteRangeResponse { header, ..deleted }))
            }
            _ => Err(Status::internal("a deletion was answered with something else")),
        }
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let request = request.into_inner();
        check::txn(&request, self.0.settings.max_txn_ops)?;
        if prost::Message::encoded_len(&request) > self.0.settings.max_request_bytes {
            return Err(Refusal::RequestTooLarge.into());
        }
        Ok(Response::new(self.0.store.txn(&request).await?))
    }

    async fn compact(
        &self,
        request: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        let CompactionRequest { revision, physical } = request.into_inner();
        let newest = self.0.store.compact(revision).await?;
        if physical {
            while self.0.store.forget_some()? {
                tokio::task::yield_now().await;
            }
        }
        let header = Some(self.0.store.header(newest));
        Ok(Response::new(CompactionResponse { header }))
    }
}

impl Kv {
    async fn single(&self, op: Op) -> Result<TxnResponse, Status> {
        let success = vec![RequestOp { request: Some(op) }];
        Ok(self.0.store.txn(&TxnRequest { success, ..TxnRequest::default() }).await?)
    }
}

impl Shared {
    /// A request that is too large by itself.
    fn admit(&self, key: &[u8], value_bytes: usize) -> Result<(), Refusal> {
        let bytes = key.len() + value_bytes;
        if bytes > self.settings.max_request_bytes { Err(Refusal::RequestTooLarge) } else { Ok(()) }
    }
}

fn selected(committed: &Committed, request: &RangeRequest) -> Result<Selection, Status> {
    let revision = range::revision_of(request, committed.revision, committed.compacted)?;
    let view = committed.view_at(revision);
    range::select(&view, request, committed).map_err(|error| unreadable(&error))
}

mod chunks;
