//! Histories of one key and what is left of them, against a list that forgets nothing.

use proptest::prelude::*;

use super::*;

fn written(mod_revision: Revision, create_revision: Revision, number: i64) -> Version {
    let place = Place { lsn: mod_revision.unsigned_abs() * 100, length: 1, sub: 0 };
    Version { mod_revision, create_revision, number, lease: 0, place }
}

/// Created at 2, written at 4, deleted at 6, created again at 8.
fn history() -> Entry {
    let versions = [written(2, 2, 1), written(4, 2, 2), Version::deleted(6), written(8, 8, 1)];
    Entry::of(versions).unwrap()
}

#[test]
fn a_key_is_what_was_written_last() {
    let entry = history();
    let at = |revision| entry.at(revision).map(|version| version.mod_revision);
    for (revision, expected) in [
        (0, None),
        (1, None),
        (2, Some(2)),
        (3, Some(2)),
        (5, Some(4)),
        (6, None),
        (7, None),
        (9, Some(8)),
    ] {
        assert_eq!(at(revision), expected, "at {revision}");
    }
    assert_eq!(entry.before(4).map(|version| version.mod_revision), Some(2));
    assert_eq!(entry.before(8), None);
    assert_eq!(entry.weight(), 1);
    assert_eq!(Entry::new(Version::deleted(3)).weight(), 0);
}

#[test]
fn compaction_keeps_what_can_still_be_asked_for() {
    for (revision, kept) in [
        (1, vec![8, 6, 4, 2]),
        (2, vec![8, 6, 4, 2]),
        (3, vec![8, 6, 4, 2]),
        (4, vec![8, 6, 4]),
        (5, vec![8, 6, 4]),
        (6, vec![8]),
        (7, vec![8]),
        (8, vec![8]),
        (99, vec![8]),
    ] {
        let entry = history().compact(revision).unwrap();
        let left: Vec<_> = entry.versions().map(|version| version.mod_revision).collect();
        assert_eq!(left, kept, "compacted at {revision}");
    }
    assert!(Entry::new(Version::deleted(6)).compact(6).is_none());
    assert!(Entry::new(Version::deleted(6)).compact(5).is_some());
}

#[test]
fn a_value_that_moved_is_found_where_it_is() {
    let mut entry = history();
    let place = Place { lsn: 7, length: 1, sub: 0 };
    assert!(entry.relocate(4, place));
    assert!(!entry.relocate(5, place));
    assert_eq!(entry.at(5).unwrap().place, place);
    assert_eq!(entry.at(3).unwrap().place.lsn, 200);
    assert_eq!(entry.versions().count(), 4);
}

#[test]
fn a_million_versions_go_without_a_million_calls() {
    let mut entry = Entry::new(written(1, 1, 1));
    (2..1_000_000).for_each(|revision| entry.push(written(revision, 1, revision)));
    let shared = entry.clone();
    drop(entry);
    assert_eq!(shared.newest().number, 999_999);
    drop(shared);
}

proptest! {
    /// Whoever asks at the compacted revision or later sees what he saw before.
    #[test]
    fn compaction_changes_no_answer(deletes in prop::collection::vec(any::<bool>(), 1..20), at in 0..25i64) {
        let revisions = (1..).zip(&deletes);
        let versions = revisions.map(|(revision, delete)| match delete {
            true => Version::deleted(revision),
            false => written(revision, 1, 1),
        });
        let entry = Entry::of(versions).unwrap();
        let left = entry.compact(at);
        for revision in at..30 {
            let seen = left.as_ref().and_then(|left| left.at(revision));
            prop_assert_eq!(seen, entry.at(revision));
        }
    }
}
