//! `berth-agent snapshot`: reads the host twice, a tick apart, prints what the agent would decide.
//! Writes nothing.

use std::io::Write;
use std::time::Duration;

use advisor::turn::TurnState;
use collector::clock;
use model::policy::{Mode, Policy};

use crate::config::Config;
use crate::wire;

/// Prints the Plan and the Steps that the agent would take on this host.
pub fn run(config: &Config) -> anyhow::Result<()> {
    let policy = Policy { mode: Mode::Observe, ..config.policy.clone() };
    let edges = wire::open_edges(config)?;
    let collector = wire::start_collector(config, edges.tree, edges.probe, None)?;
    let mut turn = TurnState::new(policy);
    std::thread::sleep(Duration::from_millis(300));
    let now = clock::now();
    let mut effects = turn.tick(now, collector.readings(now).compose().0);
    std::thread::sleep(Duration::from_nanos(config.agent.tick.0));
    let now = clock::now();
    effects.findings = turn.tick(now, collector.readings(now).compose().0).findings;
    let mut out = std::io::stdout().lock();
    for finding in &effects.findings {
        writeln!(
            out,
            "{:?}  {}  {}: {}",
            finding.severity, finding.rule, finding.subject, finding.message
        )?;
    }
    if let Some(plan) = turn.plan() {
        for (name, pool) in &plan.pools {
            writeln!(
                out,
                "pool {name:<10} cpus {:<16} need {} mCPU",
                pool.cpus.to_string(),
                pool.need
            )?;
        }
        for (name, workload) in &plan.workloads {
            writeln!(out, "{name:<32} {:<16} cpus {}", workload.qos.to_string(), workload.cpus)?;
        }
    }
    for step in effects.fast.iter().chain(&effects.slow) {
        writeln!(out, "step {step}")?;
    }
    Ok(())
}
