//! One Plan from a document: a recorded Snapshot or Sample with the policy and the Plan before, and
//! everything the agent would decide then, as text. What `berth-agent plan` prints.

use std::fmt::Write as _;
use std::sync::Arc;

use advisor::Effects;
use advisor::plan::{PlanInput, plan};
use advisor::turn::TurnState;
use model::Timestamp;
use model::decision::Decision;
use model::knob::KnobTable;
use model::plan::{Finding, Generation, Plan, Severity, Step};
use model::policy::Policy;
use model::record::Standing;
use model::snapshot::Snapshot;
use model::wire::{self, Document as _, WireError};
use serde_json::Value;

/// Why a document gives no Plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanFromError {
    #[error("the document cannot be read")]
    Wire(#[from] WireError),
    #[error("a document of kind {found:?}; planned from are \"snapshot\", \"sample\" and \"turn\"")]
    Kind { found: String },
    #[error("a turn with both a snapshot and a sample, or with neither")]
    NotOneInput,
    #[error("nothing can be planned: {why}")]
    NoSnapshot { why: String },
    #[error("the Snapshot has no online CPU")]
    NoCpu,
    #[error("{key} cannot be {value}: at most {limit}")]
    TooLarge { key: String, value: u64, limit: u64 },
}

/// By the unit at the end of a field's name, what no machine has and arithmetic may still multiply: a
/// million CPUs, a century in microseconds and in nanoseconds. Readings of a node need no such check.
const LIMITS: [(&str, u64); 3] = [("_milli", 1_000_000_000), ("_us", 1 << 52), ("_ns", 1 << 62)];

/// Everything decided, for printing.
struct Decided {
    plan: Arc<Plan>,
    decisions: Vec<Decision>,
    findings: Vec<Finding>,
    steps: Vec<Step>,
}

/// Plans from `document`. `policy` is for documents that carry none.
pub fn plan_from(document: &[u8], policy: &Policy) -> Result<String, PlanFromError> {
    let kind = wire::kind_of(document)?;
    if let Ok(tree) = serde_json::from_slice(document) {
        within_limits(&tree, "")?;
    }
    let decided = match kind.as_str() {
        wire::Snapshot::KIND => {
            let snapshot = wire::from_json::<wire::Snapshot>(document)?.try_into()?;
            from_snapshot(&snapshot, policy, None)?
        }
        wire::Sample::KIND => {
            let sample = wire::from_json::<wire::Sample>(document)?;
            from_sample(sample, Standing::start(policy.clone(), None))?
        }
        wire::Turn::KIND => from_turn(wire::from_json(document)?, policy)?,
        other => return Err(PlanFromError::Kind { found: other.to_owned() }),
    };
    Ok(text(&decided))
}

fn from_turn(turn: wire::Turn, policy: &Policy) -> Result<Decided, PlanFromError> {
    let policy = match turn.policy {
        Some(policy) => policy.try_into()?,
        None => policy.clone(),
    };
    let previous = turn.plan.map(Plan::try_from).transpose()?;
    match (turn.snapshot, turn.sample) {
        (Some(snapshot), None) => from_snapshot(&snapshot.try_into()?, &policy, previous.as_ref()),
        (None, Some(sample)) => from_sample(sample, Standing::start(policy, previous)),
        _ => Err(PlanFromError::NotOneInput),
    }
}

/// One tick on a turn that begins with it: no rates, since there is no Sample before.
fn from_sample(sample: wire::Sample, standing: Standing) -> Result<Decided, PlanFromError> {
    let sample = model::sample::Sample::try_from(sample)?;
    let mut turn = TurnState::standing_at(standing);
    let Effects { fast, slow, decisions, findings, .. } = turn.tick(sample.at, sample);
    let Some((snapshot, plan)) = turn.snapshot().zip(turn.plan()) else {
        let why: Vec<String> = findings.into_iter().map(|finding| finding.message).collect();
        return Err(PlanFromError::NoSnapshot { why: why.join("; ") });
    };
    has_cpu(snapshot)?;
    let steps = fast.into_iter().chain(slow).collect();
    Ok(Decided { plan: Arc::clone(plan), decisions, findings, steps })
}

fn from_snapshot(
    snapshot: &Snapshot,
    policy: &Policy,
    previous: Option<&Plan>,
) -> Result<Decided, PlanFromError> {
    has_cpu(snapshot)?;
    let now: Timestamp = snapshot.at;
    let (mut plan, report) = plan(&PlanInput { now, snapshot, previous, policy });
    let mut findings = report.findings;
    let wrong = advisor::lint::lint(snapshot, policy, previous, &plan);
    let refused = wrong.iter().any(|finding| finding.severity == Severity::Fatal);
    findings.extend(wrong);
    if refused {
        // As in the agent: the Plan before stays.
        plan = previous.cloned().unwrap_or_default();
    }
    plan.generation = Generation(plan.generation.0.max(1));
    let believed: KnobTable =
        snapshot.workloads.values().map(|view| (view.cgroup.clone(), view.knobs)).collect();
    let steps = advisor::steps::steps(&believed, &plan);
    let decisions = if refused { Vec::new() } else { report.decisions };
    Ok(Decided { plan: Arc::new(plan), decisions, findings, steps })
}

/// `key` is the nearest name above a number that has a unit.
fn within_limits(value: &Value, key: &str) -> Result<(), PlanFromError> {
    let has_unit = |name: &&String| LIMITS.iter().any(|(unit, _)| name.ends_with(unit));
    match value {
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            within_limits(value, Some(name).filter(has_unit).map_or(key, String::as_str))
        }),
        Value::Array(items) => items.iter().try_for_each(|item| within_limits(item, key)),
        Value::Number(number) => {
            let limit =
                LIMITS.iter().find(|(unit, _)| key.ends_with(unit)).map(|(_, limit)| *limit);
            match (number.as_u64(), limit) {
                (Some(value), Some(limit)) if value > limit => {
                    Err(PlanFromError::TooLarge { key: key.to_owned(), value, limit })
                }
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn has_cpu(snapshot: &Snapshot) -> Result<(), PlanFromError> {
    if snapshot.topology.n_online() == 0 { Err(PlanFromError::NoCpu) } else { Ok(()) }
}

fn text(decided: &Decided) -> String {
    let mut text = String::new();
    // writing to a String cannot fail
    let _ = writeln!(text, "plan");
    for (name, pool) in &decided.plan.pools {
        let (name, cpus) = (name.to_string(), shown(&pool.cpus));
        let _ = writeln!(text, "  pool {name:<10} cpus {cpus:<16} need {} mCPU", pool.need);
    }
    for (name, workload) in &decided.plan.workloads {
        let (name, qos) = (name.to_string(), workload.qos.to_string());
        let _ = writeln!(text, "  {name:<24} {qos:<16} cpus {}", shown(&workload.cpus));
    }
    heading(&mut text, "decisions", decided.decisions.len());
    for made in &decided.decisions {
        let inputs: Vec<String> =
            made.inputs.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let _ = writeln!(text, "  {}: {}  [{}]", made.subject, made.result, made.rule);
        let _ = writeln!(text, "    from {}", inputs.join(", "));
    }
    heading(&mut text, "findings", decided.findings.len());
    for Finding { severity, rule, subject, message } in &decided.findings {
        let _ = writeln!(text, "  {severity:?}  {subject}: {message}  [{rule}]");
    }
    heading(&mut text, "steps", decided.steps.len());
    for step in &decided.steps {
        let _ = writeln!(text, "  {step}");
    }
    text
}

fn heading(text: &mut String, name: &str, n: usize) {
    let _ = writeln!(text, "{name}{}", if n == 0 { ": none" } else { "" });
}

fn shown(cpus: &model::CpuSet) -> String {
    if cpus.is_empty() { "none".to_owned() } else { cpus.to_string() }
}
