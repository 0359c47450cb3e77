//! Who waits for a CPU and for whom: what `berth why-slow` shows, for whoever looks at a graph instead.

use std::collections::BTreeMap;

use model::qos::WorkloadName;
use model::sample::{Pressure, WaitCauses};
use model::{Nanos, SlotId};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

use super::labels::{Ratio, seconds};
use crate::node_state::NodeState;

/// Offenders of one workload that have a series of their own; a node of a thousand workloads would
/// have a million otherwise.
const MAX_OFFENDERS: usize = 5;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Workload {
    workload: String,
    qos: &'static str,
}

/// Who waited, and what ran or stood in the way meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitCause {
    workload: String,
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Offence {
    workload: String,
    offender: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Window {
    window: &'static str,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    runq_p99: Family<Workload, Ratio>,
    usage: Family<Workload, Ratio>,
    throttled: Family<Workload, Ratio>,
    pressure: Family<Workload, Ratio>,
    waited: Family<WaitCause, Ratio>,
    waited_for: Family<Offence, Ratio>,
    unknown: Family<Workload, Ratio>,
    host_pressure: Family<Window, Ratio>,
}

impl Waiting {
    pub(super) fn register(registry: &mut Registry) -> Waiting {
        let waiting = Waiting::default();
        let m = &waiting;
        registry.register_with_unit(
            "workload_runq_wait_p99",
            "Run-queue wait, 99th percentile of the last tick",
            Unit::Seconds,
            m.runq_p99.clone(),
        );
        registry.register_with_unit(
            "workload_runq_wait",
            "Time its tasks waited for a CPU over the last tick, by cause; offenders are told one by one",
            Unit::Seconds,
            m.waited.clone(),
        );
        registry.register_with_unit(
            "workload_runq_wait_for",
            "Time its tasks waited while another workload ran over the last tick; the worst few of each",
            Unit::Seconds,
            m.waited_for.clone(),
        );
        m.register_ratios(registry);
        waiting
    }

    fn register_ratios(&self, registry: &mut Registry) {
        let m = self;
        registry.register("workload_usage_cpus", "CPUs used over the last tick", m.usage.clone());
        registry.register(
            "workload_runq_wait_unknown_ratio",
            "Share of that time whose cause is not known; over 0.05 the probe does not see enough",
            m.unknown.clone(),
        );
        registry.register(
            "workload_throttled_ratio",
            "Share of the periods of the last tick in which its own cpu.max throttled it",
            m.throttled.clone(),
        );
        registry.register(
            "workload_cpu_pressure_ratio",
            "PSI: share of the last ten seconds in which some of its tasks waited for a CPU",
            m.pressure.clone(),
        );
        registry.register(
            "host_cpu_pressure_ratio",
            "PSI: share of the last ten seconds in which some task of the machine waited for a CPU",
            m.host_pressure.clone(),
        );
    }

    /// Workloads that are gone lose their series.
    pub(super) fn observe(&self, state: &NodeState) {
        self.clear();
        if let Some(pressure) = &state.snapshot.host.cpu_pressure {
            self.host_pressure.get_or_create(&Window { window: "10s" }).set(some(pressure));
        }
        let workloads = &state.snapshot.workloads;
        let names = workloads.iter().map(|(name, workload)| (workload.slot, name)).collect();
        for (name, workload) in workloads {
            let label = Workload { workload: name.to_string(), qos: workload.spec.qos.name() };
            let set = |family: &Family<Workload, Ratio>, value: Option<f64>| {
                if let Some(value) = value {
                    family.get_or_create(&label).set(value);
                }
            };
            let p99 = workload.runq.as_ref().and_then(|runq| runq.p99);
            set(&self.runq_p99, p99.map(seconds));
            set(&self.usage, workload.usage.map(|usage| usage.0 as f64 / 1e3));
            set(&self.throttled, workload.throttled_ratio);
            set(&self.pressure, workload.cpu_pressure.as_ref().map(some));
            if let Some(runq) = &workload.runq {
                set(&self.unknown, Some(unknown_ratio(&runq.causes)));
                self.causes(name, &runq.causes);
                self.offenders(name, &runq.causes, &names);
            }
        }
    }

    fn clear(&self) {
        for family in [&self.runq_p99, &self.usage, &self.throttled, &self.pressure, &self.unknown]
        {
            family.clear();
        }
        self.waited.clear();
        self.waited_for.clear();
        self.host_pressure.clear();
    }

    fn causes(&self, name: &WorkloadName, causes: &WaitCauses) {
        let causes = [
            ("own_throttle", causes.own_throttle),
            ("own_group", causes.own_group),
            ("idle_or_steal", causes.idle_or_steal),
            ("untracked", causes.untracked),
            ("unknown", causes.unknown),
        ];
        for (cause, waited) in causes.into_iter().filter(|(_, waited)| waited.0 > 0) {
            let label = WaitCause { workload: name.to_string(), cause };
            self.waited.get_or_create(&label).set(seconds(waited));
        }
    }

    fn offenders(&self, name: &WorkloadName, causes: &WaitCauses, names: &Names<'_>) {
        let mut worst: Vec<(SlotId, Nanos)> =
            causes.by_offender.iter().map(|(slot, waited)| (*slot, *waited)).collect();
        worst.sort_by_key(|(_, waited)| std::cmp::Reverse(*waited));
        for (idx, (slot, waited)) in worst.into_iter().enumerate() {
            let offender = match names.get(&slot) {
                _ if idx >= MAX_OFFENDERS => "(others)".to_owned(),
                Some(name) => name.to_string(),
                None => "(gone)".to_owned(),
            };
            let label = Offence { workload: name.to_string(), offender };
            self.waited_for.get_or_create(&label).inc_by(seconds(waited));
        }
    }
}

type Names<'a> = BTreeMap<SlotId, &'a WorkloadName>;

fn some(pressure: &Pressure) -> f64 {
    pressure.some.avg10_pct / 100.0
}

/// Of the waited time; nothing waited is nothing unknown.
fn unknown_ratio(causes: &WaitCauses) -> f64 {
    causes.unknown.0 as f64 / causes.total.0.max(1) as f64
}
