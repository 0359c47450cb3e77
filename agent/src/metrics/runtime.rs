//! The conversation with the container runtime: whether it is heard, how long its calls took, what
//! became of containers that wanted a place. Written by its thread: every series exists from the
//! start, so that no call ever waits for the lock of a whole family while a scrape holds it.

use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use runtime::nri::Call;

/// From the loop's microseconds to the two seconds after which a runtime drops a plugin.
const BUCKETS: [f64; 9] = [0.0001, 0.000_5, 0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 2.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    call: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Result {
    result: &'static str,
}

/// What became of a container that wanted a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It got the CPUs that the loop named.
    Placed,
    /// The loop had none that meet its wishes: it runs with the others of its level, or not at all.
    Refused,
    /// The loop said to leave it alone: observe mode, or no Plan yet.
    LeftAlone,
    /// The loop did not answer in time.
    Late,
}

#[derive(Clone, Debug)]
pub struct RuntimeMetrics {
    connected: Gauge,
    calls: [Histogram; KINDS.len()],
    places: [Counter; PLACES.len()],
}

/// Calls that are told apart.
const KINDS: [&str; 9] = [
    "configure",
    "synchronize",
    "create_container",
    "update_container",
    "validate_container_adjustment",
    "stop_container",
    "update_pod_sandbox",
    "state_change",
    "other",
];

const PLACES: [(Placed, &str); 4] = [
    (Placed::Placed, "placed"),
    (Placed::Refused, "refused"),
    (Placed::LeftAlone, "left_alone"),
    (Placed::Late, "late"),
];

fn kind(call: &Call) -> usize {
    match call {
        Call::Configure(_) => 0,
        Call::Synchronize(_) => 1,
        Call::CreateContainer(_) => 2,
        Call::UpdateContainer(_) => 3,
        Call::Validate(_) => 4,
        Call::StopContainer(_) => 5,
        Call::UpdatePodSandbox(_) => 6,
        Call::Told { .. } => 7,
        _ => 8,
    }
}

impl Default for RuntimeMetrics {
    /// Of nobody's registry.
    fn default() -> RuntimeMetrics {
        RuntimeMetrics {
            connected: Gauge::default(),
            calls: std::array::from_fn(|_| Histogram::new(BUCKETS)),
            places: std::array::from_fn(|_| Counter::default()),
        }
    }
}

impl RuntimeMetrics {
    pub(super) fn register(registry: &mut Registry) -> RuntimeMetrics {
        let calls: Family<Kind, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let places: Family<Result, Counter> = Family::default();
        let metrics = RuntimeMetrics {
            connected: Gauge::default(),
            calls: KINDS.map(|call| calls.get_or_create_owned(&Kind { call })),
            places: PLACES.map(|(_, result)| places.get_or_create_owned(&Result { result })),
        };
        let heard = "1 while the container runtime is heard";
        registry.register("runtime_connected", heard, metrics.connected.clone());
        let took = "How long the agent took to answer a call of the container runtime";
        registry.register_with_unit("runtime_call_duration", took, Unit::Seconds, calls);
        let about = "Containers that wanted CPUs, by what became of it";
        registry.register("runtime_places", about, places);
        metrics
    }

    /// The runtime is heard from its first call on.
    pub fn heard(&self, call: &Call, began: Instant) {
        self.answered(kind(call), began.elapsed());
    }

    pub(super) fn answered(&self, kind: usize, took: Duration) {
        self.connected.set(1);
        if let Some(histogram) = self.calls.get(kind) {
            histogram.observe(took.as_secs_f64());
        }
    }

    pub fn lost(&self) {
        self.connected.set(0);
    }

    #[cfg(test)]
    pub(crate) fn n_placed(&self, placed: Placed) -> u64 {
        let of = |(counter, (known, _)): (&Counter, _)| (known == placed).then(|| counter.get());
        self.places.iter().zip(PLACES).find_map(of).unwrap_or_default()
    }

    pub fn placed(&self, placed: Placed) {
        for (counter, (known, _)) in self.places.iter().zip(PLACES) {
            if known == placed {
                counter.inc();
            }
        }
    }
}
