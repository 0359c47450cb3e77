//! Findings of the agent and the alerts on them: each that a person should act on has an alert or a reason why not, and nothing is
//! named that no code says.

use std::collections::BTreeMap;

use super::Finding;
use super::tree::{SourceFile, Tree};

const RULES: &str = "deploy/monitoring/alerts.yaml";
const PAGE: &str = "docs/alerts.md";
const SECTION: &str = "Findings without an alert";
/// Every rule of the lint is fatal, and is handed on before it becomes a finding.
const LINT: &str = "agent/advisor/src/lint";

/// A rule id in the sources.
struct Said<'a> {
    file: &'a SourceFile,
    line: usize,
    /// A note needs no alert.
    is_note: bool,
}

pub(super) fn findings(tree: &Tree) -> Vec<Finding> {
    let (Some(rules), Some(page)) = (tree.get(RULES), tree.get(PAGE)) else { return Vec::new() };
    let said = said(tree);
    let alerted = matched(rules);
    let excused = excused(page);
    let mut findings = Vec::new();
    for (rule, Said { file, line, is_note }) in &said {
        let is_named =
            [&alerted, &excused].iter().any(|names| names.iter().any(|(_, it)| it == rule));
        if !is_note && !is_named {
            let message = format!(
                "`{rule}` has no alert in {RULES} and no reason in {PAGE}, section {SECTION}"
            );
            findings.push(Finding::error(file, *line, "finding-alert", message));
        }
    }
    for (named, file) in [(&alerted, rules), (&excused, page)] {
        for (line, rule) in named.iter().filter(|(_, rule)| !said.contains_key(rule)) {
            let message = format!("no code of the agent has a finding `{rule}`");
            findings.push(Finding::error(file, *line, "finding-alert", message));
        }
    }
    findings
}

fn said(tree: &Tree) -> BTreeMap<&str, Said<'_>> {
    let mut said = BTreeMap::new();
    for file in tree.below("agent/").filter(|file| file.is_rust()) {
        let lines: Vec<&str> = file.text.lines().collect();
        let production = file.production.iter().enumerate().filter(|(_, it)| **it);
        for (idx, _) in production {
            let before = lines.get(idx.saturating_sub(3)..=idx).unwrap_or_default();
            let Some((rule, is_note)) = rule_in(&file.path, before) else { continue };
            said.entry(rule).or_insert(Said { file, line: idx + 1, is_note });
        }
    }
    said
}

/// The rule that the last of these lines gives a finding, and whether it is a note only.
fn rule_in<'a>(path: &str, lines: &[&'a str]) -> Option<(&'a str, bool)> {
    let line = lines.last()?;
    if path.starts_with(LINT) {
        let mut literals = line.split('"').skip(1).step_by(2);
        return literals.find(|text| is_id(text)).map(|rule| (rule, false));
    }
    if let Some((_, rest)) = line.split_once("rule: \"") {
        let opens = |line: &&str| line.contains("Finding {") || line.contains("Decision {");
        let opened = lines.iter().rposition(opens)?;
        let whole = lines.get(opened..)?;
        let is_note = whole.iter().any(|line| line.contains("Severity::Note"));
        return whole[0].contains("Finding {").then_some((rest.split('"').next()?, is_note));
    }
    let (before, rest) = line.split_once(", \"")?;
    let rule = rest.split('"').next().filter(|rule| is_id(rule))?;
    let is_note = before.ends_with("Severity::Note");
    (is_note || before.ends_with("Severity::Warning")).then_some((rule, is_note))
}

fn is_id(text: &str) -> bool {
    text.contains('-') && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

/// Values of the label `rule` that an expression selects, with their lines.
fn matched(rules: &SourceFile) -> Vec<(usize, &str)> {
    let lines = rules.text.lines().enumerate();
    let selected = lines.flat_map(|(idx, line)| {
        let selectors = line.split("{rule=").skip(1).filter_map(|rest| rest.split('"').nth(1));
        selectors.flat_map(move |values| values.split('|').map(move |rule| (idx + 1, rule)))
    });
    selected.collect()
}

/// Names in backticks in the first column of the table.
fn excused(page: &SourceFile) -> Vec<(usize, &str)> {
    let lines = page
        .text
        .lines()
        .enumerate()
        .skip_while(|(_, line)| line.strip_prefix("## ") != Some(SECTION));
    let section = lines.skip(1).take_while(|(_, line)| !line.starts_with("## "));
    let cells = section
        .filter_map(|(idx, line)| Some((idx + 1, line.strip_prefix('|')?.split('|').next()?)));
    cells
        .flat_map(|(line, cell)| cell.split('`').skip(1).step_by(2).map(move |rule| (line, rule)))
        .collect()
}
