//! The published state of the node -> what a report says of it. Pure. Owns which workload is which pod there; every part
//! that the agent's socket says too is converted by the same function (`serve::convert`).

use std::collections::BTreeMap;

use model::headroom::{Explained, Headroom};
use model::qos::WorkloadName;
use model::sample::PodOnNode;
use model::snapshot::{Snapshot, WorkloadView};
use model::topology::NumaNode;
use model::{NumaNodeId, Timestamp};
use prost::Message as _;
use proto::v1;

use crate::node_state::{DecisionLog, NodeState};
use crate::serve::convert;

/// Of the decisions in one report. A receiver keeps 32 KiB of them; what does not fit comes with the next reports.
const MAX_DECISION_BYTES: usize = 64 << 10;

/// Everything a full report says at `now`. `pods` are those that somebody who knows pods has told of.
pub(super) fn of(node: &NodeState, pods: &[PodOnNode], now: Timestamp) -> v1::NodeState {
    let seen = &node.snapshot;
    let pods: BTreeMap<&WorkloadName, &PodOnNode> =
        pods.iter().map(|pod| (&pod.name, pod)).collect();
    let is_held = convert::in_force(node, now).is_some();
    let plan = &node.plan;
    v1::NodeState {
        capacity: Some(capacity(seen)),
        headroom: plan.advice.headroom.as_ref().map(headroom),
        pools: Some(v1::NodePools {
            pools: plan.pools.iter().map(|(name, pool)| convert::pool(name, pool, node)).collect(),
        }),
        pods: seen
            .workloads
            .iter()
            .map(|(name, view)| v1::PodReport {
                pool: plan.workloads.get(name).map(|planned| planned.pool.to_string()),
                suppressed: is_held && view.spec.qos.is_reclaimed(),
                ..pod(name, view, pods.get(name).copied())
            })
            .collect(),
        health: Some(health(node)),
    }
}

/// What was decided after `acknowledged`, oldest first, as far as it fits, and how many were forgotten before it.
pub(super) fn decisions(
    log: &DecisionLog,
    acknowledged: u64,
    now: Timestamp,
) -> (Vec<v1::Decision>, u64) {
    let v1::Decisions { mut decisions, n_lost, .. } =
        convert::decisions_after(log, acknowledged, now);
    let mut n_bytes = 0;
    let n_fitting = decisions
        .iter()
        .take_while(|decision| {
            n_bytes += decision.encoded_len();
            n_bytes <= MAX_DECISION_BYTES
        })
        .count();
    // One that fits by no means must not keep back all that follow.
    decisions.truncate(n_fitting.max(1));
    (decisions, n_lost)
}

fn capacity(seen: &Snapshot) -> v1::NodeAmount {
    let topology = &seen.topology;
    let numa = |node: &NumaNode| v1::NumaAmount {
        numa_node: node.id.0.into(),
        milli_cpu: Some(milli(topology.cpus_of_node(node.id).len())),
        memory_bytes: node.memory.map(|bytes| bytes.0),
    };
    v1::NodeAmount {
        milli_cpu: Some(milli(topology.n_online())),
        memory_bytes: seen.host.memory_total.map(|bytes| bytes.0),
        numa_nodes: topology.nodes.values().map(numa).collect(),
    }
}

fn milli(n_cpus: usize) -> u64 {
    n_cpus as u64 * 1000
}

fn headroom(headroom: &Headroom) -> v1::NodeAmount {
    let whole = |amount: &Explained| amount.value.as_ref().ok().map(|amount| amount.0);
    let numa = |(id, part): (&NumaNodeId, &model::headroom::NodeHeadroom)| v1::NumaAmount {
        numa_node: id.0.into(),
        milli_cpu: part.cpu.map(|cpu| cpu.0),
        memory_bytes: part.memory.map(|memory| memory.0),
    };
    v1::NodeAmount {
        milli_cpu: whole(&headroom.cpu),
        memory_bytes: whole(&headroom.memory),
        numa_nodes: headroom.per_numa.iter().map(numa).collect(),
    }
}

fn health(node: &NodeState) -> v1::NodeHealth {
    v1::NodeHealth {
        mode: convert::mode(node.mode).into(),
        signal: Some(convert::signal(&node.snapshot.signal)),
        agent: Some(convert::agent_health(&node.agent)),
        findings: node.findings.iter().map(convert::finding).collect(),
        // Policy comes from the agent's file only.
        policy_sha256: Vec::new(),
    }
}

/// Without what the Plan says of it.
fn pod(name: &WorkloadName, view: &WorkloadView, pod: Option<&PodOnNode>) -> v1::PodReport {
    // Of two pods of one name that follow each other the Snapshot may still have the one before.
    let pod = pod.filter(|pod| pod.cgroup == view.cgroup);
    let (namespace, short) = match pod {
        Some(_) => split(name.as_str()),
        None => ("", name.as_str()),
    };
    v1::PodReport {
        uid: match pod {
            Some(pod) => pod.uid.to_string(),
            // As a pod's uid it changes when the workload is made anew.
            None => format!("cgroup:{}", view.cgroup_id),
        },
        namespace: namespace.to_owned(),
        name: short.to_owned(),
        tenant: String::new(),
        qos: view.spec.qos.to_string(),
        pool: None,
        request_milli_cpu: view.spec.request.0,
        usage_milli_cpu: view.usage.map(|usage| usage.0),
        memory_current_bytes: view.memory_current.map(|bytes| bytes.0),
        runq: view.runq.as_ref().map(convert::runq),
        suppressed: false,
    }
}

/// Namespace and name of a pod. While two of one name are here, the earlier one is called by its cgroup too.
fn split(name: &str) -> (&str, &str) {
    let (namespace, rest) = name.split_once('/').unwrap_or(("", name));
    (namespace, rest.split_once('@').map_or(rest, |(name, _cgroup)| name))
}

#[cfg(test)]
mod tests;
