//! The deciding functions on a big node: 512 CPUs (2 sockets x 4 NUMA nodes x 32 cores x 2
//! threads), 300 workloads of which 200 are batch. Bars: `suppress` under 100 us, `plan` under
//! 1 ms.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use advisor::suppress::OverlayHistory;
use advisor::{PlanInput, SuppressInput, TurnState, effective, plan, steps, suppress};
use criterion::{Criterion, criterion_group, criterion_main};
use model::knob::KnobTable;
use model::plan::Overlay;
use model::policy::{Policy, Reserve};
use model::qos::{CgroupPath, QosLevel, WorkloadName};
use model::sample::{
    Burst, CpuStat, HostSample, ProbeSample, Sample, SlotSample, Source, WorkloadSample,
    WorkloadSpec,
};
use model::snapshot::Snapshot;
use model::topology::{Shape, Topology};
use model::{Bytes, CgroupId, CpuId, Micros, MilliCpu, Nanos, SlotId, Timestamp};

const N_WORKLOADS: u16 = 300;

fn sample(second: u64) -> Sample {
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
    let workloads = (1..=N_WORKLOADS).map(|slot| {
        let name = WorkloadName::new(format!("namespace-{}/pod-{slot}", slot % 7));
        (name, workload(slot, at, second))
    });
    let slots = (1..=N_WORKLOADS).map(|slot| (SlotId(slot), waits(second)));
    Sample {
        at,
        topology: Source::fresh(at, Arc::new(topology)),
        host: Source::fresh(at, HostSample::default()),
        workloads: Source::fresh(at, workloads.collect()),
        probe: Source::fresh(at, ProbeSample { slots: slots.collect(), ..ProbeSample::default() }),
    }
}

fn workload(slot: u16, at: Timestamp, second: u64) -> WorkloadSample {
    let shared = slot.is_multiple_of(3);
    let qos = if shared { QosLevel::SharedCores } else { QosLevel::ReclaimedCores };
    let usage = Micros(second * (500_000 + u64::from(slot) * 2000));
    WorkloadSample {
        spec: WorkloadSpec { qos, request: MilliCpu(u64::from(shared) * 2000), target_p99: None },
        cgroup: CgroupPath::new(format!("/kubepods/besteffort/pod-{slot}")),
        cgroup_id: CgroupId(u64::from(slot)),
        slot: SlotId(slot),
        at,
        populated: true,
        cpu_stat: Some(CpuStat { usage, ..CpuStat::default() }),
        cpu_pressure: None,
        memory_current: None,
        knobs: Default::default(),
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

fn snapshot() -> Snapshot {
    model::derive::derive(Some(&sample(1)), &sample(2), &Default::default()).expect("a topology")
}

fn policy() -> Policy {
    let mut policy = Policy { reserve: Reserve::Count(4), ..Policy::default() };
    policy.reclaim.overlap_share = false;
    policy
}

fn advisors(criterion: &mut Criterion) {
    let (node, policy) = (snapshot(), policy());
    let first = PlanInput { now: node.at, snapshot: &node, previous: None, policy: &policy };
    let (previous, _) = plan(&first);
    let input = PlanInput { previous: Some(&previous), ..first };
    criterion.bench_function("plan/512cpus-300workloads", |b| b.iter(|| plan(black_box(&input))));
    // A need that changed, so that CPUs have to be chosen anew.
    let mut busier = node.clone();
    for workload in busier.workloads.values_mut() {
        workload.usage = workload.usage.map(|usage| MilliCpu(usage.0 * 2));
    }
    let moving = PlanInput { snapshot: &busier, ..input };
    criterion.bench_function("plan/512cpus-300workloads-moving", |b| {
        b.iter(|| plan(black_box(&moving)));
    });

    let name = WorkloadName::from("namespace-3/pod-3");
    let history = OverlayHistory::default();
    let burst = Burst {
        victim: SlotId(3),
        cpu: CpuId(7),
        first_wait_at: node.at,
        wait: Nanos::from_millis(4),
        offender: SlotId(2),
    };
    let call = SuppressInput {
        now: node.at,
        burst: &burst,
        victim_name: &name,
        victim: &node.workloads[&name],
        offender_qos: Some(QosLevel::ReclaimedCores),
        overlay: None,
        history: &history,
        policy: &policy,
    };
    criterion.bench_function("suppress/512cpus-300workloads", |b| {
        b.iter(|| suppress(black_box(&call)));
    });
    let overlay: Option<Overlay> = suppress(&call).0;
    criterion.bench_function("effective+steps/512cpus-300workloads", |b| {
        let believed = KnobTable::new();
        b.iter(|| steps(&believed, &effective(black_box(&previous), overlay.as_ref(), node.at)));
    });

    let mut turn = TurnState::new(policy.clone());
    turn.tick(Timestamp(1_000_000_000), sample(1));
    turn.tick(Timestamp(2_000_000_000), sample(2));
    criterion.bench_function("turn-burst/512cpus-300workloads", |b| {
        b.iter_batched_ref(
            || turn.clone(),
            |turn| turn.burst(Timestamp(2_100_000_000), black_box(&burst)),
            criterion::BatchSize::LargeInput,
        );
    });
    let third = sample(3);
    criterion.bench_function("turn-tick/512cpus-300workloads", |b| {
        b.iter_batched(
            || (turn.clone(), third.clone()),
            |(mut turn, third)| turn.tick(Timestamp(3_000_000_000), third),
            criterion::BatchSize::LargeInput,
        );
    });
}

criterion_group!(benches, advisors);
criterion_main!(benches);
