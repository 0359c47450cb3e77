//! A store that has no room: what it refuses, what goes on, and how one gets out of it, also over a start.

use std::sync::Arc;

use bytes::Bytes;
use proto::etcd::etcdserverpb::TxnRequest;

use super::requests;
use super::rig::{Rig, runtime};
use crate::alarm::Cause;
use crate::engine::Engine;
use crate::engine::memory::MemoryEngine;
use crate::policy::{Exceeded, PrefixLimit, Rate};
use crate::refusal::Refusal;
use crate::store::{Denial, Store};
use crate::testkit::chronicle::Change;

const KIB: u64 = 1 << 10;

fn put(key: &str, n_bytes: usize) -> TxnRequest {
    leased(key, n_bytes, 0)
}

fn leased(key: &str, n_bytes: usize, lease: i64) -> TxnRequest {
    let value = Some(Bytes::from(vec![b'v'; n_bytes]));
    requests::all(&[Change { key: Bytes::copy_from_slice(key.as_bytes()), value, lease }])
}

fn delete(key: &str) -> TxnRequest {
    let key = Bytes::copy_from_slice(key.as_bytes());
    requests::all(&[Change { key, value: None, lease: 0 }])
}

/// Until the quota is full.
async fn fill(store: &Store) -> usize {
    for n in 0..1000 {
        match store.txn(&put(&format!("k{n:03}"), 1000)).await {
            Ok(_) => {}
            Err(Refusal::NoSpace) => return n,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the quota was never full");
}

async fn compact_all(store: &Store) {
    store.compact(store.committed().revision).await.unwrap();
    while store.forget_some().unwrap() {}
}

#[test]
fn a_full_store_takes_what_makes_room_and_opens_again() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let runtime = runtime();
    let rig = Rig::open(Arc::clone(&engine)).unwrap();
    rig.store.set_room(20 * KIB, 0);
    let n = runtime.block_on(async {
        let store = &rig.store;
        let n = fill(store).await;
        assert!((15..20).contains(&n), "{n} keys of 1000 bytes in 20 KiB");
        assert_eq!(store.no_space(), Some(Cause::Quota));
        assert_eq!(store.txn(&put("small", 0)).await, Err(Refusal::NoSpace));
        assert_eq!(store.grant(7, 60).await, Err(Refusal::NoSpace));
        store.txn(&TxnRequest::default()).await.unwrap();
        store.txn(&delete("k000")).await.unwrap();
        n
    });
    rig.store.checkpoint().unwrap();
    rig.end();
    let rig = Rig::open(Arc::clone(&engine)).unwrap();
    assert_eq!(rig.store.no_space(), Some(Cause::Quota), "an alarm is kept over a start");
    rig.store.set_room(20 * KIB, 0);
    runtime.block_on(async {
        let store = &rig.store;
        let before = store.room().live_bytes;
        for nth in 1..n {
            store.txn(&delete(&format!("k{nth:03}"))).await.unwrap();
        }
        store.look_at_room(None);
        assert!(store.no_space().is_some(), "what is only deleted is still kept");
        compact_all(store).await;
        assert_eq!(store.room().live_bytes, 0, "{before} before");
        store.look_at_room(None);
        assert_eq!(store.no_space(), None);
        store.txn(&put("again", 1000)).await.unwrap();
    });
    rig.end();
    let rig = Rig::open(engine).unwrap();
    assert_eq!(rig.store.no_space(), None);
    rig.end();
}

#[test]
fn an_operator_disarms_and_raises() {
    let (runtime, rig) = (runtime(), Rig::open(Arc::new(MemoryEngine::new())).unwrap());
    let store = &rig.store;
    runtime.block_on(async {
        assert_eq!(store.disarm().await, Ok(false));
        store.set_room(10 * KIB, 0);
        fill(store).await;
        assert_eq!(store.disarm().await, Ok(true));
        // Nothing became less: the next write raises it again.
        assert_eq!(store.txn(&put("k", 1000)).await, Err(Refusal::NoSpace));
        assert_eq!(store.no_space(), Some(Cause::Quota));
        store.set_room(0, 0);
        store.raise_no_space().await.unwrap();
        store.look_at_room(None);
        assert_eq!(store.no_space(), Some(Cause::Client), "it does not go by itself");
        assert_eq!(store.disarm().await, Ok(true));
        store.txn(&put("k", 1000)).await.unwrap();
    });
    rig.end();
}

#[test]
fn a_disk_that_fills_up_raises_the_alarm_before_anybody_writes() {
    let (runtime, rig) = (runtime(), Rig::open(Arc::new(MemoryEngine::new())).unwrap());
    let store = &rig.store;
    store.set_room(0, 100 * KIB);
    for (free_kib, expected) in [
        (Some(100), None),
        (Some(99), Some(Cause::Disk)),
        (Some(124), Some(Cause::Disk)),
        (Some(125), None),
        (None, None),
        (Some(0), Some(Cause::Disk)),
    ] {
        store.look_at_room(free_kib.map(|kib| kib * KIB));
        assert_eq!(store.no_space(), expected, "{free_kib:?} KiB free");
        let told = runtime.block_on(store.txn(&put("k", 1)));
        assert_eq!(told.is_err(), expected.is_some(), "{free_kib:?} KiB free: {told:?}");
    }
    rig.end();
}

fn limit(prefix: &str, max_bytes: Option<u64>, max_keys: Option<u64>) -> PrefixLimit {
    PrefixLimit { prefix: prefix.to_owned(), max_bytes, max_keys, rate: None }
}

fn used(store: &Store) -> Vec<(i64, i64)> {
    store.used_of_prefixes().into_iter().map(|(_, bytes, keys)| (bytes, keys)).collect()
}

#[test]
fn what_lies_under_a_prefix_is_known_to_the_byte_whatever_happens() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let runtime = runtime();
    let rig = Rig::open(Arc::clone(&engine)).unwrap();
    let limits = || vec![limit("/a/", Some(1000), None), limit("/a/b/", None, Some(2))];
    rig.store.set_prefix_limits(limits());
    runtime.block_on(async {
        let store = &rig.store;
        let check = |expected: [(i64, i64); 2]| assert_eq!(used(store), expected);
        check([(0, 0), (0, 0)]);
        store.txn(&put("/a/x", 10)).await.unwrap();
        store.txn(&put("/a/b/y", 20)).await.unwrap();
        store.txn(&put("/other", 500)).await.unwrap();
        check([(40, 2), (26, 1)]);
        store.txn(&put("/a/x", 100)).await.unwrap();
        check([(130, 2), (26, 1)]);
        store.grant(7, 60).await.unwrap();
        store.txn(&leased("/a/b/z", 4, 7)).await.unwrap();
        check([(140, 3), (36, 2)]);
        let told = store.write(&put("/a/b/w", 0)).await.unwrap_err();
        assert!(
            matches!(told, Denial::Exceeded(Exceeded::Keys { would: 3, limit: 2, .. })),
            "{told}"
        );
        store.revoke(7).await.unwrap();
        check([(130, 2), (26, 1)]);
        let told = store.write(&put("/a/b/w", 900)).await.unwrap_err();
        assert!(matches!(told, Denial::Exceeded(Exceeded::Bytes { would: 1036, .. })), "{told}");
        // What goes in the same transaction makes room for what comes.
        let key = |text: &'static str| Bytes::from(text);
        let large = Some(Bytes::from(vec![b'v'; 900]));
        let both = [
            Change { key: key("/a/b/w"), value: large, lease: 0 },
            Change { key: key("/a/x"), value: None, lease: 0 },
        ];
        store.write(&requests::all(&both)).await.unwrap();
        check([(932, 2), (932, 2)]);
        store.txn(&delete("/a/b/y")).await.unwrap();
        check([(906, 1), (906, 1)]);
        compact_all(store).await;
        check([(906, 1), (906, 1)]);
    });
    rig.end();
    let rig = Rig::open(engine).unwrap();
    assert_eq!(used(&rig.store), []);
    rig.store.set_prefix_limits(limits());
    assert_eq!(used(&rig.store), [(906, 1), (906, 1)]);
    rig.store.set_prefix_limits(vec![limit("/other", Some(1), None)]);
    assert_eq!(used(&rig.store), [(506, 1)]);
    rig.store.set_prefix_limits(Vec::new());
    assert_eq!(used(&rig.store), []);
    rig.end();
}

#[test]
fn a_prefix_is_written_as_fast_as_its_limit_says() {
    let (runtime, rig) = (runtime(), Rig::open(Arc::new(MemoryEngine::new())).unwrap());
    let rate = Some(Rate { per_second: 0.001, burst: 3.0 });
    let limit = PrefixLimit { prefix: "/a/".to_owned(), rate, ..PrefixLimit::default() };
    rig.store.set_prefix_limits(vec![limit]);
    runtime.block_on(async {
        let store = &rig.store;
        for _ in 0..2 {
            store.write(&put("/a/x", 1)).await.unwrap();
            store.write(&put("/b", 1)).await.unwrap();
        }
        store.write(&delete("/a/x")).await.unwrap();
        let told = store.write(&put("/a/x", 1)).await.unwrap_err();
        assert!(matches!(told, Denial::Exceeded(Exceeded::Rate { .. })), "{told}");
        assert_eq!(store.txn(&put("/a/x", 1)).await, Err(Refusal::TooManyRequests));
        store.write(&put("/b", 1)).await.unwrap();
        // Nothing is written: nothing is taken.
        store.write(&delete("/a/nothing")).await.unwrap();
    });
    rig.end();
}

/// As the limits of a policy are counted while clients write.
#[test]
fn a_policy_that_comes_while_clients_write_counts_all() {
    let (runtime, rig) = (runtime(), Rig::open(Arc::new(MemoryEngine::new())).unwrap());
    let store = Arc::clone(&rig.store);
    let writing = runtime.spawn(async move {
        for n in 0..2000 {
            store.txn(&put(&format!("/a/{}", n % 700), n % 97)).await.unwrap();
        }
    });
    for _ in 0..20 {
        rig.store.set_prefix_limits(vec![limit("/a/", Some(1 << 30), None)]);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    runtime.block_on(writing).unwrap();
    let kept = used(&rig.store);
    rig.store.set_prefix_limits(vec![limit("/a/", Some(1 << 30), None)]);
    assert_eq!(used(&rig.store), kept);
    assert_eq!(kept[0].1, 700);
    rig.end();
}
