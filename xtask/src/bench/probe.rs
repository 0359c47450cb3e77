//! `bench probe`: runs the probe's own measuring example on this machine and holds it to the bar.

use serde::Deserialize;

use super::row::{Bar, Row};
use super::{Machine, example};

/// Per context switch, all programs together.
const PER_SWITCH_NS: f64 = 500.0;
/// Of a core, at this many switches per second.
const CORE_SHARE: f64 = 0.05;
const SWITCHES_PER_S: f64 = 100_000.0;

#[derive(Deserialize)]
struct Measured {
    name: String,
    median_ns: f64,
    events: f64,
}

pub(super) fn run(_machine: &mut Machine) -> anyhow::Result<Vec<Row>> {
    Ok(rows(&example::rows("probe", "overhead")?))
}

fn rows(measured: &[Measured]) -> Vec<Row> {
    let row = |it: &Measured| {
        let bar = match it.name.as_str() {
            "bpf_ns_per_switch" => Some(Bar::within(it.median_ns, PER_SWITCH_NS)),
            "added_per_switch_paired" => {
                Some(Bar::within(it.median_ns * SWITCHES_PER_S / 1e9, CORE_SHARE))
            }
            _ => None,
        };
        Row::new(&it.name, &[("median_ns", it.median_ns), ("events", it.events)], bar)
    };
    measured.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_of_the_probe() {
        let measured =
            |name: &str, median_ns| Measured { name: name.to_owned(), median_ns, events: 1.0 };
        let rows = rows(&[
            measured("switch_with_probe", 900.0),
            measured("bpf_ns_per_switch", 250.0),
            measured("added_per_switch_paired", 600.0),
        ]);
        assert_eq!(rows[0].bar, None);
        assert_eq!(rows[1].bar, Some(Bar::within(250.0, 500.0)));
        // 600 ns x 100 000/s is 6 % of a core where 5 % are allowed
        assert!(!rows[2].bar.expect("a bar").is_met());
    }
}
