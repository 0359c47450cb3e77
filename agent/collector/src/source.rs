//! One thread per source: reads, leaves the newest value in a mailbox, sleeps until the next is due or somebody
//! wakes it. A read that hangs blocks its own thread only and shows as a fault once its deadline has passed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::Duration;
use std::{io, thread};

use model::sample::{Reading, Source, SourceFault};
use model::{Nanos, Timestamp};
use tokio::sync::watch;

use crate::clock;

/// How a source is read.
#[derive(Clone, Copy, Debug)]
pub struct SourcePlan {
    /// Also the thread's name; at most 15 bytes, which is what the kernel keeps.
    pub name: &'static str,
    pub period: Nanos,
    /// After so long without an answer the source counts as broken.
    pub deadline: Nanos,
}

/// The reading end of a source's mailbox. Dropping all of them ends the thread.
#[derive(Debug)]
pub struct SourceHandle<T> {
    plan: SourcePlan,
    latest: watch::Receiver<Source<Arc<T>>>,
    /// When the read in flight began; 0 when none is.
    began: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    waker: Waker,
}

/// Asks a source for a reading before the next is due: what it reads is known to have changed.
#[derive(Clone, Debug)]
pub struct Waker {
    thread: Thread,
    wanted: Arc<AtomicBool>,
}

impl Waker {
    /// Does not wait. A second call before the reading changes nothing.
    pub fn wake(&self) {
        self.wanted.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl<T> Drop for SourceHandle<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl<T> SourceHandle<T> {
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// The newest value and fault; does not wait.
    pub fn read(&self, now: Timestamp) -> Source<Arc<T>> {
        let mut source = self.latest.borrow().clone();
        let began = self.began.load(Ordering::Acquire);
        let in_flight = now.since(Timestamp(began));
        if began != 0 && in_flight > self.plan.deadline {
            source.fault = Some(SourceFault::Broken {
                error: format!(
                    "{}: a read has not returned for {} ms, its deadline is {} ms",
                    self.plan.name,
                    in_flight.0 / 1_000_000,
                    self.plan.deadline.0 / 1_000_000
                ),
            });
        }
        source
    }

    /// Waits for the next value or fault; for ever when the thread is gone. Cancel-safe.
    pub async fn changed(&mut self) {
        if self.latest.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// Starts a source. `read` gets the time and answers with a value or the fault to show; the last
/// good value is kept through faults.
pub fn spawn<T, R>(plan: SourcePlan, mut read: R) -> io::Result<SourceHandle<T>>
where
    T: Send + Sync + 'static,
    R: FnMut(Timestamp) -> Result<T, SourceFault> + Send + 'static,
{
    let (mailbox, latest) = watch::channel(Source::default());
    let began = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let wanted = Arc::new(AtomicBool::new(false));
    let (in_flight, ended, mut pace) =
        (Arc::clone(&began), Arc::clone(&stop), Pace::new(plan.period, Arc::clone(&wanted)));
    let thread = thread::Builder::new().name(plan.name.to_owned()).spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            let at = clock::now();
            in_flight.store(at.0, Ordering::Release);
            let result = read(at);
            in_flight.store(0, Ordering::Release);
            deliver(&mailbox, at, result);
            pace.sleep(at);
        }
    })?;
    let waker = Waker { thread: thread.thread().clone(), wanted };
    Ok(SourceHandle { plan, latest, began, stop, waker })
}

/// When a source is read next: a period after the last reading began; once in each period earlier if somebody asks,
/// but not sooner than a quarter of it, so that a rate has time to be one, and however many ask there are two
/// readings a period at most.
struct Pace {
    period: Nanos,
    wanted: Arc<AtomicBool>,
    /// The last reading was one that somebody asked for.
    was_early: bool,
}

impl Pace {
    fn new(period: Nanos, wanted: Arc<AtomicBool>) -> Pace {
        Pace { period, wanted, was_early: false }
    }

    fn sleep(&mut self, last: Timestamp) {
        loop {
            let spent = clock::now().since(last);
            let wanted = self.wanted.load(Ordering::Acquire);
            let left = self.left(spent, wanted);
            if left.0 == 0 {
                self.was_early = wanted && spent < self.period;
                // Who asks from here on has seen something that the coming reading may not.
                self.wanted.store(false, Ordering::Release);
                return;
            }
            thread::park_timeout(Duration::from_nanos(left.0));
        }
    }

    fn left(&self, spent: Nanos, wanted: bool) -> Nanos {
        let due = if wanted && !self.was_early { self.period.0 / 4 } else { self.period.0 };
        Nanos(due.saturating_sub(spent.0))
    }
}

fn deliver<T>(
    mailbox: &watch::Sender<Source<Arc<T>>>,
    at: Timestamp,
    result: Result<T, SourceFault>,
) {
    let result = result.map(|value| Reading { at, value: Arc::new(value) });
    let mut replaced = None;
    mailbox.send_modify(|source| match result {
        Ok(reading) => {
            replaced = source.latest.replace(reading);
            source.fault = None;
        }
        Err(fault) => source.fault = Some(fault),
    });
    // Freed after the mailbox is unlocked: a reader of real-time priority may be waiting for it.
    drop(replaced);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const PLAN: SourcePlan =
        SourcePlan { name: "t", period: Nanos(1_000_000), deadline: Nanos::from_millis(50) };

    fn wait_for<T>(handle: &SourceHandle<T>, wanted: impl Fn(&Source<Arc<T>>) -> bool) {
        for _ in 0..2000 {
            if wanted(&handle.read(clock::now())) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("not seen within 2 s");
    }

    #[test]
    fn a_reading_is_due_after_a_period_or_a_quarter_when_asked_for_once() {
        let check = |was_early, spent, wanted, left| {
            let pace = Pace { period: Nanos(1000), wanted: Arc::default(), was_early };
            assert_eq!(
                pace.left(Nanos(spent), wanted),
                Nanos(left),
                "{was_early} {spent} {wanted}"
            );
        };
        check(false, 0, false, 1000);
        check(false, 900, false, 100);
        check(false, 5000, false, 0);
        check(false, 100, true, 150);
        check(false, 250, true, 0);
        check(true, 250, true, 750);
        check(true, 1000, true, 0);
    }

    #[test]
    fn who_wakes_a_source_has_a_reading_long_before_the_next_is_due() {
        let mut reads = 0;
        let plan = SourcePlan { period: Nanos::from_secs(2), ..PLAN };
        let handle = spawn(plan, move |_| {
            reads += 1;
            Ok(reads)
        })
        .expect("spawn");
        let began = std::time::Instant::now();
        wait_for(&handle, |source| source.value().is_some_and(|reads| **reads == 1));
        handle.waker().wake();
        wait_for(&handle, |source| source.value().is_some_and(|reads| **reads == 2));
        assert!(began.elapsed() < Duration::from_millis(1800), "{:?}", began.elapsed());
    }

    #[test]
    fn a_fault_keeps_the_last_value_and_its_time() {
        let mut reads = 0;
        let handle = spawn(PLAN, move |_| {
            reads += 1;
            match reads {
                1 => Ok(7),
                _ => Err(SourceFault::Broken { error: "gone".into() }),
            }
        })
        .expect("spawn");
        wait_for(&handle, |source| source.fault.is_some());
        let source = handle.read(clock::now());
        assert_eq!(source.value().map(|value| **value), Some(7));
    }

    #[test]
    fn a_read_that_hangs_is_a_fault_after_its_deadline_and_heals() {
        let (release, gate) = mpsc::channel::<()>();
        let mut first = true;
        let handle = spawn(PLAN, move |_| {
            if !std::mem::take(&mut first) {
                let _ = gate.recv();
            }
            Ok(1)
        })
        .expect("spawn");
        wait_for(
            &handle,
            |source| matches!(&source.fault, Some(SourceFault::Broken { error }) if error.contains("deadline")),
        );
        assert!(handle.read(clock::now()).latest.is_some(), "the last value is kept");
        drop(release);
        wait_for(&handle, |source| source.fault.is_none());
    }
}
