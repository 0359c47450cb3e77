//! Writes decisions and checkpoints from a thread of its own, so that the loop never waits for a
//! file. A full queue drops the record and counts it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::{io, thread};

use state::{DecisionLog, save_checkpoint};
use tracing::error;

/// Records waiting; one burst may bring a decision per workload.
const QUEUE: usize = 1024;

/// What can be recorded.
#[derive(Debug)]
pub enum Record {
    /// One decision as JSON on one line.
    Decision(String),
    /// The last Plan, as `model::wire` writes it.
    Checkpoint(Vec<u8>),
}

/// The loop's end.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: SyncSender<Record>,
    dropped: Arc<AtomicU64>,
}

impl Recorder {
    /// Starts the writing thread on files below `runtime_dir`.
    pub fn start(runtime_dir: PathBuf) -> io::Result<Recorder> {
        let log = DecisionLog::open(&runtime_dir)?;
        let (queue, records) = sync_channel(QUEUE);
        let checkpoint = runtime_dir.join(CHECKPOINT);
        thread::Builder::new()
            .name("berth-record".to_owned())
            .spawn(move || write_all(log, &checkpoint, &records))?;
        Ok(Recorder { queue, dropped: Arc::default() })
    }

    pub fn record(&self, record: Record) {
        if self.queue.try_send(record).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records that were lost because the disk or the thread did not keep up.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// File of the last Plan below the runtime directory.
pub const CHECKPOINT: &str = "plan.checkpoint";

fn write_all(mut log: DecisionLog, checkpoint: &std::path::Path, records: &Receiver<Record>) {
    while let Ok(record) = records.recv() {
        match record {
            Record::Decision(json) => {
                if let Err(error) = log.append(&json) {
                    error!(%error, "A decision was not written to the decision log");
                }
            }
            Record::Checkpoint(bytes) => {
                if let Err(error) = save_checkpoint(checkpoint, &bytes) {
                    error!(error = %kit::chain(&error), "The checkpoint was not written");
                }
            }
        }
    }
}
