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
use tracing::Instrument as _;

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

    /// For who calls the generated service; over the wire it is [`KvService`] that is asked.
    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let caller = Caller::of(request.extensions());
        self.0.transact(&caller, request.get_ref()).await.map(Response::new)
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

    fn begin(&self, request: &RangeRequest) -> Result<body::RangeBody, Status> {
        let committed = self.0.store.committed();
        let header = self.0.store.header(committed.revision);
        let cursor = Cursor::new(committed, request)?;
        body::RangeBody::new(cursor, request, header)
    }

    async fn range_over_http<B>(self, request: http::Request<B>) -> Result<Answered, Status>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (caller, request) = self.read::<B, RangeRequest>(request).await?;
        if request.range_end.is_empty() {
            return self.ranged(caller, request).await;
        }
        // Short calls of the same connection do not wait until a long list is found.
        let found = tokio::spawn(self.ranged(caller, request).in_current_span());
        found.await.unwrap_or_else(|error| Err(Status::internal(error.to_string())))
    }

    async fn ranged(self, caller: Caller, request: RangeRequest) -> Result<Answered, Status> {
        if !range::is_plain(&request) {
            let mut request = Request::new(request);
            request.extensions_mut().insert(caller);
            let answer = kv_server::Kv::range(&self, request).await?;
            return body::whole(answer.get_ref()).map(answered);
        }
        self.0.permit_of(&caller).range(&request)?;
        range::check(&request)?;
        self.begin(&request).map(answered)
    }

    async fn txn_over_http<B>(self, request: http::Request<B>) -> Result<Answered, Status>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (caller, request) = self.read::<B, TxnRequest>(request).await?;
        let answer = self.0.transact(&caller, &request).await?;
        body::whole(&answer).map(answered)
    }

    /// Who asks, and the one message of the call.
    async fn read<B, T>(&self, request: http::Request<B>) -> Result<(Caller, T), Status>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        T: prost::Message + Default,
    {
        let most = self.0.settings.max_request_bytes + OVERHEAD_BYTES;
        let caller = Caller::of(request.extensions());
        let body = Limited::new(request.into_body(), most).collect().await;
        let body = body.map_err(|_long_or_gone| Status::from(Refusal::RequestTooLarge))?.to_bytes();
        Ok((caller, body::message(body)?))
    }
}

impl Shared {
    async fn transact(&self, caller: &Caller, request: &TxnRequest) -> Result<TxnResponse, Status> {
        self.permit_of(caller).txn(request)?;
        check::txn(request, self.settings.max_txn_ops)?;
        if prost::Message::encoded_len(request) > self.settings.max_request_bytes {
            return Err(Refusal::RequestTooLarge.into());
        }
        Ok(self.store.write(request).await?)
    }

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

/// The whole service. Ranges in the order of their keys are sent while they are read; transactions, which is what apiservers write with, are
/// read and answered here too, without the streams, buffers and metadata that a generated call has; everything else is as generated.
#[derive(Clone, Debug)]
pub(crate) struct KvService {
    shared: Shared,
    others: KvServer<Kv>,
}

type Answering = Pin<Box<dyn Future<Output = Result<Answered, Infallible>> + Send>>;

impl KvService {
    pub(super) fn new(shared: Shared) -> KvService {
        let most = shared.settings.max_request_bytes + OVERHEAD_BYTES;
        let others = KvServer::new(Kv(shared.clone()))
            .max_decoding_message_size(most)
            .max_encoding_message_size(usize::MAX);
        KvService { shared, others }
    }
}

type Answered = http::Response<tonic::body::Body>;

fn answered(
    body: impl http_body::Body<Data = bytes::Bytes, Error = Status> + Send + 'static,
) -> Answered {
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
    type Response = Answered;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Answering {
        let kv = Kv(self.shared.clone());
        match request.uri().path() {
            "/etcdserverpb.KV/Range" => Box::pin(async move {
                Ok(kv.range_over_http(request).await.unwrap_or_else(Status::into_http))
            }),
            "/etcdserverpb.KV/Txn" => Box::pin(async move {
                Ok(kv.txn_over_http(request).await.unwrap_or_else(Status::into_http))
            }),
            _ => self.others.call(request),
        }
    }
}
