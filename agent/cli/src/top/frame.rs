//! Draws a `View`. Pure: the same view gives the same frame on any backend.

use proto::v1::{Finding, Severity, SignalState, Snapshot};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Table};

use super::cpu_map::{self, CpuMap, Owner};
use super::rows;
use super::view::{Colors, Focus, View};
use crate::run::mode_name;
use crate::units::{age, bytes, cpus, duration, or_missing, percent};

/// `node12 ` before each row of the map.
const MAP_LABEL_CELLS: u16 = 8;
/// The map may take at most a third of the screen.
const MAP_SHARE: u16 = 3;
/// More findings than this hide the table; `doctor` has them all.
const MAX_FINDINGS: usize = 3;
/// A healthy agent publishes at least every second.
const STALE_AFTER_NS: u64 = 3_000_000_000;

const HELP: &str = "\
c usage   p wait p99   t throttled   s pressure   m memory   n name   l QoS level
r         reverse the order
/         filter by name, QoS or pool (Enter keeps it, Esc drops it)
j k       down, up (also arrows, PgDn, PgUp, Home)
?         this help
q         leave (also Esc, Ctrl-C)

WAIT      time from runnable to running, over the last second
THROTTLED share of periods in which its own cpu.max stopped it
PSI       share of the last 10 s in which some thread waited for a CPU
late      its p99 is over its target
suppressed  held down, so that a service gets its CPU back";

pub(super) fn map_cells(columns: u16) -> usize {
    usize::from(columns.saturating_sub(MAP_LABEL_CELLS))
}

pub(super) fn draw(frame: &mut Frame<'_>, view: &View) {
    let area = frame.area();
    let Some(snapshot) = &view.snapshot else {
        let waiting = view.lost.as_deref().unwrap_or("waiting for the agent");
        frame.render_widget(Paragraph::new(waiting), area);
        return;
    };
    let map = cpu_map::map(snapshot, map_cells(area.width));
    let head = head(snapshot, view);
    let findings = findings(snapshot, view);
    let head_lines = head.len() as u16;
    let map_lines = (map.rows.len() as u16).min((area.height / MAP_SHARE).max(1)) + 1;
    let finding_lines = findings.len() as u16;
    let [head_area, map_area, findings_area, table_area, foot_area] = Layout::vertical([
        Constraint::Length(head_lines),
        Constraint::Length(map_lines),
        Constraint::Length(finding_lines),
        Constraint::Min(2),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(head), head_area);
    frame.render_widget(Paragraph::new(map_text(&map, map_lines, view)), map_area);
    frame.render_widget(Paragraph::new(findings), findings_area);
    draw_table(frame, table_area, snapshot, view);
    frame.render_widget(Paragraph::new(foot(view)), foot_area);
    if view.focus == Focus::Help {
        draw_help(frame, area);
    }
}

fn painted(view: &View, color: Color) -> Style {
    match view.colors {
        Colors::On => Style::new().fg(color),
        Colors::Off => Style::new(),
    }
}

fn head(snapshot: &Snapshot, view: &View) -> Vec<Line<'static>> {
    vec![host_line(snapshot), suppression_line(snapshot, view), agent_line(snapshot, view)]
}

fn host_line(snapshot: &Snapshot) -> Line<'static> {
    let host = snapshot.host.unwrap_or_default();
    let share = |ratio: Option<f64>| or_missing(ratio, |ratio| percent(ratio * 100.0));
    let psi = host.cpu_pressure.and_then(|pressure| pressure.some).map(|line| line.avg10_pct);
    let used = host
        .memory_total_bytes
        .zip(host.memory_available_bytes)
        .map(|(total, available)| total.saturating_sub(available));
    Line::from(format!(
        "berth {}   host: busy {}  steal {}  psi {}  mem {} of {}",
        mode_name(snapshot.mode()),
        share(host.busy_ratio),
        share(host.steal_ratio),
        or_missing(psi, percent),
        or_missing(used, bytes),
        or_missing(host.memory_total_bytes, bytes),
    ))
}

fn suppression_line(snapshot: &Snapshot, view: &View) -> Line<'static> {
    let now = match &snapshot.suppression {
        None => Span::raw("suppression: off"),
        Some(on) => {
            let since = age(snapshot.now_mono_ns.saturating_sub(on.began_mono_ns));
            let text = format!(
                "suppression: ON {since} for {}, batch keeps {} CPUs",
                on.victim,
                cpus(on.floor_milli_cpu)
            );
            Span::styled(text, painted(view, Color::Yellow).add_modifier(Modifier::BOLD))
        }
    };
    let stats = snapshot.suppression_stats.unwrap_or_default();
    let past = match stats.n_events {
        0 => "   none since the agent started".to_owned(),
        n_events => format!(
            "   {n_events} so far, p50 {} p99 {} max {}",
            or_missing(stats.latency_p50_ns, duration),
            or_missing(stats.latency_p99_ns, duration),
            or_missing(stats.latency_max_ns, duration),
        ),
    };
    Line::from(vec![now, Span::raw(past)])
}

fn agent_line(snapshot: &Snapshot, view: &View) -> Line<'static> {
    let agent = snapshot.agent.clone().unwrap_or_default();
    let signal = snapshot.signal.clone().unwrap_or_default();
    let (word, color) = match signal.state() {
        SignalState::Good => ("good", Color::Green),
        SignalState::Degraded => ("DEGRADED", Color::Yellow),
        SignalState::PressureOnly => ("PSI ONLY", Color::Yellow),
        SignalState::None | SignalState::Unspecified => ("NONE", Color::Red),
    };
    let why = if signal.why.is_empty() { String::new() } else { format!(" ({})", signal.why) };
    let old_ns = snapshot
        .now_mono_ns
        .saturating_sub(snapshot.at_mono_ns)
        .saturating_add(u64::try_from(view.since.as_nanos()).unwrap_or(u64::MAX));
    let stale = old_ns > STALE_AFTER_NS;
    let old_style = if stale { painted(view, Color::Red) } else { Style::new() };
    Line::from(vec![
        Span::raw("signal: "),
        Span::styled(format!("{word}{why}"), painted(view, color)),
        Span::raw(format!(
            "   agent: {}, {} of a CPU, up {}, {}   ",
            or_missing(agent.rss_bytes, bytes),
            or_missing(agent.cpu_ratio, |ratio| percent(ratio * 100.0)),
            age(snapshot.now_mono_ns.saturating_sub(agent.started_mono_ns)),
            if agent.probe_loaded { "probe loaded" } else { "NO PROBE" },
        )),
        Span::styled(format!("data {} old", age(old_ns)), old_style),
    ])
}

fn map_text(map: &CpuMap, n_lines: u16, view: &View) -> Vec<Line<'static>> {
    let room = usize::from(n_lines.saturating_sub(1));
    let mut lines: Vec<Line<'static>> = Vec::new();
    for row in map.rows.iter().take(room) {
        let label_cells = usize::from(MAP_LABEL_CELLS) - 2;
        let mut spans = vec![Span::raw(format!("{:>label_cells$}  ", row.label))];
        for run in row.cells.chunk_by(|a, b| a.owner == b.owner) {
            let text: String = run.iter().map(|cell| cell.symbol).collect();
            spans.push(Span::styled(text, painted(view, owner_color(run[0].owner))));
        }
        lines.push(Line::from(spans));
    }
    let hidden = map.rows.len().saturating_sub(room).div_ceil(2);
    let legend = match hidden {
        0 => map.legend(),
        n_rows => format!("{} more rows of CPUs do not fit; {}", n_rows, map.legend()),
    };
    lines.push(Line::from(format!("{:1$}{legend}", "", usize::from(MAP_LABEL_CELLS))));
    lines
}

fn owner_color(owner: Owner) -> Color {
    match owner {
        Owner::Share => Color::Green,
        Owner::Both => Color::Cyan,
        Owner::Reclaim => Color::Blue,
        Owner::Reserve => Color::Magenta,
        Owner::Other => Color::Yellow,
        Owner::Nobody | Owner::Offline => Color::DarkGray,
    }
}

pub(super) fn finding_text(finding: &Finding) -> String {
    format!("! {}: {}  [{}]", finding.subject, finding.message, finding.rule)
}

fn findings(snapshot: &Snapshot, view: &View) -> Vec<Line<'static>> {
    let mut worst: Vec<_> = snapshot.findings.iter().collect();
    worst.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let mut lines: Vec<Line<'static>> = worst
        .iter()
        .take(MAX_FINDINGS)
        .map(|finding| {
            let color = match finding.severity() {
                Severity::Fatal => Color::Red,
                Severity::Warning => Color::Yellow,
                Severity::Note | Severity::Unspecified => Color::Reset,
            };
            Line::styled(finding_text(finding), painted(view, color))
        })
        .collect();
    if worst.len() > MAX_FINDINGS {
        lines.push(Line::from(format!("! and {} more findings", worst.len() - MAX_FINDINGS)));
    }
    lines
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, view: &View) {
    let chosen = rows::chosen(view, &snapshot.workloads);
    let header = rows::COLUMNS.iter().enumerate().map(|(idx, name)| {
        let sorted = if view.sort.column() == *name { "*" } else { "" };
        aligned(idx, format!("{name}{sorted}"))
    });
    let body = chosen.iter().skip(view.scroll).map(|workload| {
        let cells = rows::cells(workload).into_iter().enumerate();
        let style = match (workload.suppressed, rows::is_late(workload)) {
            (true, _) => painted(view, Color::Yellow),
            (false, true) => painted(view, Color::Red),
            (false, false) => Style::new(),
        };
        Row::new(cells.map(|(idx, text)| aligned(idx, text))).style(style)
    });
    let name_cells = chosen.iter().map(|workload| workload.name.chars().count()).max();
    let name_cells = u16::try_from(name_cells.unwrap_or(0)).unwrap_or(u16::MAX).clamp(5, 40);
    let widths = [name_cells, 9, 7, 6, 7, 9, 9, 10, 6, 8, 10].map(Constraint::Length);
    let header = Row::new(header).style(Style::new().add_modifier(Modifier::BOLD));
    frame.render_widget(Table::new(body, widths).header(header).column_spacing(1), area);
    if chosen.is_empty() && area.height > 1 {
        let why = match snapshot.workloads.is_empty() {
            true => "no workloads: no cgroup matches a [[workload]] of the agent's config",
            false => "no workload passes the filter",
        };
        let below = Rect { y: area.y + 1, height: 1, ..area };
        frame.render_widget(Paragraph::new(why), below);
    }
}

/// Names to the left, numbers to the right.
fn aligned(column: usize, text: String) -> Line<'static> {
    match rows::COLUMNS[column] {
        "NAME" | "QOS" | "POOL" | "STATE" => Line::from(text),
        _ => Line::from(text).right_aligned(),
    }
}

fn foot(view: &View) -> Line<'static> {
    if let Some(lost) = &view.lost {
        let text = format!("{lost}; trying again");
        return Line::styled(text, painted(view, Color::Red).add_modifier(Modifier::BOLD));
    }
    match view.focus {
        Focus::Filter => Line::from(format!("filter: {}_", view.filter)),
        _ if !view.filter.is_empty() => {
            Line::from(format!("filter: {} (/ changes it)   ? help   q leaves", view.filter))
        }
        _ => Line::from("/ filter   ? help   q leaves"),
    }
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let width = HELP.lines().map(|line| line.chars().count()).max().unwrap_or(0) as u16 + 2;
    let height = HELP.lines().count() as u16 + 2;
    let popup = Rect {
        x: area.x + area.width.saturating_sub(width) / 2,
        y: area.y + area.height.saturating_sub(height) / 2,
        width: width.min(area.width),
        height: height.min(area.height),
    };
    frame.render_widget(Clear, popup);
    frame.render_widget(Paragraph::new(HELP).block(Block::bordered().title(" help ")), popup);
}
