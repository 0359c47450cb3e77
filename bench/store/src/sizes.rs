//! How much of everything: the full run, whose figures are recorded, and a quick one, which shows that everything works.

use std::time::Duration;

/// N watchers at so many puts a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FanOut {
    pub(crate) n_watchers: usize,
    pub(crate) puts_per_s: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Sizes {
    /// Of every timed stretch.
    pub(crate) stretch: Duration,
    pub(crate) n_clients: &'static [usize],
    pub(crate) value_bytes: usize,
    pub(crate) n_objects: usize,
    /// Revisions that later ones have replaced, for memory and for compaction.
    pub(crate) n_history: usize,
    pub(crate) n_compacted: usize,
    pub(crate) n_lists: usize,
    pub(crate) n_counts: usize,
    pub(crate) n_restarts: usize,
    pub(crate) fan_outs: &'static [FanOut],
    pub(crate) large_value_bytes: usize,
    pub(crate) n_storm_clients: usize,
    pub(crate) n_million: usize,
    /// Nodes of a fleet.
    pub(crate) n_leases: usize,
    /// How long a server is left alone before its memory is read.
    pub(crate) settle: Duration,
}

/// At these rates etcd delivers 40 to 100 thousand events a second on one core, which is about all it can.
const FAN_OUTS: [FanOut; 3] = [
    FanOut { n_watchers: 100, puts_per_s: 400 },
    FanOut { n_watchers: 1000, puts_per_s: 100 },
    FanOut { n_watchers: 5000, puts_per_s: 14 },
];
/// Beside the renewals of a fleet.
const FLEET_FAN_OUT: [FanOut; 1] = [FanOut { n_watchers: 100, puts_per_s: 100 }];
const QUICK_FAN_OUTS: [FanOut; 2] =
    [FanOut { n_watchers: 20, puts_per_s: 50 }, FanOut { n_watchers: 100, puts_per_s: 20 }];

impl Sizes {
    pub(crate) const fn full(stretch: Duration) -> Sizes {
        Sizes {
            stretch,
            n_clients: &[1, 16, 64, 256],
            value_bytes: 1024,
            n_objects: 100_000,
            n_history: 72_000,
            n_compacted: 100_000,
            n_lists: 5,
            n_counts: 200,
            n_restarts: 3,
            fan_outs: &FAN_OUTS,
            large_value_bytes: 4096,
            n_storm_clients: 10,
            n_million: 1_000_000,
            n_leases: 20_000,
            settle: Duration::from_secs(5),
        }
    }

    pub(crate) const fn quick() -> Sizes {
        Sizes {
            n_clients: &[1, 16],
            n_objects: 2000,
            n_history: 1000,
            n_compacted: 2000,
            n_lists: 2,
            n_counts: 20,
            n_restarts: 1,
            fan_outs: &QUICK_FAN_OUTS,
            n_storm_clients: 3,
            n_million: 5000,
            n_leases: 200,
            settle: Duration::from_millis(500),
            ..Sizes::full(Duration::from_secs(1))
        }
    }
    /// The same with the watchers of a fleet, for six stretches.
    pub(crate) fn of_fleet(&self) -> Sizes {
        Sizes { fan_outs: &FLEET_FAN_OUT, stretch: 6 * self.stretch, ..self.clone() }
    }
}
