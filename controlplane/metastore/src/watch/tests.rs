//! Who is handed what, when, and what becomes of those who do not take it.

use super::*;
use crate::happening::Happened;
use crate::mvcc::{Place, Version};
use bytes::Bytes;

fn happening(revision: Revision, keys: &[&str]) -> Arc<Happening> {
    let version = Version {
        mod_revision: revision,
        create_revision: revision,
        number: 1,
        lease: 0,
        place: Place::default(),
    };
    let event = |key: &&str| {
        Happened::new(Bytes::from((*key).to_owned()), version, Bytes::from("value"), None)
    };
    Arc::new(Happening { revision, events: keys.iter().map(event).collect() })
}

fn range(key: &str, end: &str) -> KeyRange {
    KeyRange::of_request(Bytes::from(key.to_owned()), Bytes::from(end.to_owned()))
}

fn id(watch: i64) -> WatcherId {
    WatcherId { stream: 1, watch }
}

/// Everything in a queue, in short.
fn drained(queue: &Queue) -> Vec<String> {
    let said = |item| match item {
        Item::Created { watch, revision } => format!("{watch} created@{revision}"),
        Item::Events { watch, batch } => {
            let key = |one: &Matched| String::from_utf8_lossy(&one.event().key).into_owned();
            let keys: Vec<String> = batch.matched.iter().map(key).collect();
            format!("{watch} {}@{}", keys.join(" "), batch.revision)
        }
        Item::Behind { watch, next } => format!("{watch} behind@{next}"),
        Item::Progress { watch, revision } => format!("{watch} progress@{revision}"),
        Item::Over => "over".to_owned(),
    };
    let mut all: Vec<String> = std::iter::from_fn(|| queue.pop()).map(said).collect();
    all.sort();
    all
}

#[test]
fn keys_reach_those_who_watch_them() {
    let hub = Hub::new(5);
    let queue = Arc::new(Queue::new(1 << 20));
    let ranges =
        [range("a", ""), range("a", "b"), range("ab", "ac"), range("a", "z"), range("b", "\0")];
    for (watch, range) in (0..).zip(ranges) {
        hub.subscribe(id(watch), &queue, range, 0);
    }
    drained(&queue);
    hub.publish(6, &[happening(6, &["a", "abc"])]);
    assert_eq!(drained(&queue), ["0 a@6", "1 a abc@6", "2 abc@6", "3 a abc@6"]);
    hub.publish(8, &[happening(7, &["b"]), happening(8, &["zz", "b"])]);
    assert_eq!(drained(&queue), ["3 b b@8", "4 b zz b@8"]);
    assert!(hub.unsubscribe(id(3)));
    assert!(!hub.unsubscribe(id(3)));
    hub.publish(9, &[happening(9, &["b"])]);
    assert_eq!(drained(&queue), ["4 b@9"]);
    (0..5).for_each(|watch| assert!(hub.unsubscribe(id(watch)) || watch == 3));
    hub.publish(10, &[happening(10, &["a", "b"])]);
    assert!(drained(&queue).is_empty());
    assert_eq!(hub.n_watchers(), 0);
}

#[test]
fn what_is_before_or_after_the_start() {
    let hub = Hub::new(5);
    let queue = Arc::new(Queue::new(1 << 20));
    hub.subscribe(id(0), &queue, range("a", ""), 3);
    hub.subscribe(id(1), &queue, range("a", ""), 6);
    hub.subscribe(id(2), &queue, range("a", ""), 8);
    assert_eq!(drained(&queue), ["0 behind@3", "0 created@5", "1 created@5", "2 created@5"]);
    hub.publish(6, &[happening(6, &["a"])]);
    assert_eq!(drained(&queue), ["1 a@6"]);
    assert!(!hub.progress([id(1), id(0)].into_iter(), &queue), "one is behind");
    assert!(!hub.is_up_to_date(id(0), 5), "there is more to read");
    assert!(hub.is_up_to_date(id(0), 6));
    assert!(hub.progress([id(0), id(1)].into_iter(), &queue));
    assert!(!hub.progress([id(2)].into_iter(), &queue), "it waits for a revision to come");
    assert_eq!(drained(&queue), ["-1 progress@6"]);
    hub.publish(8, &[happening(7, &["a"]), happening(8, &["a"])]);
    assert_eq!(drained(&queue).len(), 3);
}

#[test]
fn who_takes_nothing_reads_on_from_the_store() {
    let hub = Hub::new(1);
    let queue = Arc::new(Queue::new(200));
    hub.subscribe(id(0), &queue, range("a", ""), 0);
    for revision in 2..10 {
        hub.publish(revision, &[happening(revision, &["a"])]);
    }
    let told = drained(&queue);
    assert_eq!(told, ["0 a@2", "0 a@3", "0 behind@4", "0 created@1"]);
    hub.publish(10, &[happening(10, &["a"])]);
    assert!(drained(&queue).is_empty());
    assert!(hub.is_up_to_date(id(0), 10));
    hub.publish(11, &[happening(11, &["a"])]);
    assert_eq!(drained(&queue), ["0 a@11"]);
    hub.end();
    assert_eq!(drained(&queue), ["over"]);
}
