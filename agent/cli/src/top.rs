//! `berth top`. `view` is the state of the screen, `frame` draws it (pure, both), `keys` changes it
//! and `terminal` owns the real terminal.

pub(crate) mod cpu_map;
mod feed;
mod frame;
mod keys;
mod rows;
mod terminal;
mod view;

use proto::v1::Snapshot;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use crate::args::TopArgs;
use crate::run::no_color;

pub(crate) use rows::SortKey;
pub(crate) use terminal::live;
use view::{Colors, View};

/// Wide enough for every column of the workload table.
const ONCE_COLUMNS: u16 = 120;
/// Of a sentence that somebody will still read.
const MAX_ONCE_COLUMNS: u16 = 600;
/// Lines above and below the workload table.
const ONCE_SPARE_LINES: usize = 12;

/// One frame as text, tall enough for every workload and wide enough for every finding.
pub(crate) fn once(snapshot: &Snapshot, args: &TopArgs) -> String {
    let mut view = View::new(args.sort, args.filter.clone(), colors());
    view.show(snapshot.clone());
    let longest = snapshot.findings.iter().map(|one| frame::finding_text(one).chars().count());
    let longest = longest.max().and_then(|longest| u16::try_from(longest).ok());
    let columns = longest.unwrap_or(0).clamp(ONCE_COLUMNS, MAX_ONCE_COLUMNS);
    let map = cpu_map::map(snapshot, frame::map_cells(columns)).rows.len();
    let n_lines = ONCE_SPARE_LINES + map + snapshot.findings.len() + snapshot.workloads.len();
    let height = u16::try_from(n_lines).unwrap_or(u16::MAX / columns);
    let mut text = drawn(&view, columns, height);
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn colors() -> Colors {
    match no_color() {
        true => Colors::Off,
        false => Colors::On,
    }
}

/// The frame's characters, line by line.
fn drawn(view: &View, columns: u16, lines: u16) -> String {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(columns, lines));
    let Ok(_) = terminal.draw(|frame| frame::draw(frame, view));
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for line in buffer.content().chunks(usize::from(columns)) {
        let line: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests;
