//! The two watches. A slow reader never makes the agent hold more: it gets the newest state when
//! it is ready for one, and is told how many decisions it missed.

use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;
use proto::v1;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::{Instrument, info_span};

use super::convert;
use crate::node_state::NodeState;

pub(super) type Replies<T> = ReceiverStream<Result<T, Status>>;

/// The state now, then again after each change, `min_interval` apart.
pub(super) fn snapshots(
    mut state: watch::Receiver<Arc<NodeState>>,
    clock: fn() -> Timestamp,
    min_interval: Duration,
) -> Replies<v1::Snapshot> {
    let (to_reader, replies) = mpsc::channel(1);
    let task = async move {
        // the slot is taken first, so what is sent is the newest at that time
        while let Ok(slot) = to_reader.reserve().await {
            let now = Arc::clone(&state.borrow_and_update());
            slot.send(Ok(convert::snapshot(&now, clock())));
            tokio::time::sleep(min_interval).await;
            if !changed(&mut state, &to_reader).await {
                return;
            }
        }
    };
    tokio::spawn(task.instrument(info_span!("watch_snapshots")));
    ReceiverStream::new(replies)
}

/// The newest `backlog` decisions, then each one as it is made.
pub(super) fn decisions(
    mut state: watch::Receiver<Arc<NodeState>>,
    clock: fn() -> Timestamp,
    backlog: u32,
) -> Replies<v1::Decisions> {
    let (to_reader, replies) = mpsc::channel(1);
    let task = async move {
        let newest = state.borrow().decisions.newest();
        let mut seen = newest.saturating_sub(u64::from(backlog));
        while let Ok(slot) = to_reader.reserve().await {
            let now = Arc::clone(&state.borrow_and_update());
            let reply = convert::decisions_after(&now.decisions, seen, clock());
            if !reply.decisions.is_empty() {
                seen = now.decisions.newest();
                slot.send(Ok(reply));
            } else {
                drop(slot);
            }
            if !changed(&mut state, &to_reader).await {
                return;
            }
        }
    };
    tokio::spawn(task.instrument(info_span!("watch_decisions")));
    ReceiverStream::new(replies)
}

/// False when there will be no more: the loop ended or the reader went away.
async fn changed<T>(
    state: &mut watch::Receiver<Arc<NodeState>>,
    to_reader: &mpsc::Sender<T>,
) -> bool {
    tokio::select! {
        changed = state.changed() => changed.is_ok(),
        () = to_reader.closed() => false,
    }
}
