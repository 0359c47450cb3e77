//! What can be wrong with an agent, one case each: how its state differs from a healthy one, and which alerts that fires.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::explained::{Explained, Unit};
use model::headroom::{Headroom, NodeHeadroom};
use model::plan::{FailureKind, Finding, Overlay, PoolPlan, Severity, StepFailure};
use model::policy::Mode;
use model::qos::{PoolName, WorkloadName};
use model::snapshot::{Signal, SourceHealth};
use model::{Bytes, MilliCpu, Nanos, NumaNodeId, Timestamp};
use tokio::sync::{mpsc, watch};

use crate::config::{ApiserverConfig, KubernetesConfig, OnUnplaceable, Report};
use crate::eyes::{Status, Witness};
use crate::kubernetes::{self, Cluster};
use crate::metrics::tests::waiting;
use crate::metrics::{Placed, RuntimeMetrics};
use crate::node_loop::{self, inherited};
use crate::node_state::{NodeState, SuppressionStats};
use crate::serve::tests::{decision, state_of, workload};

/// Of a state, by the tick of its minute.
type Change = Box<dyn Fn(&mut NodeState, u64)>;

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) fires: &'static [&'static str],
    pub(super) pace: Pace,
    /// What is different in a tick of a minute.
    change: Change,
    /// What a container runtime calls each minute.
    pub(super) runtime: fn(&RuntimeMetrics),
}

/// How it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Steady,
    /// The port answers, the loop hangs.
    LoopStops,
    /// A new agent every minute.
    Restarts,
    Ends,
    /// Prometheus does not know of it.
    NeverThere,
}

impl Case {
    pub(super) fn state(&self, tick: u64, of_minute: u64) -> NodeState {
        let mut state = healthy(tick);
        (self.change)(&mut state, of_minute);
        state
    }
}

fn calls(runtime: &RuntimeMetrics) {
    runtime.answered(2, Duration::from_micros(300));
    runtime.placed(Placed::Placed);
}

fn case(name: &'static str, fires: &'static [&'static str]) -> Case {
    Case { name, fires, pace: Pace::Steady, change: Box::new(|_, _| {}), runtime: calls }
}

fn paced(name: &'static str, fires: &'static [&'static str], pace: Pace) -> Case {
    Case { pace, ..case(name, fires) }
}

fn state(
    name: &'static str,
    fires: &'static [&'static str],
    change: impl Fn(&mut NodeState) + 'static,
) -> Case {
    Case { change: Box::new(move |state, _| change(state)), ..case(name, fires) }
}

/// A finding in every tick.
fn finding(name: &'static str, fires: &'static [&'static str], finding: Finding) -> Case {
    state(name, fires, move |state| state.findings.push(finding.clone()))
}

/// A finding in one tick of a minute, which no scrape meets.
fn moment(name: &'static str, fires: &'static [&'static str], finding: Finding) -> Case {
    let change = move |state: &mut NodeState, of_minute| {
        if of_minute == 20 {
            state.findings.push(finding.clone());
        }
    };
    Case { change: Box::new(change), ..case(name, fires) }
}

fn runtime(
    name: &'static str,
    fires: &'static [&'static str],
    runtime: fn(&RuntimeMetrics),
) -> Case {
    Case { runtime, ..case(name, fires) }
}

/// Of a rule of `advisor`, whose own tests make it.
fn warning(rule: &'static str) -> Finding {
    let (subject, message) = ("node".to_owned(), "as the advisor says it".to_owned());
    Finding { severity: Severity::Warning, rule, subject, message }
}

/// A node with a service, batch work and now and then a suppression.
fn healthy(tick: u64) -> NodeState {
    let mut ml = workload(2);
    ml.runq = None;
    let mut state = state_of([("shop/api", waiting()), ("batch/ml", ml)]);
    let at = Timestamp(tick * 1_000_000_000);
    state.mode = Mode::Enforce;
    state.agent.cpu_ratio = Some(0.02);
    let snapshot = Arc::make_mut(&mut state.snapshot);
    snapshot.at = at;
    let health = SourceHealth { age: Some(Nanos::from_millis(12)), fault: None };
    snapshot.sources.insert(model::derive::WORKLOADS, health);
    snapshot.host.cpu_pressure = waiting().cpu_pressure;
    let plan = Arc::make_mut(&mut state.plan);
    plan.snapshot_at = at;
    let cpus = "1-3".parse().expect("a list");
    plan.pools.insert(PoolName::from("share"), PoolPlan { cpus, need: MilliCpu(2500) });
    plan.advice.headroom = Some(headroom());
    let p99 = Some(Nanos::from_millis(12));
    state.suppression = SuppressionStats { n_events: tick / 20, p99, ..state.suppression };
    for n in 0..tick {
        state.decisions.push(decision(n));
    }
    state
}

fn headroom() -> Headroom {
    let amount = |unit, amount| {
        let mut explained = Explained::new(unit);
        explained.add("supply", amount, "a test");
        explained
    };
    let part = NodeHeadroom { cpu: Some(MilliCpu(3500)), memory: Some(Bytes(1 << 30)) };
    Headroom {
        cpu: amount(Unit::MilliCpu, 3500),
        memory: amount(Unit::Bytes, 1 << 30),
        per_numa: [(NumaNodeId(0), part)].into(),
    }
}

fn off(status: &mut Status, text: &str) {
    *status = Status { works: false, text: text.to_owned() };
}

fn signal(state: &mut NodeState, signal: Signal) {
    Arc::make_mut(&mut state.snapshot).signal = signal;
}

fn suppressed(state: &mut NodeState) {
    let at = state.snapshot.at;
    state.overlay = Some(Overlay {
        began_at: at,
        expires_at: Timestamp(at.0 + 2_000_000_000),
        floor: MilliCpu(100),
        cpu_idle: true,
        throttle: false,
        victim: WorkloadName::from("shop/api"),
        first_wait_at: at,
    });
}

/// The first findings of a thread.
fn first_told(told: &watch::Receiver<Arc<Vec<Finding>>>) -> Vec<Finding> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while told.borrow().is_empty() {
        assert!(Instant::now() < deadline, "it says nothing");
        std::thread::sleep(Duration::from_millis(5));
    }
    told.borrow().as_ref().clone()
}

/// What the thread that talks to the runtime says where there is none.
fn not_heard() -> Vec<Finding> {
    let config = KubernetesConfig {
        kubelet_socket: "/nonexistent/kubelet.sock".into(),
        apiserver: None,
        nri_socket: "/nonexistent/nri.sock".into(),
        on_unplaceable: OnUnplaceable::Degrade,
    };
    let (requests, _) = mpsc::channel(1);
    let metrics = RuntimeMetrics::default();
    let talk = kubernetes::start(&config, "/kubepods", requests, (Cluster::none().pods, metrics))
        .expect("a thread");
    first_told(&talk.told)
}

/// What is found of a container that runs and stays unknown.
fn deaf() -> Finding {
    let (pod, mut deafness) = (WorkloadName::from("shop/web"), kubernetes::Deafness::default());
    let mut look =
        |second: u64| deafness.look(Timestamp(second * 1_000_000_000), [(&pod, "c1")].into_iter());
    look(0);
    look(30).finding().expect("it is missed")
}

/// What the thread that talks to the apiserver says without a kubeconfig.
fn not_asked() -> Finding {
    let config = ApiserverConfig {
        access: cluster::Access::Kubeconfig("/nonexistent/kubeconfig".into()),
        node: "n1".to_owned(),
        configz: None,
        report: Report { cnr: true, capacity: true, events: true, topology: false },
        report_in_observe: false,
    };
    let (_state, state) = watch::channel(None);
    let (_stop, stopping) = watch::channel(false);
    let cluster = Cluster::start(&config, state, stopping).expect("a thread");
    first_told(&cluster.told)[0].clone()
}

pub(super) fn all() -> Vec<Case> {
    let mut all = vec![
        case("a healthy agent", &[]),
        paced("an agent that ended", &["BerthAgentDown"], Pace::Ends),
        paced("no agent is scraped", &["BerthAgentsAbsent"], Pace::NeverThere),
        paced("a loop that hangs", &["BerthAgentStuck"], Pace::LoopStops),
        paced("an agent that begins anew each minute", &["BerthAgentRestarts"], Pace::Restarts),
        state("much memory", &["BerthAgentMemory"], |state| {
            state.agent.rss_bytes = Some(Bytes(100 << 20));
        }),
        state("much CPU", &["BerthAgentCpu"], |state| state.agent.cpu_ratio = Some(0.3)),
    ];
    all.extend(input());
    all.extend(decisions());
    all.extend(writes());
    all.extend(on_kubernetes());
    all
}

fn input() -> Vec<Case> {
    vec![
        state("neither BPF nor PSI", &["BerthBlind"], |state| {
            off(&mut state.agent.eyes.probe, "no BTF");
            off(&mut state.agent.eyes.pressure, "PSI is off");
            signal(state, Signal::None { why: "no BTF".to_owned() });
            state.findings.push(node_loop::blind(&Witness::Nobody.to_string()));
            state.findings.push(warning("isolation-blind"));
        }),
        state("PSI alone", &["BerthNoBpf"], |state| {
            off(&mut state.agent.eyes.probe, "no BTF");
            signal(state, Signal::PressureOnly { why: "no BTF".to_owned() });
            state.findings.push(warning("isolation-blind"));
        }),
        state("steal", &["BerthSignalDegraded"], |state| {
            signal(state, Signal::Degraded { why: "steal 12 %".to_owned() });
        }),
        finding("a source hangs", &["BerthInputStale"], warning("stale-source")),
        finding("no Snapshot any more", &["BerthInputStale"], warning("no-snapshot")),
        finding(
            "a host without cgroup v2",
            &["BerthObserveOnly"],
            node_loop::observe_only("no cgroup v2"),
        ),
    ]
}

fn decisions() -> Vec<Case> {
    let fatal = Finding { severity: Severity::Fatal, ..warning("cpu-two-owners") };
    vec![
        finding("the lint refuses", &["BerthPlanRefused"], fatal),
        finding("the planner hangs", &["BerthPlannerStuck"], node_loop::planner_stuck()),
        finding("Plans come late", &["BerthPlannerStuck"], warning("plan-late")),
        moment("a Plan comes late once a minute", &[], warning("plan-late")),
        finding("all CPUs are withheld", &["BerthNoUsableCpus"], warning("nothing-usable")),
        finding("too few CPUs to reserve", &["BerthNoUsableCpus"], warning("reserve-short")),
        finding("a pod without a place", &["BerthPodsWithoutPlace"], warning("unplaceable")),
        state("slow suppressions", &["BerthSuppressionSlow"], |state| {
            state.suppression.p99 = Some(Nanos::from_millis(180));
        }),
        state("slow suppressions, long ago", &[], |state| {
            let p99 = Some(Nanos::from_millis(180));
            state.suppression = SuppressionStats { n_events: 4, p99, ..state.suppression };
        }),
        state("held down all the time", &["BerthAlwaysSuppressed"], suppressed),
    ]
}

fn writes() -> Vec<Case> {
    let failure = StepFailure {
        kind: FailureKind::Denied,
        errno: Some(13),
        message: "/batch/ml/cpu.max refused \"max\"".to_owned(),
    };
    let back = actuator::Restored { written: 3, ..actuator::Restored::default() };
    let failed = actuator::Restored { failures: vec![failure], ..back.clone() };
    vec![
        finding("a write hangs", &["BerthActuatorStuck"], warning("actuator-stuck")),
        moment("a file is refused each minute", &["BerthWritesRefused"], warning("step-refused")),
        finding("somebody else writes", &["BerthForeignWrites"], warning("foreign-write")),
        finding(
            "an inherited file cannot be put back",
            &["BerthRestoreFailed"],
            inherited::told(4, false, &failed),
        ),
        finding("inherited files are back", &[], inherited::told(3, false, &back)),
    ]
}

fn on_kubernetes() -> Vec<Case> {
    let told = not_heard();
    let pod = (WorkloadName::from("shop/web"), "qos_level: \"gold\" is no QoS level".to_owned());
    vec![
        Case {
            change: Box::new(move |state, _| state.findings.extend(told.iter().cloned())),
            runtime: RuntimeMetrics::lost,
            ..case("no container runtime", &["BerthRuntimeNotHeard"])
        },
        runtime("slow answers", &["BerthRuntimeSlow"], |runtime| {
            runtime.answered(2, Duration::from_millis(900));
        }),
        runtime("the loop answers too late", &["BerthPlacesLate"], |runtime| {
            calls(runtime);
            runtime.placed(Placed::Late);
        }),
        runtime("pods are kept from starting", &["BerthPodsKeptFromStarting"], |runtime| {
            calls(runtime);
            runtime.placed(Placed::Refused);
        }),
        finding("containers nobody told of", &["BerthRuntimeDeaf"], deaf()),
        finding("no control plane", &["BerthReportNotDelivered"], warning("report-not-delivered")),
        finding("no apiserver", &["BerthApiserverNotHeard"], not_asked()),
        finding(
            "an apiserver without the kind",
            &["BerthApiserverRefuses"],
            kubernetes::not_reported(
                "write CustomNodeResource n1: the apiserver has no such thing",
            ),
        ),
        finding(
            "annotations that say nothing",
            &["BerthPodsNotUnderstood"],
            kubernetes::not_understood(&pod),
        ),
    ]
}
