//! `tick: {usage, samples}`: what was measured in a tick, into `Measured`. Owns the reading; what is
//! not given was not measured.

use std::collections::BTreeMap;

use model::ledger::Ledger;
use model::measured::{Measured, NodeMemory, PodMeasure};
use model::numa::MAX_NODES;
use model::qos::{PodUid, WorkloadName};
use model::{Bytes, CpuId, CpuSet, Micros, MilliCpu, NumaNodeId, quantity};

use super::field::Field;
use super::value::Value;

const POD: [&str; 8] =
    ["cpu", "rss", "cache", "shmem", "runq_p99_us", "runnable", "cpi", "throttled_ratio"];
const SAMPLES: [&str; 2] = ["cpu_busy_ratio", "memory"];
const MEMORY: [&str; 5] = ["total", "free", "inactive_file", "low_watermark", "reclaimed_used"];

/// An hour of waiting at once.
const MAX_US: u64 = 3_600_000_000;

/// `None` when nothing was measured.
pub(super) fn read(
    tick: &Field<'_>,
    ledger: &Ledger,
    online: &CpuSet,
) -> Result<Option<Measured>, String> {
    let (usage, samples) = (tick.get("usage")?, tick.get("samples")?);
    if usage.is_none() && samples.is_none() {
        return Ok(None);
    }
    let mut measured = Measured::default();
    for (name, field) in usage.map_or(Ok(Vec::new()), |usage| usage.entries())? {
        let uid = pod(ledger, name).ok_or_else(|| field.wrong(&"no such pod is here"))?;
        measured.pods.insert(uid, pod_measure(&field)?);
    }
    if let Some(samples) = samples {
        samples.check_keys(&SAMPLES)?;
        if let Some(field) = samples.get("cpu_busy_ratio")? {
            measured.cpu_busy_ratio = busy(&field, online)?;
        }
        let memory = samples.get("memory")?;
        for (nodes, field) in memory.map_or(Ok(Vec::new()), |memory| memory.entries())? {
            let node = node_memory(&field)?;
            let list: Result<CpuSet, _> = nodes.parse();
            let list = list.ok().filter(|list| list.iter().all(|id| id.0 < MAX_NODES));
            let list = list.ok_or_else(|| field.wrong(&"is no list of NUMA nodes"))?;
            measured.memory.extend(list.iter().map(|id| (NumaNodeId(id.0), node)));
        }
    }
    Ok(Some(measured))
}

/// By uid, name, or name in the default namespace.
fn pod(ledger: &Ledger, name: &str) -> Option<PodUid> {
    let full = if name.contains('/') { name.to_owned() } else { format!("default/{name}") };
    let full = WorkloadName::new(full);
    let found = ledger.pods.iter().find(|(uid, one)| uid.as_str() == name || one.ask.name == full);
    found.map(|(uid, _)| uid.clone())
}

/// A quantity of CPU, or a map.
fn pod_measure(field: &Field<'_>) -> Result<PodMeasure, String> {
    if !matches!(field.value(), Value::Map(_)) {
        return Ok(PodMeasure { cpu: Some(cpu(field)?), ..PodMeasure::default() });
    }
    field.check_keys(&POD)?;
    let number =
        |key: &str, most: f64| field.get(key)?.map(|one| one.number(0.0..=most)).transpose();
    let wait = field.get("runq_p99_us")?.map(|one| one.int(0..=MAX_US)).transpose()?;
    Ok(PodMeasure {
        cpu: field.get("cpu")?.map(|one| cpu(&one)).transpose()?,
        runq_p99: wait.map(Micros),
        runnable: number("runnable", 1e6)?,
        cpi: number("cpi", 1e6)?,
        throttled_ratio: number("throttled_ratio", 1.0)?,
        rss: bytes(field, "rss")?,
        cache: bytes(field, "cache")?,
        shmem: bytes(field, "shmem")?,
    })
}

fn cpu(field: &Field<'_>) -> Result<MilliCpu, String> {
    quantity::cpu(&field.text()?).map_err(|error| field.wrong(&error))
}

fn bytes(field: &Field<'_>, key: &str) -> Result<Option<Bytes>, String> {
    let Some(field) = field.get(key)? else { return Ok(None) };
    quantity::memory(&field.text()?).map(Some).map_err(|error| field.wrong(&error))
}

/// One number for all CPUs, or a map of CPU lists.
fn busy(field: &Field<'_>, online: &CpuSet) -> Result<BTreeMap<CpuId, f64>, String> {
    if !matches!(field.value(), Value::Map(_)) {
        let ratio = field.number(0.0..=1.0)?;
        return Ok(online.iter().map(|cpu| (cpu, ratio)).collect());
    }
    let mut busy = BTreeMap::new();
    for (cpus, field) in field.entries()? {
        let cpus: CpuSet = cpus.parse().map_err(|error| field.wrong(&error))?;
        let ratio = field.number(0.0..=1.0)?;
        busy.extend(cpus.intersection(online).iter().map(|cpu| (cpu, ratio)));
    }
    Ok(busy)
}

fn node_memory(field: &Field<'_>) -> Result<NodeMemory, String> {
    field.check_keys(&MEMORY)?;
    field.required("total")?;
    field.required("free")?;
    Ok(NodeMemory {
        total: bytes(field, "total")?.unwrap_or_default(),
        free: bytes(field, "free")?.unwrap_or_default(),
        inactive_file: bytes(field, "inactive_file")?,
        low_watermark: bytes(field, "low_watermark")?,
        reclaimed_used: bytes(field, "reclaimed_used")?,
    })
}
