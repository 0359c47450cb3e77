//! A lane: one OS thread that owns its files and its journal, fed by orders, answering with
//! Outcomes. The fast lane runs at real-time priority so that saturated CPUs do not delay it.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::{io, thread};

use model::Timestamp;
use model::knob::{Knob, Lane};
use model::plan::Outcome;
use model::qos::CgroupPath;
use state::{Original, Originals};
use tracing::{error, warn};

use crate::exec::{self, Batch};
use crate::files::KnobFiles;
use crate::restore::{self, Restored};
use crate::tidying::Tidying;

/// Orders a lane may have waiting. Batches replace each other, so a few are enough; a full queue
/// means the lane hangs in the kernel, and the loop is told instead of waiting.
const QUEUE: usize = 64;

/// What a lane can be told.
#[derive(Debug)]
pub enum Order {
    /// Open files and record originals of a cgroup before anything has to be fast.
    Prepare(CgroupPath),
    Forget(CgroupPath),
    /// What a cgroup would hold that does not exist yet: it is made with something else, on our word.
    Adopt(Vec<Original>),
    Apply(Batch),
    /// Put some files of a cgroup back: nobody wants anything of them any more.
    Release {
        cgroup: CgroupPath,
        knobs: Vec<Knob>,
    },
    /// Put all originals back and answer.
    Restore(SyncSender<Restored>),
}

/// The loop's end of a lane. Dropping it ends the thread after the current Step.
#[derive(Debug)]
pub struct LaneHandle {
    orders: SyncSender<Order>,
    _thread: JoinHandle<()>,
}

impl LaneHandle {
    /// Hands an order over without waiting; gives it back when the lane does not keep up.
    pub fn send(&self, order: Order) -> Result<(), Order> {
        self.orders.try_send(order).map_err(|error| match error {
            TrySendError::Full(order) | TrySendError::Disconnected(order) => order,
        })
    }
}

/// What a lane works with.
pub struct LaneDeps {
    pub lane: Lane,
    pub files: Box<dyn KnobFiles>,
    pub originals: Originals,
    pub clock: fn() -> Timestamp,
    pub outcomes: Box<dyn FnMut(Outcome) + Send>,
    /// Raises the thread's priority; failure is reported and survived.
    pub on_start: Box<dyn FnOnce() + Send>,
}

impl std::fmt::Debug for LaneDeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaneDeps").field("lane", &self.lane).finish_non_exhaustive()
    }
}

/// Starts a lane's thread.
pub fn spawn(mut deps: LaneDeps) -> io::Result<LaneHandle> {
    let (orders, queue) = sync_channel(QUEUE);
    let name = match deps.lane {
        Lane::Fast => "berth-fast",
        Lane::Slow => "berth-slow",
    };
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
        let on_start = std::mem::replace(&mut deps.on_start, Box::new(|| {}));
        on_start();
        work(&mut deps, &queue);
    })?;
    Ok(LaneHandle { orders, _thread: thread })
}

fn work(deps: &mut LaneDeps, queue: &Receiver<Order>) {
    let mut waiting = VecDeque::new();
    let mut tidying = Tidying::default();
    while let Some(order) = waiting.pop_front().or_else(|| queue.recv().ok()) {
        match order {
            Order::Prepare(cgroup) => prepare(deps, &cgroup),
            Order::Forget(cgroup) => deps.files.forget(&cgroup),
            Order::Adopt(originals) => adopt(deps, originals),
            Order::Apply(batch) => apply(deps, queue, &mut waiting, batch),
            Order::Release { cgroup, knobs } => {
                let (files, originals) = (&mut *deps.files, &mut deps.originals);
                tell(&restore::release(files, originals, &cgroup, &knobs));
            }
            Order::Restore(reply) => {
                let restored = restore::restore(&mut *deps.files, &mut deps.originals);
                // A change of mode does not wait for the answer, so what failed is told here.
                tell(&restored);
                let _nobody_waits = reply.send(restored);
            }
        }
        tidying.look(&mut *deps.files, &mut deps.originals);
    }
}

fn tell(restored: &Restored) {
    for failure in &restored.failures {
        warn!(error = %failure.message, "A file was not restored");
    }
}

/// Carries out a batch; a newer batch or a restoration that arrives meanwhile ends it.
fn apply(
    deps: &mut LaneDeps,
    queue: &Receiver<Order>,
    waiting: &mut VecDeque<Order>,
    batch: Batch,
) {
    let mut newer = || {
        waiting.extend(queue.try_iter());
        waiting.iter().any(|order| matches!(order, Order::Apply(_) | Order::Restore(_)))
    };
    exec::carry_out(
        &mut *deps.files,
        &mut deps.originals,
        batch,
        &deps.clock,
        &mut newer,
        &mut deps.outcomes,
    );
}

fn adopt(deps: &mut LaneDeps, originals: Vec<Original>) {
    for original in originals {
        let cgroup = original.cgroup.clone();
        if let Err(error) = deps.originals.record(original) {
            error!(%cgroup, %error, "A container is made with CPUs of ours, and its own are not recorded");
        }
    }
}

fn prepare(deps: &mut LaneDeps, cgroup: &CgroupPath) {
    let knobs = Knob::ALL.into_iter().filter(|knob| knob.lane() == deps.lane);
    let result = exec::prepare(&mut *deps.files, &mut deps.originals, cgroup, knobs);
    if let Err(failure) = result {
        error!(%cgroup, error = %failure.message, "Cannot prepare a cgroup for writing");
    }
}
