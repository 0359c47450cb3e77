//! The deciding functions on the big node of `bench::big_node`. Bars: `suppress` under 100 us,
//! `plan` under 1 ms.

use std::hint::black_box;

use advisor::{PlanInput, TurnState, effective, plan, steps, suppress};
use bench::big_node::{self, BurstCase};
use criterion::{Criterion, criterion_group, criterion_main};
use model::Timestamp;
use model::knob::KnobTable;
use model::plan::Overlay;

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

criterion_group!(benches, advisors);
criterion_main!(benches);
