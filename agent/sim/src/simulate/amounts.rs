//! What a pod used and what was sampled of it, as the document writes it: spellings, units, ranges,
//! sums over containers.

use model::measured::PodMeasure;
use model::{Bytes, Micros, MilliCpu, quantity};

use super::desk::Desk;
use super::field::Field;
use super::measured::{most_cpu, most_memory};
use super::value::Value;

/// A minute: a task that waited longer is not late but lost.
const MAX_RUNQ_US: f64 = 60_000_000.0;
/// Far over what a machine of a thousand CPUs runs.
const MAX_RUNNABLE: f64 = 1_000_000.0;
/// Memory answers within hundreds of cycles.
const MAX_CPI: f64 = 1000.0;

/// What a pod or one of its containers uses, each with its spellings.
const CPU: [&str; 1] = ["cpu"];
const RSS: [&str; 3] = ["memory_rss", "rss", "memory"];
const CACHE: [&str; 2] = ["memory_cache", "cache"];
const SHMEM: [&str; 2] = ["memory_shmem", "shmem"];
/// What is sampled of it; `cpu_sched_wait` and `nr_runnable` are Katalyst's names.
const RUNQ: [&str; 4] = ["runq_p99_us", "runq_p99", "sched_wait_us", "cpu_sched_wait"];
const RUNNABLE: [&str; 2] = ["runnable", "nr_runnable"];
const CPI: [&str; 1] = ["cpi"];
const THROTTLED: [&str; 1] = ["throttled_ratio"];
/// Amounts by container, to be added up.
const CONTAINERS: &str = "containers";

/// Amounts of a pod, of its containers, or a CPU quantity alone.
pub(super) fn read_pod(
    desk: &Desk,
    field: &Field<'_>,
    containers: &[String],
) -> Result<PodMeasure, String> {
    let named: Vec<&str> = containers.iter().map(String::as_str).collect();
    let keys = amount_keys();
    if !matches!(field.value(), Value::Map(_)) {
        return read_amounts(desk, field);
    }
    let is_container = |key: &str| named.contains(&key) && !keys.contains(&key);
    let mut parts: Vec<Field<'_>> = Vec::new();
    for (key, part) in field.entries()? {
        match key {
            CONTAINERS => {
                part.check_keys(&named)?;
                parts.extend(part.entries()?.into_iter().map(|(_, part)| part));
            }
            _ if is_container(key) => parts.push(part),
            _ => {}
        }
    }
    let allowed: Vec<&str> = [&keys[..], &[CONTAINERS], &named].concat();
    field.check_keys(&allowed)?;
    let own = field.entries()?.into_iter().find(|(key, _)| keys.contains(key));
    match (parts.is_empty(), own) {
        (true, _) => read_amounts(desk, field),
        (false, Some((_, own))) => {
            Err(own.wrong(&"amounts are given for the pod or for its containers, not for both"))
        }
        (false, None) => {
            let mut sum = PodMeasure::default();
            for part in &parts {
                add(&mut sum, &read_amounts(desk, part)?);
            }
            Ok(sum)
        }
    }
}

/// Amounts add up, and a pod waits as long as its latest container.
fn add(sum: &mut PodMeasure, part: &PodMeasure) {
    let bytes = |a: Option<Bytes>, b: Option<Bytes>| {
        a.zip(b).map(|(a, b)| Bytes(a.0.saturating_add(b.0))).or(a).or(b)
    };
    let most = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a.max(b)).or(a).or(b);
    let cpus = sum.cpu.zip(part.cpu).map(|(a, b)| MilliCpu(a.0.saturating_add(b.0)));
    sum.cpu = cpus.or(sum.cpu).or(part.cpu);
    sum.rss = bytes(sum.rss, part.rss);
    sum.cache = bytes(sum.cache, part.cache);
    sum.shmem = bytes(sum.shmem, part.shmem);
    sum.runq_p99 = sum.runq_p99.max(part.runq_p99);
    let runnable = sum.runnable.zip(part.runnable).map(|(a, b)| a + b);
    sum.runnable = runnable.or(sum.runnable).or(part.runnable);
    sum.cpi = most(sum.cpi, part.cpi);
    sum.throttled_ratio = most(sum.throttled_ratio, part.throttled_ratio);
}

fn amount_keys() -> Vec<&'static str> {
    [&CPU[..], &RSS, &CACHE, &SHMEM, &RUNQ, &RUNNABLE, &CPI, &THROTTLED].concat()
}

pub(super) fn sampled_keys() -> Vec<&'static str> {
    [&RUNQ[..], &RUNNABLE, &CPI, &THROTTLED].concat()
}

fn read_amounts(desk: &Desk, field: &Field<'_>) -> Result<PodMeasure, String> {
    let mut one = PodMeasure::default();
    if !matches!(field.value(), Value::Map(_) | Value::Null) {
        one.cpu = Some(cpu(desk, field)?);
        return Ok(one);
    }
    field.check_keys(&amount_keys())?;
    let bytes = |keys: &[&str]| field.one_of(keys)?.map(|value| memory(desk, &value)).transpose();
    one.cpu = field.one_of(&CPU)?.map(|value| cpu(desk, &value)).transpose()?;
    one.rss = bytes(&RSS)?;
    one.cache = bytes(&CACHE)?;
    one.shmem = bytes(&SHMEM)?;
    read_sampled(field, &mut one)?;
    Ok(one)
}

/// What is sampled of a pod; it may stand beside what the pod uses.
pub(super) fn read_sampled(field: &Field<'_>, one: &mut PodMeasure) -> Result<(), String> {
    let number =
        |keys: &[&str], most| field.one_of(keys)?.map(|it| it.number(0.0..=most)).transpose();
    let p99 = number(&RUNQ, MAX_RUNQ_US)?;
    one.runq_p99 = p99.map(|us| Micros(us.round() as u64)).or(one.runq_p99);
    one.runnable = number(&RUNNABLE, MAX_RUNNABLE)?.or(one.runnable);
    one.cpi = number(&CPI, MAX_CPI)?.or(one.cpi);
    one.throttled_ratio = number(&THROTTLED, 1.0)?.or(one.throttled_ratio);
    Ok(())
}

/// No pod uses more than the machine has.
fn cpu(desk: &Desk, field: &Field<'_>) -> Result<MilliCpu, String> {
    let most = most_cpu(desk);
    let read = quantity::measured_cpu(&field.text()?).map_err(|error| field.wrong(&error))?;
    match read > most {
        true => Err(field.refuse(&format!("0..={most}m, the CPUs of this machine"))),
        false => Ok(read),
    }
}

pub(super) fn memory(desk: &Desk, field: &Field<'_>) -> Result<Bytes, String> {
    let most = most_memory(desk);
    let read = quantity::memory(&field.text()?).map_err(|error| field.wrong(&error))?;
    match read.0 > most {
        true => Err(field.refuse(&format!("0..={most} bytes"))),
        false => Ok(read),
    }
}
