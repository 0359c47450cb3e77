//! The picture of a benchmark: one bar per row that has a bar, as a share of what is asked.

use super::Machine;
use super::row::{Row, Sense};
use crate::plot::{Anchor, Canvas, FAINT, Frame, GRID, INK};

const WIDTH: f64 = 900.0;
const HEADER: f64 = 64.0;
const LINE: f64 = 44.0;
const LEFT: f64 = 24.0;
const CHART: f64 = 760.0;
const MET: &str = "#1a7f37";
const MISSED: &str = "#c2410c";

pub(super) fn draw(name: &str, rows: &[Row], machine: &Machine) -> String {
    let mut canvas = Canvas::new(WIDTH, HEADER + LINE * rows.len() as f64 + 20.0);
    canvas.title((LEFT, 26.0), 16.0, &format!("bench {name}: measured against asked"));
    let fact = |name: &str| machine.get(name).map(ToString::to_string).unwrap_or_default();
    let facts = format!("{} CPUs, {}, Linux {}", fact("cpus"), fact("model"), fact("kernel"));
    canvas.text((LEFT, 44.0), 11.0, FAINT, Anchor::Start, &facts.replace('"', ""));
    let highest = rows.iter().filter_map(|row| row.bar).map(|bar| bar.ratio / bar.bar);
    let scale = CHART / highest.fold(1.25, f64::max);
    for (idx, row) in rows.iter().enumerate() {
        draw_row(&mut canvas, HEADER + LINE * idx as f64, row, scale);
    }
    canvas.finish()
}

fn draw_row(canvas: &mut Canvas, y: f64, row: &Row, scale: f64) {
    let figures = row.figures.iter().map(|(key, value)| format!("{key} {value:.3}"));
    let text = format!("{}   {}", row.name, figures.collect::<Vec<_>>().join("  "));
    canvas.text((LEFT, y + 11.0), 11.5, INK, Anchor::Start, &text);
    let Some(bar) = row.bar else { return };
    let fill = if bar.is_met() { MET } else { MISSED };
    let width = (bar.ratio / bar.bar * scale).max(1.0);
    canvas.rect(Frame { x: LEFT, y: y + 17.0, width: scale, height: 14.0 }, GRID, 0.5);
    canvas.rect(Frame { x: LEFT, y: y + 17.0, width, height: 14.0 }, fill, 0.75);
    canvas.line((LEFT + scale, y + 14.0), (LEFT + scale, y + 34.0), INK, 1.4);
    let sense = match bar.sense {
        Sense::Max => "at most",
        Sense::Min => "at least",
    };
    canvas.text((LEFT + scale + 5.0, y + 41.0), 9.5, FAINT, Anchor::Start, sense);
}
