//! Service Watch: one stream with many watches. Owns what a client may ask for on it and how answers look on the wire; events are made into
//! bytes once for all who watch the same keys, so that this is most of what a watcher costs.

mod answer;
mod stream;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes};
use proto::etcd::etcdserverpb::{WatchRequest, WatchResponse};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::{ProstCodec, ProstDecoder};

use super::{Caller, Shared};

#[derive(Clone, Debug)]
pub(crate) struct WatchService(pub(super) Shared);

/// Answers that wait for the connection; what is behind them waits in the stream's queue.
const ANSWERS: usize = 16;

type Call<T> = Pin<Box<dyn Future<Output = Result<T, Infallible>> + Send>>;

impl<B> tower::Service<http::Request<B>> for WatchService
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Call<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = Watching(self.0.clone());
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Encoded)
                .apply_max_message_size_config(None, Some(usize::MAX));
            Ok(grpc.streaming(service, request).await)
        })
    }
}

struct Watching(Shared);

impl tonic::server::StreamingService<WatchRequest> for Watching {
    type Response = Bytes;
    type ResponseStream = ReceiverStream<Result<Bytes, Status>>;
    type Future =
        Pin<Box<dyn Future<Output = Result<Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<WatchRequest>>) -> Self::Future {
        let (answers, stream) = tokio::sync::mpsc::channel(ANSWERS);
        let (shared, caller) = (self.0.clone(), Caller::of(request.extensions()));
        tokio::spawn(stream::run(shared, caller, request.into_inner(), answers));
        Box::pin(std::future::ready(Ok(Response::new(ReceiverStream::new(stream)))))
    }
}

/// Requests as everywhere; answers come as bytes.
#[derive(Clone, Copy, Debug)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = WatchRequest;
    type Encoder = Encoded;
    type Decoder = ProstDecoder<WatchRequest>;

    fn encoder(&mut self) -> Encoded {
        Encoded
    }

    fn decoder(&mut self) -> ProstDecoder<WatchRequest> {
        ProstCodec::<WatchResponse, WatchRequest>::default().decoder()
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}
