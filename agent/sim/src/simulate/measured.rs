//! `usage:` and `samples:` of a tick: what would have been measured, by the ids of this document.
//! Owns the ranges; a value that no machine can measure is refused before anything changes.

use std::collections::BTreeMap;

use model::measured::{Measured, NodeMemory, PodMeasure};
use model::qos::PodUid;
use model::{Bytes, CpuId, Micros, MilliCpu, NumaSet, quantity};

use super::desk::Desk;
use super::field::Field;
use super::step::known_text;
use super::value::Value;

/// A minute: a task that waited longer is not late but lost.
const MAX_RUNQ_US: u64 = 60_000_000;
/// Far over what a machine of a thousand CPUs runs.
const MAX_RUNNABLE: f64 = 1_000_000.0;
/// Memory answers within hundreds of cycles.
const MAX_CPI: f64 = 1000.0;

/// What a pod uses, and what is sampled of it.
const AMOUNTS: [&str; 7] =
    ["cpu", "memory_rss", "memory_cache", "memory_shmem", "rss", "cache", "shmem"];
const SAMPLED: [&str; 4] = ["runq_p99_us", "runnable", "cpi", "throttled_ratio"];

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
        samples.check_keys(&["pods", "cpus", "cpu_busy_ratio", "memory"])?;
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
    let pods = wrapped.as_ref().unwrap_or(usage);
    for (pod, (name, field)) in resolved(desk, pods)? {
        let one = measured.pods.entry(pod).or_default();
        match field.value() {
            Value::Map(_) => read_amounts(desk, &field, one)?,
            _ => one.cpu = Some(cpu(desk, &field)?),
        }
        let sum = [one.rss, one.cache, one.shmem].into_iter().flatten();
        let sum = sum.fold(0u64, |sum, bytes| sum.saturating_add(bytes.0));
        if sum > most_memory(desk) {
            let most = most_memory(desk);
            return Err(field.wrong(&format!("{name} uses {sum} bytes; allowed are 0..={most}")));
        }
    }
    Ok(())
}

fn read_amounts(desk: &Desk, field: &Field<'_>, one: &mut PodMeasure) -> Result<(), String> {
    field.check_keys(&[&AMOUNTS[..], &SAMPLED[..]].concat())?;
    let bytes = |key: &str| {
        let long = format!("memory_{key}");
        let given = match field.get(&long)? {
            None => field.get(key)?,
            given => given,
        };
        given.map(|value| memory(desk, &value)).transpose()
    };
    one.cpu = field.get("cpu")?.map(|value| cpu(desk, &value)).transpose()?;
    one.rss = bytes("rss")?;
    one.cache = bytes("cache")?;
    one.shmem = bytes("shmem")?;
    read_sampled(field, one)
}

/// What is sampled of a pod; it may stand beside what the pod uses.
fn read_sampled(field: &Field<'_>, one: &mut PodMeasure) -> Result<(), String> {
    let number = |key, most| field.get(key)?.map(|it| it.number(0.0..=most)).transpose();
    let p99 = field.get("runq_p99_us")?.map(|it| it.int(0..=MAX_RUNQ_US)).transpose()?;
    one.runq_p99 = p99.map(Micros).or(one.runq_p99);
    one.runnable = number("runnable", MAX_RUNNABLE)?.or(one.runnable);
    one.cpi = number("cpi", MAX_CPI)?.or(one.cpi);
    one.throttled_ratio = number("throttled_ratio", 1.0)?.or(one.throttled_ratio);
    Ok(())
}

fn read_pods(desk: &Desk, samples: &Field<'_>, measured: &mut Measured) -> Result<(), String> {
    let Some(pods) = samples.get("pods")? else { return Ok(()) };
    for (pod, (_, field)) in resolved(desk, &pods)? {
        field.check_keys(&SAMPLED)?;
        read_sampled(&field, measured.pods.entry(pod).or_default())?;
    }
    Ok(())
}

/// CPU lists with the busy part of each of their CPUs, or one number for all.
fn read_cpus(desk: &Desk, samples: &Field<'_>, measured: &mut Measured) -> Result<(), String> {
    let given = match samples.get("cpus")? {
        None => samples.get("cpu_busy_ratio")?,
        given => given,
    };
    let Some(cpus) = given else { return Ok(()) };
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
    let total = memory(desk, &field.required("total")?)?;
    let part = |key: &str| {
        let Some(value) = field.get(key)? else { return Ok(None) };
        let bytes = memory(desk, &value)?;
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

/// Pods by uid; each may be named once.
fn resolved<'a>(desk: &Desk, pods: &Field<'a>) -> Result<Resolved<'a>, String> {
    let mut resolved = BTreeMap::new();
    for (name, field) in pods.entries()? {
        let uid = known_text(desk, name);
        if !desk.ledger.pods.contains_key(&uid) {
            let here = desk.ledger.pods.values().map(|one| one.ask.name.to_string());
            let here = here.take(8).collect::<Vec<_>>().join(", ");
            return Err(field.wrong(&format!("{name:?} is no pod here; here are [{here}]")));
        }
        if resolved.insert(uid, (name, field.clone())).is_some() {
            return Err(field.wrong(&"the pod is given twice"));
        }
    }
    Ok(resolved)
}

/// No pod uses more than the machine has.
fn cpu(desk: &Desk, field: &Field<'_>) -> Result<MilliCpu, String> {
    let most = MilliCpu::from_cpus(desk.online().len() as u64);
    let read = quantity::cpu(&field.text()?).map_err(|error| field.wrong(&error))?;
    match read > most {
        true => Err(field.refuse(&format!("0..={most}m, the CPUs of this machine"))),
        false => Ok(read),
    }
}

fn memory(desk: &Desk, field: &Field<'_>) -> Result<Bytes, String> {
    let most = most_memory(desk);
    let read = quantity::memory(&field.text()?).map_err(|error| field.wrong(&error))?;
    match read.0 > most {
        true => Err(field.refuse(&format!("0..={most} bytes"))),
        false => Ok(read),
    }
}

/// Of the machine, where its size is known.
fn most_memory(desk: &Desk) -> u64 {
    desk.memory().map_or(quantity::MAX_BYTES, |bytes| bytes.0)
}
