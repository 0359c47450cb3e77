//! The picture of a benchmark: what was measured in words and, per row that has a bar, a beam as a
//! share of what is asked.

use super::Machine;
use super::figure::shown;
use super::row::{Bar, Row, Sense};
use crate::plot::{Anchor, Canvas, FAINT, Frame, GRID, INK};

const WIDTH: f64 = 900.0;
const HEADER: f64 = 66.0;
const LEFT: f64 = 24.0;
/// Leaves room for the words behind the longest beam.
const CHART: f64 = 640.0;
/// Name and figures.
const TEXT: f64 = 36.0;
const BEAM: f64 = 28.0;
const MET: &str = "#1a7f37";
const MISSED: &str = "#c2410c";
/// A beam ends here, so that a bar missed by far leaves the others readable.
const LONGEST: f64 = 2.5;

pub(super) fn draw(name: &str, rows: &[Row], machine: &Machine) -> String {
    let height = |row: &Row| if row.bar.is_some() { TEXT + BEAM } else { TEXT };
    let mut canvas = Canvas::new(WIDTH, HEADER + rows.iter().map(height).sum::<f64>() + 8.0);
    canvas.title((LEFT, 26.0), 16.0, &format!("bench {name}: measured against asked"));
    canvas.text((LEFT, 45.0), 11.0, FAINT, Anchor::Start, &facts(machine));
    let shares = rows.iter().filter_map(|row| row.bar).map(share);
    let scale = CHART / shares.fold(1.25, f64::max);
    let mut y = HEADER;
    for row in rows {
        draw_text(&mut canvas, y, row);
        if let Some(bar) = row.bar {
            draw_beam(&mut canvas, y + TEXT, bar, scale);
        }
        y += height(row);
    }
    canvas.finish()
}

fn facts(machine: &Machine) -> String {
    let fact = |name: &str| machine.get(name).map(ToString::to_string);
    let known = |name| fact(name).unwrap_or_default();
    let host = format!("{} CPUs, {}, Linux {}", known("cpus"), known("model"), known("kernel"));
    let guest = fact("guest_kernel").map(|kernel| {
        let factor = machine.get("emulator_factor").and_then(serde_json::Value::as_f64);
        let factor = factor.map(|factor| format!(", {factor:.1} times slower")).unwrap_or_default();
        format!(". Guest: {} CPUs, Linux {kernel}, emulated{factor}", known("guest_cpus"))
    });
    (host + &guest.unwrap_or_default()).replace('"', "")
}

fn draw_text(canvas: &mut Canvas, y: f64, row: &Row) {
    canvas.text((LEFT, y + 12.0), 12.0, INK, Anchor::Start, &row.name);
    let figures: Vec<String> = row.figures.iter().map(|(key, value)| shown(key, *value)).collect();
    canvas.text((LEFT, y + 28.0), 11.0, FAINT, Anchor::Start, &figures.join("  ·  "));
}

fn draw_beam(canvas: &mut Canvas, y: f64, bar: Bar, scale: f64) {
    let fill = if bar.is_met() { MET } else { MISSED };
    let width = (share(bar) * scale).max(1.0);
    canvas.rect(Frame { x: LEFT, y, width: scale, height: 12.0 }, GRID, 0.5);
    canvas.rect(Frame { x: LEFT, y, width, height: 12.0 }, fill, 0.75);
    canvas.line((LEFT + scale, y - 3.0), (LEFT + scale, y + 15.0), INK, 1.4);
    let sense = match bar.sense {
        Sense::Max => "allowed",
        Sense::Min => "needed",
    };
    let words = format!("{} of what is {sense}", shown("_ratio", bar.ratio / bar.bar));
    let behind = LEFT + width.max(scale) + 8.0;
    canvas.text((behind, y + 10.0), 10.5, fill, Anchor::Start, &words);
}

fn share(bar: Bar) -> f64 {
    (bar.ratio / bar.bar).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_missed_by_far_stays_inside_the_picture() {
        let rows = [
            Row::new("far", &[("p99_ms", 9000.0)], Some(Bar::within(9000.0, 100.0))),
            Row::new("near", &[("p99_ms", 50.0)], Some(Bar::within(50.0, 100.0))),
            Row::new("free", &[("events", 3.0)], None),
        ];
        let svg = draw("x", &rows, &Machine::new());
        assert!(svg.contains("9000 % of what is allowed"), "{svg}");
        let beams = svg.lines().filter_map(|line| line.split_once("width=\"")?.1.split_once('"'));
        let widest = beams.filter_map(|(width, _)| width.parse::<f64>().ok()).fold(0.0, f64::max);
        assert!(widest <= WIDTH, "{widest}");
    }
}
