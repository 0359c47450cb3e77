//! What takes time or room: leases that end, progress by the clock, requests that are too large, events in fragments.

use std::time::Duration;

use proto::etcd::etcdserverpb::watch_create_request::FilterType;
use proto::etcd::etcdserverpb::{LeaseGrantRequest, PutRequest, WatchCreateRequest, WatchResponse};
use proto::etcd::mvccpb::event::EventType;
use tokio::runtime::Runtime;

use super::super::client::PATIENCE;
use super::super::op::Op;
use super::super::ours::Kept;
use super::super::pair::Pair;
use super::super::relative;
use super::super::settings::Settings;
use super::super::watching::Stream;
use super::{delete, put, range, watch};

#[test]
fn leases_end_with_the_same_deletions() {
    let settings = Settings::from_environment();
    Runtime::new().expect("threads can be started").block_on(async {
        let mut pair = Pair::start(&settings, Kept::InMemory).await;
        let of_lease = |key| Op::Put(PutRequest { lease: 1, ..put(key, "v") });
        let create = WatchCreateRequest { prev_kv: true, ..watch("a", "z", 0) };
        let ops = [
            Op::Watch(0, create),
            Op::Grant(LeaseGrantRequest { id: 1, ttl: -1 }),
            of_lease("a"),
            of_lease("b"),
        ];
        for op in ops {
            pair.step(&op).await.expect("the same");
        }
        let n_deleted = |responses: &[WatchResponse]| {
            let events = responses.iter().flat_map(|one| &one.events);
            events.filter(|event| event.r#type() == EventType::Delete).count()
        };
        let (etcd, ours) = pair.stream(0).await;
        let both = |heard: &super::super::watching::Heard| n_deleted(&heard.responses) == 2;
        let ended = tokio::join!(etcd.until(PATIENCE, both), ours.until(PATIENCE, both));
        assert_eq!(ended, (true, true));
        pair.settle().await.expect("the same");
        pair.step(&Op::Leases).await.expect("the same");
    });
}

#[test]
fn a_client_that_asks_no_more_is_told_what_happens() {
    let settings = Settings::from_environment();
    Runtime::new().expect("threads can be started").block_on(async {
        let mut pair = Pair::start(&settings, Kept::InMemory).await;
        pair.step(&Op::Watch(0, watch("a", "z", 0))).await.expect("the same");
        let (etcd, ours) = pair.stream(0).await;
        etcd.ask_no_more();
        ours.ask_no_more();
        for value in ["1", "2", "3"] {
            tokio::time::sleep(Duration::from_millis(100)).await;
            pair.step(&Op::Put(put("a", value))).await.expect("the same");
        }
        pair.settle().await.expect("the same events, and nobody has ended the call");
        let (_, ours) = pair.stream(0).await;
        let n_events: usize = ours.responses().iter().map(|one| one.events.len()).sum();
        assert_eq!(n_events, 3 + 1, "with that of the fence");
    });
}

#[test]
fn progress_is_told_by_the_clock_to_who_waits_for_nothing_else() {
    let settings = Settings::from_environment();
    let every = Duration::from_millis(400);
    Runtime::new().expect("threads can be started").block_on(async {
        let mut pair = Pair::with_progress_every(&settings, Kept::InMemory, every).await;
        let asks = |start| WatchCreateRequest { progress_notify: true, ..watch("a", "z", start) };
        let filtered = WatchCreateRequest { filters: vec![FilterType::Noput.into()], ..asks(0) };
        let creates = [
            asks(0),
            watch("a", "z", 0),
            asks(relative::newest(50)),
            filtered,
            asks(relative::newest(0)),
        ];
        pair.step(&Op::Put(put("a", "1"))).await.expect("the same");
        for create in creates {
            pair.step(&Op::Watch(0, create).at(&pair.known)).await.expect("the same");
        }
        pair.step(&Op::Put(put("a", "2"))).await.expect("the same");
        tokio::time::sleep(every * 5).await;
        let newest = pair.known.newest;
        let (etcd, ours) = pair.stream(0).await;
        let told = |stream: &Stream| {
            let responses = stream.responses();
            let is_progress = |one: &&WatchResponse| {
                one.events.is_empty()
                    && !one.created
                    && one.header.as_ref().is_some_and(|header| header.revision == newest)
            };
            let mut ids: Vec<i64> =
                responses.iter().filter(is_progress).map(|one| one.watch_id).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        assert_eq!(told(ours), told(etcd));
        assert_eq!(told(ours), [0, 3, 4]);
    });
}

/// The first one is too large.
#[test]
fn sizes_and_fragments() {
    let settings = Settings::from_environment();
    Runtime::new().expect("threads can be started").block_on(async {
        let mut pair = Pair::start(&settings, Kept::InLog).await;
        let of_size = |key, n: usize| Op::Put(put(key, &"x".repeat(n)));
        let create = WatchCreateRequest { fragment: true, prev_kv: true, ..watch("a", "z", 0) };
        let ops = [
            Op::Watch(0, create.clone()),
            Op::Watch(0, WatchCreateRequest { fragment: false, ..create }),
            of_size("a", 1_600_000),
            of_size("a", 1_000_000),
            of_size("b", 1_000_000),
            of_size("c", 1_000_000),
            Op::RangeStream(range("a", "z")),
            Op::Delete(delete("a", "z")),
        ];
        let mut differences = Vec::new();
        for op in ops {
            if let Err((etcd, ours)) = pair.step(&op).await {
                differences.push(format!("{} {etcd:.300}\n{ours:.300}", op.name()));
            }
        }
        if let Err((etcd, ours)) = pair.settle().await {
            differences.push(format!("events {etcd:.300}\n{ours:.300}"));
        }
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        let (etcd, ours) = pair.stream(0).await;
        let fragments = |stream: &Stream, id| {
            let responses = stream.responses();
            responses.iter().filter(|one| one.watch_id == id && one.fragment).count()
        };
        assert_eq!((fragments(etcd, 0), fragments(etcd, 1)), (1, 0));
        assert_eq!((fragments(ours, 0), fragments(ours, 1)), (1, 0));
    });
}
