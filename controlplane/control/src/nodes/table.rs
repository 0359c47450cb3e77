//! Nodes as a person reads them: a row each, numbers to the right, a dash where nothing is known. Pure.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use super::row::{Amount, Report, Row};

const HEADER: [&str; 9] =
    ["NODE", "AGE", "MODE", "SIGNAL", "CPU", "USED", "HEADROOM", "PODS", "FINDINGS"];
const WIDE: [&str; 4] = ["HELD", "MEMORY", "POOLS", "WORST"];
const NUMBERS: [&str; 7] = ["AGE", "CPU", "USED", "HEADROOM", "PODS", "HELD", "MEMORY"];
/// Of a finding's words; the JSON has them all.
const MOST_LETTERS: usize = 80;

pub(super) fn text(rows: &[Row], is_wide: bool, now_unix_ms: u64) -> String {
    if rows.is_empty() {
        return "No node reports into this store: no key below /berth/nodes/.\n".to_owned();
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let header: Vec<&str> = HEADER.iter().chain(wide(is_wide)).copied().collect();
    table.set_header(header.iter().map(Cell::new));
    for (idx, name) in header.iter().enumerate() {
        if let Some(column) = table.column_mut(idx) {
            column.set_padding((0, 2));
            if NUMBERS.contains(name) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    for row in rows {
        table.add_row(cells(row, is_wide, now_unix_ms));
    }
    let lines = table.to_string();
    lines.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// One row alone, for who follows.
pub(super) fn line(row: &Row, is_wide: bool, now_unix_ms: u64) -> String {
    let header = HEADER.iter().chain(wide(is_wide));
    let cells = cells(row, is_wide, now_unix_ms);
    let named = header.zip(&cells).skip(1);
    let named: Vec<String> =
        named.map(|(name, cell)| format!("{}={cell}", name.to_lowercase())).collect();
    format!("{}  {}\n", row.name, named.join(" "))
}

fn wide(is_wide: bool) -> &'static [&'static str] {
    if is_wide { &WIDE } else { &[] }
}

fn cells(row: &Row, is_wide: bool, now_unix_ms: u64) -> Vec<String> {
    let report = match &row.report {
        Ok(report) => report,
        Err(why) => {
            let mut cells = vec![clean(&row.name)];
            cells.resize(HEADER.len() - 1, "-".to_owned());
            cells.push(format!("not a report: {}", cut(why)));
            return cells;
        }
    };
    let capacity = report.capacity.as_ref();
    let mut cells = vec![
        clean(&row.name),
        age(report.reported_unix_ms, now_unix_ms),
        known(report.mode.as_deref()),
        signal(report),
        cpus(capacity.and_then(|amount| amount.milli_cpu)),
        cpus(report.usage_milli_cpu),
        cpus(report.headroom.as_ref().and_then(|amount| amount.milli_cpu)),
        report.n_pods.map_or_else(|| "-".to_owned(), |n| n.to_string()),
        findings(report),
    ];
    if is_wide {
        cells.extend([
            report.n_suppressed.to_string(),
            memory(capacity),
            pools(report),
            report.worst().map_or_else(|| "-".to_owned(), |worst| cut(&worst.message)),
        ]);
    }
    cells
}

fn known(word: Option<&str>) -> String {
    word.map_or_else(|| "-".to_owned(), clean)
}

/// A state that is not the newest says so, because everything else in the row is old then.
fn signal(report: &Report) -> String {
    match &report.behind {
        Some(why) => format!("behind ({})", clean(why)),
        None => known(report.signal.as_deref()),
    }
}

fn age(then_unix_ms: Option<u64>, now_unix_ms: u64) -> String {
    let Some(then) = then_unix_ms else { return "-".to_owned() };
    match now_unix_ms.saturating_sub(then) / 1000 {
        seconds @ ..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds => format!("{}h", seconds / 3600),
    }
}

fn cpus(milli: Option<u64>) -> String {
    milli.map_or_else(|| "-".to_owned(), |milli| format!("{:.1}", milli as f64 / 1000.0))
}

fn memory(amount: Option<&Amount>) -> String {
    let bytes = amount.and_then(|amount| amount.memory_bytes);
    let gib = |bytes: u64| format!("{:.1}Gi", bytes as f64 / f64::from(1 << 30));
    bytes.map_or_else(|| "-".to_owned(), gib)
}

fn pools(report: &Report) -> String {
    if report.pools.is_empty() {
        return "-".to_owned();
    }
    let pools = report.pools.iter().map(|pool| format!("{}={}", pool.name, pool.cpus));
    cut(&pools.collect::<Vec<_>>().join(" "))
}

/// How many, and the rule of the worst.
fn findings(report: &Report) -> String {
    match (report.n_findings, report.worst()) {
        (0, _) => "-".to_owned(),
        (n, None) => n.to_string(),
        (n, Some(worst)) => format!("{n} ({} {})", clean(&worst.severity), clean(&worst.rule)),
    }
}

fn cut(text: &str) -> String {
    let text = clean(text);
    match text.char_indices().nth(MOST_LETTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A node chooses its words, and a terminal obeys some.
fn clean(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

#[cfg(test)]
mod tests;
