//! What must be so of a store that was opened again, by what its clients know.

use std::collections::HashSet;

use bytes::Bytes;

use super::live::{Attempt, Journal, Told, by_value};
use crate::mvcc::Revision;
use crate::range::Values as _;
use crate::store::Store;
use crate::testkit::chronicle::{Change, Chronicle};

/// Reads everything that can be read, and adds to the chronicle what was not known.
pub(super) fn reopened(
    store: &Store,
    journal: &Journal,
    chronicle: &mut Chronicle,
) -> Result<(), String> {
    let committed = store.committed();
    let (revision, compacted) = (committed.revision, committed.compacted);
    let known = journal.highest.max(chronicle.last());
    if revision < known {
        return Err(format!("the store is at {revision}, and {known} was acknowledged"));
    }
    let is_asked = compacted == 0 || journal.compactions.contains(&compacted);
    if compacted < journal.compacted || !is_asked {
        return Err(format!("compacted at {compacted}, acknowledged {}", journal.compacted));
    }
    read_history(store, chronicle, compacted)?;
    if chronicle.last() != revision {
        return Err(format!("history ends at {}, the store at {revision}", chronicle.last()));
    }
    told_is_so(journal, chronicle)?;
    written_was_asked(journal, chronicle)?;
    leases(store, journal)?;
    for at in [compacted.max(1), revision] {
        state(store, chronicle, at)?;
    }
    for attempt in &journal.attempts {
        if let Told::Written(at) = attempt.told
            && at >= compacted
        {
            attempt.changes.iter().try_for_each(|one| key(store, chronicle, &one.key, at))?;
        }
    }
    Ok(())
}

/// All that can be read of it, from the log.
pub(super) fn read_history(
    store: &Store,
    chronicle: &mut Chronicle,
    compacted: Revision,
) -> Result<(), String> {
    let mut next = compacted.max(2);
    loop {
        let some = store.history(next).map_err(|error| format!("history of {next}: {error}"))?;
        let Some(last) = some.last() else { return Ok(()) };
        for one in &some {
            chronicle.add(one.revision, Change::of_happening(one))?;
        }
        next = last.revision + 1;
    }
}

/// What was acknowledged is there, and what was read was there.
pub(super) fn told_is_so(journal: &Journal, chronicle: &Chronicle) -> Result<(), String> {
    if let Some(broken) = journal.broken.first() {
        return Err(broken.clone());
    }
    for attempt in &journal.attempts {
        if let Told::Written(revision) = attempt.told {
            let is = chronicle.at(revision).unwrap_or_default();
            let should = effective(attempt, chronicle, revision);
            if is != should {
                return Err(format!("acknowledged at {revision}: {should:?}, and it is {is:?}"));
            }
        }
    }
    for (key, revision, value) in &journal.read {
        let kv = chronicle.key_at(key, *revision);
        let should = kv.map(|kv| (kv.mod_revision, kv.value.clone()));
        if *value != should {
            return Err(format!("{key:?} was read at {revision} as {value:?}, not {should:?}"));
        }
    }
    Ok(())
}

/// Each revision is an attempt, whole, once, and none of those that were refused.
fn written_was_asked(journal: &Journal, chronicle: &Chronicle) -> Result<(), String> {
    let (by_value, mut used) = (by_value(journal), HashSet::new());
    for (revision, changes) in chronicle.from(2) {
        let value = changes.iter().find_map(|change| change.value.as_ref());
        let Some(value) = value else {
            deletion_was_asked(journal, chronicle, (revision, changes))?;
            continue;
        };
        let nth = by_value.get(value).ok_or_else(|| format!("nobody wrote revision {revision}"))?;
        let attempt = &journal.attempts[*nth];
        let is_whole = effective(attempt, chronicle, revision) == changes;
        let is_allowed = match attempt.told {
            Told::Nothing => true,
            Told::Written(told) => told == revision,
            Told::NotWritten => false,
        };
        if !is_whole || !is_allowed || !guard_held(attempt, chronicle, revision) {
            return Err(format!("revision {revision} is {changes:?}, attempt {attempt:?}"));
        }
        if !used.insert(nth) {
            return Err(format!("revision {revision} is written for the second time"));
        }
    }
    Ok(())
}

fn deletion_was_asked(
    journal: &Journal,
    chronicle: &Chronicle,
    (revision, changes): (Revision, &[Change]),
) -> Result<(), String> {
    let is_it = |attempt: &Attempt| {
        let is_told =
            matches!(attempt.told, Told::Nothing) || attempt.told == Told::Written(revision);
        attempt.changes == changes && is_told && guard_held(attempt, chronicle, revision)
    };
    let lease = |change: &Change| chronicle.key_at(&change.key, revision - 1).map(|kv| kv.lease);
    let of_lease = changes.first().and_then(lease).unwrap_or_default();
    let is_revoked = journal.revoked.contains_key(&of_lease)
        && changes.iter().all(|change| lease(change) == Some(of_lease))
        && chronicle.all_at(revision).iter().all(|kv| kv.lease != of_lease);
    if is_revoked || journal.attempts.iter().any(is_it) {
        return Ok(());
    }
    Err(format!("nobody asked for revision {revision}, {changes:?}"))
}

fn guard_held(attempt: &Attempt, chronicle: &Chronicle, revision: Revision) -> bool {
    attempt.guard.as_ref().is_none_or(|(key, guard)| {
        chronicle.key_at(key, revision - 1).map_or(0, |kv| kv.mod_revision) == *guard
    })
}

/// Without deletions of what was not there.
fn effective(attempt: &Attempt, chronicle: &Chronicle, revision: Revision) -> Vec<Change> {
    let is_there = |key: &Bytes| chronicle.key_at(key, revision - 1).is_some();
    let changes = attempt.changes.iter();
    changes.filter(|change| change.value.is_some() || is_there(&change.key)).cloned().collect()
}

fn leases(store: &Store, journal: &Journal) -> Result<(), String> {
    let there = store.leases().map_err(|refusal| refusal.to_string())?;
    for (id, is_acknowledged) in &journal.granted {
        let must_be = *is_acknowledged && !journal.revoked.contains_key(id);
        let must_not = journal.revoked.get(id) == Some(&true);
        let is = there.contains(id);
        if (must_be && !is) || (must_not && is) {
            return Err(format!("lease {id} is there: {is}"));
        }
    }
    match there.iter().find(|id| !journal.granted.contains_key(id)) {
        Some(id) => Err(format!("nobody asked for lease {id}")),
        None => Ok(()),
    }
}

/// All keys of one revision.
fn state(store: &Store, chronicle: &Chronicle, at: Revision) -> Result<(), String> {
    let committed = store.committed();
    let view = committed.view_at(at);
    let is: Vec<Bytes> =
        view.range(&crate::index::KeyRange::all()).map(|(key, _)| key.to_bytes()).collect();
    let should: Vec<Bytes> = chronicle.all_at(at).iter().map(|kv| kv.key.clone()).collect();
    if is != should {
        return Err(format!("at {at} there are {is:?} and not {should:?}"));
    }
    should.iter().try_for_each(|one| key(store, chronicle, one, at))
}

fn key(store: &Store, chronicle: &Chronicle, key: &Bytes, at: Revision) -> Result<(), String> {
    let committed = store.committed();
    let version = committed.view_at(at).get(key).copied();
    let is = match version {
        None => None,
        Some(version) => {
            let value = committed.value(key, &version).map_err(|error| error.to_string())?;
            Some(crate::txn::key_value(key, &version, value))
        }
    };
    let should = chronicle.key_at(key, at);
    if is.as_ref() == should {
        Ok(())
    } else {
        Err(format!("{key:?} at {at} is {is:?}, not {should:?}"))
    }
}
