//! The page as a scraper gets it, from a state as the loop publishes it.

mod alerts;

use model::sample::{Pressure, PressureLine, WaitCauses};
use model::snapshot::WorkloadView;
use model::{Nanos, SlotId};
use prometheus_client::encoding::text::encode;

use super::*;
use crate::serve::tests::{state_of, workload};

/// `api` waited 10 s: 4 for batch work, 1 throttled by itself, 2 for seven little ones, the rest unknown.
fn waiting() -> WorkloadView {
    let seconds = |n: u64| Nanos(n * 1_000_000_000);
    let mut causes = WaitCauses {
        total: seconds(10),
        own_throttle: seconds(1),
        unknown: seconds(3),
        ..WaitCauses::default()
    };
    causes.by_offender.insert(SlotId(2), seconds(4));
    causes.by_offender.insert(SlotId(900), Nanos(500_000_000));
    for slot in 10..16 {
        causes.by_offender.insert(SlotId(slot), Nanos(250_000_000));
    }
    let mut api = workload(1);
    let pressed = PressureLine { avg10_pct: 12.5, ..PressureLine::default() };
    api.cpu_pressure = Some(Pressure { some: pressed, full: None });
    api.throttled_ratio = Some(0.25);
    if let Some(runq) = &mut api.runq {
        runq.causes = causes;
    }
    api
}

fn registered(registry: &mut Registry, began: SystemTime) -> Metrics {
    let registry = registry.sub_registry_with_prefix("berth_agent");
    Metrics::register(registry, began).with_runtime(registry)
}

fn page(metrics: &Metrics, registry: &Registry, state: &NodeState) -> String {
    metrics.observe(state, &mut Seen::default());
    let mut page = String::new();
    encode(&mut page, registry).expect("a String takes everything");
    page
}

#[track_caller]
fn says(page: &str, line: &str) {
    let line = format!("berth_agent_{line}");
    assert!(page.lines().any(|said| said == line), "no {line} in\n{page}");
}

#[test]
fn the_page_tells_who_makes_whom_wait() {
    let mut registry = Registry::default();
    let metrics = registered(&mut registry, SystemTime::UNIX_EPOCH);
    let mut ml = workload(2);
    ml.runq = None;
    let mut state = state_of([("api", waiting()), ("ml", ml)]);
    let shown = page(&metrics, &registry, &state);
    let api = "workload=\"api\",qos=\"shared_cores\"";
    says(&shown, &format!("workload_throttled_ratio{{{api}}} 0.25"));
    says(&shown, &format!("workload_cpu_pressure_ratio{{{api}}} 0.125"));
    says(&shown, &format!("workload_runq_wait_unknown_ratio{{{api}}} 0.3"));
    says(&shown, "workload_runq_wait_seconds{workload=\"api\",cause=\"own_throttle\"} 1.0");
    says(&shown, "workload_runq_wait_seconds{workload=\"api\",cause=\"unknown\"} 3.0");
    let offender = |name: &str| {
        format!("workload_runq_wait_for_seconds{{workload=\"api\",offender=\"{name}\"}}")
    };
    says(&shown, &format!("{} 4.0", offender("ml")));
    // the one that is gone and three of the little ones, which are gone as well; then the other three
    says(&shown, &format!("{} 1.25", offender("(gone)")));
    says(&shown, &format!("{} 0.75", offender("(others)")));
    // what was not read has no series: missing is never zero
    assert!(!shown.contains("workload_throttled_ratio{workload=\"ml\""), "{shown}");
    assert!(!shown.contains("workload_runq_wait_unknown_ratio{workload=\"ml\""), "{shown}");
    assert!(!shown.contains("host_cpu_pressure_ratio{"), "{shown}");

    // a workload that is gone takes its series along
    Arc::make_mut(&mut state.snapshot).workloads.clear();
    let shown = page(&metrics, &registry, &state);
    assert!(!shown.contains("workload=\"api\""), "{shown}");
}
