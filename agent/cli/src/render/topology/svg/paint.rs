//! The elements of the picture: frames, CPU cells, the legend. Knows colours and fonts, no layout.

use std::fmt::Write;

use proto::v1::Cpu;

use super::super::{Machine, cpu_id};
use super::{CELL_H, CELL_W, GAP};

/// The legend is not cut off on a machine of one core.
pub(super) const LEGEND_W: usize = 420;
const LEGEND_H: usize = 26;

const STYLE: &str = "text{font:11px sans-serif;fill:#1c2430}.title{font-size:12px}\
.cpu{text-anchor:middle}.socket{fill:#f1f4f8;stroke:#5b6878}.node{fill:#e5ebf2;stroke:#8593a5}\
.llc{fill:#fafbfd;stroke:#aab5c3}.core{fill:none;stroke:#33404f;stroke-width:1.5}\
.cell{stroke:#8593a5;stroke-width:.5}.off{fill:#fff;stroke:#8593a5;stroke-dasharray:3 2}\
.none{fill:#fff}.mute{fill:#6b7787}";

pub(super) struct Page<'a> {
    machine: &'a Machine<'a>,
    text: String,
    /// Outlines of cores, above their cells.
    above: String,
}

/// About what a sans-serif of 12 px needs.
pub(super) fn text_width(text: &str) -> usize {
    text.chars().count() * 7
}

impl<'a> Page<'a> {
    pub(super) fn new(machine: &'a Machine<'a>) -> Page<'a> {
        Page { machine, text: String::new(), above: String::new() }
    }

    pub(super) fn frame(
        &mut self,
        x: usize,
        y: usize,
        (w, h): (usize, usize),
        class: &str,
        title: &str,
    ) {
        let target = match class {
            "page" => return,
            "core" => &mut self.above,
            _ => &mut self.text,
        };
        // writing to a String cannot fail
        let _ = writeln!(
            target,
            r#"<rect class="{class}" x="{x}" y="{y}" width="{w}" height="{h}" rx="3"/>"#
        );
        if !title.is_empty() {
            let (x, y) = (x + GAP, y + 14);
            let _ =
                writeln!(target, r#"<text class="title" x="{x}" y="{y}">{}</text>"#, safe(title));
        }
    }

    /// A cell in the colours of its pools, side by side where it is in several.
    pub(super) fn cpu(&mut self, x: usize, y: usize, cpu: &Cpu) {
        let pools = self.machine.pools_of(cpu);
        let is_efficient = cpu_id(cpu).is_some_and(|id| self.machine.efficiency.contains(id));
        let names = match (cpu.online, pools.is_empty()) {
            (false, _) => "offline".to_owned(),
            (true, true) => "no pool".to_owned(),
            (true, false) => pools.join("+"),
        };
        let kind = if is_efficient { ", efficiency core" } else { "" };
        let tip = format!("CPU {}, core {}: {names}{kind}", cpu.cpu, cpu.core);
        let _ = writeln!(self.text, "<g><title>{}</title>", safe(&tip));
        self.fill(x, y, cpu.online, &pools);
        let (mid, base) = (x + CELL_W / 2, y + CELL_H - 6);
        let class = if cpu.online { "cpu" } else { "cpu mute" };
        let mark = if is_efficient { "e" } else { "" };
        let _ = writeln!(
            self.text,
            r#"<text class="{class}" x="{mid}" y="{base}">{}{mark}</text></g>"#,
            cpu.cpu
        );
    }

    fn fill(&mut self, x: usize, y: usize, online: bool, pools: &[&str]) {
        if !online || pools.is_empty() {
            let class = if online { "cell none" } else { "off" };
            let _ = writeln!(
                self.text,
                r#"<rect class="{class}" x="{x}" y="{y}" width="{CELL_W}" height="{CELL_H}"/>"#
            );
            return;
        }
        for (idx, pool) in pools.iter().enumerate() {
            let left = x + CELL_W * idx / pools.len();
            let width = x + CELL_W * (idx + 1) / pools.len() - left;
            let fill = self.machine.colour_of(pool);
            let _ = writeln!(
                self.text,
                r#"<rect class="cell" x="{left}" y="{y}" width="{width}" height="{CELL_H}" fill="{fill}"/>"#
            );
        }
    }

    /// The document, with the legend below what was drawn on `w` times `h`.
    pub(super) fn finish(mut self, w: usize, h: usize) -> String {
        let legend = self.legend(h + GAP, w);
        let height = legend.1 + GAP;
        let Page { text, above, .. } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{height}\" \
             viewBox=\"0 0 {w} {height}\">\n<style>{STYLE}</style>\n\
             <rect width=\"{w}\" height=\"{height}\" fill=\"#ffffff\"/>\n{text}{above}{}</svg>\n",
            legend.0
        )
    }

    /// Its elements and where it ends.
    fn legend(&mut self, top: usize, w: usize) -> (String, usize) {
        let pools = self.machine.pools.iter();
        let mut rows: Vec<(String, String)> = pools
            .map(|(name, cpus)| {
                let style = format!(r#"class="cell" fill="{}""#, self.machine.colour_of(name));
                (style, format!("{name} ({})", cpus.len()))
            })
            .collect();
        rows.push((r#"class="cell none""#.to_owned(), "no pool".to_owned()));
        rows.push((r#"class="off""#.to_owned(), offline(self.machine)));
        let (mut text, mut x, mut y) = (String::new(), GAP * 2, top);
        for (style, name) in rows {
            let width = 18 + GAP * 2 + text_width(&name);
            if x + width > w && x > GAP * 2 {
                (x, y) = (GAP * 2, y + LEGEND_H);
            }
            let _ = writeln!(text, r#"<rect {style} x="{x}" y="{y}" width="14" height="14"/>"#);
            let (tx, ty) = (x + 20, y + 11);
            let _ = writeln!(text, r#"<text x="{tx}" y="{ty}">{}</text>"#, safe(&name));
            x += width;
        }
        (text, y + LEGEND_H)
    }
}

fn offline(machine: &Machine<'_>) -> String {
    match machine.lost.is_empty() {
        true => "offline".to_owned(),
        false => format!("offline; place unknown: {}", machine.lost),
    }
}

/// Text of a pool's or any other name, as character data.
fn safe(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    // Blanks in a row are one in a picture.
    let text: String = text.replace("   ", " \u{b7} ").chars().map(shown).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
