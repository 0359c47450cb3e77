//! A big node as values, for measuring the deciding functions: 512 CPUs (2 sockets x 4 NUMA nodes x
//! 32 cores x 2 threads) and 300 or 1000 workloads, each of which waited for ten others.

use std::collections::BTreeMap;
use std::sync::Arc;

use advisor::admit::admit;
use advisor::hint::PlacementInput;
use advisor::layout::Layout;
use advisor::suppress::OverlayHistory;
use advisor::{SuppressInput, TurnState};
use model::annotation;
use model::knob::Knob;
use model::ledger::Ledger;
use model::placement::PlacementPolicy;
use model::plan::{Applied, Outcome, Plan};
use model::pod::{Ask, Container, ContainerRole, Pod, Requests};
use model::policy::{Policy, Reserve};
use model::qos::{CgroupPath, PodUid, PoolName, QosLevel, QosRules, WorkloadName};
use model::sample::{
    Burst, CpuStat, HostSample, ProbeSample, Sample, SlotSample, Source, WorkloadSample,
    WorkloadSpec,
};
use model::snapshot::Snapshot;
use model::topology::{Shape, Topology};
use model::{
    Bytes, CgroupId, CpuId, Micros, MilliCpu, Nanos, NumaNodeId, NumaSet, SlotId, Timestamp,
};

/// Two of three are batch.
const N_WORKLOADS: u16 = 300;

/// As many as the agent is said to bear.
pub const N_MANY: u16 = 1000;

/// What was read in that second; counters grow from one to the next.
pub fn sample(second: u64) -> Sample {
    sample_of(N_WORKLOADS, second)
}

/// The same with another number of workloads.
pub fn sample_of(n_workloads: u16, second: u64) -> Sample {
    let at = Timestamp(second * 1_000_000_000);
    let workloads = (1..=n_workloads).map(|slot| {
        let name = WorkloadName::new(format!("namespace-{}/pod-{slot}", slot % 7));
        (name, workload(slot, at, second))
    });
    with_workloads(workloads.collect(), second)
}

fn with_workloads(workloads: BTreeMap<WorkloadName, WorkloadSample>, second: u64) -> Sample {
    let topology = Topology::synthetic(Shape {
        sockets: 2,
        nodes_per_socket: 4,
        llcs_per_node: 4,
        cores_per_llc: 8,
        threads_per_core: 2,
        memory_per_node: Bytes(1 << 36),
    });
    assert_eq!(topology.n_online(), 512);
    let at = Timestamp(second * 1_000_000_000);
    let slots = workloads.values().map(|workload| (workload.slot, waits(second)));
    let probe = ProbeSample { slots: slots.collect(), ..ProbeSample::default() };
    Sample {
        at,
        topology: Source::fresh(at, Arc::new(topology)),
        host: Source::fresh(at, HostSample::default()),
        workloads: Source::fresh(at, workloads),
        probe: Source::fresh(at, probe),
    }
}

fn workload(slot: u16, at: Timestamp, second: u64) -> WorkloadSample {
    let shared = slot.is_multiple_of(3);
    let qos = if shared { QosLevel::SharedCores } else { QosLevel::ReclaimedCores };
    let usage = Micros(second * (500_000 + u64::from(slot) * 2000));
    WorkloadSample {
        spec: WorkloadSpec::plain(qos, MilliCpu(u64::from(shared) * 2000)),
        cgroup: CgroupPath::new(format!("/kubepods/besteffort/pod-{slot}")),
        cgroup_id: CgroupId(u64::from(slot)),
        slot: SlotId(slot),
        at,
        populated: true,
        cpu_stat: Some(CpuStat { usage, ..CpuStat::default() }),
        cpu_pressure: None,
        memory_current: None,
        seldom: std::sync::Arc::default(),
        knobs: Default::default(),
        containers: None,
        errors: Vec::new(),
    }
}

fn waits(second: u64) -> SlotSample {
    let mut slot = SlotSample::default();
    slot.waits.buckets[16] = second * 10_000;
    slot.waits.buckets[24] = second * 200;
    slot.causes.total = Nanos(second * 900_000_000);
    let per_offender = |slot: u16| (SlotId(slot), Nanos(second * 90_000_000));
    slot.causes.by_offender = (1..=10).map(per_offender).collect::<BTreeMap<_, _>>();
    slot
}

/// The node in its second second.
pub fn snapshot() -> Snapshot {
    model::derive::derive(Some(&sample(1)), &sample(2), &Default::default()).expect("a topology")
}

/// A turn with 1000 workloads whose every file holds what the Plan wants, and the Sample that comes next:
/// most ticks of a quiet node are like this one.
pub fn settled() -> (TurnState, Sample) {
    let mut turn = TurnState::new(policy());
    for second in 1..=3 {
        let sample = with_files(sample_of(N_MANY, second), turn.plan().map(|plan| &**plan));
        let effects = turn.tick(Timestamp(second * 1_000_000_000), sample);
        for step in effects.fast.into_iter().chain(effects.slow) {
            let finished_at = Timestamp(second * 1_000_000_000 + 200_000_000);
            let result = Ok(Applied::Written);
            turn.outcome(&Outcome { step, result, finished_at, took: Nanos(0) });
        }
    }
    let next = with_files(sample_of(N_MANY, 4), turn.plan().map(|plan| &**plan));
    (turn, next)
}

/// The files as a Plan wants them.
fn with_files(mut sample: Sample, plan: Option<&Plan>) -> Sample {
    let Some(plan) = plan else { return sample };
    let Some(mut workloads) = sample.workloads.value().cloned() else { return sample };
    for (name, workload) in &mut workloads {
        let Some(wanted) = plan.workloads.get(name) else { continue };
        let values = Knob::ALL.into_iter().filter_map(|knob| wanted.get(knob));
        values.for_each(|value| workload.knobs.record(value));
    }
    sample.workloads = Source::fresh(sample.at, workloads);
    sample
}

pub fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.placement.reserve = Reserve::Count(4);
    policy.placement.overlap_shared_reclaim = false;
    policy
}

/// The node with twice the usage, so that CPUs have to be chosen anew.
pub fn busier(node: &Snapshot) -> Snapshot {
    let mut busier = node.clone();
    for workload in busier.workloads.values_mut() {
        workload.usage = workload.usage.map(|usage| MilliCpu(usage.0 * 2));
    }
    busier
}

/// A burst on the node and all that deciding about it needs.
#[derive(Debug)]
pub struct BurstCase {
    node: Snapshot,
    policy: Policy,
    victim_name: WorkloadName,
    pub burst: Burst,
    history: OverlayHistory,
}

impl Default for BurstCase {
    /// Workload 3 waited for workload 2, which is batch.
    fn default() -> BurstCase {
        let node = snapshot();
        let burst = Burst {
            victim: SlotId(3),
            cpu: CpuId(7),
            first_wait_at: node.at,
            wait: Nanos::from_millis(4),
            offender: SlotId(2),
        };
        let victim_name = WorkloadName::from("namespace-3/pod-3");
        BurstCase { node, policy: policy(), victim_name, burst, history: OverlayHistory::default() }
    }
}

impl BurstCase {
    pub fn input(&self) -> SuppressInput<'_> {
        SuppressInput {
            now: self.node.at,
            burst: &self.burst,
            victim_name: &self.victim_name,
            victim: &self.node.workloads[&self.victim_name],
            offender_qos: Some(QosLevel::ReclaimedCores),
            meets_batch: true,
            overlay: None,
            history: &self.history,
            policy: &self.policy,
        }
    }
}

/// Where pods are placed on a big machine.
#[derive(Debug)]
pub struct PlacementCase {
    pub layout: Layout,
    pub policy: PlacementPolicy,
    pub ledger: Ledger,
}

impl PlacementCase {
    /// 512 CPUs in 8 nodes with 300 pods: 90 shared in three pools, 60 bound to nodes, 20 with CPUs
    /// of their own, 130 reclaimed.
    pub fn resident() -> PlacementCase {
        let mut case = PlacementCase::empty(4, 32);
        for idx in 0..300u16 {
            let (level, milli, wish) = match idx {
                0..90 => (QosLevel::SharedCores, 700, ""),
                90..150 => (QosLevel::SharedCores, 900, r#""numa_binding":"true""#),
                150..170 => (QosLevel::DedicatedCores, 4000, r#""numa_binding":"true""#),
                _ => (QosLevel::ReclaimedCores, 2000, ""),
            };
            let mut ask = ask(&format!("pod-{idx}"), level, milli, wish);
            // Nodes 0 to 3 hold what is bound, so that the others stay for whom is not.
            let node = NumaSet::single(NumaNodeId(idx % 4));
            if idx < 90 {
                ask.wish.cpuset_pool =
                    [None, Some("batch"), Some("flink")][usize::from(idx % 3)].map(PoolName::from);
            }
            let given = ask.wish.numa_binding.then_some(node);
            let admission = admit(&case.input(), &ask, given).expect("there is room");
            case.ledger.pods.insert(ask.uid.clone(), admission.resident);
        }
        case
    }

    /// The pods as workloads of a running node, in that second.
    pub fn sample(&self, second: u64) -> Sample {
        let at = Timestamp(second * 1_000_000_000);
        let workloads = self.ledger.pods.values().zip(1..).map(|(resident, slot)| {
            let ask = &resident.ask;
            let spec = WorkloadSpec {
                memory_request: ask.memory,
                wish: Arc::new(ask.wish.clone()),
                ..WorkloadSpec::plain(ask.level, ask.cpu)
            };
            (ask.name.clone(), WorkloadSample { spec, ..workload(slot, at, second) })
        });
        with_workloads(workloads.collect(), second)
    }

    /// The policy of a node that places them.
    pub fn node_policy(&self) -> Policy {
        Policy { placement: self.policy.clone(), ..Policy::default() }
    }

    /// Two sockets of `nodes` NUMA nodes of `cores` cores with two threads, and no pod.
    pub fn empty(nodes: u16, cores: u16) -> PlacementCase {
        let topology = Topology::synthetic(Shape {
            sockets: 2,
            nodes_per_socket: nodes,
            llcs_per_node: 4,
            cores_per_llc: cores / 4,
            threads_per_core: 2,
            memory_per_node: Bytes(1 << 36),
        });
        let policy = PlacementPolicy {
            reserve: Reserve::Count(4),
            reclaim_enabled: true,
            ..PlacementPolicy::default()
        };
        let layout = Layout::new(&topology, &policy).expect("a machine");
        PlacementCase { layout, policy, ledger: Ledger::default() }
    }

    /// A minute after the last pod came, so that all of them are in their pools.
    pub fn input(&self) -> PlacementInput<'_> {
        PlacementInput {
            now: Timestamp(60_000_000_000 * u64::from(self.ledger.pods.len() >= 300)),
            layout: &self.layout,
            policy: &self.policy,
            ledger: &self.ledger,
            headroom: None,
        }
    }
}

/// A pod of one container; `wish` are inner keys of its memory enhancement.
pub fn ask(name: &str, level: QosLevel, milli: u64, wish: &str) -> Ask {
    let requests = Requests { cpu: MilliCpu(milli), ..Requests::default() };
    let main = Container { name: "main".to_owned(), role: ContainerRole::App, requests };
    let annotations = [
        (annotation::QOS_LEVEL.to_owned(), level.name().to_owned()),
        (annotation::MEMORY_ENHANCEMENT.to_owned(), format!("{{{wish}}}")),
    ];
    let pod = Pod {
        uid: PodUid::from(name),
        name: WorkloadName::from(name),
        owner: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::from(annotations),
        containers: vec![main],
        running: false,
    };
    Ask::of(&pod, &QosRules::default()).expect("a pod")
}
