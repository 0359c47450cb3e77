//! When requests arrive: an open-loop Poisson schedule that alternates quiet and burst periods.
//! A pure function of shape, span and seed, so that every phase sees the very same requests.

use model::units::Nanos;
use serde::{Deserialize, Serialize};

use crate::random::SplitMix64;

/// Quiet and burst periods take turns, quiet first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    pub quiet: Nanos,
    pub burst: Nanos,
    /// Requests per second.
    pub quiet_rate_hz: f64,
    pub burst_rate_hz: f64,
}

/// Which kind of period a request arrives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    Quiet,
    Burst,
}

/// One request: when it arrives after the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    pub at: Nanos,
    pub period: Period,
}

impl Shape {
    pub fn period_at(&self, at: Nanos) -> Period {
        if at.0 % self.cycle().0 < self.quiet.0 { Period::Quiet } else { Period::Burst }
    }

    /// Length of one quiet and one burst period.
    pub fn cycle(&self) -> Nanos {
        Nanos((self.quiet.0 + self.burst.0).max(1))
    }

    /// Starts of the burst periods within `span`.
    pub fn burst_starts(&self, span: Nanos) -> Vec<Nanos> {
        let starts = (0..).map(|n| Nanos(n * self.cycle().0 + self.quiet.0));
        starts.take_while(|start| *start < span).collect()
    }

    fn rate_hz(&self, period: Period) -> f64 {
        match period {
            Period::Quiet => self.quiet_rate_hz,
            Period::Burst => self.burst_rate_hz,
        }
    }

    fn period_end(&self, at: Nanos) -> Nanos {
        let cycle_start = at.0 - at.0 % self.cycle().0;
        match self.period_at(at) {
            Period::Quiet => Nanos(cycle_start + self.quiet.0),
            Period::Burst => Nanos(cycle_start + self.cycle().0),
        }
    }
}

/// All arrivals within `span`, in order. Gaps are exponential; at a period's end the gap begins
/// anew with the other rate, which an exponential gap allows.
pub fn schedule(shape: &Shape, span: Nanos, seed: u64) -> Vec<Arrival> {
    let mut random = SplitMix64::new(seed);
    let mut arrivals = Vec::new();
    let mut now = Nanos(0);
    while now < span {
        let period = shape.period_at(now);
        let end = shape.period_end(now);
        let gap_s = -random.unit().ln() / shape.rate_hz(period).max(1e-9);
        let next = Nanos(now.0.saturating_add((gap_s * 1e9) as u64).saturating_add(1));
        if next >= end {
            now = end;
            continue;
        }
        now = next;
        if now < span {
            arrivals.push(Arrival { at: now, period });
        }
    }
    arrivals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape {
            quiet: Nanos::from_secs(3),
            burst: Nanos::from_secs(2),
            quiet_rate_hz: 20.0,
            burst_rate_hz: 300.0,
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_requests() {
        let span = Nanos::from_secs(20);
        assert_eq!(schedule(&shape(), span, 7), schedule(&shape(), span, 7));
        assert_ne!(schedule(&shape(), span, 7), schedule(&shape(), span, 8));
    }

    #[test]
    fn rates_hold_per_period() {
        // 20 cycles: 60 s quiet at 20/s = 1200, 40 s burst at 300/s = 12000; Poisson noise is
        // about sqrt(n), so 10 % and 3 % are more than three of it.
        let arrivals = schedule(&shape(), Nanos::from_secs(100), 1);
        let n_quiet = arrivals.iter().filter(|arrival| arrival.period == Period::Quiet).count();
        let n_burst = arrivals.len() - n_quiet;
        assert!((1080..1320).contains(&n_quiet), "{n_quiet}");
        assert!((11_640..12_360).contains(&n_burst), "{n_burst}");
    }

    #[test]
    fn arrivals_are_in_order_inside_the_span_and_in_their_period() {
        let span = Nanos::from_secs(13);
        let arrivals = schedule(&shape(), span, 3);
        assert!(arrivals.windows(2).all(|pair| pair[0].at < pair[1].at));
        assert!(arrivals.iter().all(|arrival| arrival.at < span));
        assert!(arrivals.iter().all(|it| it.period == shape().period_at(it.at)));
    }

    #[test]
    fn bursts_begin_after_each_quiet_period() {
        let starts = shape().burst_starts(Nanos::from_secs(13));
        assert_eq!(starts, [3, 8].map(Nanos::from_secs));
        assert_eq!(shape().burst_starts(Nanos::from_secs(3)), []);
    }
}
