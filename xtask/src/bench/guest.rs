//! Benchmarks that need the VM: boot it with `berth-bench`, read what it brought.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::json;

use super::Machine;
use super::row::{Bar, Row};
use crate::demo::{build, host};
use crate::vm::{self, Clock, Guest};
use crate::{ebpf, place, setup};

/// The bar: suppression within this at p99, over so many events.
const SUPPRESSION_MS: f64 = 100.0;
const SUPPRESSION_EVENTS: f64 = 200.0;
const RSS_BYTES: f64 = 30e6;
/// Of a native core.
const CPU_RATIO: f64 = 0.01;
/// Three times what the longer one takes on a quiet host.
const GUEST_LIMIT: Duration = Duration::from_secs(900);

#[derive(Deserialize)]
struct File<R> {
    agent_like_rounds_per_s: f64,
    kernel: String,
    rows: Vec<R>,
}

#[derive(Deserialize)]
struct Suppression {
    name: String,
    events: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    max_ms: Option<f64>,
    node_cpu_util: f64,
}

#[derive(Deserialize)]
struct Footprint {
    n_cgroups: f64,
    rss_bytes: f64,
    memory_current_bytes: Option<f64>,
    cpu_ratio: f64,
    thread_cpu_ratio: BTreeMap<String, f64>,
    seconds: f64,
}

pub(super) fn suppression(machine: &mut Machine) -> anyhow::Result<Vec<Row>> {
    let (rows, _) = in_vm::<Suppression>("suppression", Clock::Host, machine)?;
    let mut result = Vec::new();
    for (idx, row) in rows.iter().enumerate() {
        let figures = [("p50_ms", row.p50_ms), ("p99_ms", row.p99_ms), ("max_ms", row.max_ms)];
        let mut figures: Vec<_> =
            figures.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        figures.extend([("events", row.events), ("node_cpu_util", row.node_cpu_util)]);
        let bar = row.p99_ms.map(|p99| Bar::within(p99, SUPPRESSION_MS));
        result.push(Row::new(&row.name, &figures, bar));
        if idx == 0 {
            let bar = Bar::reaches(row.events, SUPPRESSION_EVENTS);
            result.push(Row::new("events of the first row", &[("events", row.events)], Some(bar)));
        }
    }
    Ok(result)
}

pub(super) fn footprint(machine: &mut Machine) -> anyhow::Result<Vec<Row>> {
    let (rows, factor) = in_vm::<Footprint>("footprint", Clock::Virtual, machine)?;
    let seen = rows.first().context("the guest brought no row")?;
    let native = seen.cpu_ratio / factor;
    let mut result = vec![
        Row::new(
            "resident memory at 100 cgroups",
            &[("rss_bytes", seen.rss_bytes), ("cgroups", seen.n_cgroups)],
            Some(Bar::within(seen.rss_bytes, RSS_BYTES)),
        ),
        Row::new(
            "CPU at 100 cgroups, guest divided by emulator_factor",
            &[
                ("cpu_ratio", native),
                ("guest_cpu_ratio", seen.cpu_ratio),
                ("seconds", seen.seconds),
            ],
            Some(Bar::within(native, CPU_RATIO)),
        ),
    ];
    let by_thread = seen.thread_cpu_ratio.iter().filter(|(_, ratio)| **ratio > 0.0);
    let by_thread: Vec<_> =
        by_thread.map(|(name, ratio)| (format!("{name}_ratio"), *ratio)).collect();
    let figures: Vec<_> = by_thread.iter().map(|(key, ratio)| (key.as_str(), *ratio)).collect();
    result.push(Row::new("guest CPU by thread", &figures, None));
    if let Some(bytes) = seen.memory_current_bytes {
        let figures = [("memory_current_bytes", bytes)];
        result.push(Row::new(
            "memory.current of the agent's cgroup, BPF maps included",
            &figures,
            None,
        ));
    }
    Ok(result)
}

/// The rows and the emulator factor.
fn in_vm<R: for<'de> Deserialize<'de>>(
    name: &str,
    clock: Clock,
    machine: &mut Machine,
) -> anyhow::Result<(Vec<R>, f64)> {
    setup::ensure(setup::Group::Agent)?;
    ebpf::ensure_built()?;
    let programs = build::programs()?;
    let native = build::calibrate(&build::find(&programs, "berth-load")?)?;
    let out = place::target().join("bench-guest").join(name);
    if out.exists() {
        fs::remove_dir_all(&out).context("forget the last run")?;
    }
    let mut guest = Guest::new(&["berth-bench", "--out", "/out", name]);
    guest.clock = clock;
    (guest.cpus, guest.nodes, guest.memory_mib) = (2, 2, 1024);
    guest.files = build::guest_files(&programs)?;
    guest.timeout = GUEST_LIMIT;
    guest.out = Some(out.clone());
    let noise = host::Noise::start()?;
    let ended = vm::boot(&guest, &mut vm::pass_through)?;
    ensure!(ended.exit_code == 0, "berth-bench {name} failed with exit {}", ended.exit_code);
    let path = out.join(format!("{name}.json"));
    let text = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let file: File<R> = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no result", path.display()))?;
    let factor = native.agent_like_rounds_per_s / file.agent_like_rounds_per_s.max(1.0);
    machine.insert("guest_kernel".to_owned(), json!(file.kernel));
    machine.insert("guest_cpus".to_owned(), json!(guest.cpus));
    machine.insert("guest_clock".to_owned(), json!(clock.name()));
    machine.insert("emulator_factor".to_owned(), json!(factor));
    machine.insert("host_other_work_ratio".to_owned(), json!(noise.other_work_ratio()?));
    Ok((file.rows, factor))
}
