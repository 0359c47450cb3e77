//! Runs one deciding function a number of times on the big node and does nothing else, so that an
//! instruction counter can tell what a run costs: the difference of two counts, over the difference
//! of the two numbers. `count_advisor plan|plan-moving|suppress TIMES`

use std::hint::black_box;

use advisor::{PlanInput, plan, suppress};
use anyhow::{Context as _, Result, bail};
use bench::big_node::{self, BurstCase};
use model::snapshot::Snapshot;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let name = args.next().context("which function?")?;
    let times: u64 = args.next().context("how often?")?.parse().context("how often?")?;
    let node = big_node::snapshot();
    match name.as_str() {
        "plan" => count_plan(times, &node, &node),
        "plan-moving" => count_plan(times, &node, &big_node::busier(&node)),
        "suppress" => count_suppress(times),
        other => bail!("no function {other:?}"),
    }
    Ok(())
}

fn count_plan(times: u64, before: &Snapshot, snapshot: &Snapshot) {
    let policy = big_node::policy();
    let now = before.at;
    let (previous, _) = plan(&PlanInput { now, snapshot: before, previous: None, policy: &policy });
    let input = PlanInput { now, snapshot, previous: Some(&previous), policy: &policy };
    for _ in 0..times {
        black_box(plan(black_box(&input)));
    }
}

fn count_suppress(times: u64) {
    let case = BurstCase::default();
    let input = case.input();
    for _ in 0..times {
        black_box(suppress(black_box(&input)));
    }
}
