//! A store that loses power again and again while clients write. `BERTH_POWER_CUTS` makes it more rounds than usual.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::runtime::Runtime;

use super::examine;
use super::live::{Client, Journal};
use super::rig::{Rig, rounds, runtime};
use crate::engine::log::{LogEngine, LogOptions};
use crate::engine::power::{PowerDisk, Random};
use crate::index::KeyRange;
use crate::store::Store;
use crate::testkit::chronicle::{Change, Chronicle};
use crate::watch::{Item, Queue, WatcherId};

const LIVES: usize = 3;
const CLIENTS: usize = 4;
/// Small, so that the log rolls over.
const SEGMENT_BYTES: u64 = 16 << 10;

/// What was done in all rounds.
#[derive(Debug, Default)]
struct Done {
    lives: usize,
    attempts: usize,
    revisions: i64,
}

fn round(
    runtime: &Runtime,
    seed: u64,
    forget_one_sync: bool,
    done: &mut Done,
) -> Result<(), String> {
    let mut random = Random::new(seed);
    let mut disk = PowerDisk::new();
    let journal = Arc::new(Mutex::new(Journal::default()));
    let mut chronicle = Chronicle::default();
    for _life in 0..LIVES {
        disk.die_after(random.below(120));
        if forget_one_sync {
            // A later sync of the file covers it, so the power goes soon after.
            let n_syncs = random.below(20);
            disk.forget_data_sync_after(n_syncs);
            disk.die_after(2 * n_syncs + random.below(24));
        }
        live(runtime, &disk, &journal, &mut chronicle, &mut random)?;
        disk = disk.cut(random.number());
        let rig = open(&disk)?;
        let examined = examine::reopened(&rig.store, &locked(&journal), &mut chronicle);
        let written =
            examined.and_then(|()| goes_on(runtime, &rig.store, &journal, &mut chronicle));
        rig.end();
        written?;
        // The power may go again before anything else is written.
        disk = disk.cut(random.number());
        done.lives += 2;
    }
    done.attempts += locked(&journal).attempts.len();
    done.revisions += chronicle.last();
    Ok(())
}

fn open(disk: &PowerDisk) -> Result<Rig, String> {
    let options = LogOptions { segment_bytes: SEGMENT_BYTES };
    let opened = LogEngine::open_on(Arc::new(disk.clone()), options);
    let (engine, _) = opened.map_err(|error| format!("the log: {error}"))?;
    Rig::open(Arc::new(engine)).map_err(|error| format!("the store: {error}"))
}

fn locked(journal: &Mutex<Journal>) -> MutexGuard<'_, Journal> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Until the power goes.
fn live(
    runtime: &Runtime,
    disk: &PowerDisk,
    journal: &Arc<Mutex<Journal>>,
    chronicle: &mut Chronicle,
    random: &mut Random,
) -> Result<(), String> {
    let rig = match open(disk) {
        Ok(rig) => rig,
        Err(_) if disk.is_dead() => return Ok(()),
        Err(error) => return Err(error),
    };
    let queue = watch(&rig.store);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (store, journal) = (Arc::clone(&rig.store), Arc::clone(journal));
            runtime.spawn(Client { store, journal, random: Random::new(random.number()) }.work(400))
        })
        .collect();
    for client in clients {
        runtime.block_on(client).map_err(|error| format!("a client: {error}"))?;
    }
    rig.end();
    watched(&queue, chronicle)
}

/// A watcher of everything that is never behind.
fn watch(store: &Store) -> Arc<Queue> {
    let queue = Arc::new(Queue::new(usize::MAX));
    store.hub.subscribe(WatcherId { stream: 1, watch: 1 }, &queue, KeyRange::all(), 0);
    queue
}

/// What was told to a watcher is part of what has been.
fn watched(queue: &Queue, chronicle: &mut Chronicle) -> Result<(), String> {
    while let Some(item) = queue.pop() {
        let Item::Events { batch, .. } = item else { continue };
        let mut matched = batch.matched.iter().peekable();
        while let Some(first) = matched.next() {
            chronicle.add(first.happening.revision, Change::of_happening(&first.happening))?;
            while matched
                .next_if(|one| one.happening.revision == first.happening.revision)
                .is_some()
            {}
        }
    }
    Ok(())
}

/// The next revision is the next one.
fn goes_on(
    runtime: &Runtime,
    store: &Arc<Store>,
    journal: &Arc<Mutex<Journal>>,
    chronicle: &mut Chronicle,
) -> Result<(), String> {
    let key = Bytes::from("/registry/pods/0");
    let value = Some(Bytes::from(format!("after {}", chronicle.last())));
    let change = Change { key, value, lease: 0 };
    let told = super::live::Told::Written(chronicle.last() + 1);
    let changes = vec![change];
    let response = runtime.block_on(store.txn(&super::requests::all(&changes)));
    let response = response.map_err(|refusal| format!("after a start: {refusal}"))?;
    let revision = response.header.unwrap_or_default().revision;
    let mut journal = locked(journal);
    journal.highest = revision;
    journal.attempts.push(super::live::Attempt { changes, guard: None, told });
    examine::read_history(store, chronicle, store.committed().compacted)?;
    examine::told_is_so(&journal, chronicle)
}

#[test]
fn nothing_acknowledged_is_lost_with_the_power() {
    let (runtime, mut done) = (runtime(), Done::default());
    let rounds = rounds("BERTH_POWER_CUTS", 150);
    for seed in 0..rounds {
        round(&runtime, seed, false, &mut done).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
    println!("{rounds} rounds: {done:?}");
    assert!(done.attempts as u64 > 20 * rounds, "clients have worked: {done:?}");
}

#[test]
fn the_rounds_notice_one_sync_that_is_forgotten() {
    let (runtime, mut done) = (runtime(), Done::default());
    let rounds = rounds("BERTH_POWER_CUTS", 150) / 2;
    let noticed = (0..rounds).filter_map(|seed| round(&runtime, seed, true, &mut done).err());
    let noticed: Vec<String> = noticed.collect();
    println!("{} of {rounds} rounds have noticed it, as {:?}", noticed.len(), noticed.first());
    assert!(noticed.len() as u64 * 40 >= rounds, "only {} of {rounds}", noticed.len());
}
