//! `Explain`: everything the agent knows about one name. Gathers what was decided; decides nothing.

use model::Timestamp;
use model::decision::Decision;
use model::plan::WorkloadPlan;
use model::policy::Mode;
use model::qos::PoolName;
use model::snapshot::WorkloadView;
use proto::v1::{self, NameKind};
use tonic::Status;

use super::convert;
use crate::node_state::NodeState;

/// The recorded decisions that concern `name`, and where it is placed now and why.
pub(super) fn explain(
    state: &NodeState,
    name: &str,
    now: Timestamp,
) -> Result<v1::Explanation, Status> {
    let Some(kind) = kind_of(state, name) else {
        return Err(Status::not_found(format!("nothing is named {name:?}")));
    };
    let decisions = state.decisions.after(0).filter_map(|(sequence, decision)| {
        let because = concerns(state, kind, name, decision)?;
        let decision = Some(convert::decision(sequence, decision));
        Some(v1::ExplainedDecision { decision, because })
    });
    let findings = state.findings.iter().filter(|finding| match kind {
        NameKind::Rule => finding.rule == name,
        _ => finding.subject == name,
    });
    Ok(v1::Explanation {
        name: name.to_owned(),
        kind: kind.into(),
        now_mono_ns: now.0,
        placement: placement(state, kind, name, now),
        decisions: decisions.collect(),
        findings: findings.map(convert::finding).collect(),
    })
}

/// A workload before a pool before a rule, should two have the same name.
fn kind_of(state: &NodeState, name: &str) -> Option<NameKind> {
    let is_rule = || {
        state.findings.iter().any(|finding| finding.rule == name)
            || state.decisions.after(0).any(|(_, decision)| decision.rule == name)
    };
    if state.snapshot.workloads.contains_key(name) || state.plan.workloads.contains_key(name) {
        Some(NameKind::Workload)
    } else if state.plan.pools.contains_key(name) {
        Some(NameKind::Pool)
    } else {
        is_rule().then_some(NameKind::Rule)
    }
}

/// In a few words, why a decision concerns the name; `None` when it does not.
fn concerns(state: &NodeState, kind: NameKind, name: &str, made: &Decision) -> Option<String> {
    if kind == NameKind::Rule {
        return (made.rule == name).then(|| "this rule".to_owned());
    }
    if made.subject == name {
        return Some("about it".to_owned());
    }
    let planned = state.plan.workloads.get(name)?;
    if made.subject == planned.pool.as_str() {
        return Some(format!("about its pool, {}", planned.pool));
    }
    // An exclusive CPU of the share pool is one that batch work may not use.
    let sizes_batch = planned.pool.as_str() == PoolName::RECLAIM && made.subject == PoolName::SHARE;
    if sizes_batch {
        return Some("sizes what batch work gets".to_owned());
    }
    let holds_batch = planned.qos.is_reclaimed() && made.rule.starts_with("suppress");
    holds_batch.then(|| "about all batch work".to_owned())
}

fn placement(
    state: &NodeState,
    kind: NameKind,
    name: &str,
    now: Timestamp,
) -> Option<v1::Placement> {
    match kind {
        NameKind::Workload => {
            let planned = state.plan.workloads.get(name)?;
            Some(v1::Placement {
                pool: planned.pool.to_string(),
                qos: planned.qos.to_string(),
                cpus: planned.cpus.to_string(),
                reasons: workload_reasons(state, name, planned, now),
            })
        }
        NameKind::Pool => {
            let pool = state.plan.pools.get(name)?;
            Some(v1::Placement {
                pool: name.to_owned(),
                qos: String::new(),
                cpus: pool.cpus.to_string(),
                reasons: pool_reasons(state, name),
            })
        }
        _ => None,
    }
}

fn workload_reasons(
    state: &NodeState,
    name: &str,
    planned: &WorkloadPlan,
    now: Timestamp,
) -> Vec<String> {
    let mut reasons = vec![format!("{} work runs in the {} pool", planned.qos, planned.pool)];
    reasons.extend(pool_reasons(state, planned.pool.as_str()));
    match state.snapshot.workloads.get(name) {
        Some(view) => reasons.extend(measured(view)),
        None => reasons.push("its cgroup is gone".to_owned()),
    }
    if planned.qos.is_reclaimed() {
        reasons.extend(held(state, now));
    }
    if state.mode == Mode::Observe {
        reasons.push("observe mode: this is decided and not written".to_owned());
    }
    reasons
}

fn pool_reasons(state: &NodeState, name: &str) -> Vec<String> {
    let Some(pool) = state.plan.pools.get(name) else { return Vec::new() };
    let members = state.plan.workloads.values().filter(|w| w.pool.as_str() == name).count();
    vec![format!(
        "the {name} pool has {} CPUs of {} online; its {members} workloads need {} CPUs",
        pool.cpus.len(),
        state.snapshot.topology.n_online(),
        cpus(pool.need.0),
    )]
}

fn measured(view: &WorkloadView) -> Vec<String> {
    let asked = format!("it asked for {} CPUs", cpus(view.spec.request.0));
    let used = match view.usage {
        Some(used) => format!("used {} in the last interval", cpus(used.0)),
        None => "what it uses is not known yet".to_owned(),
    };
    let mut reasons = vec![format!("{asked} and {used}")];
    let target = view.spec.target_p99.map(|target| format!(", its target is {target} us"));
    if let Some(p99) = view.runq_p99() {
        reasons.push(format!("its run-queue p99 is {p99} us{}", target.unwrap_or_default()));
    }
    reasons
}

fn held(state: &NodeState, now: Timestamp) -> Option<String> {
    let overlay = state.overlay.as_ref().filter(|overlay| overlay.expires_at > now)?;
    let left_ms = overlay.expires_at.since(now).0 / 1_000_000;
    Some(format!("all batch work is held down for {} for {left_ms} ms more", overlay.victim))
}

fn cpus(milli: u64) -> String {
    format!("{}.{:02}", milli / 1000, milli % 1000 / 10)
}
