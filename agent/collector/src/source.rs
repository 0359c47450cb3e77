//! One thread per source: reads, leaves the newest value in a mailbox, sleeps. A read that hangs
//! blocks its own thread only and shows as a fault once its deadline has passed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
}

impl<T> Drop for SourceHandle<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl<T> SourceHandle<T> {
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
    let handle = SourceHandle { plan, latest, began: Arc::clone(&began), stop: Arc::clone(&stop) };
    thread::Builder::new().name(plan.name.to_owned()).spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            let at = clock::now();
            began.store(at.0, Ordering::Release);
            let result = read(at);
            began.store(0, Ordering::Release);
            deliver(&mailbox, at, result);
            let spent = clock::now().since(at);
            thread::sleep(Duration::from_nanos(plan.period.0.saturating_sub(spent.0)));
        }
    })?;
    Ok(handle)
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
