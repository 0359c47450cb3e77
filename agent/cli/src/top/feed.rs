//! The stream of snapshots, taken up again when the agent restarts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::v1::{Snapshot, WatchSnapshotsRequest};
use tokio::sync::mpsc;

use crate::client::{Client, connect};
use crate::exit::Failure;

/// A person cannot read faster, and the agent should not pay for it.
const MIN_INTERVAL_MS: u32 = 200;
const RETRY: Duration = Duration::from_secs(1);

pub(super) enum Fed {
    Snapshot(Box<Snapshot>),
    /// Why there is no more for now.
    Lost(String),
}

/// Ends when the receiver is dropped. The first connection is the caller's, so that `berth top`
/// without an agent fails with its exit code instead of an empty screen.
pub(super) fn start(client: Client, socket: &Path) -> mpsc::Receiver<Fed> {
    let (to_screen, fed) = mpsc::channel(1);
    tokio::spawn(feed(client, socket.to_owned(), to_screen));
    fed
}

async fn feed(client: Client, socket: PathBuf, to_screen: mpsc::Sender<Fed>) {
    let mut client = Some(client);
    loop {
        let attempt = match client.take() {
            Some(client) => Ok(client),
            None => connect(&socket).await,
        };
        let ended = match attempt {
            Ok(client) => watch(client, &socket, &to_screen).await,
            Err(failure) => failure,
        };
        if to_screen.send(Fed::Lost(ended.to_string())).await.is_err() {
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn watch(mut client: Client, socket: &Path, to_screen: &mpsc::Sender<Fed>) -> Failure {
    let went_away = || Failure::WentAway { socket: socket.to_owned() };
    let request = WatchSnapshotsRequest { min_interval_ms: MIN_INTERVAL_MS };
    let mut snapshots = match client.watch_snapshots(request).await {
        Ok(reply) => reply.into_inner(),
        Err(status) => return Failure::of_status(status, socket),
    };
    loop {
        match snapshots.message().await {
            Ok(Some(snapshot)) => {
                if to_screen.send(Fed::Snapshot(Box::new(snapshot))).await.is_err() {
                    return went_away();
                }
            }
            Ok(None) => return went_away(),
            Err(status) => return Failure::of_status(status, socket),
        }
    }
}
