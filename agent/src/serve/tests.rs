//! The service over a real socket in a temp directory, with the loop played by the test.

use std::collections::BTreeMap;

use model::decision::Decision;
use model::knob::{CpuWeight, Knobs};
use model::plan::{Overlay, Plan, PoolPlan, WorkloadPlan};
use model::policy::Mode;
use model::qos::{CgroupPath, PoolName, QosLevel, WorkloadName};
use model::sample::{WaitCauses, WorkloadSpec};
use model::snapshot::{HostView, RunqView, Signal, Snapshot, WorkloadView};
use model::topology::{Shape, Topology};
use model::{Bytes, CgroupId, CpuId, CpuSet, Histogram, MilliCpu, Nanos, SlotId};
use proto::v1;
use proto::v1::agent_client::AgentClient;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint, Uri};

use super::*;
use crate::eyes::{Eyes, Status};
use crate::node_state::{AgentHealth, DecisionLog, Refusal, SuppressionStats};

pub(crate) fn workload(slot: u16) -> WorkloadView {
    let runq = RunqView {
        waits: Histogram::default(),
        p50: Some(Nanos(10_000)),
        p99: Some(Nanos(90_000)),
        p999: None,
        on_cpu: Nanos(500_000_000),
        runnable: Some(0.5),
        causes: WaitCauses::default(),
    };
    WorkloadView {
        spec: WorkloadSpec::plain(QosLevel::SharedCores, MilliCpu(500)),
        cgroup: CgroupPath::from("/pods/x"),
        cgroup_id: CgroupId(77),
        slot: SlotId(slot),
        populated: true,
        usage: Some(MilliCpu(400)),
        runq: Some(runq),
        throttled_ratio: None,
        cpu_pressure: None,
        memory_current: Some(Bytes(1 << 20)),
        memory: model::snapshot::MemoryView {
            anon: Some(Bytes(1 << 19)),
            ..model::snapshot::MemoryView::default()
        },
        io: model::snapshot::IoView {
            read: Some(Bytes(7)),
            health: model::snapshot::SourceHealth { age: Some(Nanos(5)), fault: None },
            ..model::snapshot::IoView::default()
        },
        knobs: Knobs { cpu_weight: CpuWeight::new(50), ..Knobs::default() },
        knobs_at: Timestamp(1),
        containers: None,
    }
}

pub(crate) fn state_of<const N: usize>(workloads: [(&str, WorkloadView); N]) -> NodeState {
    let shape = Shape {
        sockets: 1,
        nodes_per_socket: 2,
        llcs_per_node: 1,
        cores_per_llc: 1,
        threads_per_core: 1,
        memory_per_node: Bytes(1 << 30),
    };
    let snapshot = Snapshot {
        at: Timestamp(1_000),
        topology: Arc::new(Topology::synthetic(shape)),
        host: HostView::default(),
        workloads: workloads.into_iter().map(|(name, view)| (name.into(), view)).collect(),
        signal: Signal::Good,
        sources: BTreeMap::new(),
    };
    NodeState {
        snapshot: Arc::new(snapshot),
        plan: Arc::new(Plan::default()),
        overlay: None,
        mode: Mode::Observe,
        findings: Vec::new(),
        suppression: SuppressionStats::default(),
        agent: AgentHealth {
            rss_bytes: Some(Bytes(20 << 20)),
            cpu_ratio: None,
            eyes: Eyes {
                probe: Status { works: true, text: "4 programs".into() },
                pressure: Status { works: true, text: String::new() },
            },
            started_at: Timestamp(0),
        },
        decisions: DecisionLog::default(),
    }
}

pub(crate) fn decision(at: u64) -> Decision {
    Decision {
        at: Timestamp(at),
        rule: "test",
        subject: "web".into(),
        inputs: vec![("need", "3 CPUs".into())],
        result: format!("choice {at}"),
    }
}

/// A served state; the test is the loop.
struct Node {
    state: watch::Sender<Arc<NodeState>>,
    requests: mpsc::Receiver<Request>,
    client: AgentClient<Channel>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), ServeError>>,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

async fn node(state: NodeState) -> Node {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("agent.sock");
    let (state, seen) = watch::channel(Arc::new(state));
    let (to_loop, requests) = mpsc::channel(1);
    let btf = Check {
        name: "btf".into(),
        status: CheckStatus::Fail,
        detail: "no /sys/kernel/btf/vmlinux".into(),
        fix: "boot a kernel with CONFIG_DEBUG_INFO_BTF".into(),
    };
    let text = "[share]\nusage_margin = 1.5\n";
    let config = crate::config::parse(Path::new("agent.toml"), text).expect("a good file");
    let deps = ServeDeps {
        state: seen,
        requests: to_loop,
        policy: Arc::new(PolicyTable::new(&config, Path::new("agent.toml"))),
        doctor: Arc::new(move || vec![btf.clone()]),
        clock: || Timestamp(5_000),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let socket = path.clone();
    let server = tokio::spawn(async move {
        serve(&socket, deps, async {
            let _ = stopped.await;
        })
        .await
    });
    let client = connect(&path).await;
    Node { state, requests, client, stop, server, path, _dir: dir }
}

async fn connect(path: &Path) -> AgentClient<Channel> {
    while !path.exists() {
        tokio::task::yield_now().await;
    }
    let path = path.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(hyper_util::rt::TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://agent");
    AgentClient::new(endpoint.connect_with_connector(connector).await.expect("connects"))
}

#[tokio::test]
async fn a_snapshot_carries_state_pools_and_missing_values() {
    let mut state = state_of([("web", workload(1)), ("batch", workload(2))]);
    let mut batch = workload(2);
    batch.spec.qos = QosLevel::ReclaimedCores;
    batch.usage = None;
    Arc::make_mut(&mut state.snapshot).workloads.insert("batch".into(), batch);
    let plan = Arc::make_mut(&mut state.plan);
    let cpus = CpuSet::range(CpuId(0), CpuId(1));
    plan.pools.insert("share".into(), PoolPlan { cpus, need: MilliCpu(600) });
    plan.pools.insert("reclaim".into(), PoolPlan { cpus, need: MilliCpu(0) });
    for (name, pool) in [("web", "share"), ("batch", "reclaim"), ("gone", "share")] {
        plan.workloads.insert(WorkloadName::from(name), planned(pool.into(), cpus));
    }
    state.overlay = Some(overlay(9_999));
    let node = &mut node(state).await;

    let seen = node.client.get_snapshot(v1::GetSnapshotRequest {}).await.expect("ok").into_inner();
    assert_eq!((seen.at_mono_ns, seen.now_mono_ns), (1_000, 5_000));
    let [reclaim, share] = &seen.pools[..] else { panic!("{:?}", seen.pools) };
    assert_eq!((reclaim.name.as_str(), reclaim.usage_milli_cpu), ("reclaim", None));
    assert_eq!((share.n_workloads, share.usage_milli_cpu), (1, Some(400)));
    assert_eq!((share.cpus.as_str(), share.n_cpus), ("0-1", 2));
    let [batch, web] = &seen.workloads[..] else { panic!("{:?}", seen.workloads) };
    assert!(batch.suppressed && !web.suppressed);
    assert_eq!((batch.usage_milli_cpu, web.usage_milli_cpu), (None, Some(400)));
    assert_eq!(seen.cpus.len(), 2);

    let plan = node.client.get_plan(v1::GetPlanRequest {}).await.expect("ok").into_inner();
    assert_eq!(plan.workloads.len(), 3);
    let machine = node.client.get_topology(v1::GetTopologyRequest {}).await.expect("ok");
    assert_eq!(machine.into_inner().nodes.len(), 2);
    let request = v1::WhySlowRequest { workload: "wbe".into() };
    let status = node.client.why_slow(request).await.expect_err("no such workload");
    assert_eq!(status.code(), tonic::Code::NotFound);
    let report = node.client.doctor(v1::DoctorRequest {}).await.expect("ok").into_inner();
    assert_eq!(report.checks[0].status(), v1::CheckStatus::Fail);
}

fn planned(pool: PoolName, cpus: CpuSet) -> WorkloadPlan {
    WorkloadPlan {
        qos: QosLevel::SharedCores,
        pool,
        cgroup: CgroupPath::from("/pods/x"),
        containers: None,
        cpus,
        cpu_weight: None,
        cpu_idle: None,
        cpu_max: None,
        cpu_burst: None,
        mems: None,
        memory_min: None,
        memory_low: None,
        memory_high: None,
        memory_max: None,
        oom_score_adj: None,
    }
}

fn overlay(expires_at: u64) -> Overlay {
    Overlay {
        began_at: Timestamp(4_000),
        expires_at: Timestamp(expires_at),
        floor: MilliCpu(100),
        cpu_idle: true,
        throttle: false,
        victim: "web".into(),
        first_wait_at: Timestamp(3_900),
    }
}

#[tokio::test]
async fn an_overlay_that_has_expired_is_not_shown() {
    let mut batch = workload(2);
    batch.spec.qos = QosLevel::ReclaimedCores;
    let mut state = state_of([("batch", batch)]);
    state.overlay = Some(overlay(5_000));
    let node = &mut node(state).await;
    let seen = node.client.get_snapshot(v1::GetSnapshotRequest {}).await.expect("ok").into_inner();
    assert_eq!(seen.suppression, None);
    assert!(!seen.workloads[0].suppressed);
}

/// A service and batch work in their pools, with decisions about each and about others.
fn explained_state() -> NodeState {
    let mut batch = workload(2);
    batch.spec.qos = QosLevel::ReclaimedCores;
    let mut state = state_of([("web", workload(1)), ("batch", batch)]);
    let (share, reclaim) = (PoolName::from(PoolName::SHARE), PoolName::from(PoolName::RECLAIM));
    let cpus = CpuSet::from_iter([CpuId(0), CpuId(1)]);
    let pool = PoolPlan { cpus, need: MilliCpu(500) };
    let mut held = planned(reclaim.clone(), cpus);
    held.qos = QosLevel::ReclaimedCores;
    state.plan = Arc::new(Plan {
        pools: BTreeMap::from([(share.clone(), pool.clone()), (reclaim, pool)]),
        workloads: BTreeMap::from([("web".into(), planned(share, cpus)), ("batch".into(), held)]),
        ..Plan::default()
    });
    state.overlay = Some(overlay(9_000));
    let made = [("suppress-begin", "web"), ("overlap-hot", "share"), ("suppress-begin", "db")];
    for (rule, subject) in made {
        state.decisions.push(Decision { rule, subject: subject.into(), ..decision(1) });
    }
    state
}

async fn check_explained(name: &str, kind: v1::NameKind, concerns: &[u64], reasons: &[&str]) {
    let node = &mut node(explained_state()).await;
    let request = v1::ExplainRequest { name: name.into() };
    let reply = node.client.explain(request).await.expect("known").into_inner();
    assert_eq!(reply.kind(), kind, "{name}");
    let numbers = reply.decisions.iter().filter_map(|one| Some(one.decision.as_ref()?.sequence));
    assert_eq!(numbers.collect::<Vec<u64>>(), concerns, "{name}");
    let said = reply.placement.map(|placement| placement.reasons).unwrap_or_default();
    for reason in reasons {
        assert!(said.iter().any(|one| one.contains(reason)), "{name}: no {reason:?} in {said:?}");
    }
    assert_eq!(said.is_empty(), reasons.is_empty(), "{name}: {said:?}");
}

#[tokio::test]
async fn a_name_is_explained_by_what_concerns_it() {
    use v1::NameKind::{Pool, Rule, Workload};
    let of_web = ["the share pool has 2 CPUs of 2", "asked for 0.50", "p99 is 90 us", "observe"];
    check_explained("web", Workload, &[1, 2], &of_web).await;
    let of_batch = ["held down for web", "the reclaim pool"];
    check_explained("batch", Workload, &[1, 2, 3], &of_batch).await;
    check_explained("share", Pool, &[2], &["its 1 workloads need 0.50 CPUs"]).await;
    check_explained("suppress-begin", Rule, &[1, 3], &[]).await;
    let node = &mut node(explained_state()).await;
    let request = v1::ExplainRequest { name: "wbe".into() };
    let status = node.client.explain(request).await.expect_err("unknown");
    assert_eq!(status.code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn policy_and_snapshot_are_told() {
    let mut state = explained_state();
    state.mode = Mode::Enforce;
    let node = &mut node(state).await;
    let policy = node.client.get_policy(v1::GetPolicyRequest {}).await.expect("ok").into_inner();
    let row = |key: &str| policy.values.iter().find(|row| row.key == key).expect("a row");
    assert_eq!(
        (row("mode").value.as_str(), row("mode").source()),
        ("enforce", v1::PolicySource::Command)
    );
    assert_eq!((row("mode").line, row("mode").instead_of.as_str()), (None, "observe"));
    let margin = row("share.usage_margin");
    assert_eq!((margin.source(), margin.line), (v1::PolicySource::File, Some(2)));
    assert_eq!(row("reclaim.weight").source(), v1::PolicySource::BuiltIn);

    let request = v1::GetRecordedSnapshotRequest {};
    let json = node.client.get_recorded_snapshot(request).await.expect("ok").into_inner().json;
    let read = model::wire::from_json::<model::wire::Snapshot>(json.as_bytes()).expect("ours");
    let read = Snapshot::try_from(read).expect("whole");
    assert_eq!(read, *node.state.borrow().snapshot);
}

#[tokio::test]
async fn watchers_see_changes_and_a_slow_one_gets_the_newest() {
    let node = &mut node(state_of([])).await;
    let request = v1::WatchSnapshotsRequest { min_interval_ms: 0 };
    let mut watch = node.client.watch_snapshots(request).await.expect("ok").into_inner();
    let first = watch.message().await.expect("ok").expect("the state now");
    assert_eq!(first.mode(), v1::Mode::Observe);
    for n_events in 1..=500 {
        node.state.send_modify(|state| Arc::make_mut(state).suppression.n_events = n_events);
        tokio::task::yield_now().await;
    }
    let mut n_seen = 0;
    loop {
        let seen = watch.message().await.expect("ok").expect("not over");
        n_seen += 1;
        if seen.suppression_stats.expect("always sent").n_events == 500 {
            break;
        }
    }
    assert!(n_seen <= 500, "{n_seen}");
}

#[tokio::test]
async fn decisions_are_followed_without_gap_or_repeat() {
    let mut state = state_of([]);
    for at in 1..=5 {
        state.decisions.push(decision(at));
    }
    let node = &mut node(state).await;
    let request = v1::ListDecisionsRequest { limit: 2 };
    let listed = node.client.list_decisions(request).await.expect("ok").into_inner();
    let numbers = |reply: &v1::Decisions| -> Vec<u64> {
        reply.decisions.iter().map(|decision| decision.sequence).collect()
    };
    assert_eq!((numbers(&listed), listed.n_lost), (vec![4, 5], 0));
    let all = node.client.list_decisions(v1::ListDecisionsRequest { limit: 0 }).await.expect("ok");
    assert_eq!(numbers(all.get_ref()), [1, 2, 3, 4, 5]);

    let request = v1::WatchDecisionsRequest { backlog: 1 };
    let mut follow = node.client.watch_decisions(request).await.expect("ok").into_inner();
    let mut seen = Vec::new();
    for at in 6..=60 {
        node.state.send_modify(|state| Arc::make_mut(state).decisions.push(decision(at)));
        tokio::task::yield_now().await;
    }
    while seen.last() != Some(&60) {
        let reply = follow.message().await.expect("ok").expect("not over");
        assert_eq!(reply.n_lost, 0);
        seen.extend(numbers(&reply));
    }
    assert_eq!(seen, (5..=60).collect::<Vec<u64>>());
}

#[tokio::test]
async fn the_loop_answers_a_change_of_mode_or_refuses_it() {
    let node = &mut node(state_of([])).await;
    let ask = async |client: &mut AgentClient<Channel>, mode: v1::Mode| {
        client.set_mode(v1::SetModeRequest { mode: mode.into() }).await
    };
    let status = ask(&mut node.client, v1::Mode::Unspecified).await.expect_err("refused");
    let root = rustix::process::geteuid().is_root();
    if !root {
        assert_eq!(status.code(), tonic::Code::PermissionDenied);
        return;
    }
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    let mut client = node.client.clone();
    let asking = tokio::spawn(async move {
        let first = ask(&mut client, v1::Mode::Enforce).await;
        (first, ask(&mut client, v1::Mode::Enforce).await)
    });
    let Some(Request::SetMode { mode, reply }) = node.requests.recv().await else {
        panic!("a request")
    };
    assert_eq!(mode, Mode::Enforce);
    reply.send(Ok(Mode::Observe)).expect("someone waits");
    let Some(Request::SetMode { reply, .. }) = node.requests.recv().await else {
        panic!("a request")
    };
    reply.send(Err(Refusal("highest_mode is observe".into()))).expect("someone waits");
    let (granted, refused) = asking.await.expect("no panic");
    let granted = granted.expect("granted").into_inner();
    assert_eq!((granted.mode(), granted.previous()), (v1::Mode::Enforce, v1::Mode::Observe));
    let refused = refused.expect_err("refused");
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert_eq!(refused.message(), "highest_mode is observe");
}

#[tokio::test]
async fn shutdown_ends_watches_and_removes_the_socket() {
    let mut node = node(state_of([])).await;
    let request = v1::WatchSnapshotsRequest { min_interval_ms: 0 };
    let mut watch = node.client.watch_snapshots(request).await.expect("ok").into_inner();
    watch.message().await.expect("ok").expect("the state now");
    node.stop.send(()).expect("server runs");
    let ended = tokio::time::timeout(SHUTDOWN_GRACE * 4, node.server).await;
    ended.expect("in time").expect("no panic").expect("no error");
    assert!(!node.path.exists());
}
