//! Engines that do not do as asked: what clients and watchers are told then, and what is there afterwards.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::etcd::etcdserverpb::request_op::Request;
use proto::etcd::etcdserverpb::{PutRequest, RequestOp, TxnRequest};

use super::requests::{all, changed, put};
use super::rig::{Rig, runtime};
use crate::engine::Engine;
use crate::engine::faulty::{Fault, FaultyEngine};
use crate::engine::memory::MemoryEngine;
use crate::index::KeyRange;
use crate::mvcc::Revision;
use crate::refusal::Refusal;
use crate::reserve::Boot;
use crate::store::{Ended, Store};
use crate::testkit::chronicle::Change;
use crate::watch::{Item, Queue, WatcherId};

/// A store over a faulty engine, and the engine inside.
fn faulty(faults: &[Fault]) -> (Rig, Arc<FaultyEngine>, Arc<MemoryEngine>) {
    let inner = Arc::new(MemoryEngine::new());
    let engine = FaultyEngine::new(Arc::clone(&inner) as Arc<dyn Engine>, faults.iter().copied());
    let engine = Arc::new(engine);
    (Rig::open(Arc::clone(&engine) as Arc<dyn Engine>).unwrap(), engine, inner)
}

pub(super) fn watch_all(store: &Store) -> Arc<Queue> {
    let queue = Arc::new(Queue::new(1 << 20));
    store.hub.subscribe(WatcherId { stream: 1, watch: 1 }, &queue, KeyRange::all(), 0);
    queue
}

/// `revision key=value`, and `over`.
pub(super) fn events(queue: &Queue) -> Vec<String> {
    let of = |item| match item {
        Item::Events { batch, .. } => batch.matched.iter().map(of_event).collect(),
        Item::Over => vec!["over".to_owned()],
        _ => Vec::new(),
    };
    std::iter::from_fn(|| queue.pop()).flat_map(of).collect()
}

fn of_event(matched: &crate::watch::Matched) -> String {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let event = matched.event();
    format!("{} {}={}", matched.happening.revision, text(&event.key), text(&event.value))
}

/// Everything in a store, by its history.
pub(super) fn history(store: &Store) -> Vec<String> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let happenings = store.history(2).unwrap();
    let of = |change: &Change| {
        format!(
            "{}={}",
            text(&change.key),
            change.value.as_ref().map_or_else(|| "-".to_owned(), text)
        )
    };
    let line = |one: &Arc<crate::happening::Happening>| {
        let changes = Change::of_happening(one);
        format!("{} {}", one.revision, changes.iter().map(of).collect::<Vec<_>>().join(" "))
    };
    happenings.iter().map(line).collect()
}

pub(super) async fn revision_of(store: &Store, request: &TxnRequest) -> Result<Revision, Refusal> {
    Ok(store.txn(request).await?.header.unwrap().revision)
}

/// Three writes one after the other, with a fault at each append.
#[track_caller]
fn check(faults: &[Fault], told: [Result<Revision, Refusal>; 3]) {
    let (rig, _, inner) = faulty(faults);
    let queue = watch_all(&rig.store);
    let writes = [put("a", "1"), put("b", "2"), put("a", "3")];
    let runtime = runtime();
    for (write, told) in writes.iter().zip(told) {
        let revision = runtime.block_on(revision_of(&rig.store, write));
        assert_eq!(revision, told, "{faults:?}");
    }
    let is_serving = rig.store.is_serving();
    let is_closed = matches!(rig.end(), Ended::Closed);
    let all = ["2 a=1", "3 b=2", "4 a=3"];
    let n_written = told.iter().filter(|told| told.is_ok()).count();
    let mut should: Vec<&str> = all[..n_written].to_vec();
    let reopened = Rig::open(inner).unwrap();
    assert_eq!(history(&reopened.store), should, "{faults:?}");
    reopened.end();
    if n_written < all.len() {
        should.push("over");
    }
    assert_eq!(events(&queue), should, "{faults:?}");
    assert_eq!((is_serving, is_closed), (n_written == 3, n_written == 3), "{faults:?}");
}

#[test]
fn what_clients_and_watchers_are_told_of_each_fault() {
    use Fault::*;
    let success = [Ok(2), Ok(3), Ok(4)];
    check(&[], success);
    check(&[NotWritten], success);
    check(&[None, NotWritten, NotWritten, NotWritten], success);
    check(&[UncertainLanded], success);
    check(&[None, UncertainLost, None, UncertainLanded], success);
    check(&[UncertainLost, NotWritten, UncertainLost, UncertainLanded, UncertainLanded], success);
    check(&[Slow(Duration::from_millis(30))], success);
    let over = Err(Refusal::TimedOut);
    for last in [Fenced, Broken] {
        check(&[last], [over; 3]);
        check(&[None, last], [Ok(2), over, over]);
        check(&[None, UncertainLost, last], [Ok(2), over, over]);
        check(&[None, NotWritten, last], [Ok(2), over, over]);
    }
    check(&[None, UncertainLanded, Broken], [Ok(2), Ok(3), over]);
}

/// The log was as long as it should be, because another writer had put as many bytes there, and the write was acknowledged.
#[test]
fn bytes_of_another_writer_are_not_taken_for_ones_own() {
    let (rig, _, inner) = faulty(&[Fault::None, Fault::Overtaken]);
    let runtime = runtime();
    assert_eq!(runtime.block_on(revision_of(&rig.store, &put("a", "1"))), Ok(2));
    let told = runtime.block_on(revision_of(&rig.store, &put("b", "2")));
    assert_eq!(told, Err(Refusal::TimedOut));
    assert!(matches!(rig.end(), Ended::Engine(_)));
    let others = inner.groups(inner.size().oldest).unwrap().last().unwrap().unwrap();
    assert!(others.payload.iter().all(|byte| *byte == 0), "the other writer's");
}

#[test]
fn what_is_undecided_is_told_to_nobody_and_keeps_its_order() {
    let mut faults = vec![Fault::UncertainLost; 60];
    faults.push(Fault::UncertainLanded);
    let (rig, _, _) = faulty(&faults);
    let queue = watch_all(&rig.store);
    let runtime = runtime();
    let store = Arc::clone(&rig.store);
    let put_a = runtime.spawn(async move { revision_of(&store, &put("a", "1")).await });
    while rig.store.locked().state.revision < 2 {
        std::thread::yield_now();
    }
    let store = Arc::clone(&rig.store);
    let put_b = runtime.spawn(async move { revision_of(&store, &put("b", "2")).await });
    let store = Arc::clone(&rig.store);
    let compact = runtime.spawn(async move { store.compact(2).await });
    while !(put_a.is_finished() || rig.store.committed().revision > 1) {
        let committed = rig.store.committed();
        let n_told = rig.store.history(2).unwrap().len();
        // All of it belongs to the committed state that was looked at before.
        if rig.store.committed().revision == 1 {
            assert_eq!((committed.compacted, n_told), (0, 0));
        }
        rig.store.forget_some().unwrap();
    }
    let told = runtime.block_on(async { (put_a.await.unwrap(), put_b.await.unwrap()) });
    assert_eq!(told, (Ok(2), Ok(3)));
    // Where it came before the second write the store was at 2.
    assert!(matches!(runtime.block_on(compact).unwrap(), Ok(2 | 3)));
    assert_eq!(events(&queue), ["2 a=1", "3 b=2"]);
    assert_eq!(rig.store.committed().compacted, 2);
    rig.end();
}

/// Compaction passed a write that never came to be: what was before it must still be there.
#[test]
fn what_was_compacted_behind_a_lost_write_is_still_there() {
    let (rig, engine, inner) = faulty(&[]);
    let runtime = runtime();
    for value in ["1", "2"] {
        runtime.block_on(revision_of(&rig.store, &put("a", value))).unwrap();
    }
    engine.then(Fault::Slow(Duration::from_millis(50)));
    engine.then(Fault::Broken);
    let store = Arc::clone(&rig.store);
    let (slow, lost, compacted) = runtime.block_on(async {
        let (slow, lost) = (put("x", "3"), put("a", "4"));
        let behind = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            tokio::join!(revision_of(&store, &lost), store.compact(4), async {
                while store.forget_some().unwrap_or(false) {}
            })
        };
        let (slow, (lost, compacted, ())) = tokio::join!(revision_of(&store, &slow), behind);
        (slow, lost, compacted)
    });
    // On a machine that is late the first one may be over before the others come, and then it is theirs that is slow.
    assert_eq!((slow, lost, compacted), (Ok(4), Err(Refusal::TimedOut), Err(Refusal::TimedOut)));
    let committed = rig.store.committed();
    assert_eq!((committed.revision, committed.compacted), (4, 0));
    assert_eq!(committed.view_at(2).get(b"a").map(|version| version.mod_revision), Some(2));
    rig.end();
    let reopened = Rig::open(inner).unwrap();
    assert_eq!(history(&reopened.store), ["2 a=1", "3 a=2", "4 x=3"]);
    reopened.end();
}

/// Refusals were answered at once, by a state that was not durable: a client was told that its lease is gone, and after a power cut the
/// lease was there.
#[test]
fn a_refusal_is_told_when_its_reason_is_durable() {
    let (rig, engine, _) = faulty(&[]);
    let (runtime, store) = (runtime(), Arc::clone(&rig.store));
    runtime.block_on(async {
        store.grant(5, 100).await.unwrap();
        store.txn(&put("k", "1")).await.unwrap();
    });
    engine.then(Fault::Slow(Duration::from_millis(50)));
    engine.then(Fault::Broken);
    let deletion = all(&[Change { key: "k".into(), value: None, lease: 0 }]);
    let leased = all(&[Change { lease: 5, ..changed("l", "2") }]);
    let kept = PutRequest { key: "k".into(), ignore_value: true, ..PutRequest::default() };
    let kept = RequestOp { request: Some(Request::RequestPut(kept)) };
    let kept = TxnRequest { success: vec![kept], ..TxnRequest::default() };
    let slow = put("x", "0");
    let told = runtime.block_on(async {
        let behind = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            // What they ask for comes to be in this order, and none of it is durable.
            let first = async {
                tokio::join!(
                    store.revoke(5),
                    store.txn(&deletion),
                    store.grant(7, 9),
                    store.compact(3)
                )
            };
            let then = async {
                let (leased, kept) = tokio::join!(store.txn(&leased), store.txn(&kept));
                [leased.err(), kept.err()]
            };
            let others = async {
                let (gone, there, late) =
                    tokio::join!(store.revoke(5), store.grant(7, 9), store.compact(3));
                [gone.err(), there.err(), late.err()]
            };
            let (_, then, others, settled) = tokio::join!(first, then, others, store.settled());
            [&then[..], &others, &[settled.err()]].concat()
        };
        tokio::join!(store.txn(&slow), behind).1
    });
    assert_eq!(told, [Some(Refusal::TimedOut); 6]);
    rig.end();
}

/// A group grew without bound while the log was slow, and one of more than 256 MiB ended the store.
#[test]
fn more_than_the_log_takes_is_refused() {
    let engine = Arc::new(MemoryEngine::new());
    let identity = crate::store::Identity { cluster: 1, member: 1 };
    let options = crate::store::Options { identity, recent_bytes: 0, boot: Boot::UNKNOWN };
    let store = Arc::new(Store::open(engine, &options).unwrap());
    let value = "v".repeat(4 << 20);
    let asked: Vec<_> =
        (0..20).map_while(|nth| store.begin_txn(&put(&format!("k{nth}"), &value)).ok()).collect();
    assert_eq!(asked.len(), 16);
    let refused = store.begin_txn(&put("k", "1")).map(drop);
    assert_eq!(refused.err(), Some(Refusal::TooManyRequests));
    let committing = Arc::clone(&store);
    let committer = std::thread::spawn(move || committing.commit());
    let runtime = runtime();
    for (_, durable) in asked {
        assert_eq!(runtime.block_on(durable.wait()), Ok(()));
    }
    assert_eq!(runtime.block_on(revision_of(&store, &put("k", "1"))), Ok(18));
    store.close();
    assert!(matches!(committer.join().unwrap(), Ended::Closed));
}

/// Writes that came while the log broke are in a group that stays for ever; a checkpoint that waited for its end would, too.
#[test]
fn a_checkpoint_of_a_store_that_has_ended_is_given_up() {
    let faults = [vec![Fault::NotWritten; 50], vec![Fault::Broken]].concat();
    let (rig, ..) = faulty(&faults);
    let runtime = runtime();
    let begin = |key: &'static str| {
        let store = Arc::clone(&rig.store);
        let write = runtime.spawn(async move { store.txn(&put(key, "value")).await });
        std::thread::sleep(Duration::from_millis(5));
        write
    };
    for write in [begin("/first"), begin("/second")] {
        runtime.block_on(write).unwrap().unwrap_err();
    }
    let (store, (over, waiting)) = (Arc::clone(&rig.store), std::sync::mpsc::channel());
    std::thread::spawn(move || over.send(store.checkpoint()));
    let given_up = waiting.recv_timeout(Duration::from_secs(10)).expect("nothing is waited for");
    given_up.unwrap();
    assert!(matches!(rig.end(), Ended::Engine(_)));
}
