//! `memory://`: the same contract in RAM, for tests and for stores that may be lost. Owns no file; shares nothing with `log` but the
//! arithmetic of places, so that each can be held against the other.

use std::io::{Cursor, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::frame::MAX_PAYLOAD_BYTES;
use super::{
    AppendError, Checkpoint, Engine, EngineError, Epoch, Group, Groups, Latest, Lsn, Pin, Pinned,
    ReadError, Size, WriteBody,
};

/// The grain of trimming.
const CHUNK_BYTES: u64 = 1 << 20;

#[derive(Debug)]
pub struct MemoryEngine {
    state: Mutex<State>,
    chunk_bytes: u64,
}

#[derive(Debug)]
struct State {
    chunks: Arc<Vec<Arc<Chunk>>>,
    head: Lsn,
    epoch: Epoch,
    /// The newest last; at most two.
    checkpoints: Vec<(Lsn, Bytes)>,
    closed: bool,
}

/// Groups in order. The last chunk grows by copies of its list, which holds references only, while somebody reads it.
#[derive(Clone, Debug)]
struct Chunk {
    base: Lsn,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct View {
    chunks: Arc<Vec<Arc<Chunk>>>,
    head: Lsn,
}

impl MemoryEngine {
    pub fn new() -> Self {
        Self::with_chunk_bytes(CHUNK_BYTES)
    }

    pub fn with_chunk_bytes(chunk_bytes: u64) -> Self {
        let first = Arc::new(Chunk { base: Lsn(0), groups: Vec::new() });
        let state = State {
            chunks: Arc::new(vec![first]),
            head: Lsn(0),
            epoch: Epoch(0),
            checkpoints: Vec::new(),
            closed: false,
        };
        Self { state: Mutex::new(state), chunk_bytes }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self) -> View {
        let state = self.state();
        View { chunks: Arc::clone(&state.chunks), head: state.head }
    }
}

impl Default for MemoryEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn push(&mut self, group: Group, chunk_bytes: u64) {
        let end = group.end();
        let chunks = Arc::make_mut(&mut self.chunks);
        match chunks.last_mut() {
            Some(last) if last.groups.is_empty() || end.0 - last.base.0 < chunk_bytes => {
                Arc::make_mut(last).groups.push(group);
            }
            _ => chunks.push(Arc::new(Chunk { base: group.at, groups: vec![group] })),
        }
        self.head = end;
    }
}

impl View {
    fn oldest(&self) -> Lsn {
        self.chunks[0].base
    }

    fn chunk_of(&self, at: Lsn) -> Option<usize> {
        self.chunks.partition_point(|chunk| chunk.base <= at).checked_sub(1)
    }
}

impl Pinned for View {
    fn read(&self, at: Lsn, length: usize) -> Result<Bytes, ReadError> {
        let Some(index) = self.chunk_of(at) else {
            return Err(ReadError::Trimmed { at, oldest: self.oldest() });
        };
        if at.0.checked_add(length as u64).is_none_or(|to| to > self.head.0) {
            return Err(ReadError::BeyondHead { at, length, head: self.head });
        }
        let groups = &self.chunks[index].groups;
        let holds = groups.partition_point(|group| group.payload_at() <= at).checked_sub(1);
        holds
            .map(|position| &groups[position])
            .and_then(|group| {
                let skip = usize::try_from(at.0 - group.payload_at().0).ok()?;
                let inside = skip + length <= group.payload.len();
                inside.then(|| group.payload.slice(skip..skip + length))
            })
            .ok_or(ReadError::NotOnePayload { at, length })
    }
}

impl Engine for MemoryEngine {
    fn epoch(&self) -> Epoch {
        self.state().epoch
    }

    fn claim(&self) -> Result<(Epoch, Lsn), EngineError> {
        let mut state = self.state();
        if state.closed {
            return Err(EngineError::Broken { source: closed() });
        }
        state.epoch.0 += 1;
        Ok((state.epoch, state.head))
    }

    fn append(&self, epoch: Epoch, at: Lsn, payload: &[&[u8]]) -> Result<Lsn, AppendError> {
        let mut state = self.state();
        if state.closed {
            return Err(AppendError::Broken { source: closed() });
        }
        if epoch != state.epoch || epoch == Epoch(0) {
            return Err(AppendError::Fenced { by: state.epoch });
        }
        if at != state.head {
            return Err(AppendError::Gap { expected: state.head, at });
        }
        let payload = payload.concat();
        if payload.len() > MAX_PAYLOAD_BYTES as usize {
            return Err(AppendError::NotWritten {
                source: std::io::ErrorKind::InvalidInput.into(),
            });
        }
        state.push(Group { at, epoch, payload: payload.into() }, self.chunk_bytes);
        Ok(state.head)
    }

    fn read(&self, at: Lsn, length: usize) -> Result<Bytes, ReadError> {
        self.view().read(at, length)
    }

    fn groups(&self, from: Lsn) -> Result<Groups, EngineError> {
        let view = self.view();
        let Some(first) = view.chunk_of(from) else {
            return Err(EngineError::Trimmed { at: from, oldest: view.oldest() });
        };
        if from > view.head {
            return Err(EngineError::BeyondHead { at: from, head: view.head });
        }
        let chunks: Vec<Arc<Chunk>> = view.chunks[first..].to_vec();
        let all = chunks.into_iter().flat_map(|chunk| chunk.groups.clone());
        Ok(Box::new(all.skip_while(move |group| group.at < from).map(Ok)))
    }

    fn trim(&self, before: Lsn) -> Result<(), EngineError> {
        let mut state = self.state();
        let kept = state.checkpoints.first().map_or(Lsn(0), |(at, _)| *at);
        let limit = before.min(kept);
        let ends = state.chunks.iter().skip(1).map(|next| next.base);
        let gone = ends.take_while(|&end| end <= limit).count();
        Arc::make_mut(&mut state.chunks).drain(..gone);
        Ok(())
    }

    fn pin(&self) -> Pin {
        Pin(Arc::new(self.view()))
    }

    fn size(&self) -> Size {
        let view = self.view();
        let bytes_in_use = view.head.0 - view.oldest().0;
        Size { bytes_on_disk: 0, bytes_in_use, head: view.head, oldest: view.oldest() }
    }

    fn write_checkpoint(&self, at: Lsn, write: &mut WriteBody<'_>) -> Result<(), EngineError> {
        let head = self.view().head;
        if at > head {
            return Err(EngineError::BeyondHead { at, head });
        }
        let mut body = Vec::new();
        write(&mut body)
            .and_then(|()| body.flush())
            .map_err(EngineError::io("write checkpoint", "memory".as_ref()))?;
        let mut state = self.state();
        state.checkpoints.retain(|(other, _)| *other != at);
        state.checkpoints.push((at, body.into()));
        state.checkpoints.sort_by_key(|(at, _)| *at);
        let excess = state.checkpoints.len().saturating_sub(2);
        state.checkpoints.drain(..excess);
        Ok(())
    }

    fn latest_checkpoint(&self) -> Result<Latest, EngineError> {
        let newest = self.state().checkpoints.last().cloned();
        let checkpoint =
            newest.map(|(at, body)| Checkpoint { at, body: Box::new(Cursor::new(body)) });
        Ok(Latest { checkpoint, passed_over: Vec::new() })
    }

    fn close(&self) -> Result<(), EngineError> {
        self.state().closed = true;
        Ok(())
    }
}

fn closed() -> std::io::Error {
    std::io::Error::other("it was closed")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::conformance;
    use super::MemoryEngine;

    #[test]
    fn keeps_the_contract() {
        conformance::check(&|| Arc::new(MemoryEngine::with_chunk_bytes(4096)));
    }
}
