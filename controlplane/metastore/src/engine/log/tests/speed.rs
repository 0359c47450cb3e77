//! Appends per second on the disk below the build folder. Says numbers and asserts nothing; run it with `--ignored --nocapture`.

use std::time::{Duration, Instant};

use super::*;

fn measure(payload_bytes: usize) {
    let target = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target");
    let root = tempfile::tempdir_in(target).expect("a folder");
    let (engine, _) = LogEngine::open(root.path(), LogOptions::default()).expect("open");
    let (epoch, mut head) = engine.claim().expect("claim");
    let payload = vec![7; payload_bytes];
    let mut took: Vec<Duration> = Vec::new();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        let start = Instant::now();
        head = engine.append(epoch, head, &[&payload]).expect("append");
        took.push(start.elapsed());
    }
    let per_second = took.len() as f64 / began.elapsed().as_secs_f64();
    took.sort();
    let [median, p99] = [took[took.len() / 2], took[took.len() * 99 / 100]];
    let max = took[took.len() - 1];
    println!("{payload_bytes} bytes: {per_second:.0}/s, p50 {median:?}, p99 {p99:?}, max {max:?}");
    let start = Instant::now();
    let groups = engine.groups(Lsn(0)).expect("groups");
    let bytes: usize = groups.map(|group| group.expect("whole").payload.len()).sum();
    println!("  read back and verified {} MiB in {:?}", bytes >> 20, start.elapsed());
    drop(engine);
    let start = Instant::now();
    LogEngine::open(root.path(), LogOptions::default()).map(drop).expect("open");
    println!("  opened in {:?}", start.elapsed());
}

#[test]
#[ignore = "a measurement"]
fn appends_per_second() {
    measure(1 << 10);
    measure(64 << 10);
}
