//! Events that are answered before they are durable, beside pods that are not, on a machine that loses power and with a process that is
//! killed: events are lost from the end and with the power only, pods never, and no revision is told twice.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Runtime;

use super::requests;
use super::rig::{Rig, rounds, runtime};
use crate::engine::log::{LogEngine, LogOptions};
use crate::engine::power::{Call, DiskFault, PowerDisk, Random};
use crate::mvcc::Revision;
use crate::range::Values as _;
use crate::reserve::Boot;
use crate::store::{Ended, HistoryError, Store};

const EVENTS: &str = "/registry/events/";
const LIVES: u8 = 4;
/// Small, so that the log rolls over.
const OPTIONS: LogOptions = LogOptions { segment_bytes: 16 << 10 };

/// What a client was told.
#[derive(Clone, Debug)]
struct Told {
    key: String,
    value: String,
    revision: Revision,
}

#[derive(Debug, Default)]
struct Done {
    n_told: usize,
    n_lost: usize,
    n_jumps: usize,
}

type Journal = Arc<Mutex<Vec<Told>>>;

fn open(disk: &PowerDisk, boot: Boot) -> Result<Rig, String> {
    let engine = LogEngine::open_on(Arc::new(disk.clone()), OPTIONS);
    let (engine, _) = engine.map_err(|error| format!("the log: {error}"))?;
    let rig = Rig::open_in(boot, Arc::new(engine)).map_err(|error| format!("{error}"))?;
    rig.store.set_deferred_prefixes(vec![EVENTS.into()]);
    Ok(rig)
}

async fn work(store: Arc<Store>, journal: Journal, mut random: Random) {
    for _ in 0..60 {
        let folder = if random.one_in(3) { "/registry/pods/" } else { EVENTS };
        let key = format!("{folder}{}", random.below(6));
        let value = format!("{:x}{}", random.number(), "v".repeat(random.below(900) as usize));
        let Ok(response) = store.txn(&requests::put(&key, &value)).await else { return };
        let revision = response.header.unwrap_or_default().revision;
        let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.push(Told { key, value, revision });
    }
}

/// Until the power goes or the clients have done enough. The disk is as the next start finds it.
fn live(
    runtime: &Runtime,
    (disk, boot): (&PowerDisk, Boot),
    journal: &Journal,
    random: &mut Random,
    is_power_cut: bool,
) -> Result<PowerDisk, String> {
    let rig = match open(disk, boot) {
        Ok(rig) => rig,
        Err(_) if disk.is_dead() => return Ok(disk.cut(random.number())),
        Err(why) => return Err(why),
    };
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let random = Random::new(random.number());
            runtime.spawn(work(Arc::clone(&rig.store), Arc::clone(journal), random))
        })
        .collect();
    if random.one_in(2) {
        // The disk may have gone.
        let _ = rig.store.checkpoint();
    }
    for client in clients {
        runtime.block_on(client).map_err(|error| format!("a client: {error}"))?;
    }
    // Before the end, which is a clean one and syncs everything.
    let left = if is_power_cut { disk.cut(random.number()) } else { disk.settled() };
    rig.end();
    Ok(left)
}

/// What became of what was told. Nothing may be lost where only the process was killed.
fn examine(
    store: &Store,
    told: &mut Vec<Told>,
    may_lose: bool,
    done: &mut Done,
) -> Result<(), String> {
    let committed = store.committed();
    let highest = told.iter().map(|one| one.revision).max().unwrap_or_default();
    let mut lost = Vec::new();
    for one in told.iter() {
        let found = committed.view_at(one.revision).get(one.key.as_bytes()).copied();
        let found = found.filter(|version| version.mod_revision == one.revision);
        match found.map(|version| committed.value(one.key.as_bytes(), &version)) {
            Some(Ok(value)) if value == one.value => {}
            Some(other) => return Err(format!("{one:?} is {other:?}")),
            None if may_lose && one.key.starts_with(EVENTS) => lost.push(one.revision),
            None => return Err(format!("{one:?} is gone")),
        }
    }
    if let Some(first) = lost.iter().min() {
        let kept = told.iter().filter(|one| !lost.contains(&one.revision));
        if let Some(later) = kept.into_iter().find(|one| one.revision > *first) {
            return Err(format!("{later:?} is there, and revision {first} before it is lost"));
        }
        let asked = store.history(highest + 1);
        if !matches!(asked, Err(HistoryError::Compacted { .. })) {
            return Err(format!("a watcher that has seen {highest} is told {asked:?}"));
        }
        done.n_jumps += 1;
    }
    done.n_lost += lost.len();
    told.retain(|one| !lost.contains(&one.revision));
    Ok(())
}

/// The next revision was never told.
fn goes_on(runtime: &Runtime, store: &Store, highest: Revision) -> Result<(), String> {
    let request = requests::put("/registry/pods/after", "a start");
    let response = runtime.block_on(store.txn(&request)).map_err(|refusal| refusal.to_string())?;
    let revision = response.header.unwrap_or_default().revision;
    if revision > highest {
        return Ok(());
    }
    Err(format!("revision {revision} is given, and {highest} was told"))
}

fn round(runtime: &Runtime, seed: u64, is_boot_known: bool, done: &mut Done) -> Result<(), String> {
    let mut random = Random::new(seed);
    let (mut disk, mut boot) = (PowerDisk::new(), Boot([1; 16]));
    let journal = Journal::default();
    let mut highest = 0;
    for life in 2..2 + LIVES {
        let is_power_cut = random.one_in(2);
        if is_power_cut {
            disk.die_after(random.below(120));
        }
        disk = live(runtime, (&disk, boot), &journal, &mut random, is_power_cut)?;
        if is_power_cut && is_boot_known {
            boot = Boot([life; 16]);
        }
        let mut told = journal.lock().unwrap_or_else(PoisonError::into_inner);
        done.n_told += told.len();
        highest = told.iter().map(|one| one.revision).fold(highest, Revision::max);
        let rig = open(&disk, boot)?;
        let examined = examine(&rig.store, &mut told, is_power_cut, done);
        let written = examined.and_then(|()| goes_on(runtime, &rig.store, highest));
        disk = disk.settled();
        rig.end();
        written?;
    }
    Ok(())
}

#[test]
fn events_are_lost_with_the_power_and_no_revision_is_told_twice() {
    let (runtime, mut done) = (runtime(), Done::default());
    let rounds = rounds("BERTH_POWER_CUTS", 150);
    for seed in 0..rounds {
        round(&runtime, seed, true, &mut done).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
    println!("{rounds} rounds: {done:?}");
    assert!(done.n_jumps as u64 * 10 > rounds, "too few have lost anything: {done:?}");
}

/// Proves that the rounds can fail: a store that takes the machine's new boot for the old one gives revisions again.
#[test]
fn the_rounds_notice_a_start_that_does_not_know_of_the_power_cut() {
    let (runtime, mut done) = (runtime(), Done::default());
    let rounds = rounds("BERTH_POWER_CUTS", 150) / 3;
    let noticed = (0..rounds).filter_map(|seed| round(&runtime, seed, false, &mut done).err());
    let noticed: Vec<String> = noticed.collect();
    println!("{} of {rounds} rounds have noticed it, as {:?}", noticed.len(), noticed.first());
    assert!(noticed.len() as u64 * 10 > rounds, "only {} of {rounds}", noticed.len());
}

/// After a clean end nothing is outstanding, whatever boot comes.
#[test]
fn a_clean_end_leaves_nothing_outstanding() {
    let (runtime, disk) = (runtime(), PowerDisk::new());
    let rig = open(&disk, Boot([1; 16])).expect("open");
    let mut revision = 0;
    for nth in 0..20 {
        let request = requests::put(&format!("{EVENTS}{nth}"), "value");
        let response = runtime.block_on(rig.store.txn(&request)).expect("a write");
        revision = response.header.unwrap_or_default().revision;
    }
    assert!(matches!(rig.end(), Ended::Closed));
    let rig = open(&disk.cut(7), Boot([2; 16])).expect("open");
    let committed = rig.store.committed();
    assert_eq!((committed.revision, committed.compacted), (revision, 0));
    rig.end();
}

/// What was answered cannot be taken back: the store stops as soon as it knows.
#[test]
fn a_sync_that_fails_later_stops_the_store() {
    let (runtime, disk) = (runtime(), PowerDisk::new());
    let rig = open(&disk, Boot([1; 16])).expect("open");
    let put = |key: &str| {
        let response = runtime.block_on(rig.store.txn(&requests::put(key, "value")));
        response.map(|response| response.header.unwrap_or_default().revision)
    };
    // The first one is synced, with the reserve.
    assert_eq!(put("/registry/events/1"), Ok(2));
    let kind = std::io::ErrorKind::Other;
    disk.fail(DiskFault { call: Call::Sync, skip: 0, times: u64::MAX, kind });
    assert_eq!(put("/registry/events/2"), Ok(3), "nothing is synced for it");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while rig.store.is_serving() && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    put("/registry/events/3").unwrap_err();
    assert!(matches!(rig.end(), Ended::Engine(_)));
}

/// What is not under the prefixes waits for its sync, and so does a transaction that touches something else too.
#[test]
fn only_what_lies_under_the_prefixes_is_deferred() {
    let runtime = runtime();
    let check = |keys: &[&str], is_deferred: bool| {
        let disk = PowerDisk::new();
        let rig = open(&disk, Boot([1; 16])).expect("open");
        let first = runtime.block_on(rig.store.txn(&requests::put("/registry/events/0", "first")));
        assert!(first.is_ok(), "the reserve is there");
        let changes: Vec<_> = keys.iter().map(|key| requests::changed(key, "value")).collect();
        let kind = std::io::ErrorKind::Other;
        disk.fail(DiskFault { call: Call::Sync, skip: 0, times: u64::MAX, kind });
        let written = runtime.block_on(rig.store.txn(&requests::all(&changes)));
        assert_eq!(written.is_ok(), is_deferred, "{keys:?}");
        rig.end();
    };
    check(&["/registry/events/a"], true);
    check(&["/registry/events/a", "/registry/events/b"], true);
    check(&["/registry/events/a", "/registry/pods/b"], false);
    check(&["/registry/pods/a"], false);
    check(&["/registry/events"], false);
}
