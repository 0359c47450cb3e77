//! The thread that works out a tick's Plan while the loop answers bursts. Ordinary priority: a
//! Plan may take a while on a full node, a suppression may not. Also frees what the loop is done
//! with, since freeing a thousand workloads takes milliseconds and locks that ordinary threads
//! hold. Decides nothing itself: it runs `advisor`'s job.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use advisor::turn::{PlanJob, Planned};
use collector::Readings;
use model::Timestamp;
use model::qos::CgroupPath;
use tokio::sync::mpsc;

use crate::node_state::NodeState;
use crate::pressure::{self, Victims};
use crate::self_cost::{Cost, SelfCost};

/// One tick to work out.
#[derive(Debug)]
pub struct Task {
    /// Counts tasks, so that an answer nobody waits for any more is known as one.
    pub number: u64,
    pub readings: Readings,
    pub job: PlanJob,
    /// The state that was replaced last, to be freed here.
    pub retired: Option<Arc<NodeState>>,
}

/// A tick worked out.
#[derive(Debug)]
pub struct Done {
    pub number: u64,
    pub planned: Planned,
    /// Cgroups of reclaimed work and of its victims; `None` when the cgroups were never read.
    pub reclaimed: Option<BTreeSet<CgroupPath>>,
    pub victims: Victims,
    /// `[[workload]]` globs that match nothing.
    pub unmatched: Vec<String>,
}

/// The loop's end of the thread.
#[derive(Debug)]
pub struct Planner {
    tasks: SyncSender<Task>,
    pub done: mpsc::Receiver<(Done, Cost)>,
    n_given: u64,
    /// The task under way and when it was given.
    under_way: Option<(u64, Timestamp)>,
    /// It was given up and has not answered since.
    hangs: bool,
}

/// Starts the thread; it ends with its `Planner`.
pub fn start() -> io::Result<Planner> {
    let (tasks, given) = sync_channel(1);
    let (answers, done) = mpsc::channel(2);
    thread::Builder::new()
        .name("berth-plan".to_owned())
        .spawn(move || answer_all(&given, &answers))?;
    Ok(Planner { tasks, done, n_given: 0, under_way: None, hangs: false })
}

fn answer_all(given: &Receiver<Task>, answers: &mpsc::Sender<(Done, Cost)>) {
    let mut cost = SelfCost::default();
    while let Ok(task) = given.recv() {
        if answers.blocking_send((work_out(task), cost.read())).is_err() {
            return;
        }
    }
}

/// Works a tick out on the calling thread.
pub fn work_out(task: Task) -> Done {
    let Task { number, readings, job, retired } = task;
    drop(retired);
    let (sample, unmatched) = readings.compose();
    let planned = job.run(sample);
    let workloads = planned.sample().workloads.value();
    let reclaimed = workloads.map(|workloads| {
        let reclaimed = workloads.values().filter(|workload| workload.spec.qos.is_reclaimed());
        reclaimed.map(|workload| workload.cgroup.clone()).collect()
    });
    let victims = pressure::victims(workloads.into_iter().flat_map(|found| found.values()));
    Done { number, planned, reclaimed, victims, unmatched }
}

impl Planner {
    /// The number of the next task.
    pub fn next_number(&mut self) -> u64 {
        self.n_given += 1;
        self.n_given
    }

    /// Since when a task is under way.
    pub fn busy_since(&self) -> Option<Timestamp> {
        self.under_way.map(|(_, since)| since)
    }

    /// Hands a task over without waiting; gives it back when the thread hangs or is gone.
    pub fn give(&mut self, now: Timestamp, task: Task) -> Option<Box<Task>> {
        // The queue would take it, and it would wait there behind the one that hangs.
        if self.hangs {
            return Some(Box::new(task));
        }
        let number = task.number;
        match self.tasks.try_send(task) {
            Ok(()) => {
                self.under_way = Some((number, now));
                None
            }
            Err(refused) => match refused {
                std::sync::mpsc::TrySendError::Full(task)
                | std::sync::mpsc::TrySendError::Disconnected(task) => Some(Box::new(task)),
            },
        }
    }

    /// Whether this answer is the one that is waited for; it is waited for no longer.
    pub fn accept(&mut self, number: u64) -> bool {
        self.hangs = false;
        let awaited = self.under_way.is_some_and(|(waited, _)| waited == number);
        if awaited {
            self.under_way = None;
        }
        awaited
    }

    /// Stops waiting for the task under way; no other is given before the thread answers.
    pub fn give_up(&mut self) {
        self.under_way = None;
        self.hangs = true;
    }
}

#[cfg(test)]
mod tests {
    use advisor::turn::TurnState;
    use collector::Readings;
    use model::policy::Policy;

    use super::*;

    fn task(planner: &mut Planner) -> Task {
        let job = TurnState::new(Policy::default()).begin(Timestamp(1));
        Task { number: planner.next_number(), readings: Readings::default(), job, retired: None }
    }

    #[test]
    fn a_planner_that_was_given_up_gets_nothing_until_it_answers() {
        let (tasks, given) = sync_channel(1);
        let (_answers, done) = mpsc::channel(2);
        let mut planner = Planner { tasks, done, n_given: 0, under_way: None, hangs: false };
        let first = task(&mut planner);
        assert!(planner.give(Timestamp(1), first).is_none());
        assert!(given.try_recv().is_ok(), "the thread took it and hangs");

        planner.give_up();
        let second = task(&mut planner);
        assert!(planner.give(Timestamp(2), second).is_some(), "comes back for the loop to run");
        assert!(!planner.accept(1), "the late answer is not awaited");
        let third = task(&mut planner);
        assert!(planner.give(Timestamp(3), third).is_none(), "but it lives again");
    }
}
