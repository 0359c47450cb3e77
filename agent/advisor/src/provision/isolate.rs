//! Which shared pods have a pool of their own: those that want to run on more CPUs than they may
//! have, for several measurements in a row, until they are quiet. Owns entering, leaving and the
//! caps; which CPUs such a pool has is `pool`.

use std::collections::BTreeMap;

use model::MilliCpu;
use model::decision::Decision;
use model::ledger::Resident;
use model::provision::{IsolationPolicy, IsolationState};
use model::qos::{PodUid, PoolName};

use super::ProvisionInput;
use super::region::share_region;

type States = BTreeMap<PodUid, IsolationState>;

/// State of every pod that is or was noisy.
pub(super) fn isolation(input: &ProvisionInput<'_>) -> (States, Vec<Decision>) {
    let mut states = States::new();
    if !input.provision.isolation.enabled {
        return (states, Vec::new());
    }
    let mut pools: BTreeMap<PoolName, Vec<&Resident>> = BTreeMap::new();
    for resident in input.ledger.pods.values() {
        if let Some(pool) = share_region(input, resident) {
            pools.entry(pool).or_default().push(resident);
        }
    }
    let mut decisions = Vec::new();
    for (pool, pods) in &pools {
        for (pod, state) in of_pool(input, pods) {
            let before = input.state.isolation.get(&pod.ask.uid).copied().unwrap_or_default();
            if before.isolated != state.isolated {
                decisions.push(explain(input, pool, pod, state));
            }
            if state != IsolationState::default() {
                states.insert(pod.ask.uid.clone(), state);
            }
        }
    }
    (states, decisions)
}

/// The pods of one pool with their new states: as many as the caps allow, those that are isolated
/// already before others, else by uid.
fn of_pool<'a>(
    input: &ProvisionInput<'_>,
    pods: &[&'a Resident],
) -> Vec<(&'a Resident, IsolationState)> {
    let policy = &input.provision.isolation;
    let states = pods.iter().map(|pod| (*pod, heard(input, pod)));
    let mut states: Vec<(&Resident, IsolationState)> = states.collect();
    let total = pods.iter().map(|pod| pod.ask.cpu.0).fold(0, u64::saturating_add);
    let mut order: Vec<usize> = (0..states.len()).collect();
    order.sort_by_key(|idx| !states[*idx].1.isolated);
    let (mut n, mut cpu) = (0, 0u64);
    for idx in order {
        let (pod, state) = &mut states[idx];
        let wants = state.isolated || state.noisy_rounds >= policy.rounds.max(1);
        let with = cpu.saturating_add(pod.ask.cpu.0);
        state.isolated = wants && fits(policy, (n + 1, pods.len()), (with, total));
        if state.isolated {
            (n, cpu) = (n + 1, with);
        } else {
            state.quiet_since = None;
        }
    }
    states
}

/// Never the last pod: the pool of all others is never empty.
fn fits(policy: &IsolationPolicy, (n, of): (usize, usize), (cpu, total): (u64, u64)) -> bool {
    // Keeps a cap that is exactly reached from failing in its last binary digit.
    const SLACK: f64 = 1e-9;
    let under = |part: f64, whole: f64, ratio: f64| part <= whole * ratio + SLACK;
    n < of
        && under(n as f64, of as f64, policy.max_pods_ratio)
        && under(cpu as f64, total as f64, policy.max_cpu_ratio)
}

/// A pod's state after this measurement. Not measured is neither noisy nor quiet: rounds stand
/// still, and quiet has to begin anew.
fn heard(input: &ProvisionInput<'_>, pod: &Resident) -> IsolationState {
    let policy = &input.provision.isolation;
    let mut state = input.state.isolation.get(&pod.ask.uid).copied().unwrap_or_default();
    let runnable = input.measured.pods.get(&pod.ask.uid).and_then(|measure| measure.runnable);
    match (runnable, threshold(policy, pod)) {
        (_, None) => return IsolationState::default(),
        (None, _) => state.quiet_since = None,
        (Some(runnable), Some(most)) if runnable > most => {
            state.noisy_rounds = state.noisy_rounds.saturating_add(1);
            state.quiet_since = None;
        }
        _ => {
            state.noisy_rounds = 0;
            let since = *state.quiet_since.get_or_insert(input.now);
            let left = state.isolated && input.now.since(since) >= policy.quiet;
            state.isolated &= !left;
        }
    }
    state
}

/// Runnable tasks that are too many: over the factor, or over by so many, whichever comes first.
/// `None` for a pod that may use what it finds and asks for nothing.
fn threshold(policy: &IsolationPolicy, pod: &Resident) -> Option<f64> {
    let limit = limit(pod).0 as f64 / 1000.0;
    let over = policy.over.0 as f64 / 1000.0;
    (limit > 0.0).then(|| (limit * policy.factor).min(limit + over))
}

/// The most an isolated pod gets.
pub(super) fn limit(pod: &Resident) -> MilliCpu {
    pod.ask.cpu_limit.unwrap_or(pod.ask.cpu).max(pod.ask.cpu)
}

fn explain(
    input: &ProvisionInput<'_>,
    pool: &PoolName,
    pod: &Resident,
    state: IsolationState,
) -> Decision {
    let policy = &input.provision.isolation;
    let runnable = input.measured.pods.get(&pod.ask.uid).and_then(|measure| measure.runnable);
    let most = threshold(policy, pod).unwrap_or(0.0);
    Decision {
        at: input.now,
        rule: if state.isolated { "isolation-in" } else { "isolation-out" },
        subject: pod.ask.name.to_string(),
        inputs: vec![
            ("pool", pool.to_string()),
            ("limit", format!("{} mCPU", limit(pod))),
            (
                "runnable",
                runnable.map_or_else(|| "not measured".to_owned(), |one| format!("{one:.2}")),
            ),
            ("noisy_over", format!("{most:.2}")),
            ("noisy_rounds", format!("{} of {}", state.noisy_rounds, policy.rounds)),
        ],
        result: match state.isolated {
            true => format!("runs in {} of its own", PoolName::isolation_of(&pod.ask.uid)),
            false => format!("runs in {pool} again"),
        },
    }
}
