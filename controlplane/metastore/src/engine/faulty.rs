//! An engine that fails by a script, for tests of what stands above an engine. Owns the script; everything else is the engine inside.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::{
    AppendError, Engine, EngineError, Epoch, Groups, Latest, Lsn, Pin, ReadError, Size, WriteBody,
};

/// What happens to one append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Another writer claims the log first.
    Fenced,
    NotWritten,
    UncertainLanded,
    UncertainLost,
    /// Another writer claims the log and puts something as long there; what became of this group is said to be uncertain.
    Overtaken,
    /// It works, after a while.
    Slow(Duration),
    /// This and all later writes.
    Broken,
    /// A defect.
    Panic,
}

#[derive(Debug)]
pub struct FaultyEngine {
    inner: Arc<dyn Engine>,
    script: Mutex<Script>,
}

#[derive(Debug)]
struct Script {
    faults: VecDeque<Fault>,
    broken: bool,
}

impl FaultyEngine {
    /// One fault for each append; those after the script's end work.
    pub fn new(inner: Arc<dyn Engine>, faults: impl IntoIterator<Item = Fault>) -> Self {
        let faults = faults.into_iter().collect();
        Self { inner, script: Mutex::new(Script { faults, broken: false }) }
    }

    /// Adds to the end of the script.
    pub fn then(&self, fault: Fault) {
        self.script().faults.push_back(fault);
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_fault(&self) -> Fault {
        let mut script = self.script();
        if script.broken {
            return Fault::Broken;
        }
        let fault = script.faults.pop_front().unwrap_or(Fault::None);
        script.broken = fault == Fault::Broken;
        fault
    }
}

impl FaultyEngine {
    fn overtake(&self, length: usize) -> Result<(), AppendError> {
        let claimed = self.inner.claim();
        let (epoch, head) =
            claimed.map_err(|error| AppendError::NotWritten { source: io::Error::other(error) })?;
        self.inner.append(epoch, head, &[&vec![0; length]]).map(drop)
    }
}

impl Engine for FaultyEngine {
    fn epoch(&self) -> Epoch {
        self.inner.epoch()
    }

    fn claim(&self) -> Result<(Epoch, Lsn), EngineError> {
        if self.script().broken {
            return Err(EngineError::Broken { source: scripted() });
        }
        self.inner.claim()
    }

    fn append(&self, epoch: Epoch, at: Lsn, payload: &[&[u8]]) -> Result<Lsn, AppendError> {
        match self.next_fault() {
            Fault::None => {}
            Fault::Slow(pause) => std::thread::sleep(pause),
            Fault::Fenced => {
                self.inner
                    .claim()
                    .map_err(|error| AppendError::NotWritten { source: io::Error::other(error) })?;
            }
            Fault::NotWritten => return Err(AppendError::NotWritten { source: scripted() }),
            Fault::UncertainLost => return Err(AppendError::Uncertain { source: scripted() }),
            Fault::UncertainLanded => {
                self.inner.append(epoch, at, payload)?;
                return Err(AppendError::Uncertain { source: scripted() });
            }
            Fault::Overtaken => {
                self.overtake(payload.iter().map(|piece| piece.len()).sum())?;
                return Err(AppendError::Uncertain { source: scripted() });
            }
            Fault::Broken => return Err(AppendError::Broken { source: scripted() }),
            Fault::Panic => panic!("a fault of the script"),
        }
        self.inner.append(epoch, at, payload)
    }

    fn read(&self, at: Lsn, length: usize) -> Result<Bytes, ReadError> {
        self.inner.read(at, length)
    }

    fn groups(&self, from: Lsn) -> Result<Groups, EngineError> {
        self.inner.groups(from)
    }

    fn trim(&self, before: Lsn) -> Result<(), EngineError> {
        self.inner.trim(before)
    }

    fn pin(&self) -> Pin {
        self.inner.pin()
    }

    fn size(&self) -> Size {
        self.inner.size()
    }

    fn write_checkpoint(&self, at: Lsn, write: &mut WriteBody<'_>) -> Result<(), EngineError> {
        self.inner.write_checkpoint(at, write)
    }

    fn latest_checkpoint(&self) -> Result<Latest, EngineError> {
        self.inner.latest_checkpoint()
    }

    fn close(&self) -> Result<(), EngineError> {
        self.inner.close()
    }
}

fn scripted() -> io::Error {
    io::Error::other("a fault of the script")
}
