//! The loop: owns all mutable state of the agent. Wakes on a burst, an Outcome, a deadline, a tick
//! or a request, asks `advisor::turn` what follows, hands Steps to the lanes and publishes. Awaits
//! no host I/O; deciding is not done here.

pub mod inherited;
pub mod kept;
pub mod publish;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actuator::{Batch, LaneHandle, Order};
use advisor::turn::{Effects, Release, Reserved, TurnState};
use cluster::configz::ConfigHeard;
use collector::{Collector, clock};
use model::decision::Decision;
use model::knob::{Knob, Lane};
use model::ledger::Ledger;
use model::plan::{FailureKind, Finding, Generation, Outcome, PoolPlan, Severity, Step};
use model::policy::Mode;
use model::qos::{CgroupPath, PoolName};
use model::record::Entry;
use model::sample::Burst;
use model::wire;
use model::{Nanos, Timestamp};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use self::inherited::Inherited;
use self::publish::Publisher;
use crate::latency::SuppressionClock;
use crate::node_state::{NewContainer, NodeState, Owner, Refusal, Request};
use crate::planner::{self, Done, Planner, Task};
use crate::pressure::Victims;
use crate::recorder::{Record, Recorder};
use crate::recording::Recording;
use crate::self_cost::Cost;
use crate::watchdog::WatchdogKeeper;

/// Everything the loop talks to.
#[derive(Debug)]
pub struct LoopDeps {
    pub collector: Collector,
    pub turn: TurnState,
    pub fast: LaneHandle,
    pub slow: LaneHandle,
    pub outcomes: mpsc::Receiver<Outcome>,
    /// From the ring buffer or from pressure triggers; `None` where neither exists.
    pub bursts: Option<mpsc::Receiver<Burst>>,
    pub requests: mpsc::Receiver<Request>,
    pub publisher: Publisher,
    pub recorder: Recorder,
    pub recording: Recording,
    pub watchdog: Option<WatchdogKeeper>,
    /// For the pressure triggers, where there is no probe.
    pub victims: watch::Sender<Victims>,
    pub tick: Nanos,
    /// Why this host is observe-only, if it is.
    pub observe_only: Option<String>,
    /// Nothing here tells of bursts: the sentence about it.
    pub blind: Option<String>,
    /// Files that an agent which died had changed, if this one only observes.
    pub inherited: Inherited,
    /// What those who talk to Kubernetes and to control planes have to say.
    pub told: Vec<watch::Receiver<Arc<Vec<Finding>>>>,
    /// What the kubelet says of its configuration: the CPUs that it keeps for the system are nobody's.
    pub kubelet: watch::Receiver<ConfigHeard>,
}

/// How long a lane may take to put everything back: a thousand cpusets beside hogs fit, and the
/// service managers' own patience (systemd 90 s, Kubernetes 30 s) is longer for both lanes.
const RESTORE_LIMIT: Duration = Duration::from_secs(10);

struct Loop {
    deps: LoopDeps,
    clock: SuppressionClock,
    deadline: Option<Timestamp>,
    slow_batch_sent: Option<Timestamp>,
    prepared: BTreeSet<CgroupPath>,
    lane_findings: Vec<Finding>,
    planner: Planner,
    /// What was published before, until the planner frees it.
    retired: Option<Arc<NodeState>>,
    /// Pools and residents of the Plan that was written last.
    checkpointed: Option<(BTreeMap<PoolName, PoolPlan>, Arc<Ledger>)>,
}

/// Runs until `shutdown`; then restores every original.
pub async fn run(deps: LoopDeps, planner: Planner, shutdown: impl Future<Output = ()>) {
    let mut node = Loop {
        deps,
        planner,
        retired: None,
        clock: SuppressionClock::default(),
        deadline: None,
        slow_batch_sent: None,
        prepared: BTreeSet::new(),
        lane_findings: Vec::new(),
        checkpointed: None,
    };
    node.deps.recording.begin(&node.deps.turn);
    let mut shutdown = std::pin::pin!(shutdown);
    // The collector paces the loop: a tick follows each reading of the cgroups. When that source
    // hangs, the loop turns without it and sees its age.
    let overdue = Duration::from_nanos(node.deps.tick.0 * 2);
    let mut last_tick = tokio::time::Instant::now();
    loop {
        let expiry = sleep_until(node.deadline);
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            burst = next(&mut node.deps.bursts) => node.burst(&burst),
            Some(outcome) = node.deps.outcomes.recv() => node.outcome(outcome),
            () = expiry => node.expire(),
            Some((done, cost)) = node.planner.done.recv() => node.end_tick(done, cost),
            () = node.deps.collector.workloads.changed() => {
                node.begin_tick();
                last_tick = tokio::time::Instant::now();
            }
            () = tokio::time::sleep_until(last_tick + overdue) => {
                node.begin_tick();
                last_tick = tokio::time::Instant::now();
            }
            Some(request) = node.deps.requests.recv() => node.request(request),
        }
    }
    node.stop().await;
}

/// Sleeps until a deadline of the kernel's clock; for ever without one.
async fn sleep_until(deadline: Option<Timestamp>) {
    match deadline {
        Some(at) => tokio::time::sleep(Duration::from_nanos(at.since(clock::now()).0)).await,
        None => std::future::pending().await,
    }
}

async fn next(bursts: &mut Option<mpsc::Receiver<Burst>>) -> Burst {
    let received = match bursts {
        Some(bursts) => bursts.recv().await,
        None => None,
    };
    match received {
        Some(burst) => burst,
        None => std::future::pending().await,
    }
}

impl Loop {
    fn burst(&mut self, burst: &Burst) {
        let before = self.deps.turn.overlay().map(|overlay| overlay.began_at);
        let now = clock::now();
        let effects = self.deps.turn.burst(now, burst);
        let entry = || Entry::Burst { now, burst: *burst };
        self.deps.recording.entry(&effects.decisions, entry);
        let began = self.deps.turn.overlay().filter(|new| Some(new.began_at) != before);
        if let (Some(overlay), Some(step)) = (began, effects.fast.first()) {
            self.clock.began(step.generation, overlay.first_wait_at, effects.fast.len());
        }
        self.carry_out(effects);
    }

    fn outcome(&mut self, outcome: Outcome) {
        self.deps.turn.outcome(&outcome);
        self.deps.recording.entry(&[], || Entry::Outcome(Box::new(outcome.clone())));
        if let Err(failure) = &outcome.result
            && failure.kind != FailureKind::Vanished
        {
            warn!(step = %outcome.step, error = %failure.message, kind = ?failure.kind, "The kernel refused a Step");
        }
        if outcome.step.lane() == Lane::Slow {
            self.slow_batch_sent = None;
        }
        if let Some(measured) = self.clock.outcome(&outcome) {
            let victim = self.deps.turn.overlay().map(|overlay| overlay.victim.to_string());
            self.decide(Decision {
                at: outcome.finished_at,
                rule: "suppression-done",
                subject: victim.unwrap_or_default(),
                inputs: vec![("latency_us", measured.latency.as_micros().to_string())],
                result: format!(
                    "reclaimed work held down {} us after the first long wait",
                    measured.latency.as_micros()
                ),
            });
        }
    }

    fn expire(&mut self) {
        self.deadline = None;
        let now = clock::now();
        let effects = self.deps.turn.expire(now);
        self.deps.recording.entry(&effects.decisions, || Entry::Expire { now });
        self.carry_out(effects);
    }

    /// Gives the long part of a tick to the planner. One at a time: a reading that comes while a
    /// Plan is being worked out is left for the next.
    fn begin_tick(&mut self) {
        let now = clock::now();
        if let Some(since) = self.planner.busy_since() {
            if now.since(since) <= self.deps.turn.policy().max_sample_age {
                return;
            }
            self.planner.give_up();
        }
        self.hear_kubelet();
        let task = Task {
            number: self.planner.next_number(),
            readings: self.deps.collector.readings(now),
            job: self.deps.turn.begin(now),
            retired: self.retired.take(),
        };
        self.deps.recording.entry(&[], || Entry::Begin { now });
        if let Some(task) = self.planner.give(now, task) {
            // It hangs or is gone. A late suppression beats a Plan that never follows.
            self.lane_findings.push(planner_stuck());
            let done = planner::work_out(*task);
            self.plan_is_there(done, Cost::default());
        }
    }

    fn hear_kubelet(&mut self) {
        if !self.deps.kubelet.has_changed().unwrap_or(false) {
            return;
        }
        let config = self.deps.kubelet.borrow_and_update().config.clone();
        let policy = config.and_then(|config| kept::keeping(self.deps.turn.policy(), &config));
        let Some(policy) = policy else { return };
        info!(cpus = %policy.placement.kept, "The kubelet keeps these CPUs for the system");
        self.deps.turn.set_policy(policy.clone());
        self.deps.recording.entry(&[], || Entry::Policy(Box::new(policy)));
    }

    fn end_tick(&mut self, done: Done, cost: Cost) {
        if self.planner.accept(done.number) {
            self.plan_is_there(done, cost);
        }
    }

    fn plan_is_there(&mut self, done: Done, cost: Cost) {
        let now = clock::now();
        self.prepare(done.reclaimed);
        self.tell_victims(done.victims);
        let sample = Arc::clone(done.planned.sample());
        let effects = self.deps.turn.finish(now, done.planned);
        let recording = &mut self.deps.recording;
        recording.entry(&effects.decisions, || Entry::Finish { now, sample });
        recording.tick_is_over(&self.deps.turn);
        self.check_lanes(now);
        let mut findings = effects.findings.clone();
        findings.extend(done.unmatched.iter().map(|glob| unmatched_glob(glob)));
        findings.append(&mut self.lane_findings);
        findings.extend(self.deps.observe_only.as_deref().map(observe_only));
        findings.extend(self.deps.blind.as_deref().map(blind));
        findings.extend(self.deps.inherited.finding());
        for told in &self.deps.told {
            findings.extend(told.borrow().iter().cloned());
        }
        self.carry_out(effects);
        if let Some(watchdog) = &mut self.deps.watchdog {
            watchdog.check();
        }
        self.checkpoint();
        let quantiles = self.clock.quantiles();
        self.retired = self.deps.publisher.publish(&self.deps.turn, findings, quantiles, cost);
    }

    /// Keeps the last Plan for the next agent, whenever its pools or its residents changed.
    fn checkpoint(&mut self) {
        let Some(plan) = self.deps.turn.plan() else {
            return;
        };
        let same = |(pools, ledger): &(_, Arc<Ledger>)| {
            // The Plan keeps the same ledger as long as nobody comes or goes.
            *pools == plan.pools && Arc::ptr_eq(ledger, &plan.ledger)
        };
        if self.checkpointed.as_ref().is_some_and(same) {
            return;
        }
        self.checkpointed = Some((plan.pools.clone(), Arc::clone(&plan.ledger)));
        match wire::to_json(&wire::Plan::from(&**plan)) {
            Ok(json) => self.deps.recorder.record(Record::Checkpoint(json.into_bytes())),
            Err(error) => error!(error = %kit::chain(&error), "The Plan is not checkpointed"),
        }
    }

    /// Opens files and records originals of new reclaimed cgroups, so that the first suppression
    /// is as fast as the second.
    fn prepare(&mut self, reclaimed: Option<BTreeSet<CgroupPath>>) {
        if self.deps.turn.policy().mode == Mode::Observe {
            return;
        }
        let Some(reclaimed) = reclaimed else {
            return;
        };
        for cgroup in self.prepared.difference(&reclaimed) {
            // A full queue only means that the files are closed later, at their first failure.
            let _ = self.deps.fast.send(Order::Forget(cgroup.clone()));
        }
        self.prepared.retain(|cgroup| reclaimed.contains(cgroup));
        for cgroup in reclaimed {
            let order = Order::Prepare(cgroup.clone());
            if !self.prepared.contains(&cgroup) && self.deps.fast.send(order).is_ok() {
                self.prepared.insert(cgroup);
            }
        }
    }

    fn tell_victims(&self, victims: Victims) {
        self.deps.victims.send_if_modified(|told| {
            let changed = *told != victims;
            *told = victims;
            changed
        });
    }

    fn carry_out(&mut self, effects: Effects) {
        self.deadline = effects.next_deadline;
        for decision in effects.decisions {
            self.decide(decision);
        }
        self.release(effects.released);
        self.send(Lane::Fast, effects.fast);
        self.send(Lane::Slow, effects.slow);
    }

    fn release(&self, released: Vec<Release>) {
        if self.deps.turn.policy().mode == Mode::Observe {
            return;
        }
        for Release { cgroup, knobs, .. } in released {
            let (fast, slow): (Vec<Knob>, Vec<Knob>) =
                knobs.into_iter().partition(|knob| knob.lane() == Lane::Fast);
            for (handle, knobs) in [(&self.deps.fast, fast), (&self.deps.slow, slow)] {
                let order = Order::Release { cgroup: cgroup.clone(), knobs };
                if let Err(order) = handle.send(order) {
                    warn!(?order, "Files that nobody wants any more stay as they are");
                }
            }
        }
    }

    fn send(&mut self, lane: Lane, steps: Vec<Step>) {
        let Some(generation) = steps.first().map(|step| step.generation) else {
            return;
        };
        let batch = Batch { generation, mode: self.deps.turn.policy().mode, steps };
        let handle = match lane {
            Lane::Fast => &self.deps.fast,
            Lane::Slow => &self.deps.slow,
        };
        if handle.send(Order::Apply(batch)).is_err() {
            self.lane_finding(lane, generation);
        } else if lane == Lane::Slow {
            self.slow_batch_sent.get_or_insert_with(clock::now);
        }
    }

    fn lane_finding(&mut self, lane: Lane, generation: Generation) {
        error!(?lane, ?generation, "A lane does not take orders: it hangs in the kernel");
        self.lane_findings.push(Finding {
            severity: Severity::Warning,
            rule: "actuator-stuck",
            subject: format!("{lane:?}").to_lowercase(),
            message: "the lane's queue is full: a write does not return from the kernel".into(),
        });
    }

    fn check_lanes(&mut self, now: Timestamp) {
        let deadline = actuator::exec::SLOW_BATCH_DEADLINE;
        let stuck = self.slow_batch_sent.filter(|sent| now.since(*sent) > deadline);
        if let Some(sent) = stuck {
            self.lane_findings.push(Finding {
                severity: Severity::Warning,
                rule: "actuator-stuck",
                subject: "slow".into(),
                message: format!(
                    "no Step of the slow lane came back for {} s, allowed are {} s",
                    now.since(sent).0 / 1_000_000_000,
                    deadline.0 / 1_000_000_000
                ),
            });
        }
    }

    fn decide(&mut self, decision: Decision) {
        match wire::to_json(&wire::Decision::from(&decision)) {
            Ok(json) => self.deps.recorder.record(Record::Decision(json)),
            Err(error) => error!(error = %kit::chain(&error), "A decision is not logged"),
        }
        self.deps.publisher.decision(decision);
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Place { container, reply } => {
                // Whoever gave up waiting made the container without us.
                let _ = reply.try_send(self.place(*container));
            }
            Request::Owners { reply } => {
                let _ = reply.try_send(self.owners());
            }
            Request::SetMode { mode, reply } => {
                let answer = self.set_mode(mode);
                // The caller may have gone; the mode is set all the same.
                let _ = reply.send(answer);
            }
        }
    }

    /// A container gets its CPUs before it exists; its originals are on their way to the journal then.
    fn place(&mut self, container: NewContainer) -> Option<Reserved> {
        if self.deps.turn.policy().mode == Mode::Observe {
            return None;
        }
        let NewContainer { pod, spec, originals } = container;
        if !originals.is_empty() && self.deps.slow.send(Order::Adopt(originals)).is_err() {
            return None;
        }
        let now = clock::now();
        let reserved = self.deps.turn.reserve(now, &pod, &spec)?;
        let entry = || Entry::Reserve { now, name: pod, spec: Box::new(spec) };
        self.deps.recording.entry(&reserved.decisions, entry);
        for decision in reserved.decisions.clone() {
            self.decide(decision);
        }
        Some(reserved)
    }

    fn owners(&self) -> Vec<Owner> {
        let enforces = self.deps.turn.policy().mode == Mode::Enforce;
        self.deps.turn.plan().filter(|_| enforces).map(|plan| Owner::all(plan)).unwrap_or_default()
    }

    fn set_mode(&mut self, mode: Mode) -> Result<Mode, Refusal> {
        if let (Mode::Enforce, Some(why)) = (mode, &self.deps.observe_only) {
            return Err(Refusal(why.clone()));
        }
        let previous = self.deps.turn.policy().mode;
        if previous == mode {
            return Ok(previous);
        }
        info!(?mode, ?previous, "Mode changed");
        let policy = model::policy::Policy { mode, ..self.deps.turn.policy().clone() };
        self.deps.turn.set_policy(policy.clone());
        self.deps.publisher.mode(mode);
        self.deps.recording.entry(&[], || Entry::Policy(Box::new(policy)));
        self.prepared.clear();
        if mode == Mode::Observe {
            for handle in [&self.deps.fast, &self.deps.slow] {
                let (reply, _restored) = std::sync::mpsc::sync_channel(1);
                if handle.send(Order::Restore(reply)).is_err() {
                    let why = "a lane hangs in the kernel; originals are not restored";
                    return Err(Refusal(why.to_owned()));
                }
            }
        }
        Ok(previous)
    }

    /// The clean end: both lanes restore, then the watchdog may go.
    async fn stop(self) {
        let mut clean = true;
        for handle in [&self.deps.fast, &self.deps.slow] {
            let (reply, restored) = std::sync::mpsc::sync_channel(1);
            if handle.send(Order::Restore(reply)).is_err() {
                clean = false;
                continue;
            }
            let wait = move || restored.recv_timeout(RESTORE_LIMIT);
            match tokio::task::spawn_blocking(wait).await {
                Ok(Ok(restored)) => clean &= restored.failures.is_empty(),
                _ => clean = false,
            }
        }
        if clean {
            if let Some(watchdog) = self.deps.watchdog {
                watchdog.dismiss();
            }
            info!("Originals are back");
        } else {
            error!("Not everything could be restored; the watchdog tries again");
        }
    }
}

fn unmatched_glob(glob: &str) -> Finding {
    Finding {
        severity: Severity::Note,
        rule: "workload-matches-nothing",
        subject: glob.to_owned(),
        message: format!("no cgroup matches {glob}"),
    }
}

pub(crate) fn planner_stuck() -> Finding {
    Finding {
        severity: Severity::Warning,
        rule: "planner-stuck",
        subject: "node".into(),
        message: "the planning thread does not answer: the loop plans itself, and bursts wait"
            .into(),
    }
}

pub(crate) fn blind(why: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        rule: "no-burst-witness",
        subject: "host".into(),
        message: why.to_owned(),
    }
}

pub(crate) fn observe_only(why: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        rule: "observe-only",
        subject: "host".into(),
        message: why.to_owned(),
    }
}
