//! What is written into the log: transactions, leases, compactions and values that moved, as bytes. Pure; the groups around them are the
//! engine's. `docs/metastore-format.md` has the layout.

use bytes::{Buf as _, BufMut as _, Bytes};
use thiserror::Error;

use crate::mvcc::{Place, Revision, Version};
use crate::reserve::{Boot, Reserve};

/// One record of a group, read back.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    Txn {
        revision: Revision,
        writes: Vec<Write>,
    },
    LeaseGranted {
        id: i64,
        ttl_s: i64,
    },
    LeaseRevoked {
        id: i64,
    },
    Compacted {
        revision: Revision,
    },
    /// Alarm NOSPACE, by the number of its cause; 0 takes it back.
    Alarm {
        cause: i64,
    },
    /// The value of a version lies here now, because the log before it goes away.
    Moved {
        key: Bytes,
        version: Version,
        value: Bytes,
    },
    /// A transaction, or what is left of it, as another store has it: with numbers that do not follow from what was before.
    Copied {
        revision: Revision,
        writes: Vec<Copied>,
    },
    /// Revisions that may be given without being durable.
    Reserved(Reserve),
}

/// One write of a transaction that was copied. The place of its version is one in the payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Copied {
    pub key: Bytes,
    pub version: Version,
    /// Empty for a deletion.
    pub value: Bytes,
}

/// One write of a transaction. `at` is the offset of the value in the payload.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    Put { key: Bytes, lease: i64, value: Bytes, at: u32 },
    Delete { key: Bytes },
}

const TXN: u8 = 1;
const LEASE_GRANTED: u8 = 2;
const LEASE_REVOKED: u8 = 3;
const COMPACTED: u8 = 4;
const MOVED: u8 = 5;
const ALARM: u8 = 6;
const COPIED: u8 = 7;
const RESERVED: u8 = 8;
const PUT: u8 = 1;
const DELETE: u8 = 2;

/// Kind and length of the body.
const HEAD_BYTES: usize = 5;

/// A payload whose checksum is right and that cannot be read all the same: another version of this program wrote it, or a defect did.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("record at byte {at} of a group: {what}")]
pub struct RecordError {
    pub at: usize,
    pub what: &'static str,
}

/// A transaction that is being written.
#[derive(Debug)]
pub struct TxnWriter<'a> {
    payload: &'a mut Vec<u8>,
    begins_at: usize,
    n_writes: u32,
}

impl<'a> TxnWriter<'a> {
    pub fn begin(payload: &'a mut Vec<u8>, revision: Revision) -> TxnWriter<'a> {
        let begins_at = payload.len();
        payload.put_u8(TXN);
        payload.put_u32_le(0);
        payload.put_i64_le(revision);
        payload.put_u32_le(0);
        TxnWriter { payload, begins_at, n_writes: 0 }
    }

    /// Where the value begins in the payload.
    pub fn put(&mut self, key: &[u8], lease: i64, value: &[u8]) -> usize {
        self.n_writes += 1;
        self.payload.put_u8(PUT);
        sized(self.payload, key);
        self.payload.put_i64_le(lease);
        sized(self.payload, value);
        self.payload.len() - value.len()
    }

    pub fn delete(&mut self, key: &[u8]) {
        self.n_writes += 1;
        self.payload.put_u8(DELETE);
        sized(self.payload, key);
    }

    /// As if it had never begun.
    pub fn cancel(self) {
        self.payload.truncate(self.begins_at);
    }

    pub fn finish(self) {
        let count_at = self.begins_at + HEAD_BYTES + 8;
        self.payload[count_at..count_at + 4].copy_from_slice(&self.n_writes.to_le_bytes());
        close(self.payload, self.begins_at);
    }
}

pub fn lease_granted(payload: &mut Vec<u8>, id: i64, ttl_s: i64) {
    record(payload, LEASE_GRANTED, |body| {
        body.put_i64_le(id);
        body.put_i64_le(ttl_s);
    });
}

pub fn lease_revoked(payload: &mut Vec<u8>, id: i64) {
    record(payload, LEASE_REVOKED, |body| body.put_i64_le(id));
}

pub fn compacted(payload: &mut Vec<u8>, revision: Revision) {
    record(payload, COMPACTED, |body| body.put_i64_le(revision));
}

pub fn alarm(payload: &mut Vec<u8>, cause: i64) {
    record(payload, ALARM, |body| body.put_i64_le(cause));
}

pub fn reserved(payload: &mut Vec<u8>, reserve: Reserve) {
    record(payload, RESERVED, |body| {
        body.put_i64_le(reserve.until);
        body.put_slice(&reserve.boot.0);
    });
}

/// Where the value begins in the payload.
pub fn moved(payload: &mut Vec<u8>, key: &[u8], version: &Version, value: &[u8]) -> usize {
    record(payload, MOVED, |body| {
        sized(body, key);
        version_head(body, version);
        sized(body, value);
    });
    payload.len() - value.len()
}

pub fn copied(payload: &mut Vec<u8>, revision: Revision, writes: &[Copied]) {
    record(payload, COPIED, |body| {
        body.put_i64_le(revision);
        body.put_u32_le(u32::try_from(writes.len()).unwrap_or(u32::MAX));
        for Copied { key, version, value } in writes {
            body.put_u32_le(version.place.sub);
            for number in [version.create_revision, version.number, version.lease] {
                body.put_i64_le(number);
            }
            sized(body, key);
            sized(body, value);
        }
    });
}

/// A version without its place.
fn version_head(body: &mut Vec<u8>, version: &Version) {
    for number in [version.mod_revision, version.create_revision, version.number, version.lease] {
        body.put_i64_le(number);
    }
}

fn record(payload: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let begins_at = payload.len();
    payload.put_u8(kind);
    payload.put_u32_le(0);
    body(payload);
    close(payload, begins_at);
}

fn close(payload: &mut [u8], begins_at: usize) {
    // A group is far smaller than four gigabytes: requests are limited to a few megabytes, and so are groups.
    let length = u32::try_from(payload.len() - begins_at - HEAD_BYTES).unwrap_or(u32::MAX);
    payload[begins_at + 1..begins_at + HEAD_BYTES].copy_from_slice(&length.to_le_bytes());
}

fn sized(body: &mut Vec<u8>, bytes: &[u8]) {
    body.put_u32_le(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    body.put_slice(bytes);
}

/// All records of a payload, in order.
pub fn records(payload: &Bytes) -> Records<'_> {
    Records { payload, at: 0 }
}

#[derive(Debug)]
pub struct Records<'a> {
    payload: &'a Bytes,
    at: usize,
}

impl Iterator for Records<'_> {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Result<Record, RecordError>> {
        if self.at >= self.payload.len() {
            return None;
        }
        let mut reader = Reader { payload: self.payload, at: self.at, end: self.payload.len() };
        let record = reader.record();
        self.at = if record.is_ok() { reader.end } else { self.payload.len() };
        Some(record)
    }
}

struct Reader<'a> {
    payload: &'a Bytes,
    at: usize,
    end: usize,
}

impl Reader<'_> {
    fn record(&mut self) -> Result<Record, RecordError> {
        let kind = self.take(1)?.get_u8();
        let length = self.take(4)?.get_u32_le() as usize;
        if length > self.end - self.at {
            return Err(self.error("is longer than its group"));
        }
        self.end = self.at + length;
        let record = self.body(kind)?;
        if self.at == self.end { Ok(record) } else { Err(self.error("has bytes behind it")) }
    }

    fn body(&mut self, kind: u8) -> Result<Record, RecordError> {
        match kind {
            TXN => {
                let (revision, n_writes) = (self.number()?, self.take(4)?.get_u32_le());
                let writes = (0..n_writes).map(|_| self.write()).collect::<Result<_, _>>()?;
                Ok(Record::Txn { revision, writes })
            }
            LEASE_GRANTED => Ok(Record::LeaseGranted { id: self.number()?, ttl_s: self.number()? }),
            LEASE_REVOKED => Ok(Record::LeaseRevoked { id: self.number()? }),
            COMPACTED => Ok(Record::Compacted { revision: self.number()? }),
            ALARM => Ok(Record::Alarm { cause: self.number()? }),
            MOVED => {
                let key = self.sized()?;
                let mut version = self.version()?;
                let value = self.sized()?;
                version.place = self.place(&value, 0);
                Ok(Record::Moved { key, version, value })
            }
            COPIED => {
                let (revision, n_writes) = (self.number()?, self.take(4)?.get_u32_le());
                let writes = (0..n_writes).map(|_| self.copied(revision));
                Ok(Record::Copied { revision, writes: writes.collect::<Result<_, _>>()? })
            }
            RESERVED => {
                let (until, mut boot) = (self.number()?, Boot::UNKNOWN);
                self.take(boot.0.len())?.copy_to_slice(&mut boot.0);
                Ok(Record::Reserved(Reserve { until, boot }))
            }
            _ => Err(self.error("is of no kind that this version knows")),
        }
    }

    fn write(&mut self) -> Result<Write, RecordError> {
        match self.take(1)?.get_u8() {
            PUT => {
                let (key, lease, value) = (self.sized()?, self.number()?, self.sized()?);
                let at = u32::try_from(self.at - value.len()).unwrap_or(u32::MAX);
                Ok(Write::Put { key, lease, value, at })
            }
            DELETE => Ok(Write::Delete { key: self.sized()? }),
            _ => Err(self.error("holds a write of no kind that this version knows")),
        }
    }

    fn copied(&mut self, mod_revision: Revision) -> Result<Copied, RecordError> {
        let sub = self.take(4)?.get_u32_le();
        let (create_revision, number) = (self.number()?, self.number()?);
        let (lease, key, value) = (self.number()?, self.sized()?, self.sized()?);
        let place = self.place(&value, sub);
        let version = Version { mod_revision, create_revision, number, lease, place };
        Ok(Copied { key, version, value })
    }

    /// Of a value that was just read.
    fn place(&self, value: &Bytes, sub: u32) -> Place {
        Place { lsn: (self.at - value.len()) as u64, length: length(value), sub }
    }

    fn version(&mut self) -> Result<Version, RecordError> {
        let (mod_revision, create_revision) = (self.number()?, self.number()?);
        let (number, lease) = (self.number()?, self.number()?);
        let place = Place::default();
        Ok(Version { mod_revision, create_revision, number, lease, place })
    }

    fn number(&mut self) -> Result<i64, RecordError> {
        Ok(self.take(8)?.get_i64_le())
    }

    fn sized(&mut self) -> Result<Bytes, RecordError> {
        let length = self.take(4)?.get_u32_le() as usize;
        self.take(length)
    }

    fn take(&mut self, n: usize) -> Result<Bytes, RecordError> {
        if n > self.end - self.at {
            return Err(self.error("ends in the middle of a field"));
        }
        self.at += n;
        Ok(self.payload.slice(self.at - n..self.at))
    }

    fn error(&self, what: &'static str) -> RecordError {
        RecordError { at: self.at, what }
    }
}

fn length(value: &Bytes) -> u32 {
    u32::try_from(value.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
