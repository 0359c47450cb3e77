//! A store that is made from what another one has kept: transactions with their own revisions and numbers, leases, and up to where it was
//! compacted. Owns that revisions ascend and how much goes into a group; where all that comes from is the caller's.

use thiserror::Error;

use crate::engine::{AppendError, Engine, EngineError, Epoch, HEADER_BYTES, Lsn};
use crate::mvcc::Revision;
use crate::record::{self, Copied};

/// One `fdatasync` for so much; a transaction is never split.
const GROUP_BYTES: usize = 4 << 20;

#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CopyError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("write to the new log")]
    Append(#[from] AppendError),
    #[error("revision {found} after revision {after}: revisions ascend from 2 on")]
    Order { found: Revision, after: Revision },
}

/// The writer of a new log.
#[derive(Debug)]
pub struct Copier<'e> {
    engine: &'e dyn Engine,
    epoch: Epoch,
    at: Lsn,
    group: Vec<u8>,
    revision: Revision,
    pub n_writes: u64,
}

impl<'e> Copier<'e> {
    /// Of a log with nothing in it.
    pub fn begin(engine: &'e dyn Engine) -> Result<Copier<'e>, CopyError> {
        let (epoch, at) = engine.claim()?;
        Ok(Copier { engine, epoch, at, group: Vec::new(), revision: 1, n_writes: 0 })
    }

    /// The last one that was copied.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// What is left of a revision, which may be nothing.
    pub fn transaction(&mut self, revision: Revision, writes: &[Copied]) -> Result<(), CopyError> {
        if revision <= self.revision {
            return Err(CopyError::Order { found: revision, after: self.revision });
        }
        record::copied(&mut self.group, revision, writes);
        self.revision = revision;
        self.n_writes += writes.len() as u64;
        if self.group.len() < GROUP_BYTES { Ok(()) } else { self.flush() }
    }

    /// Before the keys that it is the lease of.
    pub fn lease(&mut self, id: i64, ttl_s: i64) {
        record::lease_granted(&mut self.group, id, ttl_s);
    }

    /// Behind the transaction that deletes its keys.
    pub fn lease_is_gone(&mut self, id: i64) {
        record::lease_revoked(&mut self.group, id);
    }

    /// At the latest at the last revision.
    pub fn compacted(&mut self, revision: Revision) {
        record::compacted(&mut self.group, revision.min(self.revision));
    }

    /// Durable when it returns.
    pub fn flush(&mut self) -> Result<(), CopyError> {
        if self.group.is_empty() {
            return Ok(());
        }
        self.engine.append(self.epoch, self.at, &[&self.group])?;
        self.at = self.at + HEADER_BYTES + self.group.len() as u64;
        self.group.clear();
        Ok(())
    }

    pub fn finish(mut self) -> Result<Revision, CopyError> {
        self.flush()?;
        self.engine.close()?;
        Ok(self.revision)
    }
}
