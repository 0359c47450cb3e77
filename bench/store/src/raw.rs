//! One call of gRPC of which only the bytes are looked at as they come, so that ten answers of half a gigabyte need no memory here.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use proto::etcd::etcdserverpb::RangeRequest;
use tonic::body::Body;
use tonic::codegen::{Service as _, http};
use tonic::transport::Channel;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    pub(crate) first_byte: Duration,
    pub(crate) took: Duration,
    pub(crate) n_bytes: u64,
}

/// A unary Range, read to its end.
pub(crate) async fn range(
    endpoint: &str,
    mut channel: Channel,
    request: &RangeRequest,
) -> anyhow::Result<Received> {
    let call = http::Request::post(format!("{endpoint}/etcdserverpb.KV/Range"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::new(framed(request))))
        .context("make a request")?;
    std::future::poll_fn(|context| channel.poll_ready(context)).await.context("connection")?;
    let began = Instant::now();
    let mut body = channel.call(call).await.context("call Range")?.into_body();
    let (mut first_byte, mut n_bytes) = (None, 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.context("read the answer")?;
        if let Some(piece) = frame.data_ref() {
            first_byte.get_or_insert_with(|| began.elapsed());
            n_bytes += piece.len() as u64;
        } else if let Some(trailers) = frame.trailers_ref() {
            let status = trailers.get("grpc-status").map(http::HeaderValue::as_bytes);
            ensure!(status == Some(b"0"), "Range failed: {trailers:?}");
        }
    }
    let Some(first_byte) = first_byte else { bail!("Range was answered with nothing") };
    Ok(Received { first_byte, took: began.elapsed(), n_bytes })
}

/// Not compressed, and its length.
fn framed(request: &RangeRequest) -> Bytes {
    let n_bytes = request.encoded_len();
    let mut frame = BytesMut::with_capacity(5 + n_bytes);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(n_bytes).expect("invariant: a request of some hundred bytes"));
    frame.extend_from_slice(&request.encode_to_vec());
    frame.freeze()
}
