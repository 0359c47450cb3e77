//! `bench probe`: runs the probe's own measuring example on this machine and holds it to the bar.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::Machine;
use super::row::{Bar, Row};
use crate::{ebpf, place};

/// Per context switch, all programs together.
const PER_SWITCH_NS: f64 = 500.0;
/// Of a core, at this many switches per second.
const CORE_SHARE: f64 = 0.05;
const SWITCHES_PER_S: f64 = 100_000.0;

#[derive(Deserialize)]
struct Output {
    rows: Vec<Measured>,
}

#[derive(Deserialize)]
struct Measured {
    name: String,
    median_ns: f64,
    events: f64,
}

pub(super) fn run(_machine: &mut Machine) -> anyhow::Result<Vec<Row>> {
    ebpf::ensure_built()?;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(place::repo());
    cargo.args(["run", "--quiet", "--profile", "ci", "-p", "probe", "--example", "overhead"]);
    let output =
        cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("run cargo")?;
    ensure!(output.status.success(), "the probe's example overhead ended with {}", output.status);
    let output: Output =
        serde_json::from_slice(&output.stdout).context("the example overhead printed no rows")?;
    Ok(rows(&output.rows))
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
