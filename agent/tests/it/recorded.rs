//! Random pods on every recorded machine (`../shared/data/sysfs` beside the checkout; another folder
//! with `BERTH_SYSFS_DATA`): no admission, Plan or row of Steps breaks an invariant. The seed is
//! fixed, so that a failure comes again. Without the trees the test fails, unless
//! `BERTH_ALLOW_SKIP` is set: then it says its name.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use advisor::admit::admit;
use advisor::hint::PlacementInput;
use advisor::layout::Layout;
use advisor::pool::{Held, placement, pools};
use advisor::tally::Tally;
use advisor::{PlanInput, lint, plan, steps};
use hostfs::HostRoot;
use model::annotation::{MEMORY_ENHANCEMENT, QOS_LEVEL};
use model::knob::{KnobTable, Knobs};
use model::ledger::Ledger;
use model::plan::{Plan, Severity};
use model::pod::{Ask, Container, ContainerRole, Pod, Requests};
use model::policy::{Policy, Reserve};
use model::qos::{CgroupPath, PodUid, QosLevel, QosRules, WorkloadName};
use model::sample::{WaitCauses, WorkloadSpec};
use model::snapshot::{
    HostView, IoView, MemoryView, RunqView, Signal, Snapshot, SourceHealth, WorkloadView,
};
use model::{CgroupId, Histogram, MilliCpu, Nanos, SlotId, Timestamp, Topology};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRng, TestRunner};

const WISHES: [&str; 5] = [
    "{}",
    r#"{"numa_binding":"true"}"#,
    r#"{"numa_exclusive":"true"}"#,
    r#"{"numa_binding":"true","full_pcpus_pairing":"true"}"#,
    r#"{"numa_binding":"true","distribute_evenly_across_numa":"true","katalyst.kubewharf.io/numa_number":"2"}"#,
];

/// Cases of one machine: all machines together stay under ten seconds.
const CASES: u32 = 24;
const N_SECONDS: usize = 4;

fn data_folder() -> PathBuf {
    std::env::var_os("BERTH_SYSFS_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/sysfs"),
        PathBuf::from,
    )
}

/// All archives by name; `None` is an allowed skip.
#[track_caller]
fn archives() -> Option<BTreeMap<String, PathBuf>> {
    let Ok(entries) = std::fs::read_dir(data_folder()) else {
        let why = format!("no {}", data_folder().display());
        assert!(std::env::var_os("BERTH_ALLOW_SKIP").is_some(), "{why}");
        let thread = std::thread::current();
        let test = thread.name().expect("libtest names a test's thread after it");
        writeln!(std::io::stdout(), "\nSKIP {test}: {why}").expect("tell of a skip");
        return None;
    };
    let paths = entries.map(|entry| entry.expect("entry").path());
    let named = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix(".tar.bz2")?.to_owned();
        Some((name, path))
    };
    Some(paths.filter_map(named).collect())
}

/// Trees have thousands of files, which memory takes a hundred times faster than some disks.
fn scratch() -> tempfile::TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.or_else(|_| tempfile::tempdir()).expect("temp dir")
}

fn read(archive: &Path) -> Topology {
    let dir = scratch();
    let status = Command::new("tar")
        .args(["--no-same-owner", "--strip-components=1", "-xjf"])
        .arg(archive)
        .arg("-C")
        .arg(dir.path())
        .status()
        .expect("start tar");
    assert!(status.success(), "tar could not unpack {}: {status}", archive.display());
    hostfs::read_topology(&HostRoot::new(dir.path())).expect("readable machine")
}

/// Level, thousandths of a CPU, wish.
type Draft = (usize, u64, usize);

/// Thousandths in use, microseconds waited.
type Load = (u64, u64);

#[derive(Clone, Debug)]
struct Case {
    drafts: Vec<Draft>,
    seconds: Vec<Vec<Load>>,
    n_reserve: u16,
    overlap: bool,
}

fn arb_case(n_cpus: u64) -> impl Strategy<Value = Case> {
    let draft = (0usize..4, 0..n_cpus * 300, 0..WISHES.len());
    let load = (0..n_cpus * 300, 0u64..40_000);
    let seconds = proptest::collection::vec(proptest::collection::vec(load, MAX_PODS), N_SECONDS);
    let drafts = proptest::collection::vec(draft, 1..MAX_PODS);
    (drafts, seconds, 0u16..3, any::<bool>()).prop_map(|(drafts, seconds, n_reserve, overlap)| {
        Case { drafts, seconds, n_reserve, overlap }
    })
}

const MAX_PODS: usize = 12;

fn policy(case: &Case) -> Policy {
    let mut policy = Policy::default();
    policy.placement.reserve = Reserve::Count(case.n_reserve);
    policy.placement.overlap_shared_reclaim = case.overlap;
    policy.placement.reclaim_enabled = true;
    policy
}

fn ask(idx: usize, (level, milli, wish): Draft) -> Ask {
    let requests = Requests { cpu: MilliCpu(milli), ..Requests::default() };
    let main = Container { name: "main".to_owned(), role: ContainerRole::App, requests };
    let annotations =
        [(QOS_LEVEL, QosLevel::ALL[level].name()), (MEMORY_ENHANCEMENT, WISHES[wish])];
    let pod = Pod {
        uid: PodUid::new(format!("p{idx}")),
        name: WorkloadName::new(format!("p{idx}")),
        owner: None,
        labels: BTreeMap::new(),
        annotations: annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        containers: vec![main],
        running: false,
    };
    Ask::of(&pod, &QosRules::default()).expect("a pod")
}

type Set = BTreeSet<u16>;

fn set(cpus: &model::CpuSet) -> Set {
    cpus.iter().map(|cpu| cpu.0).collect()
}

fn online(topology: &Topology) -> Set {
    topology.cpus.values().filter(|cpu| cpu.online).map(|cpu| cpu.id.0).collect()
}

/// One pod after the other; after each the node is whole.
fn admit_all(topology: &Topology, case: &Case) -> Result<(), TestCaseError> {
    let policy = policy(case).placement;
    let Ok(layout) = Layout::new(topology, &policy) else { return Ok(()) };
    let mut ledger = Ledger::default();
    for (idx, draft) in case.drafts.iter().enumerate() {
        let now = Timestamp(0).after(Nanos::from_secs(20 * idx as u64));
        let ask = ask(idx, *draft);
        let before = ledger.clone();
        let (layout, policy) = (&layout, &policy);
        let input = PlacementInput { now, layout, policy, ledger: &before, headroom: None };
        let Ok(admission) = admit(&input, &ask, None) else { continue };
        prop_assert_eq!(admit(&input, &ask, None).ok(), Some(admission.clone()));
        ledger.pods.insert(ask.uid.clone(), admission.resident);
        let input = PlacementInput { ledger: &ledger, ..input };
        check_promises(topology, &input)?;
    }
    Ok(())
}

/// Everybody has CPUs, owners theirs alone, and reclaimed work its own.
fn check_promises(topology: &Topology, input: &PlacementInput<'_>) -> Result<(), TestCaseError> {
    let tally = Tally::of(input.layout, input.ledger, None, input.now);
    let pools = pools(input.layout, input.policy, &tally, &Held::default());
    let online = online(topology);
    let reserve = set(&input.layout.reserve);
    let (mut owned, mut others) = (Set::new(), Set::new());
    for resident in input.ledger.pods.values() {
        let here = placement(input.layout, &tally, &pools, resident, input.now);
        let cpus = set(&here.cpus);
        prop_assert!(!cpus.is_empty() && cpus.is_subset(&online) && !here.mems.is_empty());
        match resident.ask.level {
            QosLevel::DedicatedCores => {
                let asked = usize::try_from(resident.ask.cpu.0.div_ceil(1000)).expect("small");
                prop_assert!(cpus.len() >= asked.max(1), "{cpus:?} of {:?}", resident.ask);
                prop_assert!(owned.is_disjoint(&cpus), "two owners in {cpus:?}");
                prop_assert!(reserve.is_disjoint(&cpus), "{cpus:?} are the system's");
                owned.extend(cpus);
            }
            QosLevel::SharedCores => others.extend(cpus),
            QosLevel::ReclaimedCores | QosLevel::SystemCores => {}
        }
    }
    prop_assert!(owned.is_disjoint(&others), "{owned:?} are owned, shared pods are on {others:?}");
    Ok(())
}

fn snapshot(topology: &Arc<Topology>, case: &Case, second: usize) -> Snapshot {
    let fresh = || SourceHealth { age: Some(Nanos(0)), fault: None };
    let loads = case.drafts.iter().zip(&case.seconds[second]).enumerate();
    let workloads = loads.map(|(idx, (draft, load))| {
        (WorkloadName::new(format!("p{idx}")), view(idx, *draft, *load))
    });
    Snapshot {
        at: Timestamp((second as u64 + 1) * 1_000_000_000),
        topology: Arc::clone(topology),
        host: HostView::default(),
        workloads: workloads.collect(),
        signal: Signal::Good,
        sources: BTreeMap::from(["topology", "host", "workloads", "probe"].map(|s| (s, fresh()))),
    }
}

fn view(idx: usize, draft: Draft, (used, wait_us): Load) -> WorkloadView {
    let ask = ask(idx, draft);
    let mut waits = Histogram::default();
    let waited = Nanos(wait_us * 1000);
    waits.buckets[Histogram::bucket_of(waited)] = 100;
    let runq = RunqView {
        runnable: None,
        p50: waits.quantile(500),
        p99: waits.quantile(990),
        p999: None,
        waits,
        on_cpu: Nanos(0),
        causes: WaitCauses { total: waited, untracked: waited, ..WaitCauses::default() },
    };
    let number = idx as u16 + 1;
    WorkloadView {
        spec: WorkloadSpec {
            wish: Arc::new(ask.wish),
            ..WorkloadSpec::plain(QosLevel::ALL[draft.0], ask.cpu)
        },
        cgroup: CgroupPath::new(format!("/p{idx}")),
        containers: None,
        cgroup_id: CgroupId(u64::from(number)),
        slot: SlotId(number),
        populated: true,
        usage: Some(MilliCpu(used)),
        runq: Some(runq),
        throttled_ratio: None,
        cpu_pressure: None,
        memory_current: None,
        memory: MemoryView::default(),
        io: IoView::default(),
        knobs: Knobs::default(),
        knobs_at: Timestamp(0),
    }
}

/// A few seconds of load: each Plan passes the second opinion, and once its Steps are carried out
/// the same Plan has none.
fn plan_all(topology: &Arc<Topology>, case: &Case) -> Result<(), TestCaseError> {
    let policy = policy(case);
    let mut previous: Option<Plan> = None;
    let mut believed = KnobTable::new();
    for second in 0..N_SECONDS {
        let node = snapshot(topology, case, second);
        let input = PlanInput {
            now: node.at,
            snapshot: &node,
            previous: previous.as_ref(),
            policy: &policy,
        };
        let (planned, _) = plan(&input);
        prop_assert_eq!(&plan(&input).0, &planned, "the same again");
        let mut found = lint(&node, &policy, previous.as_ref(), &planned);
        found.retain(|finding| finding.severity == Severity::Fatal);
        prop_assert!(found.is_empty(), "{found:?}");
        for step in steps(&believed, &planned) {
            believed.entry(step.cgroup.clone()).or_default().record(step.value);
        }
        prop_assert_eq!(steps(&believed, &planned), vec![]);
        previous = Some(planned);
    }
    Ok(())
}

#[test]
fn random_pods_break_nothing_on_any_recorded_machine() {
    let Some(archives) = archives() else { return };
    assert!(!archives.is_empty(), "{} has no machine", data_folder().display());
    for (name, archive) in archives {
        let topology = Arc::new(read(&archive));
        let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
        let rng = TestRng::deterministic_rng(config.rng_algorithm);
        let mut runner = TestRunner::new_with_rng(config, rng);
        let cases = arb_case(topology.n_online() as u64);
        let judged = runner.run(&cases, |case| {
            admit_all(&topology, &case)?;
            plan_all(&topology, &case)
        });
        assert!(judged.is_ok(), "{name}: {judged:?}");
    }
}
