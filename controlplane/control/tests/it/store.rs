//! A store as a process, what is written to it, and everything that it says: for tests that move one.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use proto::etcd::etcdserverpb::kv_client::KvClient;
use proto::etcd::etcdserverpb::lease_client::LeaseClient;
use proto::etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcd::etcdserverpb::request_op::Request as Op;
use proto::etcd::etcdserverpb::watch_client::WatchClient;
use proto::etcd::etcdserverpb::watch_request::RequestUnion;
use proto::etcd::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, HashKvRequest, LeaseGrantRequest, LeaseLeasesRequest,
    LeaseRevokeRequest, LeaseTimeToLiveRequest, PutRequest, RangeRequest, RequestOp, StatusRequest,
    TxnRequest, WatchCreateRequest, WatchRequest,
};
use proto::etcd::mvccpb::{Event, KeyValue};
use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Endpoint};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_berth-control");

/// A process that ends with its value.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn begin(command: &mut Command) -> Running {
        Running(command.stdin(Stdio::null()).spawn().unwrap())
    }

    /// As an operator ends it, by the name of a signal.
    pub(crate) fn end(&mut self, signal: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server of etcd's API, and the process that was started for it.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) channel: Channel,
    process: Option<Running>,
}

impl Server {
    /// Returns when it answers.
    pub(crate) async fn of(mut command: Command, url: String) -> Server {
        Server::answering(url, Some(Running::begin(&mut command))).await
    }

    /// One that somebody else has started.
    pub(crate) async fn at(url: &str) -> Server {
        Server::answering(url.to_owned(), None).await
    }

    async fn answering(url: String, process: Option<Running>) -> Server {
        let channel = Endpoint::from_shared(url.clone()).unwrap().connect_lazy();
        let server = Server { url, channel, process };
        let began = Instant::now();
        let mut client = MaintenanceClient::new(server.channel.clone());
        while let Err(error) = client.status(StatusRequest {}).await {
            assert!(began.elapsed() < Duration::from_secs(90), "{} : {error}", server.url);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        server
    }

    pub(crate) async fn ours(folder: &Path) -> Server {
        Server::ours_with(folder, &[]).await
    }

    pub(crate) async fn ours_with(folder: &Path, more: &[&str]) -> Server {
        Server::ours_by(Command::new(PROGRAM), folder, more).await
    }

    /// By a command that runs the program.
    pub(crate) async fn ours_by(mut command: Command, folder: &Path, more: &[&str]) -> Server {
        let url = free_url();
        command.args(["metastore", "--segment-bytes", "1048576", "--watch-cache-bytes", "16384"]);
        command.arg("--data-dir").arg(folder).args(["--listen-client-urls", &url]);
        command.args(more).stderr(Stdio::null());
        Server::of(command, url).await
    }

    pub(crate) async fn end(mut self) {
        self.process.as_mut().expect("a process of its own").end("-TERM");
    }

    /// With which code it ends when nobody asks it to.
    pub(crate) async fn ended_by_itself(mut self, within: Duration) -> Option<i32> {
        let child = &mut self.process.as_mut().expect("a process of its own").0;
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            assert!(began.elapsed() < within, "it goes on");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What is resident of its process.
    pub(crate) fn rss_kib(&self) -> u64 {
        let pid = self.process.as_ref().expect("a process of its own").0.id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    pub(crate) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    pub(crate) async fn revision(&self) -> i64 {
        self.range(0).await.0
    }

    /// The newest revision, and all keys at one.
    pub(crate) async fn range(&self, revision: i64) -> (i64, Vec<KeyValue>) {
        let all = RangeRequest {
            key: "\0".into(),
            range_end: "\0".into(),
            revision,
            ..RangeRequest::default()
        };
        let answer = self.kv().range(all).await.unwrap().into_inner();
        (answer.header.unwrap().revision, answer.kvs)
    }

    /// All that happened from a revision on, in order, with what was before.
    pub(crate) async fn happened(&self, from: i64) -> Vec<Event> {
        let newest = self.revision().await;
        let create = WatchCreateRequest {
            key: "\0".into(),
            range_end: "\0".into(),
            start_revision: from,
            prev_kv: true,
            ..WatchCreateRequest::default()
        };
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        let requests = tokio_stream::iter([create]).chain(tokio_stream::pending());
        let mut client =
            WatchClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX);
        let mut answers = client.watch(requests).await.unwrap().into_inner();
        let mut events: Vec<Event> = Vec::new();
        let is_last = |event: &Event| event.kv.as_ref().unwrap().mod_revision == newest;
        while !events.last().is_some_and(is_last) {
            let answer = tokio::time::timeout(Duration::from_secs(30), answers.message()).await;
            let answer = answer.expect("something comes").unwrap().unwrap();
            assert!(!answer.canceled, "{answer:?}");
            events.extend(answer.events);
        }
        events
    }

    /// Hash and compacted revision.
    pub(crate) async fn hash(&self, revision: i64) -> (u32, i64) {
        let mut client = MaintenanceClient::new(self.channel.clone());
        let answer = client.hash_kv(HashKvRequest { revision }).await.unwrap().into_inner();
        (answer.hash, answer.compact_revision)
    }

    /// Id and seconds.
    pub(crate) async fn leases(&self) -> Vec<(i64, i64)> {
        let mut client = LeaseClient::new(self.channel.clone());
        let all = client.lease_leases(LeaseLeasesRequest {}).await.unwrap().into_inner().leases;
        let mut found = Vec::new();
        for lease in all {
            let asked = LeaseTimeToLiveRequest { id: lease.id, keys: false };
            let answer = client.lease_time_to_live(asked).await.unwrap().into_inner();
            found.push((lease.id, answer.granted_ttl));
        }
        found.sort_unstable();
        found
    }

    pub(crate) async fn compact(&self, revision: i64) {
        let asked = CompactionRequest { revision, physical: true };
        self.kv().compact(asked).await.unwrap();
    }

    /// Puts, transactions, deletions, leases: so many, of a kind that `round` decides.
    pub(crate) async fn write(&self, rounds: std::ops::Range<u64>) {
        let mut kv = self.kv();
        let mut leases = LeaseClient::new(self.channel.clone());
        for round in rounds {
            let key = |nth: u64| {
                format!("/registry/{}/{:03}", ["pods", "leases"][nth as usize % 2], nth % 61)
            };
            let value = vec![b'a' + (round % 26) as u8; (round as usize * 37) % 700];
            match round % 11 {
                0 => {
                    let id = 1000 + round as i64;
                    leases.lease_grant(LeaseGrantRequest { id, ttl: 3600 }).await.unwrap();
                    let put = PutRequest {
                        key: key(round).into(),
                        value: value.into(),
                        lease: id,
                        ..Default::default()
                    };
                    kv.put(put).await.unwrap();
                }
                3 => {
                    let key = key(round * 7).into();
                    kv.delete_range(DeleteRangeRequest { key, ..Default::default() })
                        .await
                        .unwrap();
                }
                5 => {
                    let mut ops: Vec<Op> = (0..4)
                        .map(|nth| {
                            Op::RequestPut(PutRequest {
                                key: key(round + 40 - 3 * nth).into(),
                                value: value.clone().into(),
                                ..Default::default()
                            })
                        })
                        .collect();
                    ops.push(Op::RequestDeleteRange(DeleteRangeRequest {
                        key: key(round + 5).into(),
                        ..Default::default()
                    }));
                    let success =
                        ops.into_iter().map(|op| RequestOp { request: Some(op) }).collect();
                    kv.txn(TxnRequest { success, ..Default::default() }).await.unwrap();
                }
                7 if round % 3 == 0 => {
                    // It may have none with such a number.
                    let id = 1000 + (round / 2 / 11 * 11) as i64;
                    let _ = leases.lease_revoke(LeaseRevokeRequest { id }).await;
                }
                _ => {
                    let put = PutRequest {
                        key: key(round).into(),
                        value: value.into(),
                        ..Default::default()
                    };
                    kv.put(put).await.unwrap();
                }
            }
        }
    }
}

/// Everything that two servers say of what they hold, from a revision on.
pub(crate) async fn assert_same(one: &Server, other: &Server, from: i64) {
    let newest = one.revision().await;
    assert_eq!(newest, other.revision().await, "revision");
    assert_eq!(one.leases().await, other.leases().await, "leases");
    for revision in (from..newest).step_by(7).chain([newest]) {
        assert_eq!(one.range(revision).await, other.range(revision).await, "revision {revision}");
        // An etcd remembers the hash that it had just before it compacted there, for as long as it runs.
        if revision > from {
            let hashes = (one.hash(revision).await, other.hash(revision).await);
            assert_eq!(hashes.0, hashes.1, "HashKV {revision}");
        }
    }
    let [one, other] = [one.happened(from + 1).await, other.happened(from + 1).await];
    assert_eq!(one.len(), other.len(), "events");
    for (one, other) in one.iter().zip(&other) {
        assert_eq!(one, other);
    }
}

pub(crate) fn free_url() -> String {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", free.local_addr().unwrap())
}

/// What a task has said; it has succeeded.
pub(crate) fn task(arguments: &[&str]) -> String {
    let output = output(arguments);
    let [said, errors] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{arguments:?}: {said}{errors}");
    said.into_owned()
}

/// What it has said and why it did not succeed.
pub(crate) fn refusal(arguments: &[&str]) -> String {
    let output = output(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn output(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).arg("metastore").args(arguments).stdin(Stdio::null()).output().unwrap()
}
