//! The state as bytes, for a start that need not read the whole log: revisions, leases, and every key with its versions and where their
//! values lie. Pure; when one is written and where it lies is elsewhere. `docs/metastore-format.md` has the layout.

use std::io::{self, Read, Write};

use bytes::Bytes;
use thiserror::Error;

use crate::alarm;
use crate::index::KeyRange;
use crate::lease::{Leases, Nanos};
use crate::mvcc::{Entry, Place, Revision, Version};
use crate::reserve::{Boot, Reserve};
use crate::state::{State, bytes_of};

/// Of this layout. Version 2 has no reserve; version 1 has no alarm either, and does not say which write of its transaction a version is.
const VERSION: u8 = 3;

#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    #[error("read a checkpoint: {0}")]
    Io(#[from] io::Error),
    #[error("a checkpoint of version {found}; this program reads 1 to {VERSION}")]
    UnknownVersion { found: u8 },
    #[error("a checkpoint with a key that has no version")]
    NoVersion,
}

/// A state, and where the log has the revisions that can still be watched from.
#[derive(Debug)]
pub struct Checkpoint {
    pub state: State,
    /// Revision and place of some groups, ascending.
    pub groups: Vec<(Revision, u64)>,
}

/// Everything but the keys of leases, which the versions name.
pub fn write(checkpoint: &Checkpoint, out: &mut dyn Write) -> io::Result<()> {
    let Checkpoint { state, groups } = checkpoint;
    out.write_all(&[VERSION])?;
    numbers(out, &[state.revision, state.compacted, alarm::number(state.no_space)])?;
    // The same as no reserve: all revisions up to 0 are given.
    let reserve = state.reserve.unwrap_or_else(|| Reserve::settled(0, Boot::UNKNOWN));
    numbers(out, &[reserve.until])?;
    out.write_all(&reserve.boot.0)?;
    length(out, state.leases.len())?;
    for (id, lease) in state.leases.iter() {
        numbers(out, &[id, lease.ttl_s])?;
    }
    length(out, groups.len())?;
    for (revision, at) in groups {
        numbers(out, &[*revision])?;
        out.write_all(&at.to_le_bytes())?;
    }
    length(out, state.index.len())?;
    for (key, entry) in state.index.range(&KeyRange::all()) {
        length(out, key.len())?;
        out.write_all(&key)?;
        let versions: Vec<&Version> = entry.versions().collect();
        length(out, versions.len())?;
        for version in versions.into_iter().rev() {
            write_version(out, version)?;
        }
    }
    Ok(())
}

fn write_version(out: &mut dyn Write, version: &Version) -> io::Result<()> {
    numbers(out, &[version.mod_revision, version.create_revision, version.number, version.lease])?;
    out.write_all(&version.place.lsn.to_le_bytes())?;
    out.write_all(&version.place.length.to_le_bytes())?;
    out.write_all(&version.place.sub.to_le_bytes())
}

/// With every lease's whole time from `now` on.
pub fn read(body: &mut dyn Read, now: Nanos) -> Result<Checkpoint, CheckpointError> {
    let [version] = array(body)?;
    let has_sub = version > 1;
    if !(1..=VERSION).contains(&version) {
        return Err(CheckpointError::UnknownVersion { found: version });
    }
    let (revision, compacted) = (number(body)?, number(body)?);
    let no_space = if version == 1 { None } else { alarm::of_number(number(body)?) };
    let reserve = if version < 3 { None } else { read_reserve(body)? };
    let mut leases = Leases::default();
    for _ in 0..read_length(body)? {
        let (id, ttl_s) = (number(body)?, number(body)?);
        // Each is written once.
        let _ = leases.grant(id, ttl_s, now);
    }
    let mut state = State { revision, compacted, leases, no_space, reserve, ..State::default() };
    let mut groups = Vec::new();
    for _ in 0..read_length(body)? {
        groups.push((number(body)?, u64::from_le_bytes(array(body)?)));
    }
    for _ in 0..read_length(body)? {
        let key = read_key(body)?;
        let versions = (0..read_length(body)?).map(|_| read_version(body, has_sub));
        let versions = versions.collect::<Result<Vec<_>, CheckpointError>>()?;
        let entry = Entry::of(versions).ok_or(CheckpointError::NoVersion)?;
        state.version_bytes += entry.versions().map(|one| bytes_of(&key, one)).sum::<u64>();
        state.leases.attach(entry.newest().lease, &key);
        state.index.insert(key, entry);
    }
    Ok(Checkpoint { state, groups })
}

fn read_reserve(body: &mut dyn Read) -> Result<Option<Reserve>, CheckpointError> {
    let reserve = Reserve { until: number(body)?, boot: Boot(array(body)?) };
    Ok((reserve.until > 0).then_some(reserve))
}

/// A length that is too long is found at the end of the body, and not by taking so much memory.
fn read_key(body: &mut dyn Read) -> Result<Bytes, CheckpointError> {
    let (length, mut key) = (read_length(body)?, Vec::new());
    body.take(length as u64).read_to_end(&mut key)?;
    if key.len() < length {
        return Err(CheckpointError::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(key.into())
}

fn read_version(body: &mut dyn Read, has_sub: bool) -> Result<Version, CheckpointError> {
    let (mod_revision, create_revision) = (number(body)?, number(body)?);
    let (number_of, lease): (Revision, i64) = (number(body)?, number(body)?);
    let (lsn, length) = (u64::from_le_bytes(array(body)?), u32::from_le_bytes(array(body)?));
    let sub = if has_sub { u32::from_le_bytes(array(body)?) } else { 0 };
    let place = Place { lsn, length, sub };
    Ok(Version { mod_revision, create_revision, number: number_of, lease, place })
}

fn numbers(out: &mut dyn Write, numbers: &[i64]) -> io::Result<()> {
    numbers.iter().try_for_each(|number| out.write_all(&number.to_le_bytes()))
}

fn length(out: &mut dyn Write, length: usize) -> io::Result<()> {
    out.write_all(&(length as u64).to_le_bytes())
}

fn number(body: &mut dyn Read) -> Result<i64, CheckpointError> {
    Ok(i64::from_le_bytes(array(body)?))
}

fn read_length(body: &mut dyn Read) -> Result<usize, CheckpointError> {
    Ok(usize::try_from(u64::from_le_bytes(array(body)?)).unwrap_or(usize::MAX))
}

fn array<const N: usize>(body: &mut dyn Read) -> Result<[u8; N], CheckpointError> {
    let mut bytes = [0; N];
    body.read_exact(&mut bytes)?;
    Ok(bytes)
}
