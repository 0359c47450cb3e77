//! Small stores in the order of their revisions, in parts of every size.

use super::*;
use crate::mvcc::Place;
use crate::state::State;

fn version(mod_revision: Revision, number: i64, sub: u32) -> Version {
    let place = Place { lsn: 1, length: 1, sub };
    let create_revision = if number == 0 { 0 } else { 2 };
    Version { mod_revision, create_revision, number, lease: 0, place }
}

/// A key, and of each of its versions, oldest first, the revision, the number of the write (0: deleted) and which write of its transaction
/// it is.
type Versions = (&'static str, &'static [(Revision, i64, u32)]);

fn index(keys: &[Versions]) -> Index<Entry> {
    let mut state = State::default();
    for (key, versions) in keys {
        let versions = versions.iter().map(|(at, number, sub)| version(*at, *number, *sub));
        state.index.insert(key, Entry::of(versions).unwrap());
    }
    state.index
}

#[track_caller]
fn check(keys: &[Versions], at: (Revision, Revision), all: &str) {
    let index = index(keys);
    for in_part in [1, 2, 3, 1000] {
        let mut chronology = Chronology::new(&index, at.0, at.1);
        chronology.in_part = in_part;
        let found = chronology.iter().map(|Kept { key, version }| {
            let tombstone = if version.is_deletion() { "t" } else { "" };
            let key = String::from_utf8_lossy(&key).into_owned();
            format!("{}.{}{tombstone}={key}", version.mod_revision, version.place.sub)
        });
        assert_eq!(found.collect::<Vec<_>>().join(" "), all, "{in_part} in a part");
    }
}

#[test]
fn versions_come_in_the_order_of_their_writing() {
    let keys: &[Versions] = &[
        ("a", &[(2, 1, 0), (5, 2, 1), (7, 0, 0)]),
        ("b", &[(3, 1, 0), (5, 2, 0)]),
        ("c", &[(4, 1, 0), (6, 0, 0), (8, 1, 0)]),
    ];
    check(keys, (9, 0), "2.0=a 3.0=b 4.0=c 5.0=b 5.1=a 6.0t=c 7.0t=a 8.0=c");
    check(keys, (6, 0), "2.0=a 3.0=b 4.0=c 5.0=b 5.1=a 6.0t=c");
    // What each key was at the compacted revision stays, unless it was not there.
    check(keys, (9, 5), "4.0=c 5.0=b 5.1=a 6.0t=c 7.0t=a 8.0=c");
    check(keys, (9, 6), "5.0=b 5.1=a 7.0t=a 8.0=c");
    check(keys, (9, 9), "5.0=b 8.0=c");
    check(&[], (9, 9), "");
}

#[test]
fn unknown_writes_of_a_transaction_are_counted() {
    check(
        &[("a", &[(2, 1, 0)]), ("b", &[(2, 1, 0)]), ("c", &[(3, 1, 0)])],
        (9, 0),
        "2.0=a 2.1=b 3.0=c",
    );
}
