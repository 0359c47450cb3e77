//! A small SVG writer: a canvas with lines, areas, texts and axes in plain numbers. Knows nothing
//! of what is plotted.

use std::fmt::Write as _;

/// Text and strokes of a light page; the canvas paints its own background, so that a dark page
/// shows the same picture.
pub(crate) const INK: &str = "#24292f";
pub(crate) const FAINT: &str = "#6e7781";
pub(crate) const GRID: &str = "#d8dee4";

/// A picture under construction.
#[derive(Debug)]
pub(crate) struct Canvas {
    width: f64,
    height: f64,
    body: String,
}

/// A rectangle in which values are drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// How values become a height.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scale {
    Linear {
        max: f64,
    },
    /// Base ten; values outside are drawn at the edge.
    Log {
        min: f64,
        max: f64,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Scale {
    /// 0 at the bottom, 1 at the top.
    pub(crate) fn at(self, value: f64) -> f64 {
        let share = match self {
            Scale::Linear { max } => value / max.max(f64::MIN_POSITIVE),
            Scale::Log { min, max } => (value.max(min) / min).log10() / (max / min).log10(),
        };
        share.clamp(0.0, 1.0)
    }
}

impl Frame {
    /// The point of a value at a share (0..=1) of the frame's width.
    pub(crate) fn point(self, across: f64, value: f64, scale: Scale) -> (f64, f64) {
        (self.x + across * self.width, self.y + self.height * (1.0 - scale.at(value)))
    }

    pub(crate) fn bottom(self) -> f64 {
        self.y + self.height
    }
}

impl Canvas {
    pub(crate) fn new(width: f64, height: f64) -> Canvas {
        let mut canvas = Canvas { width, height, body: String::new() };
        let page = Frame { x: 0.0, y: 0.0, width, height };
        canvas.rect(page, "#ffffff", 1.0);
        canvas
    }

    pub(crate) fn rect(&mut self, frame: Frame, fill: &str, opacity: f64) {
        let Frame { x, y, width, height } = frame;
        self.push(&format!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{fill}" fill-opacity="{opacity}"/>"#
        ));
    }

    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: &str, width: f64) {
        self.push(&format!(
            r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="{stroke}" stroke-width="{width}"/>"#,
            from.0, from.1, to.0, to.1
        ));
    }

    pub(crate) fn dashes(&mut self, from: (f64, f64), to: (f64, f64), stroke: &str) {
        self.push(&format!(
            r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="{stroke}" stroke-dasharray="4 3"/>"#,
            from.0, from.1, to.0, to.1
        ));
    }

    pub(crate) fn path(&mut self, points: &[(f64, f64)], stroke: &str, width: f64) {
        if points.len() > 1 {
            let d = path_data(points);
            self.push(&format!(
                r#"<path d="{d}" fill="none" stroke="{stroke}" stroke-width="{width}" stroke-linejoin="round"/>"#
            ));
        }
    }

    /// Fills between the points and `base`.
    pub(crate) fn area(&mut self, points: &[(f64, f64)], base: f64, fill: &str, opacity: f64) {
        if let (Some(first), Some(last)) = (points.first(), points.last()) {
            let d = path_data(points);
            let (right, left) = (last.0, first.0);
            self.push(&format!(
                r#"<path d="{d}L{right:.1} {base:.1}L{left:.1} {base:.1}Z" fill="{fill}" fill-opacity="{opacity}"/>"#
            ));
        }
    }

    pub(crate) fn text(
        &mut self,
        at: (f64, f64),
        size: f64,
        fill: &str,
        anchor: Anchor,
        text: &str,
    ) {
        self.styled(at, size, fill, anchor, "normal", text);
    }

    pub(crate) fn title(&mut self, at: (f64, f64), size: f64, text: &str) {
        self.styled(at, size, INK, Anchor::Start, "bold", text);
    }

    pub(crate) fn finish(self) -> String {
        let Canvas { width, height, body } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"DejaVu Sans, Verdana, sans-serif\">\n{body}</svg>\n"
        )
    }

    fn styled(
        &mut self,
        at: (f64, f64),
        size: f64,
        fill: &str,
        anchor: Anchor,
        weight: &str,
        text: &str,
    ) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.push(&format!(
            r#"<text x="{:.1}" y="{:.1}" font-size="{size}" font-weight="{weight}" fill="{fill}" text-anchor="{anchor}">{}</text>"#,
            at.0,
            at.1,
            escape(text)
        ));
    }

    fn push(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }
}

fn path_data(points: &[(f64, f64)]) -> String {
    let mut data = String::new();
    for (idx, (x, y)) in points.iter().enumerate() {
        let letter = if idx == 0 { 'M' } else { 'L' };
        // Writing to a String cannot fail.
        let _ok = write!(data, "{letter}{x:.1} {y:.1}");
    }
    data
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_clamp_and_meet_their_ends() {
        let log = Scale::Log { min: 1.0, max: 10_000.0 };
        assert_eq!(
            [0.0, 1.0, 100.0, 10_000.0, 1e9].map(|it| log.at(it)),
            [0.0, 0.0, 0.5, 1.0, 1.0]
        );
        let linear = Scale::Linear { max: 4.0 };
        assert_eq!([0.0, 1.0, 5.0].map(|it| linear.at(it)), [0.0, 0.25, 1.0]);
    }

    #[test]
    fn text_cannot_break_the_document() {
        let mut canvas = Canvas::new(10.0, 10.0);
        canvas.text((0.0, 0.0), 10.0, INK, Anchor::Start, "p99 < 5 & more");
        assert!(canvas.finish().contains("p99 &lt; 5 &amp; more</text>"));
    }
}
