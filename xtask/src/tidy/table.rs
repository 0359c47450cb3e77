//! The dependency table of ARCHITECTURE.md: one row with a reason per library the project takes,
//! and no row for one it dropped.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::{SourceFile, Tree};

const PAGE: &str = "ARCHITECTURE.md";
const HEADING: &str = "## Dependencies";
/// Manifests that choose libraries: the workspace and the BPF programs, which are outside of it.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "agent-ebpf/Cargo.toml"];

pub(super) fn dependencies(tree: &Tree) -> Vec<Finding> {
    let Some(page) = tree.get(PAGE) else { return Vec::new() };
    let rows = rows(page);
    let mut taken = BTreeSet::new();
    let mut findings = Vec::new();
    for manifest in MANIFESTS.iter().filter_map(|path| tree.get(path)) {
        for name in external(manifest) {
            if !rows.iter().any(|(_, row)| *row == name) {
                let message =
                    format!("`{name}` has no row in {PAGE}, section Dependencies: say why");
                findings.push(Finding::error(manifest, 0, "dependency-table", message));
            }
            taken.insert(name);
        }
    }
    for (line, row) in rows.iter().filter(|(_, row)| !taken.contains(*row)) {
        let message = format!("`{row}` is not among the dependencies any more");
        findings.push(Finding::error(page, *line, "dependency-table", message));
    }
    findings
}

/// Names in backticks in the first column of the table.
fn rows(page: &SourceFile) -> Vec<(usize, &str)> {
    let lines = page.text.lines().enumerate().skip_while(|(_, line)| *line != HEADING);
    let section = lines.skip(1).take_while(|(_, line)| !line.starts_with("## "));
    section
        .filter_map(|(idx, line)| Some((idx + 1, line.strip_prefix('|')?.split('|').next()?)))
        .flat_map(|(line, cell)| cell.split('`').skip(1).step_by(2).map(move |name| (line, name)))
        .collect()
}

/// Dependencies that are not rooms of this repository.
fn external(manifest: &SourceFile) -> Vec<String> {
    let Ok(table) = manifest.text.parse::<toml::Table>() else { return Vec::new() };
    let workspace = table.get("workspace").and_then(|it| it.get("dependencies"));
    let own = table.get("dependencies");
    let lists = [workspace, own].into_iter().flatten().filter_map(toml::Value::as_table);
    lists
        .flatten()
        .filter(|(_, spec)| spec.get("path").is_none())
        .map(|(name, _)| name.clone())
        .collect()
}
