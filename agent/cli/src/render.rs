//! The agent's answers as text. Pure: messages in, `String` out.

pub(crate) mod decisions;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod headroom;
pub(crate) mod health;
pub(crate) mod policy;
pub(crate) mod pools;
pub(crate) mod qos;
pub(crate) mod snapshot;
pub(crate) mod topology;
pub(crate) mod why_slow;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

/// How much to print and whether the reader sees colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) detail: Detail,
    pub(crate) paint: Paint,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    Table,
    Wide,
}

/// Colours for a terminal, or plain text for everything else and NO_COLOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    Ansi,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hue {
    Red,
    Yellow,
    Green,
    Dim,
}

impl Paint {
    pub(crate) fn with(self, hue: Hue, text: &str) -> String {
        let code = match hue {
            Hue::Red => 31,
            Hue::Yellow => 33,
            Hue::Green => 32,
            Hue::Dim => 2,
        };
        match self {
            Paint::Plain => text.to_owned(),
            Paint::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// Columns with two spaces between and no lines; `right` names those that hold numbers.
fn columns(header: &[&str], right: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(Cell::new));
    for (idx, name) in header.iter().enumerate() {
        if let Some(column) = table.column_mut(idx) {
            column.set_padding((0, 2));
            if right.contains(name) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    for row in rows {
        table.add_row(row);
    }
    let mut text = String::new();
    for line in table.to_string().lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
