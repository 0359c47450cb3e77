//! The agent itself: since when it runs, what it costs, what it sees with, how old its input is.

use std::time::SystemTime;

use model::snapshot::Signal;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Seen;
use super::labels::{Maybe, Ratio, Why, seconds, set_or_clear};
use crate::node_state::NodeState;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Version {
    version: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Way {
    signal: &'static str,
}

/// `stat`, `cgroups` and the others that the Snapshot names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Source {
    source: &'static str,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    ticks: Counter,
    probe_loaded: Gauge,
    probe_off: Family<Why, Gauge>,
    psi_off: Family<Why, Gauge>,
    signal: Family<Way, Gauge>,
    source_age: Family<Source, Ratio>,
    rss: Maybe,
    cpu_ratio: Maybe,
    enforcing: Gauge,
}

impl Own {
    pub(super) fn register(registry: &mut Registry, started_at: SystemTime) -> Own {
        let own = Own::default();
        Own::constants(registry, started_at);
        let m = &own;
        registry.register("ticks", "Ticks that ended with a published state", m.ticks.clone());
        registry.register("enforcing", "1 in enforce mode, 0 in observe mode", m.enforcing.clone());
        let rss = "The agent's RSS";
        registry.register_with_unit("resident_memory", rss, Unit::Bytes, m.rss.clone());
        registry.register("cpu_ratio", "CPUs the agent itself uses", m.cpu_ratio.clone());
        registry.register(
            "probe_loaded",
            "1 when the BPF probes are attached",
            m.probe_loaded.clone(),
        );
        let off = "1, with the reason, when the BPF probes are not attached";
        registry.register("probe_off", off, m.probe_off.clone());
        let off = "1, with the reason, when the kernel keeps no pressure";
        registry.register("psi_off", off, m.psi_off.clone());
        let signal = "1 for how contention is seen: good, degraded, pressure_only or none";
        registry.register("signal", signal, m.signal.clone());
        let age = "Age of the newest reading of a source; without a series where there was none";
        registry.register_with_unit("source_age", age, Unit::Seconds, m.source_age.clone());
        own
    }

    /// What does not change while the agent runs.
    fn constants(registry: &mut Registry, started_at: SystemTime) {
        let build: Family<Version, Gauge> = Family::default();
        build.get_or_create(&Version { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("build_info", "1, with the agent's version", build);
        let started = Ratio::default();
        let since = started_at.duration_since(SystemTime::UNIX_EPOCH);
        started.set(since.map_or(0.0, |since| since.as_secs_f64()));
        let about = "When the agent started, since the beginning of 1970";
        registry.register_with_unit("start_time", about, Unit::Seconds, started);
    }

    pub(super) fn observe(&self, state: &NodeState, seen: &Seen) {
        if seen.is_new_tick(state) {
            self.ticks.inc();
        }
        self.eyes(state);
        set_or_clear(&self.rss, state.agent.rss_bytes.map(|rss| rss.0 as f64));
        set_or_clear(&self.cpu_ratio, state.agent.cpu_ratio);
        self.enforcing.set(i64::from(state.mode == model::policy::Mode::Enforce));
    }

    fn eyes(&self, state: &NodeState) {
        let eyes = &state.agent.eyes;
        self.probe_loaded.set(i64::from(eyes.probe.works));
        for (status, off) in [(&eyes.probe, &self.probe_off), (&eyes.pressure, &self.psi_off)] {
            if !status.works {
                off.get_or_create(&Why { why: status.text.clone() }).set(1);
            }
        }
        let signal = match &state.snapshot.signal {
            Signal::Good => "good",
            Signal::Degraded { .. } => "degraded",
            Signal::PressureOnly { .. } => "pressure_only",
            Signal::None { .. } => "none",
        };
        self.signal.clear();
        self.signal.get_or_create(&Way { signal }).set(1);
        self.source_age.clear();
        for (source, health) in &state.snapshot.sources {
            if let Some(age) = health.age {
                self.source_age.get_or_create(&Source { source }).set(seconds(age));
            }
        }
    }
}
