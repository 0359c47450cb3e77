//! Keys and leases of nodes in a real store, through silence, changes and a start of the store.

use std::time::Duration;

use metastore::engine::Engine;
use metastore::engine::memory::MemoryEngine;
use metastore::reserve::Boot;
use metastore::store::{Identity, Options};
use proto::v1::NodeState;

use super::super::pace::tests::{amount, node};
use super::*;

/// A store with its log's thread, and the keeper at work in it.
struct Rig {
    engine: Arc<dyn Engine>,
    store: Arc<Store>,
    keeper: Keeper,
}

impl Rig {
    fn new(engine: Arc<dyn Engine>, report_s: u64) -> Rig {
        let identity = Identity { cluster: 1, member: 1 };
        let options = Options { identity, recent_bytes: 4096, boot: Boot::UNKNOWN };
        let store = Arc::new(Store::open(Arc::clone(&engine), &options).unwrap());
        let committing = Arc::clone(&store);
        std::thread::spawn(move || committing.commit());
        let report_interval = Duration::from_secs(report_s);
        let pace = Pace { min_interval: Duration::ZERO, report_interval };
        let (cluster, pods, most_bytes) = ("c".to_owned(), Pods::Counted, 4096);
        let settings = Settings { cluster, pace, pods, most_bytes };
        let keeper = Keeper::new(Arc::clone(&store), settings, Metrics::default());
        Rig { engine, store, keeper }
    }

    async fn look(&mut self, nodes: &[(&str, u64)]) {
        let nodes: Vec<_> = nodes
            .iter()
            .map(|(name, milli)| {
                let state = NodeState { capacity: amount(*milli), ..NodeState::default() };
                node(name, state)
            })
            .collect();
        let keeper = &mut self.keeper;
        keeper.forget(&nodes);
        keeper.keep_alive(&nodes).unwrap();
        keeper.grant(&nodes).await.unwrap();
        let due = keeper.due(&nodes);
        for some in due.chunks(AT_ONCE) {
            keeper.write(some).await.unwrap();
        }
    }

    /// Name, lease and how often it was written.
    fn keys(&self) -> Vec<(String, i64, i64)> {
        let committed = self.store.committed();
        let below = KeyRange::of_request(PREFIX.into(), END_OF_PREFIX.into());
        let keys = committed.view().range(&below).map(|(key, version)| {
            let name = String::from_utf8(key[PREFIX.len()..].to_vec()).unwrap();
            (name, version.lease, version.number)
        });
        keys.collect()
    }

    fn end(self) -> Arc<dyn Engine> {
        self.store.close();
        self.engine
    }
}

#[tokio::test]
async fn a_node_has_one_key_under_one_lease() {
    let mut rig = Rig::new(Arc::new(MemoryEngine::new()), 5);
    rig.look(&[("a", 1000), ("b", 1000)]).await;
    let first = rig.keys();
    assert_eq!(first.iter().map(|key| key.0.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_ne!(first[0].1, first[1].1, "a lease each");
    rig.look(&[("a", 1000), ("b", 2000)]).await;
    let then = rig.keys();
    assert_eq!(then[0].1, first[0].1);
    assert_eq!(then[1], ("b".to_owned(), first[1].1, 2), "the same lease, written again");
    // The lease is gone, and with it the key; the next report makes both anew.
    rig.store.revoke(first[0].1).await.unwrap();
    assert_eq!(rig.keys().len(), 1);
    rig.look(&[("a", 1000), ("b", 2000)]).await;
    let back = rig.keys();
    assert!(back[0].0 == "a" && back[0].1 != first[0].1 && back[0].2 == 1, "{back:?}");
    assert_eq!(rig.store.leases().unwrap().len(), 2);
}

#[tokio::test]
async fn a_start_takes_up_the_leases_it_finds() {
    let mut rig = Rig::new(Arc::new(MemoryEngine::new()), 5);
    rig.look(&[("a", 1000), ("b", 1000)]).await;
    let before = rig.keys();
    let mut rig = Rig::new(rig.end(), 5);
    // Nobody has come back yet.
    rig.look(&[]).await;
    assert_eq!(rig.keys(), before);
    rig.look(&[("a", 1000)]).await;
    rig.look(&[("a", 1000), ("b", 1000)]).await;
    let after = rig.keys();
    assert_eq!((after[0].1, after[1].1), (before[0].1, before[1].1));
    assert_eq!(rig.store.leases().unwrap().len(), 2, "none was left over");
    // Another interval needs other leases; no key is deleted for it.
    let versions: Vec<i64> = after.iter().map(|key| key.2).collect();
    let mut rig = Rig::new(rig.end(), 10);
    rig.look(&[("a", 1000), ("b", 1000)]).await;
    let longer = rig.keys();
    assert_ne!(longer[0].1, after[0].1);
    assert_eq!(longer.iter().map(|key| key.2 - 1).collect::<Vec<_>>(), versions);
    assert_eq!(rig.store.leases().unwrap().len(), 2, "the old ones are gone");
    let known = rig.store.lease(longer[0].1).unwrap().unwrap();
    assert_eq!((known.granted_s, known.keys.len()), (30, 1));
}
