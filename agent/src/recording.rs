//! Hands what goes into the turn to a thread that writes it down, for `berth-agent replay`. The loop
//! only clones pointers: where the thread or the disk does not keep up, entries are dropped, the
//! recording says how many, and it goes on with the whole state at the end of the next tick.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::{io, thread};

use advisor::turn::TurnState;
use model::decision::Decision;
use model::record::{Entry, Recorded};
use model::wire::recording::Encoder;
use state::RecordingFile;
use tracing::error;

use crate::config::RecordingConfig;
use crate::priority;

/// Entries waiting: the Outcomes of a thousand Steps fit.
const QUEUE: usize = 4096;
/// Entries waiting that hold a Sample, which is megabytes at a thousand workloads.
const SAMPLES: usize = 8;

/// The loop's end; `off` records nothing.
#[derive(Debug, Default)]
pub struct Recording {
    queue: Option<SyncSender<Message>>,
    shared: Arc<Shared>,
    /// Not recorded since the last whole state; then nothing is, until the next one.
    lost: u64,
}

#[derive(Debug, Default)]
struct Shared {
    /// The thread needs the whole state: it began a new file, or lost lines.
    wants_standing: AtomicBool,
    samples_waiting: AtomicUsize,
}

#[derive(Debug)]
struct Message {
    recorded: Recorded,
    /// Before this one.
    lost: u64,
}

impl Recording {
    pub fn off() -> Recording {
        Recording::default()
    }

    /// Begins a file and starts the thread that writes it.
    pub fn start(config: &RecordingConfig) -> io::Result<Recording> {
        let mut file = RecordingFile::create(&config.path, config.max_bytes)?;
        file.append(&head())?;
        let (queue, messages) = sync_channel(QUEUE);
        let shared = Arc::<Shared>::default();
        let writer = Writer {
            file,
            encoder: Encoder::default(),
            shared: Arc::clone(&shared),
            lost: 0,
            broken: false,
        };
        thread::Builder::new().name("berth-tape".to_owned()).spawn(move || {
            priority::give_way();
            writer.write_all(&messages);
        })?;
        Ok(Recording { queue: Some(queue), shared, lost: 0 })
    }

    /// One entry into the turn. `entry` is not even made when nothing is recorded.
    pub fn entry(&mut self, decisions: &[Decision], entry: impl FnOnce() -> Entry) {
        if self.queue.is_none() {
            return;
        }
        if self.lost > 0 {
            self.lost += 1;
            return;
        }
        self.send(entry(), decisions);
    }

    /// Before the first entry.
    pub fn begin(&mut self, turn: &TurnState) {
        if self.queue.is_some() {
            self.send(Entry::Standing(Box::new(turn.standing())), &[]);
        }
    }

    /// A tick is over: the place where a recording can go on after a gap.
    pub fn tick_is_over(&mut self, turn: &TurnState) {
        let asked = self.shared.wants_standing.swap(false, Ordering::Relaxed);
        if self.queue.is_some() && (asked || self.lost > 0) {
            self.send(Entry::Standing(Box::new(turn.standing())), &[]);
        }
    }

    fn send(&mut self, entry: Entry, decisions: &[Decision]) {
        let Some(queue) = &self.queue else { return };
        let n_samples = usize::from(has_sample(&entry));
        let waiting = &self.shared.samples_waiting;
        let fits = n_samples == 0 || waiting.load(Ordering::Relaxed) < SAMPLES;
        waiting.fetch_add(n_samples, Ordering::Relaxed);
        let recorded = Recorded { entry, decisions: decisions.to_vec() };
        let message = Message { recorded, lost: self.lost };
        if fits && queue.try_send(message).is_ok() {
            self.lost = 0;
        } else {
            waiting.fetch_sub(n_samples, Ordering::Relaxed);
            self.lost += 1;
        }
    }
}

fn has_sample(entry: &Entry) -> bool {
    matches!(entry, Entry::Finish { .. } | Entry::Standing(_))
}

fn head() -> String {
    Encoder::head(env!("CARGO_PKG_VERSION"))
}

/// The thread's end.
struct Writer {
    file: RecordingFile,
    encoder: Encoder,
    shared: Arc<Shared>,
    /// Received and not written.
    lost: u64,
    /// The last write failed; said once.
    broken: bool,
}

impl Writer {
    fn write_all(mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            let n_samples = usize::from(has_sample(&message.recorded.entry));
            if let Err(error) = self.take(&message) {
                if !self.broken {
                    error!(%error, "The recording is not written; it goes on when it can be");
                }
                (self.broken, self.lost) = (true, self.lost + 1);
            }
            self.shared.samples_waiting.fetch_sub(n_samples, Ordering::Relaxed);
            if self.lost > 0 || self.file.is_filling() {
                self.shared.wants_standing.store(true, Ordering::Relaxed);
            }
        }
    }

    fn take(&mut self, message: &Message) -> io::Result<()> {
        if matches!(message.recorded.entry, Entry::Standing(_)) {
            if self.file.is_filling() || self.broken {
                self.file.begin_anew()?;
                self.file.append(&head())?;
            }
            self.lost += message.lost;
            if self.lost > 0 {
                self.file.append(&Encoder::gap(self.lost))?;
            }
            self.file.append(&self.encoder.line(&message.recorded))?;
            (self.lost, self.broken) = (0, false);
        } else if self.lost > 0 || self.file.is_full() {
            self.lost += 1;
        } else {
            self.file.append(&self.encoder.line(&message.recorded))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::{Duration, Instant};

    use model::Timestamp;
    use model::policy::Policy;
    use sim::replay::{Replay, Tally};
    use state::recording::Lines;

    use super::*;

    fn replayed(path: &Path) -> Tally {
        let mut replay = Replay::default();
        for line in Lines::open(path).expect("open") {
            replay.line(&line.json.expect("a whole line")).expect("readable");
        }
        replay.tally
    }

    fn wait_until(what: &str, holds: impl Fn() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < Duration::from_secs(10), "{what}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn tick(turn: &mut TurnState, recording: &mut Recording, second: u64) {
        let now = Timestamp(second * 1_000_000_000);
        recording.entry(&[], || Entry::Begin { now });
        let planned = turn.begin(now).run(model::sample::Sample { at: now, ..Default::default() });
        let sample = Arc::clone(planned.sample());
        let effects = turn.finish(now, planned);
        recording.entry(&effects.decisions, || Entry::Finish { now, sample });
        recording.tick_is_over(turn);
    }

    #[test]
    fn off_makes_no_entry() {
        let mut recording = Recording::off();
        recording.begin(&TurnState::new(Policy::default()));
        recording.entry(&[], || unreachable!("it is off"));
        assert_eq!(recording.lost, 0);
    }

    #[test]
    fn a_small_bound_is_kept_and_each_file_runs() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("recording");
        let config = RecordingConfig { path: path.clone(), max_bytes: 48 << 10 };
        let mut recording = Recording::start(&config).expect("started");
        let mut turn = TurnState::new(Policy::default());
        recording.begin(&turn);
        for second in 1..200 {
            tick(&mut turn, &mut recording, second);
            let shared = Arc::clone(&recording.shared);
            wait_until("written", || shared.samples_waiting.load(Ordering::Relaxed) == 0);
        }
        let old = state::recording::old_path(&path);
        let size = |path: &Path| std::fs::metadata(path).expect("there").len();
        assert!(size(&path) + size(&old) <= 48 << 10);
        for path in [&path, &old] {
            let tally = replayed(path);
            assert!(tally.n_entries > 10 && tally.n_different == 0, "{tally:?}");
        }
    }

    /// The thread stands still: the loop goes on, and later the recording tells the gap.
    #[test]
    fn a_full_queue_drops_and_says_so() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("recording");
        let (queue, messages) = sync_channel(2);
        let shared = Arc::<Shared>::default();
        let mut recording = Recording { queue: Some(queue), shared: Arc::clone(&shared), lost: 0 };
        let mut turn = TurnState::new(Policy::default());
        recording.begin(&turn);
        (1..20).for_each(|second| tick(&mut turn, &mut recording, second));
        let n_lost = recording.lost;
        assert!(n_lost > 10, "{n_lost}");
        let mut file = RecordingFile::create(&path, 1 << 20).expect("created");
        file.append(&head()).expect("appended");
        let encoder = Encoder::default();
        let writer = Writer { file, encoder, shared, lost: 0, broken: false };
        let thread = thread::spawn(move || writer.write_all(&messages));
        wait_until("taken", || recording.shared.samples_waiting.load(Ordering::Relaxed) == 0);
        for second in 20..40 {
            tick(&mut turn, &mut recording, second);
            thread::sleep(Duration::from_millis(2));
        }
        drop(recording);
        thread.join().expect("ends");
        let tally = replayed(&path);
        assert!(tally.n_lost >= n_lost && tally.n_different == 0, "{tally:?}");
        assert!(tally.n_entries > 10, "{tally:?}");
    }
}
