//! `policy:`: every key of `PlacementPolicy`.

use std::collections::BTreeMap;

use model::enhancement::{self, EnhancementError, Enhancements};
use model::placement::{NumaHintPolicy, PlacementPolicy, ReclaimReserve, TopologyPolicy};
use model::policy::Reserve;
use model::qos::{Keys, QosLevel, QosRules};
use model::{CpuSet, Nanos, annotation};

use super::field::Field;
use super::provision;
use super::value::Value;

const KEYS: [&str; 21] = [
    "reserved_cpus",
    "forbidden_cpus",
    "reclaim_enabled",
    "reclaim_reserved_cpus",
    "overlap_shared_reclaim",
    "reclaim_numa_binding",
    "numa_hint_policy",
    "packing_keep_ratio",
    "topology_policy",
    "align_resources",
    "qos_enhancement_defaults",
    "qos_selectors",
    "numa_number_key",
    "numa_ids_key",
    "ramp_up_seconds",
    "pre_occupation_seconds",
    "interrupt_cpus",
    "check_memory",
    // Read by `advice`.
    "headroom",
    "memory",
    "burst",
];

/// Ten minutes: a new pod that is not measured by then never is.
const MAX_RAMP_UP_S: f64 = 600.0;
/// A day.
const MAX_PRE_OCCUPATION_S: f64 = 86_400.0;

/// CPU lists are checked against `machine`.
pub(super) fn read(policy: &Field<'_>, machine: &CpuSet) -> Result<PlacementPolicy, String> {
    policy.check_keys(&[&KEYS[..], &provision::KEYS].concat())?;
    let default = PlacementPolicy::default();
    let flag = |key: &str, default: bool| match policy.get(key)? {
        Some(field) => field.flag(),
        None => Ok(default),
    };
    let seconds = |key: &str, default: Nanos, most: f64| match policy.get(key)? {
        Some(field) => Ok(Nanos((field.number(0.0..=most)? * 1e9).round() as u64)),
        None => Ok::<Nanos, String>(default),
    };
    Ok(PlacementPolicy {
        reserve: reserve(policy, machine)?,
        kept: default.kept,
        forbidden: forbidden(policy, machine)?,
        reclaim_enabled: flag("reclaim_enabled", default.reclaim_enabled)?,
        reclaim_reserve: reclaim_reserve(policy, machine)?,
        overlap_shared_reclaim: flag("overlap_shared_reclaim", default.overlap_shared_reclaim)?,
        check_memory: flag("check_memory", default.check_memory)?,
        reclaim_numa_binding: flag("reclaim_numa_binding", default.reclaim_numa_binding)?,
        numa_hint: numa_hint(policy)?,
        packing_keep_ratio: match policy.get("packing_keep_ratio")? {
            Some(field) => field.number(0.0..=1.0)?,
            None => default.packing_keep_ratio,
        },
        topology: topology(policy)?,
        align_resources: match policy.get("align_resources")? {
            Some(field) => field.items()?.iter().map(Field::text).collect::<Result<_, _>>()?,
            None => default.align_resources,
        },
        ramp_up: seconds("ramp_up_seconds", default.ramp_up, MAX_RAMP_UP_S)?,
        pre_occupation: seconds(
            "pre_occupation_seconds",
            default.pre_occupation,
            MAX_PRE_OCCUPATION_S,
        )?,
        qos: rules(policy)?,
    })
}

/// A list of CPUs as text, or how many as a number.
fn reserve(policy: &Field<'_>, machine: &CpuSet) -> Result<Reserve, String> {
    match policy.get("reserved_cpus")? {
        None => Ok(Reserve::Count(0)),
        Some(field) => match field.value() {
            Value::Int(_) => Ok(Reserve::Count(count(&field)?)),
            _ => field.cpus_of(machine).map(Reserve::Cpus),
        },
    }
}

fn forbidden(policy: &Field<'_>, machine: &CpuSet) -> Result<CpuSet, String> {
    let mut all = CpuSet::EMPTY;
    for key in ["forbidden_cpus", "interrupt_cpus"] {
        if let Some(field) = policy.get(key)? {
            all = all.union(&field.cpus_of(machine)?);
        }
    }
    Ok(all)
}

/// A number is how many; a list is one, or has a comma or a dash.
fn reclaim_reserve(policy: &Field<'_>, machine: &CpuSet) -> Result<ReclaimReserve, String> {
    let Some(field) = policy.get("reclaim_reserved_cpus")? else {
        return Ok(ReclaimReserve::PerNode);
    };
    match field.value() {
        Value::List(_) => field.cpus_of(machine).map(ReclaimReserve::Cpus),
        Value::Text(text) if text.contains([',', '-']) => {
            field.cpus_of(machine).map(ReclaimReserve::Cpus)
        }
        _ => Ok(ReclaimReserve::Count(count(&field)?)),
    }
}

fn count(field: &Field<'_>) -> Result<u16, String> {
    let most = model::cpuset::MAX_CPUS as u64;
    Ok(u16::try_from(field.int(0..=most)?).unwrap_or(u16::MAX))
}

fn numa_hint(policy: &Field<'_>) -> Result<NumaHintPolicy, String> {
    let Some(field) = policy.get("numa_hint_policy")? else {
        return Ok(PlacementPolicy::default().numa_hint);
    };
    let name = field.text()?;
    let found = NumaHintPolicy::ALL.into_iter().find(|one| one.name() == name);
    found.ok_or_else(|| field.refuse(&NumaHintPolicy::ALL.map(NumaHintPolicy::name).join(", ")))
}

/// Names of kubelet's flag; `_` is read as `-`.
fn topology(policy: &Field<'_>) -> Result<TopologyPolicy, String> {
    let Some(field) = policy.get("topology_policy")? else {
        return Ok(PlacementPolicy::default().topology);
    };
    let name = field.text()?.replace('_', "-");
    let found = TopologyPolicy::ALL.into_iter().find(|one| one.name() == name);
    found.ok_or_else(|| field.refuse(&TopologyPolicy::ALL.map(TopologyPolicy::name).join(", ")))
}

fn rules(policy: &Field<'_>) -> Result<QosRules, String> {
    let default = QosRules::default();
    let text = |key: &str, default: String| match policy.get(key)? {
        Some(field) => field.text(),
        None => Ok(default),
    };
    let mut rules = QosRules {
        selectors: selectors(policy)?,
        enhancement_defaults: Keys::new(),
        numa_number_key: text("numa_number_key", default.numa_number_key)?,
        numa_ids_key: text("numa_ids_key", default.numa_ids_key)?,
    };
    if let Some(field) = policy.get("qos_enhancement_defaults")? {
        rules.enhancement_defaults = defaults(&field, &rules)?;
    }
    Ok(rules)
}

/// Inner keys, also below the name of their annotation.
fn defaults(of: &Field<'_>, rules: &QosRules) -> Result<Keys, String> {
    let mut flat = Keys::new();
    for (key, field) in of.entries()? {
        let whole = annotation::ENHANCEMENTS.into_iter();
        let whole = whole.map(|name| (name, name.rsplit('/').next().unwrap_or(name)));
        match whole.into_iter().find(|(name, short)| [*name, *short].contains(&key)) {
            Some((name, _)) => flat.extend(nested(&field, name, rules)?),
            None => flat.extend(
                of.get(key)?.map(|one| one.text()).transpose()?.map(|it| (key.to_owned(), it)),
            ),
        }
    }
    let mut allowed = annotation::inner::ALL.to_vec();
    allowed.extend([rules.numa_number_key.as_str(), rules.numa_ids_key.as_str()]);
    allowed.sort_unstable();
    allowed.dedup();
    if let Some((key, value)) = flat.iter().find(|(key, _)| !allowed.contains(&key.as_str())) {
        let allowed = allowed.join(", ");
        return Err(
            of.wrong(&format!("{key}: no such key (value {value:?}); allowed are {allowed}"))
        );
    }
    for level in QosLevel::ALL {
        if let Err(error @ EnhancementError::Value { .. }) = Enhancements::read(level, &flat, rules)
        {
            return Err(of.wrong(&error));
        }
    }
    Ok(flat)
}

/// The value of a whole annotation: a map, or the JSON that a pod would have.
fn nested(field: &Field<'_>, name: &str, rules: &QosRules) -> Result<Keys, String> {
    if let Value::Map(_) | Value::Null = field.value() {
        return field.texts();
    }
    let annotation = Keys::from([(name.to_owned(), field.text()?)]);
    enhancement::flatten(&annotation, rules).map_err(|error| field.wrong(&error))
}

fn selectors(policy: &Field<'_>) -> Result<BTreeMap<QosLevel, Keys>, String> {
    let mut selectors = BTreeMap::new();
    let Some(field) = policy.get("qos_selectors")? else { return Ok(selectors) };
    for (name, keys) in field.entries()? {
        let level = QosLevel::from_name(name);
        let allowed = QosLevel::ALL.map(QosLevel::name).join(", ");
        let level =
            level.ok_or_else(|| field.wrong(&format!("{name:?} is no level of {allowed}")))?;
        selectors.insert(level, keys.texts()?);
    }
    Ok(selectors)
}
