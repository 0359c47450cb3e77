//! The JSON of answers: one line per step, fields in a fixed order.

use std::collections::BTreeMap;

use advisor::hint::{Hint, Hints, PlacementInput};
use advisor::pool::{Placement, Pools};
use advisor::{admit, tally};
use model::decision::Decision;
use model::ledger::Resident;
use model::qos::PoolName;
use model::{CpuSet, MilliCpu};
use serde::Serialize;
use serde_json::Value as Json;

/// One step's answer.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    step: usize,
    kind: String,
    ok: bool,
    error: Option<String>,
    result: Json,
}

impl Line {
    pub(super) fn new(step: usize, kind: &str, outcome: Result<Json, String>) -> Line {
        match outcome {
            Ok(result) => Line { step, kind: kind.to_owned(), ok: true, error: None, result },
            Err(error) => Line::refused(step, kind, error),
        }
    }

    pub(super) fn refused(step: usize, kind: &str, error: String) -> Line {
        Line { step, kind: kind.to_owned(), ok: false, error: Some(error), result: Json::Null }
    }

    pub(super) fn text(&self) -> String {
        let text = serde_json::to_string(self);
        let mut text = text.expect("invariant: texts, numbers and maps by text are JSON");
        text.push('\n');
        text
    }
}

#[derive(Serialize)]
struct Admitted<'a> {
    containers: Vec<ContainerAnswer<'a>>,
}

#[derive(Serialize)]
struct ContainerAnswer<'a> {
    name: &'a str,
    cpus: String,
    mems: String,
    pool: &'a str,
    per_numa: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct HintAnswer {
    numa: Vec<u16>,
    preferred: bool,
}

#[derive(Serialize)]
struct PoolAnswer {
    cpus: String,
    size: usize,
    per_numa: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct PodAnswer<'a> {
    pod: &'a str,
    uid: &'a str,
    qos_level: &'static str,
    request_millicpu: u64,
    ramp_up: bool,
    containers: Vec<ContainerAnswer<'a>>,
}

#[derive(Serialize)]
struct DecisionAnswer<'a> {
    at_ms: u64,
    rule: &'static str,
    subject: &'a str,
    inputs: Vec<(&'static str, &'a str)>,
    result: &'a str,
}

fn json(value: &impl Serialize) -> Json {
    serde_json::to_value(value).expect("invariant: texts, numbers and maps by text are JSON")
}

/// Containers of one pod; init containers have no CPUs of their own.
pub(super) fn admitted(
    input: &PlacementInput<'_>,
    resident: &Resident,
    placement: &Placement,
) -> Json {
    json(&Admitted { containers: containers(input, resident, placement) })
}

fn containers<'a>(
    input: &PlacementInput<'_>,
    resident: &'a Resident,
    placement: &'a Placement,
) -> Vec<ContainerAnswer<'a>> {
    let one = |container: &'a model::pod::AskContainer| match container.is_init {
        true => ContainerAnswer {
            name: &container.name,
            cpus: String::new(),
            mems: String::new(),
            pool: admit::NO_POOL,
            per_numa: BTreeMap::new(),
        },
        false => ContainerAnswer {
            name: &container.name,
            cpus: placement.cpus.to_string(),
            mems: placement.mems.to_string(),
            pool: admit::pool_text(placement),
            per_numa: per_numa(input, &placement.cpus),
        },
    };
    resident.ask.containers.iter().map(one).collect()
}

fn per_numa(input: &PlacementInput<'_>, cpus: &CpuSet) -> BTreeMap<String, String> {
    let parts = input.layout.per_node(cpus);
    parts.iter().map(|(node, part)| (node.to_string(), part.to_string())).collect()
}

/// `null` where a pod does not care.
pub(super) fn hints(hints: &Hints) -> Result<Json, String> {
    let one = |hint: &Hint| HintAnswer {
        numa: hint.nodes.iter().map(|node| node.0).collect(),
        preferred: hint.preferred,
    };
    match hints {
        Hints::DontCare => Ok(Json::Null),
        Hints::Impossible(reason) => Err(reason.clone()),
        Hints::Options(options) => Ok(json(&options.iter().map(one).collect::<Vec<_>>())),
    }
}

pub(super) fn pools(input: &PlacementInput<'_>, pools: &Pools) -> Json {
    let one = |(name, pool): (&model::qos::PoolName, &model::plan::PoolPlan)| {
        let per_numa = per_numa(input, &pool.cpus);
        let cpus = pool.cpus.to_string();
        (name.to_string(), PoolAnswer { cpus, size: pool.cpus.len(), per_numa })
    };
    json(&pools.iter().map(one).collect::<BTreeMap<_, _>>())
}

pub(super) fn pods(input: &PlacementInput<'_>, tally: &tally::Tally, pools: &Pools) -> Json {
    let residents: Vec<(&Resident, Placement)> = input
        .ledger
        .pods
        .values()
        .map(|one| (one, advisor::pool::placement(input.layout, tally, pools, one, input.now)))
        .collect();
    let answer = |(resident, placement): &'_ (&Resident, Placement)| {
        json(&PodAnswer {
            pod: resident.ask.name.as_str(),
            uid: resident.ask.uid.as_str(),
            qos_level: resident.ask.level.name(),
            request_millicpu: resident.ask.cpu.0,
            ramp_up: resident.is_ramping(input.now),
            containers: containers(input, resident, placement),
        })
    };
    Json::Array(residents.iter().map(answer).collect())
}

/// Thousandths of a CPU by reclaim pool.
pub(super) fn quota(quota: &BTreeMap<PoolName, MilliCpu>) -> Json {
    json(&quota.iter().map(|(pool, quota)| (pool.as_str(), quota.0)).collect::<BTreeMap<_, _>>())
}

pub(super) fn decisions(decisions: &[Decision]) -> Json {
    let one = |decision: &Decision| {
        json(&DecisionAnswer {
            at_ms: decision.at.0 / 1_000_000,
            rule: decision.rule,
            subject: &decision.subject,
            inputs: decision.inputs.iter().map(|(name, text)| (*name, text.as_str())).collect(),
            result: &decision.result,
        })
    };
    Json::Array(decisions.iter().map(one).collect())
}
