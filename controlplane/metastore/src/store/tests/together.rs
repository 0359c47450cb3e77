//! 64 clients at once, over an engine that is slow and uncertain: one order explains all answers, and streams of watches that are read
//! fast, slowly, or asked for their progress all the time break no rule. `BERTH_CROWD_OPERATIONS` makes it more operations than usual.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::etcd::etcdserverpb::{
    RangeRequest, RangeResponse, ResponseHeader, TxnRequest, TxnResponse, WatchCreateRequest,
};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};

use super::examine::read_history;
use super::rig::{Rig, rounds, runtime};
use crate::engine::faulty::{Fault, FaultyEngine};
use crate::engine::memory::MemoryEngine;
use crate::engine::power::Random;
use crate::grpc::{Services, Settings};
use crate::mvcc::Revision;
use crate::range::{self, Values as _};
use crate::server::Server;
use crate::store::Store;
use crate::testkit::chronicle::Chronicle;
use crate::testkit::crowd::{Crowd, Door, PREFIX};
use crate::testkit::watch_rules::{Recorded, breaches, of_prefix};
use crate::testkit::watcher::{Habit, record};
use crate::txn::key_value;

const CLIENTS: u64 = 64;

impl Door for Arc<Store> {
    async fn txn(&self, request: TxnRequest) -> Option<TxnResponse> {
        Store::txn(self, &request).await.ok()
    }

    /// As service KV does it.
    async fn range(&self, request: RangeRequest) -> Option<RangeResponse> {
        let committed = self.committed();
        let selected = range::select(&committed.view(), &request, &*committed).ok()?;
        let of = |(key, version): &(bytes::Bytes, _)| {
            Some(key_value(key, version, committed.value(key, version).ok()?))
        };
        let kvs = selected.keys.iter().map(of).collect::<Option<Vec<_>>>()?;
        let header = Some(ResponseHeader { revision: committed.revision, ..Default::default() });
        Some(RangeResponse { header, kvs, ..RangeResponse::default() })
    }
}

/// Faults after which the store goes on.
fn faults(random: &mut Random) -> Vec<Fault> {
    let one = |random: &mut Random| match random.below(20) {
        0 => Fault::NotWritten,
        1 => Fault::UncertainLanded,
        2 => Fault::UncertainLost,
        3..6 => Fault::Slow(Duration::from_micros(300)),
        _ => Fault::None,
    };
    (0..20_000).map(|_| one(random)).collect()
}

/// The store's services on a port, with little room for those who do not read.
async fn served(store: &Arc<Store>) -> (SocketAddr, watch::Sender<bool>) {
    let settings = Settings {
        name: "test".to_owned(),
        client_urls: Vec::new(),
        max_request_bytes: 1 << 20,
        max_txn_ops: 128,
        quota_bytes: 0,
        progress_every: Duration::from_millis(50),
        stream_bytes: 2 << 10,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let services = Services::new(Arc::clone(store), settings);
    let (stop, stopping) = watch::channel(false);
    let server = Server { services, store: Arc::clone(store), certificates: None };
    tokio::spawn(server.serve(listener, stopping));
    (address, stop)
}

async fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// Streams of all kinds, some of them begun while clients write.
async fn watch_all(
    address: SocketAddr,
    store: Arc<Store>,
    goal: watch::Receiver<Option<Revision>>,
) -> Vec<Recorded> {
    let habit = |pause_ms, ask_ms| {
        let (pause, ask_every) = (Duration::from_millis(pause_ms), Duration::from_millis(ask_ms));
        Habit { pause, ask_every }
    };
    let one = format!("{PREFIX}03/");
    let no_put =
        WatchCreateRequest { filters: vec![0], progress_notify: true, ..of_prefix(PREFIX, 0) };
    let without = WatchCreateRequest { prev_kv: false, fragment: true, ..of_prefix(PREFIX, 1) };
    let streams = [
        (habit(0, 20), vec![of_prefix(PREFIX, 0)]),
        (habit(0, 1), vec![of_prefix(PREFIX, 2), of_prefix(&one, 0), no_put]),
        (habit(30, 500), vec![of_prefix(PREFIX, 0)]),
        (habit(100, 50), vec![of_prefix(PREFIX, 1), without]),
    ];
    let mut tasks = Vec::new();
    for (habit, requests) in streams {
        tasks.push(tokio::spawn(record(channel(address).await, requests, habit, goal.clone())));
    }
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        // As an apiserver does it: behind what it has read.
        let start = store.committed().revision + 1;
        let requests =
            vec![of_prefix(PREFIX, start), of_prefix(PREFIX, 0), of_prefix(&one, start - 9)];
        tasks.push(tokio::spawn(record(
            channel(address).await,
            requests,
            habit(0, 5),
            goal.clone(),
        )));
    }
    let mut recorded = Vec::new();
    for task in tasks {
        recorded.extend(task.await.unwrap());
    }
    recorded
}

#[test]
fn one_order_explains_what_64_clients_are_told_and_watches_keep_their_rules() {
    let began = Instant::now();
    let mut random = Random::new(64);
    let engine = FaultyEngine::new(Arc::new(MemoryEngine::new()), faults(&mut random));
    let rig = Rig::open(Arc::new(engine)).unwrap();
    let (runtime, crowd) = (runtime(), Arc::new(Crowd::default()));
    let most = rounds("BERTH_CROWD_OPERATIONS", 4000) as usize / CLIENTS as usize;
    let recorded = runtime.block_on(async {
        let (address, _stop) = served(&rig.store).await;
        let (set_goal, goal) = watch::channel(None);
        let watching = tokio::spawn(watch_all(address, Arc::clone(&rig.store), goal));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (crowd, store) = (Arc::clone(&crowd), Arc::clone(&rig.store));
                let seed = random.number();
                tokio::spawn(async move { crowd.client(store, seed, most, || true).await })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        set_goal.send(Some(rig.store.committed().revision)).unwrap();
        watching.await.unwrap()
    });
    let wrote_s = began.elapsed().as_secs_f64();
    assert_eq!(crowd.n_unknown(), 0);
    let mut chronicle = Chronicle::default();
    read_history(&rig.store, &mut chronicle, 0).unwrap();
    crowd.check_order(&chronicle).unwrap();
    crowd.check_written(&chronicle).unwrap();
    let n_events: usize =
        recorded.iter().flat_map(|one| &one.responses).map(|response| response.events.len()).sum();
    for one in &recorded {
        let found = breaches(one, &chronicle, 0);
        assert!(found.is_empty(), "{:?}: {found:#?}", one.request);
    }
    println!(
        "{} operations, {} revisions, {} watches with {n_events} events; {wrote_s:.1} s and {:.1} s",
        crowd.n_operations(),
        chronicle.last(),
        recorded.len(),
        began.elapsed().as_secs_f64() - wrote_s
    );
    rig.end();
}
