//! `[[workload]]`: which cgroups are workloads, of which level, and what they ask for.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::annotation::inner;
use model::enhancement::{EnhancementError, Enhancements};
use model::qos::{QosLevel, QosRules};
use model::sample::WorkloadSpec;
use model::{Bytes, Micros, MilliCpu};
use serde::Deserialize;
use toml::Spanned;

use super::check::Checker;
use super::resources::bytes;
use super::{ConfigError, WorkloadRule};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWorkload {
    cgroup: Spanned<String>,
    name: Spanned<String>,
    qos: Spanned<String>,
    request_milli_cpu: Option<Spanned<i64>>,
    memory_request: Option<Spanned<String>>,
    target_p99_us: Option<Spanned<i64>>,
    /// Inner keys of Katalyst's enhancement annotations.
    enhancements: Option<Spanned<BTreeMap<String, toml::Value>>>,
}

/// Inner keys that mean something without Kubernetes.
const ENHANCEMENTS: [&str; 12] = [
    inner::CPUSET_POOL,
    inner::NUMA_SHARE,
    inner::CPU_BURST_POLICY,
    inner::CPU_BURST_PERCENT,
    inner::CPU_BURST_THRESHOLD,
    inner::ALIGN_BY_SOCKET,
    inner::DISTRIBUTE_EVENLY,
    inner::FULL_PCPUS_PAIRING,
    inner::NUMA_BINDING,
    inner::NUMA_EXCLUSIVE,
    inner::OOM_PRIORITY,
    inner::SUPPRESSION_TOLERANCE_RATE,
];

/// The two with a domain are written without it here.
const PLAIN: [(&str, &str); 2] =
    [("numa_number", inner::NUMA_NUMBER), ("numa_ids", inner::NUMA_IDS)];

pub(super) fn rules(
    check: &Checker<'_>,
    raw: Vec<RawWorkload>,
) -> Result<Vec<WorkloadRule>, ConfigError> {
    raw.into_iter().map(|workload| rule(check, workload)).collect()
}

fn rule(check: &Checker<'_>, raw: RawWorkload) -> Result<WorkloadRule, ConfigError> {
    let levels = QosLevel::ALL.map(QosLevel::name).join(", ");
    let qos = QosLevel::from_name(raw.qos.get_ref())
        .ok_or_else(|| check.refuse("workload.qos", &raw.qos, &format!("one of {levels}")))?;
    if raw.name.get_ref().is_empty() || raw.name.get_ref().len() > 253 {
        return Err(check.refuse("workload.name", &raw.name, "1 to 253 characters"));
    }
    let key = "workload.request_milli_cpu";
    let request = MilliCpu(check.int(key, raw.request_milli_cpu, 0, 0..=1_024_000)?);
    Ok(WorkloadRule {
        cgroup: check.absolute("workload.cgroup", Some(raw.cgroup), "/")?,
        name: raw.name.into_inner(),
        spec: WorkloadSpec {
            qos,
            request,
            memory_request: bytes(check, "workload.memory_request", raw.memory_request, Bytes(0))?,
            target_p99: target(check, raw.target_p99_us)?,
            given: None,
            wish: Arc::new(wish(check, qos, raw.enhancements)?),
        },
    })
}

fn target(check: &Checker<'_>, raw: Option<Spanned<i64>>) -> Result<Option<Micros>, ConfigError> {
    match raw {
        None => Ok(None),
        raw => check.int("workload.target_p99_us", raw, 0, 100..=10_000_000).map(Micros).map(Some),
    }
}

/// Annotations have texts only; here a number or a flag need not be in quotes.
fn text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn wish(
    check: &Checker<'_>,
    qos: QosLevel,
    raw: Option<Spanned<BTreeMap<String, toml::Value>>>,
) -> Result<Enhancements, ConfigError> {
    let Some(raw) = raw else { return Ok(Enhancements::none(qos)) };
    let span = raw.span();
    let refuse = |key: &str, value: &str, allowed: &str| {
        let value = Spanned::new(span.clone(), value.to_owned());
        check.refuse(&format!("workload.enhancements.{key}"), &value, allowed)
    };
    let mut flat = BTreeMap::new();
    for (key, value) in raw.get_ref() {
        let text = text(value);
        let shown = text.as_deref().unwrap_or("a list or a table");
        let inner = known(key).map_err(|allowed| refuse(key, shown, &allowed))?;
        let text = text.as_ref();
        let text = text.ok_or_else(|| refuse(key, shown, "a text, a number, true or false"))?;
        flat.insert(inner.to_owned(), text.clone());
    }
    Enhancements::read(qos, &flat, &QosRules::default()).map_err(|error| match error {
        EnhancementError::Value { key, value, allowed } => {
            refuse(key.rsplit('/').next().unwrap_or(&key), &value, allowed)
        }
        other => check.refuse("workload.enhancements", &raw, &other.to_string()),
    })
}

/// The name of an inner key as annotations have it, else the keys that there are.
fn known(key: &str) -> Result<&'static str, String> {
    let plain = PLAIN.iter().find(|(plain, _)| *plain == key).map(|(_, inner)| *inner);
    let found = plain.or_else(|| ENHANCEMENTS.iter().copied().find(|known| *known == key));
    found.ok_or_else(|| {
        let names = PLAIN.map(|(plain, _)| plain);
        format!("a key of {}", [&ENHANCEMENTS[..], &names[..]].concat().join(", "))
    })
}
