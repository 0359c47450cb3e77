//! The demo's picture: one panel per phase, all on the same scales, so that heights compare. Each
//! panel shows, over time, the service's p99, the CPUs batch was allowed, and the batch rate.

use super::result::{DemoResult, Phase, Series};
use crate::plot::{Anchor, Canvas, FAINT, Frame, GRID, INK, Scale};

const WIDTH: f64 = 1200.0;
const N_COLUMNS: usize = 3;
const HEADER: f64 = 86.0;
const PANEL_HEIGHT: f64 = 306.0;
const LATENCY: Row = Row { top: 44.0, height: 120.0 };
const CPUS: Row = Row { top: 182.0, height: 36.0 };
const RATE: Row = Row { top: 236.0, height: 36.0 };
const MARGIN_LEFT: f64 = 52.0;
const MARGIN_RIGHT: f64 = 14.0;

const LATENCY_INK: &str = "#c2410c";
const CPUS_INK: &str = "#0550ae";
const RATE_INK: &str = "#1a7f37";
const MARK_INK: &str = "#8250df";
const BURST_FILL: &str = "#eaeef2";

/// Latencies from a millisecond to ten seconds.
const LATENCY_SCALE: Scale = Scale::Log { min: 1.0, max: 10_000.0 };

/// A band of a panel.
#[derive(Clone, Copy)]
struct Row {
    top: f64,
    height: f64,
}

pub(super) fn draw(result: &DemoResult) -> String {
    let n_rows = result.phases.len().div_ceil(N_COLUMNS).max(1);
    let mut canvas = Canvas::new(WIDTH, HEADER + PANEL_HEIGHT * n_rows as f64);
    header(&mut canvas, result);
    let alone_ms = result.phase("alone").map(|phase| phase.burst.p99_us as f64 / 1000.0);
    let scales = Scales {
        target_ms: alone_ms.map(|ms| ms * 1.5),
        cpus: Scale::Linear { max: number(result, "cpus").unwrap_or(2.0) },
        rate: Scale::Linear { max: highest_rate(result) },
    };
    for (idx, phase) in result.phases.iter().enumerate() {
        let column_width = WIDTH / N_COLUMNS as f64;
        let x = column_width * (idx % N_COLUMNS) as f64;
        let y = HEADER + PANEL_HEIGHT * (idx / N_COLUMNS) as f64;
        let frame = Frame {
            x: x + MARGIN_LEFT,
            y,
            width: column_width - MARGIN_LEFT - MARGIN_RIGHT,
            height: PANEL_HEIGHT,
        };
        panel(&mut canvas, frame, phase, &scales);
    }
    canvas.finish()
}

/// What all panels share.
struct Scales {
    target_ms: Option<f64>,
    cpus: Scale,
    rate: Scale,
}

fn header(canvas: &mut Canvas, result: &DemoResult) {
    let fact = |name: &str| result.machine.get(name).map_or("?", String::as_str);
    canvas.title(
        (20.0, 30.0),
        18.0,
        "A latency-critical service beside 8 batch pods, by who manages the node",
    );
    let setting = format!(
        "{} CPUs, {} NUMA nodes, Linux {}, clock: {}; requests of {} ms CPU, open loop, {}/s in bursts; \
         16 hogs; {} s per phase, same seed",
        fact("cpus"),
        fact("numa_nodes"),
        fact("kernel"),
        fact("clock"),
        fact("request_ms"),
        fact("burst_rate_hz"),
        fact("phase_seconds"),
    );
    canvas.text((20.0, 50.0), 11.5, FAINT, Anchor::Start, &setting);
    let mut x = 20.0;
    let mut legend = |canvas: &mut Canvas, width: f64, ink: &str, text: &str| {
        canvas.rect(Frame { x, y: 63.0, width: 14.0, height: 9.0 }, ink, 1.0);
        canvas.text((x + 19.0, 72.0), 11.5, INK, Anchor::Start, text);
        x += width;
    };
    legend(canvas, 175.0, LATENCY_INK, "service p99 per 100 ms");
    legend(canvas, 160.0, CPUS_INK, "CPUs batch may use");
    legend(canvas, 180.0, RATE_INK, "batch rate, operations/s");
    legend(canvas, 240.0, MARK_INK, "suppression (strip: cpu.idle set)");
    legend(canvas, 110.0, BURST_FILL, "burst period");
    canvas.dashes((x, 67.5), (x + 22.0, 67.5), FAINT);
    canvas.text((x + 27.0, 72.0), 11.5, INK, Anchor::Start, "1.5 x p99 of the service alone");
}

fn panel(canvas: &mut Canvas, frame: Frame, phase: &Phase, scales: &Scales) {
    let band = |row: Row| Frame { y: frame.y + row.top, height: row.height, ..frame };
    canvas.title((frame.x, frame.y + 20.0), 14.0, &phase.phase);
    let summary = format!(
        "p99 in bursts {} \u{b7} batch {} operations",
        milliseconds(phase.burst.p99_us as f64 / 1000.0),
        phase.batch_ops
    );
    canvas.text((frame.x, frame.y + 36.0), 11.0, FAINT, Anchor::Start, &summary);
    let series = &phase.series;
    for row in [LATENCY, CPUS, RATE] {
        bursts(canvas, band(row), series);
    }
    latency(canvas, band(LATENCY), series, scales.target_ms);
    marks(canvas, band(LATENCY), series);
    cpus(canvas, band(CPUS), series, scales.cpus, phase.batch_ops > 0);
    rate(canvas, band(RATE), series, scales.rate);
    time_axis(canvas, band(RATE), series);
}

fn bursts(canvas: &mut Canvas, frame: Frame, series: &Series) {
    for start in &series.burst_starts_ms {
        let left = across(series, *start as f64);
        let right = across(series, (start + series.burst_ms) as f64);
        let x = frame.x + left * frame.width;
        canvas.rect(Frame { x, width: (right - left) * frame.width, ..frame }, BURST_FILL, 1.0);
    }
}

fn latency(canvas: &mut Canvas, frame: Frame, series: &Series, target_ms: Option<f64>) {
    for (ms, label) in
        [(1.0, "1 ms"), (10.0, "10 ms"), (100.0, "100 ms"), (1e3, "1 s"), (1e4, "10 s")]
    {
        let (x, y) = frame.point(0.0, ms, LATENCY_SCALE);
        canvas.line((x, y), (x + frame.width, y), GRID, 0.8);
        canvas.text((x - 5.0, y + 3.5), 9.5, FAINT, Anchor::End, label);
    }
    if let Some(target) = target_ms {
        let (x, y) = frame.point(0.0, target, LATENCY_SCALE);
        canvas.dashes((x, y), (x + frame.width, y), FAINT);
    }
    let bins = series.service_p99_us.iter().enumerate().filter(|(_, us)| **us > 0);
    let points: Vec<_> = bins
        .map(|(idx, us)| {
            let middle = (idx as f64 + 0.5) * series.bin_ms as f64;
            frame.point(across(series, middle), *us as f64 / 1000.0, LATENCY_SCALE)
        })
        .collect();
    canvas.path(&points, LATENCY_INK, 1.4);
}

fn marks(canvas: &mut Canvas, frame: Frame, series: &Series) {
    for suppression in &series.suppressions {
        let x = frame.x + across(series, suppression.at_ms) * frame.width;
        canvas.line((x, frame.bottom() + 2.0), (x, frame.bottom() + 9.0), MARK_INK, 1.6);
    }
}

fn cpus(canvas: &mut Canvas, frame: Frame, series: &Series, scale: Scale, has_batch: bool) {
    axis(canvas, frame, scale, "CPUs", |max| format!("{max:.0}"));
    if !has_batch {
        return;
    }
    let mut points = Vec::new();
    for limit in &series.limits {
        let at = across(series, limit.at_ms as f64);
        if let Some((_, previous)) = points.last().copied() {
            points.push((frame.x + at * frame.width, previous));
        }
        points.push(frame.point(at, limit.batch_cpus, scale));
        if limit.idle {
            let x = frame.x + at * frame.width;
            let width = frame.width * across(series, series.bin_ms as f64);
            canvas.rect(Frame { x, y: frame.bottom() - 3.0, width, height: 3.0 }, MARK_INK, 0.8);
        }
    }
    canvas.area(&points, frame.bottom(), CPUS_INK, 0.18);
    canvas.path(&points, CPUS_INK, 1.2);
}

fn rate(canvas: &mut Canvas, frame: Frame, series: &Series, scale: Scale) {
    axis(canvas, frame, scale, "op/s", |max| format!("{:.0}k", max / 1000.0));
    let per_second = 1000.0 / series.bin_ms.max(1) as f64;
    let points: Vec<_> = smooth(&series.batch_ops)
        .iter()
        .enumerate()
        .map(|(idx, ops)| {
            let middle = (idx as f64 + 0.5) * series.bin_ms as f64;
            frame.point(across(series, middle), ops * per_second, scale)
        })
        .collect();
    canvas.area(&points, frame.bottom(), RATE_INK, 0.18);
    canvas.path(&points, RATE_INK, 1.2);
}

fn axis(
    canvas: &mut Canvas,
    frame: Frame,
    scale: Scale,
    unit: &str,
    label: impl Fn(f64) -> String,
) {
    let Scale::Linear { max } = scale else { return };
    canvas.line((frame.x, frame.bottom()), (frame.x + frame.width, frame.bottom()), GRID, 0.8);
    canvas.line((frame.x, frame.y), (frame.x + frame.width, frame.y), GRID, 0.8);
    canvas.text((frame.x - 5.0, frame.y + 7.0), 9.5, FAINT, Anchor::End, &label(max));
    canvas.text((frame.x - 5.0, frame.y + 21.0), 9.5, FAINT, Anchor::End, unit);
    canvas.text((frame.x - 5.0, frame.bottom() + 1.0), 9.5, FAINT, Anchor::End, "0");
}

fn time_axis(canvas: &mut Canvas, frame: Frame, series: &Series) {
    let seconds = (span_ms(series) / 1000.0) as u64;
    let step = if seconds > 12 { 3 } else { 2 };
    for second in (0..=seconds).step_by(step) {
        let x = frame.x + across(series, second as f64 * 1000.0) * frame.width;
        let label = if second == 0 { "0 s".to_owned() } else { second.to_string() };
        canvas.text((x, frame.bottom() + 13.0), 9.5, FAINT, Anchor::Middle, &label);
    }
}

/// The rate over 300 ms: hogs run in time slices, bins of 100 ms would show those.
fn smooth(values: &[u64]) -> Vec<f64> {
    let mean = |idx: usize| {
        let from = idx.saturating_sub(1);
        let window = &values[from..(idx + 2).min(values.len())];
        window.iter().sum::<u64>() as f64 / window.len() as f64
    };
    (0..values.len()).map(mean).collect()
}

fn highest_rate(result: &DemoResult) -> f64 {
    let rates = result.phases.iter().flat_map(|phase| {
        let per_second = 1000.0 / phase.series.bin_ms.max(1) as f64;
        smooth(&phase.series.batch_ops).into_iter().map(move |ops| ops * per_second)
    });
    (rates.fold(0.0, f64::max) / 1000.0).ceil().max(1.0) * 1000.0
}

fn across(series: &Series, at_ms: f64) -> f64 {
    (at_ms / span_ms(series)).clamp(0.0, 1.0)
}

fn span_ms(series: &Series) -> f64 {
    (series.bin_ms * series.service_p99_us.len() as u64).max(1) as f64
}

fn number(result: &DemoResult, name: &str) -> Option<f64> {
    result.machine.get(name)?.parse().ok()
}

fn milliseconds(ms: f64) -> String {
    if ms < 100.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}
