//! Threads that panic, clients that give up, and watchers between two states.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::faults::{events, history, revision_of, watch_all};
use super::requests::put;
use super::rig::{Rig, runtime};
use crate::engine::Engine;
use crate::engine::faulty::{Fault, FaultyEngine};
use crate::engine::memory::MemoryEngine;
use crate::refusal::Refusal;
use crate::reserve::Boot;
use crate::store::{Ended, Identity, Options, Store};
use crate::watch::{Queue, WatcherId};

/// The half of a record was written to the log with the next group, and the log could not be read any more.
#[test]
fn half_a_change_of_a_thread_that_panicked_never_reaches_the_log() {
    let engine = Arc::new(MemoryEngine::new());
    let rig = Rig::open(Arc::clone(&engine) as Arc<dyn Engine>).unwrap();
    let runtime = runtime();
    assert_eq!(runtime.block_on(revision_of(&rig.store, &put("a", "1"))), Ok(2));
    let store = Arc::clone(&rig.store);
    let panicking = std::thread::spawn(move || {
        let mut sequencer = store.locked();
        sequencer.group.payload.push(1);
        panic!("in the middle of a change");
    });
    panicking.join().unwrap_err();
    let told = runtime.block_on(revision_of(&rig.store, &put("b", "2")));
    assert!(matches!(told, Err(Refusal::Stopped | Refusal::TimedOut)), "{told:?}");
    assert!(!rig.store.is_serving());
    assert!(matches!(rig.end(), Ended::Panicked));
    let reopened = Rig::open(engine).unwrap();
    assert_eq!(history(&reopened.store), ["2 a=1"]);
    reopened.end();
}

/// Who waited for the next group waited for ever.
#[test]
fn everybody_hears_of_a_committer_that_panics() {
    let inner = Arc::new(MemoryEngine::new());
    let slow = Fault::Slow(Duration::from_millis(50));
    let engine = FaultyEngine::new(Arc::clone(&inner) as Arc<dyn Engine>, [slow, Fault::Panic]);
    let identity = Identity { cluster: 1, member: 1 };
    let options = Options { identity, recent_bytes: 0, boot: Boot::UNKNOWN };
    let store = Arc::new(Store::open(Arc::new(engine), &options).unwrap());
    let queue = watch_all(&store);
    let committing = Arc::clone(&store);
    let committer = std::thread::spawn(move || committing.commit());
    let told = runtime().block_on(async {
        let (first, second, third) = (put("a", "1"), put("b", "2"), put("c", "3"));
        let later = async |request, ms| {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            tokio::time::timeout(Duration::from_secs(20), revision_of(&store, request))
                .await
                .unwrap()
        };
        tokio::join!(later(&first, 0), later(&second, 10), later(&third, 55), later(&third, 100))
    });
    let over = Err(Refusal::TimedOut);
    assert_eq!(told, (Ok(2), over, over, over));
    committer.join().unwrap_err();
    assert!(!store.is_serving());
    assert_eq!(events(&queue), ["2 a=1", "over"]);
    let reopened = Rig::open(inner).unwrap();
    assert_eq!(history(&reopened.store), ["2 a=1"]);
    reopened.end();
}

#[test]
fn a_write_of_a_client_that_gives_up_is_there_all_the_same() {
    let rig = Rig::open(Arc::new(MemoryEngine::new())).unwrap();
    let queue = watch_all(&rig.store);
    let runtime = runtime();
    let given_up = rig.store.begin_txn(&put("a", "1")).unwrap();
    drop(given_up);
    assert_eq!(runtime.block_on(revision_of(&rig.store, &put("b", "2"))), Ok(3));
    assert_eq!(events(&queue), ["2 a=1", "3 b=2"]);
    assert!(matches!(rig.end(), Ended::Closed));
}

/// Holds the hub, as a watcher that asks how far it is does, until told to let go.
fn hold(store: &Store, is_held: &std::sync::mpsc::Sender<()>, let_go: &Receiver<()>) {
    let ids = std::iter::from_fn(|| {
        is_held.send(()).unwrap();
        let_go.recv().unwrap();
        None::<WatcherId>
    });
    store.hub.progress(ids, &Queue::new(0));
}

/// A state could be read before its events were handed out: a watcher that was behind read them from the store, was up to date, and was
/// handed them for the second time.
#[test]
fn nobody_reads_what_watchers_were_not_handed_yet() {
    let rig = Rig::open(Arc::new(MemoryEngine::new())).unwrap();
    let runtime = runtime();
    assert_eq!(runtime.block_on(revision_of(&rig.store, &put("a", "1"))), Ok(2));
    let ((held, is_held), (let_go, going)) = (channel(), channel());
    let store = Arc::clone(&rig.store);
    let holder = std::thread::spawn(move || hold(&store, &held, &going));
    is_held.recv().unwrap();
    let (_, durable) = rig.store.begin_txn(&put("a", "2")).unwrap();
    // Long enough for the committer to come as far as it can.
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(rig.store.committed().revision, 2);
    assert_eq!(rig.store.history(3).unwrap().len(), 0);
    let_go.send(()).unwrap();
    assert_eq!(runtime.block_on(durable.wait()), Ok(()));
    holder.join().unwrap();
    assert_eq!((rig.store.committed().revision, rig.store.hub.published()), (3, 3));
    rig.end();
}

/// A group that was in the log and not in the state yet was taken for one of which the state has forgotten everything, and a watcher that
/// was behind was told that the store was compacted.
#[test]
fn history_ends_where_the_state_does() {
    let rig = Rig::open(Arc::new(MemoryEngine::new())).unwrap();
    let runtime = runtime();
    // Too long to stay in memory.
    let (first, second, third) = (put("a", &"1".repeat(5000)), put("b", "2"), put("c", "3"));
    assert_eq!(runtime.block_on(revision_of(&rig.store, &first)), Ok(2));
    assert_eq!(runtime.block_on(revision_of(&rig.store, &second)), Ok(3));
    let ((held, is_held), (let_go, going)) = (channel(), channel());
    let store = Arc::clone(&rig.store);
    let holder = std::thread::spawn(move || hold(&store, &held, &going));
    is_held.recv().unwrap();
    let head = rig.store.engine().size().head;
    let (_, durable) = rig.store.begin_txn(&third).unwrap();
    while rig.store.engine().size().head == head {
        std::thread::yield_now();
    }
    let told = rig.store.history(2).map(|told| told.iter().map(|one| one.revision).collect());
    assert_eq!(told.map_err(|error| error.to_string()), Ok(vec![2, 3]));
    let_go.send(()).unwrap();
    assert_eq!(runtime.block_on(durable.wait()), Ok(()));
    holder.join().unwrap();
    assert_eq!(history(&rig.store).len(), 3);
    rig.end();
}
