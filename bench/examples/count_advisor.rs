//! Runs one deciding function a number of times on the big node and does nothing else, so that an
//! instruction counter can tell what a run costs: the difference of two counts, over the difference
//! of the two numbers. `count_advisor plan|plan-moving|plan-pods|suppress TIMES`; `count_advisor growth TICKS` prints
//! the memory in use after a tenth of the ticks and after all of them, in KiB.

use std::hint::black_box;

use advisor::{PlanInput, TurnState, plan, suppress};
use anyhow::{Context as _, Result, bail};
use bench::big_node::{self, BurstCase, PlacementCase};
use bench::procfs;
use model::Timestamp;
use model::derive::derive;
use model::policy::Policy;
use model::snapshot::Snapshot;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let name = args.next().context("which function?")?;
    let times: u64 = args.next().context("how often?")?.parse().context("how often?")?;
    let (node, policy) = (big_node::snapshot(), big_node::policy());
    match name.as_str() {
        "plan" => count_plan(times, (&node, &node), &policy),
        "plan-moving" => {
            count_plan(times, (&node, &big_node::busier(&node)), &policy);
        }
        "plan-pods" => {
            let case = PlacementCase::resident();
            let limits = Default::default();
            let node = derive(Some(&case.sample(1)), &case.sample(2), &limits)?;
            count_plan(times, (&node, &node), &case.node_policy());
        }
        "growth" => growth(times)?,
        "suppress" => count_suppress(times),
        other => bail!("no function {other:?}"),
    }
    Ok(())
}

fn count_plan(times: u64, (before, snapshot): (&Snapshot, &Snapshot), policy: &Policy) {
    let now = before.at;
    let (previous, _) = plan(&PlanInput { now, snapshot: before, previous: None, policy });
    let input = PlanInput { now, snapshot, previous: Some(&previous), policy };
    for _ in 0..times {
        black_box(plan(black_box(&input)));
    }
}

#[expect(clippy::print_stdout, reason = "who counts reads it")]
fn growth(n_ticks: u64) -> Result<()> {
    let case = PlacementCase::resident();
    let mut turn = TurnState::new(case.node_policy());
    let rss_kib = || Ok::<_, anyhow::Error>(procfs::process_rss(std::process::id())?.0 / 1024);
    let mut early_kib = 0;
    for second in 1..=n_ticks {
        let effects = turn.tick(Timestamp(second * 1_000_000_000), case.sample(second));
        black_box(effects);
        if second == n_ticks.div_ceil(10) {
            early_kib = rss_kib()?;
        }
    }
    println!("{early_kib} {}", rss_kib()?);
    Ok(())
}

fn count_suppress(times: u64) {
    let case = BurstCase::default();
    let input = case.input();
    for _ in 0..times {
        black_box(suppress(black_box(&input)));
    }
}
