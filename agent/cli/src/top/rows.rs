//! The workload table: which rows, in which order, as text.

use std::cmp::Ordering;

use clap::ValueEnum;
use proto::v1::Workload;

use super::view::View;
use crate::units::{bytes, cpus, duration, or_missing, percent};

/// What the table is sorted by; largest first, names alphabetically.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SortKey {
    /// CPU usage
    #[default]
    Usage,
    /// Run-queue wait, p99
    P99,
    /// Share of periods throttled by its own quota
    Throttled,
    /// PSI, some, 10 s
    Pressure,
    Memory,
    Name,
    Qos,
}

impl SortKey {
    pub(super) fn column(self) -> &'static str {
        match self {
            SortKey::Usage => "USED",
            SortKey::P99 => "WAIT P99",
            SortKey::Throttled => "THROTTLED",
            SortKey::Pressure => "PSI",
            SortKey::Memory => "MEMORY",
            SortKey::Name => "NAME",
            SortKey::Qos => "QOS",
        }
    }
}

pub(super) const COLUMNS: [&str; 11] = [
    "NAME",
    "QOS",
    "POOL",
    "USED",
    "REQUEST",
    "WAIT P50",
    "WAIT P99",
    "THROTTLED",
    "PSI",
    "MEMORY",
    "STATE",
];

/// The workloads that pass the filter, in the chosen order.
pub(super) fn chosen<'a>(view: &View, workloads: &'a [Workload]) -> Vec<&'a Workload> {
    let mut rows: Vec<&Workload> =
        workloads.iter().filter(|workload| passes(workload, &view.filter)).collect();
    rows.sort_by(|a, b| {
        let order = by_key(view.sort, a, b);
        let order = if view.reversed { order.reverse() } else { order };
        order.then_with(|| a.name.cmp(&b.name))
    });
    rows
}

fn passes(workload: &Workload, filter: &str) -> bool {
    let pool = workload.pool.as_deref().unwrap_or_default();
    [workload.name.as_str(), &workload.qos, pool].iter().any(|text| text.contains(filter))
}

fn by_key(key: SortKey, a: &Workload, b: &Workload) -> Ordering {
    // what is not known is less than everything that is, so it comes last
    let ratio = |a: Option<f64>, b: Option<f64>| b.unwrap_or(-1.0).total_cmp(&a.unwrap_or(-1.0));
    match key {
        SortKey::Usage => b.usage_milli_cpu.cmp(&a.usage_milli_cpu),
        SortKey::P99 => wait_p99(b).cmp(&wait_p99(a)),
        SortKey::Throttled => ratio(a.throttled_ratio, b.throttled_ratio),
        SortKey::Pressure => ratio(psi(a), psi(b)),
        SortKey::Memory => b.memory_current_bytes.cmp(&a.memory_current_bytes),
        SortKey::Name => a.name.cmp(&b.name),
        SortKey::Qos => a.qos.cmp(&b.qos),
    }
}

fn wait_p99(workload: &Workload) -> Option<u64> {
    workload.runq.as_ref().and_then(|runq| runq.wait_p99_ns)
}

fn psi(workload: &Workload) -> Option<f64> {
    let some = workload.cpu_pressure.as_ref().and_then(|pressure| pressure.some.as_ref());
    some.map(|line| line.avg10_pct)
}

/// Over its own target; one without a target is never late here.
pub(super) fn is_late(workload: &Workload) -> bool {
    match (wait_p99(workload), workload.target_wait_p99_us) {
        (Some(wait_ns), Some(target_us)) => wait_ns > target_us.saturating_mul(1000),
        _ => false,
    }
}

/// In the order of `COLUMNS`.
pub(super) fn cells(workload: &Workload) -> [String; 11] {
    let runq = workload.runq.as_ref();
    [
        workload.name.clone(),
        workload.qos.trim_end_matches("_cores").to_owned(),
        or_missing(workload.pool.clone(), |pool| pool),
        or_missing(workload.usage_milli_cpu, cpus),
        cpus(workload.request_milli_cpu),
        or_missing(runq.and_then(|runq| runq.wait_p50_ns), duration),
        or_missing(wait_p99(workload), duration),
        or_missing(workload.throttled_ratio, |ratio| percent(ratio * 100.0)),
        or_missing(psi(workload), percent),
        or_missing(workload.memory_current_bytes, bytes),
        state(workload).to_owned(),
    ]
}

fn state(workload: &Workload) -> &'static str {
    match (workload.populated, workload.suppressed) {
        (false, _) => "empty",
        (true, true) => "suppressed",
        (true, false) if is_late(workload) => "late",
        (true, false) => "",
    }
}
