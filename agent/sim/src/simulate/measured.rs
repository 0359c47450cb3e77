//! `usage:` and `samples:` of a tick: what would have been measured, by the ids of this document.
//! Owns the ranges; a value that no machine can measure is refused before anything changes.

use std::collections::BTreeMap;

use model::measured::{Measured, NodeMemory};
use model::qos::PodUid;
use model::{CpuId, MilliCpu, NumaSet, quantity};

use super::amounts;
use super::desk::Desk;
use super::field::Field;
use super::step::known_text;
use super::value::Value;

/// What `samples` may have beside pods.
const SAMPLES: [&str; 4] = ["pods", "cpus", "cpu_busy_ratio", "memory"];

/// `None` for a tick without measurements.
pub(super) fn read(desk: &Desk, tick: &Field<'_>) -> Result<Option<Measured>, String> {
    let (usage, samples) = (tick.get("usage")?, tick.get("samples")?);
    if usage.is_none() && samples.is_none() {
        return Ok(None);
    }
    let mut measured = Measured::default();
    if let Some(usage) = usage {
        read_usage(desk, &usage, &mut measured)?;
    }
    if let Some(samples) = samples {
        read_pods(desk, &samples, &mut measured)?;
        read_cpus(desk, &samples, &mut measured)?;
        read_memory(desk, &samples, &mut measured)?;
    }
    Ok(Some(measured))
}

/// `pods: {..}` or the map of pods itself.
fn read_usage(desk: &Desk, usage: &Field<'_>, measured: &mut Measured) -> Result<(), String> {
    let wrapped = usage.get("pods")?.filter(|field| matches!(field.value(), Value::Map(_)));
    if wrapped.is_some() {
        usage.check_keys(&["pods"])?;
    }
    let pods = wrapped.as_ref().unwrap_or(usage).entries()?;
    for (pod, (name, field)) in resolved(desk, pods, &[])? {
        let containers = containers_of(desk, &pod);
        let one = measured.pods.entry(pod).or_default();
        *one = amounts::read_pod(desk, &field, &containers)?;
        let sum = [one.rss, one.cache, one.shmem].into_iter().flatten();
        let sum = sum.fold(0u64, |sum, bytes| sum.saturating_add(bytes.0));
        let most = most_memory(desk);
        if sum > most {
            return Err(field.wrong(&format!("{name} uses {sum} bytes; allowed are 0..={most}")));
        }
        if one.cpu.is_some_and(|cpu| cpu > most_cpu(desk)) {
            return Err(field.refuse(&format!("0..={}m, the CPUs of this machine", most_cpu(desk))));
        }
    }
    Ok(())
}

fn containers_of(desk: &Desk, pod: &PodUid) -> Vec<String> {
    let resident = desk.ledger.pods.get(pod);
    let containers = resident.map(|one| one.ask.containers.iter().map(|it| it.name.clone()));
    containers.map(Iterator::collect).unwrap_or_default()
}

/// Below `pods`, or beside what is sampled of CPUs and memory.
fn read_pods(desk: &Desk, samples: &Field<'_>, measured: &mut Measured) -> Result<(), String> {
    let beside = samples.entries()?.into_iter().filter(|(key, _)| !SAMPLES.contains(key));
    let mut pods: Vec<(&str, Field<'_>)> = beside.collect();
    if let Some(below) = samples.get("pods")? {
        pods.extend(below.entries()?);
    }
    for (pod, (_, field)) in resolved(desk, pods, &SAMPLES)? {
        field.check_keys(&amounts::sampled_keys())?;
        amounts::read_sampled(&field, measured.pods.entry(pod).or_default())?;
    }
    Ok(())
}

/// CPU lists with the busy part of each of their CPUs, or one number for all.
fn read_cpus(desk: &Desk, samples: &Field<'_>, measured: &mut Measured) -> Result<(), String> {
    let Some(cpus) = samples.one_of(&["cpus", "cpu_busy_ratio"])? else { return Ok(()) };
    if !matches!(cpus.value(), Value::Map(_)) {
        let busy = cpus.number(0.0..=1.0)?;
        measured.cpu_busy_ratio = desk.online().iter().map(|cpu| (cpu, busy)).collect();
        return Ok(());
    }
    for (list, field) in cpus.entries()? {
        let list: model::CpuSet = list.parse().map_err(|error| field.wrong(&error))?;
        let busy = field.number(0.0..=1.0)?;
        for id in list.iter() {
            insert_cpu(desk, &field, measured, id, busy)?;
        }
    }
    Ok(())
}

fn insert_cpu(
    desk: &Desk,
    field: &Field<'_>,
    measured: &mut Measured,
    id: CpuId,
    busy: f64,
) -> Result<(), String> {
    if !desk.online().contains(id) {
        let online = desk.online();
        return Err(field.wrong(&format!("CPU {id} is not online; allowed are {online}")));
    }
    match measured.cpu_busy_ratio.insert(id, busy) {
        Some(_) => Err(field.wrong(&format!("CPU {id} is given twice"))),
        None => Ok(()),
    }
}

fn read_memory(desk: &Desk, samples: &Field<'_>, measured: &mut Measured) -> Result<(), String> {
    let Some(nodes) = samples.get("memory")? else { return Ok(()) };
    let allowed = desk.node_ids();
    for (ids, field) in nodes.entries()? {
        let known = NumaSet::parse(ids).filter(|ids| !ids.is_empty() && ids.is_subset(allowed));
        let refused =
            || field.wrong(&format!("{ids:?} is no NUMA node here; allowed are {allowed}"));
        let known = known.ok_or_else(refused)?;
        let node = read_node(desk, &field)?;
        measured.memory.extend(known.iter().map(|id| (id, node)));
    }
    Ok(())
}

fn read_node(desk: &Desk, field: &Field<'_>) -> Result<NodeMemory, String> {
    field.check_keys(&["total", "free", "inactive_file", "low_watermark", "reclaimed_used"])?;
    let total = amounts::memory(desk, &field.required("total")?)?;
    let part = |key: &str| {
        let Some(value) = field.get(key)? else { return Ok(None) };
        let bytes = amounts::memory(desk, &value)?;
        match bytes > total {
            true => Err(value.refuse(&format!("0..={total} bytes, the node's total"))),
            false => Ok(Some(bytes)),
        }
    };
    let free = part("free")?.ok_or_else(|| field.wrong(&"free: missing"))?;
    let (inactive_file, low_watermark) = (part("inactive_file")?, part("low_watermark")?);
    let reclaimed_used = part("reclaimed_used")?;
    Ok(NodeMemory { total, free, inactive_file, low_watermark, reclaimed_used })
}

type Resolved<'a> = BTreeMap<PodUid, (&'a str, Field<'a>)>;

/// Pods by uid; each may be named once. `allowed` are keys that could have been meant.
fn resolved<'a>(
    desk: &Desk,
    pods: Vec<(&'a str, Field<'a>)>,
    allowed: &[&str],
) -> Result<Resolved<'a>, String> {
    let mut resolved = BTreeMap::new();
    for (name, field) in pods {
        let uid = known_text(desk, name);
        if !desk.ledger.pods.contains_key(&uid) {
            let here = desk.ledger.pods.values().map(|one| one.ask.name.to_string());
            let here = here.take(8).collect::<Vec<_>>().join(", ");
            let mut why = format!("{name:?} is no pod here; here are [{here}]");
            if !allowed.is_empty() {
                why.push_str(&format!("; beside pods allowed are {}", allowed.join(", ")));
            }
            return Err(field.wrong(&why));
        }
        if resolved.insert(uid, (name, field.clone())).is_some() {
            return Err(field.wrong(&"the pod is given twice"));
        }
    }
    Ok(resolved)
}

/// Of all online CPUs.
pub(super) fn most_cpu(desk: &Desk) -> MilliCpu {
    MilliCpu::from_cpus(desk.online().len() as u64)
}

/// Of the machine, where its size is known.
pub(super) fn most_memory(desk: &Desk) -> u64 {
    desk.memory().map_or(quantity::MAX_BYTES, |bytes| bytes.0)
}
