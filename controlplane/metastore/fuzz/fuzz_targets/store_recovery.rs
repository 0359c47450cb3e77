//! A good log with arbitrary damage: refused with a reason, or opened with a beginning of what was written, and never with other bytes.
//! What a start makes of it is opened again in the same way.

#![no_main]

use std::sync::{Arc, LazyLock};

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use metastore::engine::log::{LogEngine, LogOptions};
use metastore::engine::power::PowerDisk;
use metastore::engine::{Engine as _, Lsn};

#[derive(Arbitrary, Debug)]
enum Damage {
    Byte { file: u8, at: u16, xor: u8 },
    Cut { file: u8, at: u16 },
    Longer { file: u8, bytes: Vec<u8> },
    Gone { file: u8 },
    Named { bytes: Vec<u8>, number: u16 },
}

const TINY: LogOptions = LogOptions { segment_bytes: 512 };

struct Good {
    disk: PowerDisk,
    payloads: Vec<Bytes>,
}

static GOOD: LazyLock<Good> = LazyLock::new(|| {
    let disk = PowerDisk::new();
    let (engine, _) = LogEngine::open_on(Arc::new(disk.clone()), TINY).expect("open");
    let (epoch, mut head) = engine.claim().expect("claim");
    let mut payloads = Vec::new();
    for number in 0..8_u8 {
        let payload = vec![number; 60 + 7 * usize::from(number)];
        if number == 3 {
            engine
                .write_checkpoint(head, &mut |out| out.write_all(b"a checkpoint"))
                .expect("checkpoint");
        }
        head = engine.append(epoch, head, &[&payload]).expect("append");
        payloads.push(payload.into());
    }
    drop(engine);
    Good { disk: disk.settled(), payloads }
});

fuzz_target!(|damage: Vec<Damage>| {
    let disk = GOOD.disk.settled();
    damage.iter().for_each(|one| apply(&disk, one));
    let Some(found) = payloads(&disk) else { return };
    // Files that are gone or cut may take the beginning with them only if the rest is refused.
    assert!(GOOD.payloads.starts_with(&found), "{found:?}");
    assert_eq!(payloads(&disk.settled()), Some(found), "after the start that put it right");
});

fn payloads(disk: &PowerDisk) -> Option<Vec<Bytes>> {
    let (engine, _) = LogEngine::open_on(Arc::new(disk.clone()), TINY).ok()?;
    let _ = engine.latest_checkpoint().map(|latest| latest.checkpoint.map(|it| it.at));
    if engine.size().oldest != Lsn(0) {
        return None;
    }
    let groups = engine.groups(Lsn(0)).ok()?;
    groups.map(|group| group.ok().map(|group| group.payload)).collect()
}

fn apply(disk: &PowerDisk, damage: &Damage) {
    let names = disk.file_names();
    let chosen = |file: &u8| names.get(usize::from(*file) % names.len().max(1)).cloned();
    let (Damage::Byte { file, .. }
    | Damage::Cut { file, .. }
    | Damage::Longer { file, .. }
    | Damage::Gone { file }) = damage
    else {
        return name(disk, damage);
    };
    let Some(name) = chosen(file) else { return };
    let mut bytes = disk.contents(&name).unwrap_or_default();
    match damage {
        Damage::Byte { at, xor, .. } if !bytes.is_empty() => {
            let at = usize::from(*at) % bytes.len();
            bytes[at] ^= xor;
        }
        Damage::Cut { at, .. } => bytes.truncate(usize::from(*at)),
        Damage::Longer { bytes: more, .. } => bytes.extend(more),
        Damage::Gone { .. } => return disk.take(&name),
        Damage::Byte { .. } | Damage::Named { .. } => {}
    }
    disk.put(&name, bytes);
}

fn name(disk: &PowerDisk, damage: &Damage) {
    if let Damage::Named { bytes, number } = damage {
        disk.put(&format!("{number:020}.log"), bytes.clone());
    }
}
