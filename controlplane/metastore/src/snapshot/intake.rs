//! A snapshot file of etcd, or the file that an etcd keeps itself, taken over into a new log. Owns what is believed of its contents;
//! whether the file is one is `reader`'s.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};

use bytes::Bytes;
use prost::Message as _;
use proto::etcd::mvccpb::KeyValue;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::etcd::{self, Lease};
use super::reader::{BoltEntry, BoltError, BoltFile, ReadAt};
use crate::copy::{Copier, CopyError};
use crate::lease::{MAX_TTL_S, MIN_TTL_S};
use crate::mvcc::{Place, Revision, Version};
use crate::record::Copied;

/// etcd's pages are at least so long, and a checksum follows them.
const BLOCK_BYTES: u64 = 512;
const SUM_BYTES: u64 = 32;

#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IntakeError {
    #[error(transparent)]
    Bolt(#[from] BoltError),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error("read the file")]
    Io(#[from] io::Error),
    #[error(
        "the file has no checksum at its end: it is no snapshot, or it is cut off. A copy of an etcd's own file has none; take it with \
         --skip-hash-check"
    )]
    NoChecksum,
    #[error("the file does not have the checksum that is written at its end: it is damaged")]
    Checksum,
    #[error("key {key:?} of bucket {bucket}: {what}")]
    Entry { bucket: &'static str, key: String, what: &'static str },
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intake {
    pub revision: Revision,
    pub compacted: Revision,
    pub n_versions: u64,
    pub leases: Vec<i64>,
}

/// How many bytes of a snapshot are the file itself, once its checksum is seen to be right. `progress` is told how many were read.
pub fn verified_bytes(file: &mut File, progress: &mut dyn FnMut(u64)) -> Result<u64, IntakeError> {
    let length = file.metadata()?.len();
    if length % BLOCK_BYTES != SUM_BYTES {
        return Err(IntakeError::NoChecksum);
    }
    let body = length - SUM_BYTES;
    file.rewind()?;
    let (mut sum, mut read) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    while read < body {
        let n = usize::try_from(body - read).unwrap_or(usize::MAX).min(buffer.len());
        file.read_exact(&mut buffer[..n])?;
        sum.update(&buffer[..n]);
        read += n as u64;
        progress(read);
    }
    let mut expected = [0; SUM_BYTES as usize];
    file.read_exact(&mut expected)?;
    if sum.finalize()[..] == expected { Ok(body) } else { Err(IntakeError::Checksum) }
}

/// Everything of the file. `progress` is told how many versions were taken.
pub fn take<R: ReadAt>(
    file: &BoltFile<R>,
    copier: &mut Copier<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Intake, IntakeError> {
    let compacted = compacted(file)?;
    let mut leases = Vec::new();
    for entry in file.bucket(etcd::LEASES)? {
        let (id, ttl_s) = lease(&entry?)?;
        copier.lease(id, ttl_s);
        leases.push(id);
    }
    let mut transaction: (Revision, Vec<Copied>) = (0, Vec::new());
    for entry in file.bucket(etcd::KEYS)? {
        let copied = write(&entry?)?;
        let revision = copied.version.mod_revision;
        if revision != transaction.0 {
            let before = std::mem::replace(&mut transaction, (revision, Vec::new()));
            end_transaction(copier, &before)?;
            progress(copier.n_writes);
        }
        transaction.1.push(copied);
    }
    end_transaction(copier, &transaction)?;
    // The newest revisions may be deletions that were compacted away.
    if compacted > copier.revision() {
        copier.transaction(compacted, &[])?;
    }
    if compacted > 0 {
        copier.compacted(compacted);
    }
    let (revision, n_versions) = (copier.revision(), copier.n_writes);
    Ok(Intake { revision, compacted, n_versions, leases })
}

fn end_transaction(
    copier: &mut Copier<'_>,
    (revision, writes): &(Revision, Vec<Copied>),
) -> Result<(), CopyError> {
    if writes.is_empty() { Ok(()) } else { copier.transaction(*revision, writes) }
}

/// One that was begun counts too: nobody could read what was before it any more.
fn compacted<R: ReadAt>(file: &BoltFile<R>) -> Result<Revision, IntakeError> {
    let mut compacted = 0;
    for entry in file.bucket(etcd::META)? {
        let entry = entry?;
        let names = [etcd::FINISHED_COMPACTION, etcd::SCHEDULED_COMPACTION];
        if names.iter().any(|name| entry.key == name.as_bytes()) {
            let revision = etcd::read_revision_key(&entry.value);
            let (revision, ..) =
                revision.ok_or_else(|| error(etcd::META, &entry, "is no revision"))?;
            compacted = compacted.max(revision);
        }
    }
    Ok(compacted)
}

fn lease(entry: &BoltEntry) -> Result<(i64, i64), IntakeError> {
    let lease = Lease::decode(entry.value.clone())
        .map_err(|_undecodable| error(etcd::LEASES, entry, "is no lease"))?;
    if lease.id.to_be_bytes() != entry.key[..] {
        return Err(error(etcd::LEASES, entry, "is the lease of another number"));
    }
    Ok((lease.id, lease.ttl_s.clamp(MIN_TTL_S, MAX_TTL_S)))
}

fn write(entry: &BoltEntry) -> Result<Copied, IntakeError> {
    let error = |what| error(etcd::KEYS, entry, what);
    let (revision, sub, is_deletion) =
        etcd::read_revision_key(&entry.key).ok_or_else(|| error("is no revision"))?;
    let kv =
        KeyValue::decode(entry.value.clone()).map_err(|_undecodable| error("is no key value"))?;
    let sub = u32::try_from(sub).map_err(|_too_large| error("is too late in a transaction"))?;
    let length = u32::try_from(kv.value.len()).map_err(|_too_large| error("is too large"))?;
    if is_deletion {
        let version = Version::deleted_as(revision, sub);
        return Ok(Copied { key: kv.key, version, value: Bytes::new() });
    }
    let is_right = kv.mod_revision == revision
        && kv.version >= 1
        && (1..=revision).contains(&kv.create_revision);
    if !is_right {
        return Err(error("has revisions that cannot be"));
    }
    let place = Place { lsn: 0, length, sub };
    let version = Version {
        mod_revision: revision,
        create_revision: kv.create_revision,
        number: kv.version,
        lease: kv.lease,
        place,
    };
    Ok(Copied { key: kv.key, version, value: kv.value })
}

fn error(bucket: &'static str, entry: &BoltEntry, what: &'static str) -> IntakeError {
    IntakeError::Entry { bucket, key: entry.key.escape_ascii().to_string(), what }
}
