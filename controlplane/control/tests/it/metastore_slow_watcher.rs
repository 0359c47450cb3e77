//! A watcher that takes nothing for as long as a million things happen (`BERTH_WATCHED_EVENTS`; usually fewer): the store keeps none of them
//! in memory for it, and it hears each of them once, in order.

use std::time::Duration;

use proto::etcd::etcdserverpb::request_op::Request as Op;
use proto::etcd::etcdserverpb::watch_client::WatchClient;
use proto::etcd::etcdserverpb::watch_request::RequestUnion;
use proto::etcd::etcdserverpb::{
    PutRequest, RequestOp, TxnRequest, WatchCreateRequest, WatchRequest,
};
use tokio_stream::StreamExt as _;
use tonic::Streaming;

use crate::store::Server;

const USUAL_EVENTS: usize = 50_000;
/// Of one transaction, on keys of its own.
const OF_ONE: usize = 100;
const N_KEYS: usize = 2000;
const VALUE_BYTES: usize = 200;
/// For a version in the index, and what else does not go by events: the log's pages in the allocator, connections, caches.
const VERSION_BYTES: usize = 100;
const BESIDE_KIB: u64 = 64 << 10;

#[test]
fn a_slow_watcher_loses_nothing_and_costs_nothing() {
    let n_events = std::env::var("BERTH_WATCHED_EVENTS").ok();
    let n_events = n_events.and_then(|text| text.parse().ok()).unwrap_or(USUAL_EVENTS);
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::ours(folder.path()).await;
        let mut watching = watch(&server).await;
        let before = server.rss_kib();
        for nth in 0..n_events / OF_ONE {
            write(&server, nth).await;
        }
        let grown = server.rss_kib().saturating_sub(before);
        let most = BESIDE_KIB + (n_events * VERSION_BYTES / 1024) as u64;
        println!("{n_events} events that nobody takes: {grown} KiB more, of at most {most}");
        assert!(grown < most, "{grown} KiB");
        let mut n_heard = 0;
        while n_heard < n_events / OF_ONE * OF_ONE {
            let answer = tokio::time::timeout(Duration::from_secs(60), watching.message()).await;
            let answer = answer.expect("something comes").unwrap().expect("the stream goes on");
            assert!(!answer.canceled, "{answer:?}");
            for event in answer.events {
                let kv = event.kv.unwrap();
                let (revision, key) = (n_heard / OF_ONE + 2, key(n_heard));
                assert_eq!((kv.mod_revision, &kv.key[..]), (revision as i64, key.as_bytes()));
                n_heard += 1;
            }
        }
    });
}

fn key(nth: usize) -> String {
    format!("/registry/things/{:04}", nth % N_KEYS)
}

async fn write(server: &Server, nth: usize) {
    let put = |one: usize| PutRequest {
        key: key(nth * OF_ONE + one).into(),
        value: vec![b'v'; VALUE_BYTES].into(),
        ..PutRequest::default()
    };
    let success = (0..OF_ONE).map(|one| RequestOp { request: Some(Op::RequestPut(put(one))) });
    let request = TxnRequest { success: success.collect(), ..TxnRequest::default() };
    server.kv().txn(request).await.unwrap();
}

async fn watch(server: &Server) -> Streaming<proto::etcd::etcdserverpb::WatchResponse> {
    let create = WatchCreateRequest {
        key: "/registry/".into(),
        range_end: "/registry0".into(),
        ..WatchCreateRequest::default()
    };
    let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let requests = tokio_stream::iter([create]).chain(tokio_stream::pending());
    // What nobody takes stops a connection: the writes have another one.
    let other = Server::at(&server.url).await;
    let client = WatchClient::new(other.channel.clone());
    let mut client = client.max_decoding_message_size(usize::MAX);
    let mut answers = client.watch(requests).await.unwrap().into_inner();
    assert!(answers.message().await.unwrap().unwrap().created);
    answers
}
