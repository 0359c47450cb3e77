//! When room is given back, and a store that is the same after it.

use super::*;
use crate::engine::Engine;
use crate::engine::log::{LogEngine, LogOptions};
use crate::reserve::Boot;
use crate::store::{Identity, Options};
use proto::etcd::etcdserverpb::request_op::Request;
use proto::etcd::etcdserverpb::{PutRequest, RequestOp, TxnRequest};
use std::path::Path;
use std::sync::Arc;

const MIB: u64 = 1 << 20;

/// Bytes that live in each 4 MiB, from the oldest on.
#[track_caller]
fn check(living: &[u64], oldest_mib: u64, limit_mib: u64, expected_mib: Option<u64>) {
    let oldest = oldest_mib * MIB;
    let living: Living = (oldest / GRAIN_BYTES..).zip(living.iter().map(|mib| mib * MIB)).collect();
    let newest = Lsn(oldest + living.len() as u64 * GRAIN_BYTES);
    let until = to_vacate(&living, (Lsn(oldest), newest), Lsn(limit_mib * MIB));
    assert_eq!(until.map(|until| until.0 / MIB), expected_mib);
}

#[test]
fn the_oldest_part_goes_when_most_of_it_is_dead() {
    check(&[0; 8], 0, 999, None);
    check(&[4; 40], 0, 999, None);
    check(&[0; 40], 0, 999, Some(160));
    check(&[0; 40], 400, 9999, Some(560));
    check(&[0; 40], 0, 100, Some(100));
    check(&[0; 40], 0, 40, None);
    check(&[[1; 20], [2; 20]].concat(), 0, 999, Some(160));
    check(&[vec![4; 19], vec![0; 21]].concat(), 0, 999, Some(160));
    check(&[[0; 20], [4; 20]].concat(), 0, 999, Some(156));
}

/// A store over a folder, with the thread that makes its groups durable.
struct Running {
    store: Arc<Store>,
    committer: Option<std::thread::JoinHandle<()>>,
    clients: tokio::runtime::Runtime,
}

impl Running {
    fn open(folder: &Path) -> Running {
        let (engine, _) = LogEngine::open(folder, LogOptions { segment_bytes: 1 << 20 }).unwrap();
        let engine: Arc<dyn Engine> = Arc::new(engine);
        let identity = Identity { cluster: 1, member: 1 };
        let store =
            Store::open(engine, &Options { identity, recent_bytes: 1 << 20, boot: Boot::UNKNOWN })
                .unwrap();
        let store = Arc::new(store);
        let committing = Arc::clone(&store);
        let committer = std::thread::spawn(move || drop(committing.commit()));
        let clients = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Running { store, committer: Some(committer), clients }
    }

    fn put(&self, key: &str, value: Vec<u8>) {
        let put =
            PutRequest { key: key.to_owned().into(), value: value.into(), ..Default::default() };
        let success = vec![RequestOp { request: Some(Request::RequestPut(put)) }];
        let request = TxnRequest { success, ..TxnRequest::default() };
        self.clients.block_on(self.store.txn(&request)).unwrap();
    }

    /// Key, value and the four numbers of everything that can be seen, at the newest revision and at another one.
    fn seen(&self, at: i64) -> Vec<String> {
        use crate::range::Values as _;
        let committed = self.store.committed();
        let mut all = Vec::new();
        for revision in [committed.revision, at] {
            for (key, version) in committed.view_at(revision).range(&KeyRange::all()) {
                let value = committed.value(&key, version).unwrap();
                let key = String::from_utf8_lossy(&key).into_owned();
                let place = Place::default();
                all.push(format!("{key} {:?} {value:?}", Version { place, ..*version }));
            }
        }
        all
    }

    fn history(&self, from: i64) -> Vec<(i64, usize)> {
        let happenings = self.store.history(from).unwrap();
        happenings.iter().map(|one| (one.revision, one.events.len())).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.store.close();
        self.committer.take().map(std::thread::JoinHandle::join);
        self.store.engine().close().unwrap();
    }
}

fn value(n: usize) -> Vec<u8> {
    (0..20_000).map(|nth: usize| (nth * 31 + n * 7).to_le_bytes()[0]).collect()
}

/// Everything is written again and the old part goes; nobody can tell, now or after the next start.
#[test]
fn a_store_is_the_same_after_room_was_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = Running::open(folder.path());
    (0..300).for_each(|n| running.put(&format!("key-{:03}", n % 40), value(n)));
    let newest = running.store.committed().revision;
    let compacted = newest - 20;
    running.clients.block_on(running.store.compact(compacted)).unwrap();
    while running.store.forget_some().unwrap() {}
    running.put("last", b"value".to_vec());
    let (seen, history) = (running.seen(compacted + 3), running.history(compacted + 1));
    let before = running.store.engine().size();
    let over = AtomicBool::new(false);
    let until = running.store.streamed_from();
    assert!(until.0 > before.head.0 / 2, "{until:?} of {before:?}");
    assert!(running.store.vacate(until, &over).unwrap() > 0);
    running.put("after", b"value".to_vec());
    for _ in 0..2 {
        running.store.checkpoint().unwrap();
        running.put("between", b"value".to_vec());
    }
    running.store.engine().trim(until).unwrap();
    let after = running.store.engine().size();
    assert!(after.oldest > before.oldest && after.oldest <= until, "{after:?}");
    for _ in 0..2 {
        let kept = |all: Vec<String>| -> Vec<String> {
            let is_new = |line: &String| line.starts_with("after") || line.starts_with("between");
            all.into_iter().filter(|line| !is_new(line)).collect()
        };
        assert_eq!(kept(running.seen(compacted + 3)), seen);
        let again = running.history(compacted + 1);
        assert!(again.starts_with(&history) || history.starts_with(&again), "{again:?}");
        drop(running);
        running = Running::open(folder.path());
    }
}
