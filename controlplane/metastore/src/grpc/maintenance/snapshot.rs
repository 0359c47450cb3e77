//! The whole store as a stream, in the format of etcd's own snapshots and with the checksum at the end that its tools look for. It is made
//! on a thread of its own while the client takes it, from one state that is held until the end.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use proto::etcd::etcdserverpb::SnapshotResponse;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::super::unreadable;
use crate::chronology::{Chronology, Kept};
use crate::engine::ReadError;
use crate::range::Values as _;
use crate::snapshot::etcd::STORAGE_VERSION;
use crate::snapshot::{self, Plan, Source};
use crate::store::Store;

/// So much in one message.
const PART_BYTES: usize = 64 << 10;
/// Messages that wait for the client.
const MOST_WAITING: usize = 8;

type Part = Result<SnapshotResponse, Status>;

/// Why it ends before its end.
enum Stopped {
    /// Nobody takes it any more.
    Gone,
    Read(ReadError),
}

pub(super) fn stream(
    store: &Arc<Store>,
) -> std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Part> + Send>> {
    let (parts, taken) = mpsc::channel(MOST_WAITING);
    let store = Arc::clone(store);
    tokio::task::spawn_blocking(move || {
        if let Err(Stopped::Read(error)) = send(&store, &parts) {
            // A client that is gone does not miss it.
            let _ = parts.blocking_send(Err(unreadable(&error)));
        }
    });
    Box::pin(ReceiverStream::new(taken))
}

fn send(store: &Store, parts: &mpsc::Sender<Part>) -> Result<(), Stopped> {
    let (committed, leases) = store.with_leases();
    let (revision, compacted) = (committed.revision, committed.compacted);
    let chronology = Chronology::new(&committed.index, revision, compacted);
    let term = store.epoch().0;
    let source = Source { chronology, revision, compacted, leases: &leases, term };
    let plan = Plan::of(&source);
    let mut sender =
        Sender { parts, n_left: plan.bytes(), sum: Sha256::new(), part: BytesMut::new() };
    let value = |kept: &Kept| match kept.version.is_deletion() {
        true => Ok(Bytes::new()),
        false => committed.value(&kept.key, &kept.version).map_err(Stopped::Read),
    };
    snapshot::write(&source, &plan, &value, &mut |pages| sender.take(pages))?;
    sender.finish()
}

struct Sender<'a> {
    parts: &'a mpsc::Sender<Part>,
    n_left: u64,
    sum: Sha256,
    part: BytesMut,
}

impl Sender<'_> {
    fn take(&mut self, pages: &[u8]) -> Result<(), Stopped> {
        self.part.extend_from_slice(pages);
        if self.part.len() < PART_BYTES { Ok(()) } else { self.send() }
    }

    fn finish(mut self) -> Result<(), Stopped> {
        self.send()?;
        self.part.extend_from_slice(&self.sum.clone().finalize());
        self.send()
    }

    fn send(&mut self) -> Result<(), Stopped> {
        let blob = self.part.split().freeze();
        self.sum.update(&blob);
        self.n_left = self.n_left.saturating_sub(blob.len() as u64);
        let part = SnapshotResponse {
            remaining_bytes: self.n_left,
            blob,
            version: STORAGE_VERSION.to_owned(),
            ..SnapshotResponse::default()
        };
        self.parts.blocking_send(Ok(part)).map_err(|_gone| Stopped::Gone)
    }
}
