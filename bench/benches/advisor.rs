//! The deciding functions on the big node of `bench::big_node`. Bars: `suppress` under 100 us,
//! `plan` under 1 ms, `admit` with the answer's CPUs under 50 us, `hints` under 200 us (1 ms on 16
//! nodes). What a container runtime waits for, beside the hand-over between two threads: a place for a
//! new container (5 ms), and the table of all pods made from its list (100 ms).

use std::hint::black_box;
use std::sync::Arc;

use advisor::admit::{admit, placement_of};
use advisor::hint::hints;
use advisor::{PlanInput, TurnState, effective, lint, plan, steps, suppress};
use bench::big_node::{self, BurstCase, PlacementCase};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use model::Timestamp;
use model::derive::derive;
use model::knob::KnobTable;
use model::plan::{Overlay, Plan};
use model::qos::{QosLevel, QosRules};
use model::sample::WorkloadSpec;
use prost::Message as _;
use proto::nri::{
    Container, ContainerState, Event, LinuxContainer, LinuxCpu, LinuxPodSandbox, LinuxResources,
    OptionalUInt64, PodSandbox, SynchronizeRequest,
};
use runtime::nri::Call;
use runtime::pods::PodTable;

fn advisors(criterion: &mut Criterion) {
    let (node, policy) = (big_node::snapshot(), big_node::policy());
    let first = PlanInput { now: node.at, snapshot: &node, previous: None, policy: &policy };
    let (previous, _) = plan(&first);
    let input = PlanInput { previous: Some(&previous), ..first };
    criterion.bench_function("plan/512cpus-300workloads", |b| b.iter(|| plan(black_box(&input))));
    let busier = big_node::busier(&node);
    let moving = PlanInput { snapshot: &busier, ..input };
    criterion.bench_function("plan/512cpus-300workloads-moving", |b| {
        b.iter(|| plan(black_box(&moving)));
    });

    let case = BurstCase::default();
    let call = case.input();
    criterion.bench_function("suppress/512cpus-300workloads", |b| {
        b.iter(|| suppress(black_box(&call)));
    });
    let overlay: Option<Overlay> = suppress(&call).0;
    criterion.bench_function("effective+steps/512cpus-300workloads", |b| {
        let believed = KnobTable::new();
        b.iter(|| steps(&believed, &effective(black_box(&previous), overlay.as_ref(), node.at)));
    });

    let mut turn = TurnState::new(policy.clone());
    turn.tick(Timestamp(1_000_000_000), big_node::sample(1));
    turn.tick(Timestamp(2_000_000_000), big_node::sample(2));
    criterion.bench_function("turn-burst/512cpus-300workloads", |b| {
        b.iter_batched_ref(
            || turn.clone(),
            |turn| turn.burst(Timestamp(2_100_000_000), black_box(&case.burst)),
            criterion::BatchSize::LargeInput,
        );
    });
    let third = big_node::sample(3);
    criterion.bench_function("turn-tick/512cpus-300workloads", |b| {
        b.iter_batched(
            || (turn.clone(), third.clone()),
            |(mut turn, third)| turn.tick(Timestamp(3_000_000_000), third),
            criterion::BatchSize::LargeInput,
        );
    });
}

/// A tick of a quiet node with 1000 workloads, and its parts: what `tick` takes beside `derive`, `plan` and
/// `lint` is what is believed of files, and Steps.
fn many(criterion: &mut Criterion) {
    let (turn, next) = big_node::settled();
    let now = Timestamp(4_000_000_000);
    criterion.bench_function("many-tick/512cpus-1000workloads", |b| {
        b.iter_batched(
            || (turn.clone(), next.clone()),
            |(mut turn, next)| turn.tick(now, next),
            criterion::BatchSize::LargeInput,
        );
    });
    // What the loop itself does: a burst waits for it.
    criterion.bench_function("many-finish/512cpus-1000workloads", |b| {
        b.iter_batched(
            || {
                let mut turn = turn.clone();
                let planned = turn.begin(now).run(next.clone());
                (turn, planned)
            },
            |(mut turn, planned)| turn.finish(now, planned),
            criterion::BatchSize::LargeInput,
        );
    });
    let (before, limits) = (big_node::sample_of(big_node::N_MANY, 3), Default::default());
    criterion.bench_function("many-derive/512cpus-1000workloads", |b| {
        b.iter(|| derive(Some(black_box(&before)), &next, &limits));
    });
    let (node, policy) = (derive(Some(&before), &next, &limits), big_node::policy());
    let node = node.expect("a topology");
    let previous = turn.plan().expect("it has ticked");
    let input = PlanInput { now, snapshot: &node, previous: Some(&**previous), policy: &policy };
    criterion.bench_function("many-plan/512cpus-1000workloads", |b| {
        b.iter(|| plan(black_box(&input)));
    });
    let (newer, _) = plan(&input);
    criterion.bench_function("many-lint/512cpus-1000workloads", |b| {
        b.iter(|| lint(&node, &policy, Some(previous), black_box(&newer)));
    });
}

fn placement(criterion: &mut Criterion) {
    let case = PlacementCase::resident();
    let input = case.input();
    let bound = r#""numa_binding":"true""#;
    let exclusive = r#""numa_exclusive":"true""#;
    let (policy, limits) = (case.node_policy(), Default::default());
    let node = derive(Some(&case.sample(1)), &case.sample(2), &limits).expect("a topology");
    // As they were admitted one by one: all at once they would be spread over every node.
    let admitted = Plan { ledger: Arc::new(case.ledger.clone()), ..Plan::default() };
    let first =
        PlanInput { now: node.at, snapshot: &node, previous: Some(&admitted), policy: &policy };
    let (previous, _) = plan(&first);
    assert_eq!(previous.ledger.pods.len(), 300, "all stay admitted");
    let again = PlanInput { previous: Some(&previous), ..first };
    criterion.bench_function("plan/512cpu-8numa-300pods", |b| b.iter(|| plan(black_box(&again))));
    for (name, ask) in [
        ("shared", big_node::ask("new", QosLevel::SharedCores, 2000, "")),
        ("shared-bound", big_node::ask("new", QosLevel::SharedCores, 2000, bound)),
        ("dedicated", big_node::ask("new", QosLevel::DedicatedCores, 8000, bound)),
        ("reclaimed", big_node::ask("new", QosLevel::ReclaimedCores, 2000, "")),
    ] {
        criterion.bench_function(&format!("admit/512cpu-8numa-300pods-{name}"), |b| {
            b.iter(|| {
                let admission = admit(black_box(&input), &ask, None).expect("there is room");
                placement_of(&input, &admission.resident)
            });
        });
    }
    for (name, ask) in [
        ("exclusive", big_node::ask("new", QosLevel::DedicatedCores, 70_000, exclusive)),
        ("shared-bound", big_node::ask("new", QosLevel::SharedCores, 2000, bound)),
    ] {
        criterion.bench_function(&format!("hints/512cpu-8numa-300pods-{name}"), |b| {
            b.iter(|| hints(black_box(&input), &ask));
        });
    }
    reserve(criterion, &case);
    let wide = PlacementCase::empty(8, 16);
    let input = wide.input();
    let ask = big_node::ask("new", QosLevel::DedicatedCores, 2000, exclusive);
    criterion.bench_function("hints/16numa-exclusive", |b| {
        b.iter(|| hints(black_box(&input), &ask));
    });
}

fn reserve(criterion: &mut Criterion, case: &PlacementCase) {
    let admitted = Plan { ledger: Arc::new(case.ledger.clone()), ..Plan::default() };
    let mut turn = TurnState::restored(case.node_policy(), Some(admitted));
    for second in 1..=2 {
        turn.tick(Timestamp(second * 1_000_000_000), case.sample(second));
    }
    let ask = big_node::ask("new", QosLevel::DedicatedCores, 8000, r#""numa_binding":"true""#);
    let wish = Arc::new(ask.wish);
    let spec = WorkloadSpec { wish, ..WorkloadSpec::plain(ask.level, ask.cpu) };
    let now = Timestamp(2_500_000_000);
    let name = "reserve/512cpu-8numa-300pods-dedicated";
    criterion.bench_function(name, |b| {
        let promised = |mut turn: TurnState| (turn.reserve(now, &ask.name, &spec), turn);
        assert!(promised(turn.clone()).0.is_some_and(|reserved| reserved.refused.is_none()));
        b.iter_batched(|| turn.clone(), promised, BatchSize::SmallInput);
    });
}

/// 250 pods with two containers each.
fn synchronize(criterion: &mut Criterion) {
    let list = runtime_list(250, 2).encode_to_vec();
    criterion.bench_function("nri/synchronize-500containers", |b| {
        b.iter(|| {
            let list = SynchronizeRequest::decode(black_box(&*list)).expect("encoded above");
            let mut table = PodTable::new(QosRules::default(), "/kubepods");
            table.hear(&Call::Synchronize(list));
            table.pods()
        });
    });
    tell_again(criterion);
}

/// One pod of 500 is different.
fn tell_again(criterion: &mut Criterion) {
    let list = runtime_list(500, 1);
    let stopped = Call::Told {
        event: Event::StopContainer,
        pod: list.pods[250].clone(),
        container: Some(list.containers[250].clone()),
    };
    let mut table = PodTable::new(QosRules::default(), "/kubepods");
    table.hear(&Call::Synchronize(list));
    assert_eq!(table.pods().0.len(), 500);
    criterion.bench_function("nri/tell-500pods-one-different", |b| {
        let different = |mut table: PodTable| {
            assert!(table.hear(&stopped));
            (table.pods(), table)
        };
        b.iter_batched(|| table.clone(), different, BatchSize::LargeInput);
    });
}

fn runtime_list(n_pods: usize, n_containers: usize) -> SynchronizeRequest {
    let resources = || LinuxResources {
        cpu: Some(LinuxCpu { shares: Some(OptionalUInt64 { value: 512 }), ..LinuxCpu::default() }),
        ..LinuxResources::default()
    };
    let pod = |n: usize| PodSandbox {
        id: format!("{n:064x}"),
        name: format!("pod-{n}"),
        namespace: "shop".to_owned(),
        uid: format!("{n:032x}"),
        labels: (0..8).map(|key| (format!("label-{key}"), format!("value-{n}"))).collect(),
        annotations: [(model::annotation::QOS_LEVEL.to_owned(), "shared_cores".to_owned())].into(),
        linux: Some(LinuxPodSandbox {
            cgroup_parent: format!("/kubepods/burstable/pod{n:032x}"),
            pod_resources: Some(resources()),
            ..LinuxPodSandbox::default()
        }),
        ..PodSandbox::default()
    };
    let container = |n: usize, nth: usize| Container {
        id: format!("{:064x}", n * 100 + nth),
        pod_sandbox_id: format!("{n:064x}"),
        name: format!("c{nth}"),
        state: ContainerState::ContainerRunning.into(),
        linux: Some(LinuxContainer {
            resources: Some(resources()),
            cgroups_path: format!("/kubepods/burstable/pod{n:032x}/{:064x}", n * 100 + nth),
            ..LinuxContainer::default()
        }),
        ..Container::default()
    };
    let all = (0..n_pods).flat_map(|n| (0..n_containers).map(move |nth| container(n, nth)));
    SynchronizeRequest {
        pods: (0..n_pods).map(pod).collect(),
        containers: all.collect(),
        more: false,
    }
}

criterion_group!(benches, advisors, many, placement, synchronize);
criterion_main!(benches);
