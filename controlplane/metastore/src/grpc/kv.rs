//! Service KV: requests are checked, become transactions or reads of the newest durable state, and are answered.

mod body;
mod chunks;
mod cursor;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::{BodyExt as _, Limited};
use proto::etcd::etcdserverpb::kv_server::KvServer;
use proto::etcd::etcdserverpb::request_op::Request as Op;
use proto::etcd::etcdserverpb::response_op::Response as Answer;
use proto::etcd::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, RangeStreamResponse, RequestOp, TxnRequest,
    TxnResponse, kv_server,
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use self::cursor::Cursor;
use super::{Caller, OVERHEAD_BYTES, Shared, unreadable};
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

    /// Ranges in the order of their keys are answered by [`KvService`]; here are the others, which have to be sorted first.
    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<RangeResponse>, Status> {
        self.0.permit(request.extensions()).range(request.get_ref())?;
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
        self.0.permit(request.extensions()).range(request.get_ref())?;
        let caller = request.extensions().clone();
        let request = request.into_inner();
        range::check_stream(&request)?;
        if !range::is_plain(&request) {
            // A target without an order sorts what is sent, as in etcd: in one part.
            let again = Request::from_parts(Default::default(), caller, request);
            let whole = self.range(again).await?.into_inner();
            let part = RangeStreamResponse { range_response: Some(whole) };
            return Ok(Response::new(Box::pin(tokio_stream::iter([Ok(part)]))));
        }
        let committed = self.0.store.committed();
        let header = self.0.store.header(committed.revision);
        let cursor = Cursor::new(committed, &request)?;
        let chunks = chunks::Chunks::new(cursor, &request, header);
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        self.0.permit(request.extensions()).put(request.get_ref())?;
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
        self.0.permit(request.extensions()).delete(request.get_ref())?;
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
        self.0.permit(request.extensions()).txn(request.get_ref())?;
        let request = request.into_inner();
        check::txn(&request, self.0.settings.max_txn_ops)?;
        if prost::Message::encoded_len(&request) > self.0.settings.max_request_bytes {
            return Err(Refusal::RequestTooLarge.into());
        }
        Ok(Response::new(self.0.store.write(&request).await?))
    }

    async fn compact(
        &self,
        request: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        self.0.permit(request.extensions()).admin()?;
        let CompactionRequest { revision, physical } = request.into_inner();
        let newest = self.0.store.compact(revision).await?;
        if physical {
            while self.0.store.forget_a_part().await? {}
        }
        let header = Some(self.0.store.header(newest));
        Ok(Response::new(CompactionResponse { header }))
    }
}

impl Kv {
    async fn single(&self, op: Op) -> Result<TxnResponse, Status> {
        let success = vec![RequestOp { request: Some(op) }];
        Ok(self.0.store.write(&TxnRequest { success, ..TxnRequest::default() }).await?)
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

/// The whole service: ranges in the order of their keys are sent while they are read, everything else is as generated.
#[derive(Clone, Debug)]
pub(crate) struct KvService {
    shared: Shared,
    others: KvServer<Kv>,
}

type Answering =
    Pin<Box<dyn Future<Output = Result<http::Response<tonic::body::Body>, Infallible>> + Send>>;

impl KvService {
    pub(super) fn new(shared: Shared) -> KvService {
        let most = shared.settings.max_request_bytes + OVERHEAD_BYTES;
        let others = KvServer::new(Kv(shared.clone()))
            .max_decoding_message_size(most)
            .max_encoding_message_size(usize::MAX);
        KvService { shared, others }
    }

    fn begin(&self, request: &RangeRequest) -> Result<body::RangeBody, Status> {
        let committed = self.shared.store.committed();
        let header = self.shared.store.header(committed.revision);
        let cursor = Cursor::new(committed, request)?;
        body::RangeBody::new(cursor, request, header)
    }

    async fn range<B>(self, request: http::Request<B>) -> http::Response<tonic::body::Body>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let most = self.shared.settings.max_request_bytes + OVERHEAD_BYTES;
        let caller = Caller::of(request.extensions());
        let body = match Limited::new(request.into_body(), most).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return Status::from(Refusal::RequestTooLarge).into_http(),
        };
        let request = match body::message::<RangeRequest>(body) {
            Ok(request) => request,
            Err(status) => return status.into_http(),
        };
        let allowed = self.shared.permit_of(&caller).range(&request);
        let checked = allowed.and_then(|()| range::check(&request).map_err(Status::from));
        if let Err(status) = checked {
            return status.into_http();
        }
        if !range::is_plain(&request) {
            let kv = Kv(self.shared.clone());
            let mut request = Request::new(request);
            request.extensions_mut().insert(caller);
            let answer = kv_server::Kv::range(&kv, request).await;
            return match answer.and_then(|response| body::whole(response.get_ref())) {
                Ok(body) => answered(body),
                Err(status) => status.into_http(),
            };
        }
        match self.begin(&request) {
            Ok(body) => answered(body),
            Err(status) => status.into_http(),
        }
    }
}

fn answered(
    body: impl http_body::Body<Data = bytes::Bytes, Error = Status> + Send + 'static,
) -> http::Response<tonic::body::Body> {
    let mut response = http::Response::new(tonic::body::Body::new(body));
    let grpc = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
    response
}

impl<B> tower::Service<http::Request<B>> for KvService
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Answering {
        if request.uri().path() == "/etcdserverpb.KV/Range" {
            let service = self.clone();
            return Box::pin(async move { Ok(service.range(request).await) });
        }
        self.others.call(request)
    }
}
