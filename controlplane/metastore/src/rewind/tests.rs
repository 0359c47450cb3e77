//! Every revision of a small store, as it was told and as it is found again.

use std::collections::BTreeMap;

use super::*;
use crate::chronology::Kept;
use crate::engine::log::LogOptions;
use crate::index::KeyRange;
use crate::record::{self, TxnWriter};

const OPTIONS: LogOptions = LogOptions { segment_bytes: 64 << 10 };

type Keys = BTreeMap<Vec<u8>, Vec<u8>>;

/// Revisions 2 to `newest`: 7 keys are written in turn, some deleted. Compacted and with a checkpoint where it says.
fn written(engine: &LogEngine, newest: Revision, compact_at: &[Revision], checkpoint_at: Revision) {
    let (epoch, mut at) = engine.claim().unwrap();
    let mut state = State::default();
    for revision in 2..=newest {
        let mut payload = Vec::new();
        let key = format!("key {}", revision % 7);
        let mut txn = TxnWriter::begin(&mut payload, revision);
        if revision % 5 == 0 {
            txn.delete(key.as_bytes());
        } else {
            txn.put(key.as_bytes(), 0, format!("value {revision}").as_bytes());
        }
        txn.finish();
        if compact_at.contains(&revision) {
            record::compacted(&mut payload, revision - 1);
        }
        let group = engine.append(epoch, at, &[&payload]).unwrap();
        let payload = payload.into();
        replay::group(
            &mut state,
            (at.0 + crate::engine::HEADER_BYTES, &payload),
            0,
            &mut |_, _| {},
        )
        .unwrap();
        at = group;
        if revision == checkpoint_at {
            let checkpoint = checkpoint::Checkpoint { state: state.clone(), groups: Vec::new() };
            engine.write_checkpoint(at, &mut |out| checkpoint::write(&checkpoint, out)).unwrap();
        }
    }
}

fn expected(at: Revision) -> Keys {
    let mut keys = Keys::new();
    for revision in 2..=at {
        let key = format!("key {}", revision % 7).into_bytes();
        if revision % 5 == 0 {
            keys.remove(&key);
        } else {
            keys.insert(key, format!("value {revision}").into_bytes());
        }
    }
    keys
}

fn found(engine: &LogEngine, state: &State, at: Revision) -> Keys {
    let all = state.index.range(&KeyRange::all());
    let existing = all.filter_map(|(key, entry)| Some((key.to_vec(), *entry.at(at)?)));
    let value = |place: crate::mvcc::Place| {
        engine.read(Lsn(place.lsn), place.length as usize).unwrap().to_vec()
    };
    existing.map(|(key, version)| (key, value(version.place))).collect()
}

#[test]
fn every_revision_of_a_log_that_is_whole_is_found_and_copied() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = LogEngine::open(&folder.path().join("old"), OPTIONS).unwrap();
    written(&engine, 100, &[40, 80], 60);
    for asked in 1..=100 {
        let rewound = at(&engine, asked).unwrap();
        assert!(rewound.is_exact, "{asked}");
        assert_eq!(rewound.newest, 100);
        assert_eq!(found(&engine, &rewound.state, asked), expected(asked), "{asked}");
        let new = folder.path().join(format!("new {asked}"));
        let (new, _) = LogEngine::open(&new, OPTIONS).unwrap();
        let mut copier = Copier::begin(&new).unwrap();
        copy(&engine, &rewound, &mut copier, &mut |_| {}).unwrap();
        copier.flush().unwrap();
        let mut state = State::default();
        replay_until(&new, Lsn(0), &mut state, Revision::MAX).unwrap();
        assert_eq!((state.revision, state.compacted), (asked, rewound.state.compacted));
        assert_eq!(found(&new, &state, asked), expected(asked), "{asked}");
        let kept = |state: &State| -> Vec<(Vec<u8>, u32, i64)> {
            let all = Chronology::new(&state.index, asked, state.compacted).iter();
            let one = |Kept { key, version }: Kept| {
                (key.to_vec(), version.place.sub, version.create_revision + 1000 * version.number)
            };
            all.map(one).collect()
        };
        assert_eq!(kept(&state), kept(&rewound.state), "{asked}");
    }
    let error = at(&engine, 101).unwrap_err().to_string();
    assert!(error.contains("the newest is 100"), "{error}");
}

#[test]
fn a_trimmed_log_has_what_its_checkpoint_has_not_compacted() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) =
        LogEngine::open(folder.path(), LogOptions { segment_bytes: 1 << 10 }).unwrap();
    written(&engine, 100, &[40, 80], 60);
    engine.trim(engine.checkpoints()[0]).unwrap();
    assert!(engine.size().oldest > Lsn(0));
    for asked in 39..=100 {
        let rewound = at(&engine, asked).unwrap();
        assert_eq!(rewound.is_exact, asked >= 60, "{asked}");
        // Where values lay is gone with the log; which versions there were is in the checkpoint.
        let view = |state: &State| {
            let all = state.index.range(&KeyRange::all());
            all.filter(|(_, entry)| entry.at(asked).is_some()).count()
        };
        assert_eq!(view(&rewound.state), expected(asked).len(), "{asked}");
    }
    let error = at(&engine, 38).unwrap_err().to_string();
    assert!(error.contains("the oldest that is left is 39"), "{error}");
}
