//! The unwrap budget: how many `unwrap()` and `expect(..)` a crate may hold per 1000 production
//! lines. An `expect("invariant: ..")` states what cannot happen and is not counted.

use std::collections::BTreeMap;

use super::Finding;
use super::tree::{SourceFile, Tree};

/// Fewer than this per 1000 production lines. Two well-kept agents measure 2.0 and 3.6.
const MAX_PER_1000_LINES: usize = 3;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    n_unwraps: usize,
    n_lines: usize,
}

impl Count {
    const fn is_over(self) -> bool {
        self.n_unwraps > 0 && self.n_unwraps * 1000 >= MAX_PER_1000_LINES * self.n_lines
    }
}

/// One finding per crate over its budget, at the crate's manifest.
pub(super) fn unwraps(tree: &Tree) -> Vec<Finding> {
    let over = per_crate(tree).into_iter().filter(|(_, count)| count.is_over());
    over.filter_map(|(folder, count)| {
        let manifest = tree.get(&format!("{folder}Cargo.toml"))?;
        let message = format!(
            "{} unwraps in {} production lines, allowed are fewer than {MAX_PER_1000_LINES} per \
             1000: return an error, or state the reason as expect(\"invariant: ..\")",
            count.n_unwraps, count.n_lines
        );
        Some(Finding::error(manifest, 0, "unwrap-budget", message))
    })
    .collect()
}

/// The whole tree in one phrase.
pub(super) fn summary(tree: &Tree) -> String {
    let counts = per_crate(tree);
    let n_unwraps: usize = counts.values().map(|count| count.n_unwraps).sum();
    let n_lines: usize = counts.values().map(|count| count.n_lines).sum();
    let holders: Vec<String> = counts
        .iter()
        .filter(|(_, count)| count.n_unwraps > 0)
        .map(|(folder, count)| format!("{} {}", folder.trim_end_matches('/'), count.n_unwraps))
        .collect();
    let holders =
        if holders.is_empty() { String::new() } else { format!(" ({})", holders.join(", ")) };
    format!("{n_lines} production lines, {n_unwraps} unwraps{holders}")
}

/// By the crate's folder, which ends with `/` (empty for the root).
fn per_crate(tree: &Tree) -> BTreeMap<&str, Count> {
    let folders: Vec<&str> =
        tree.files.iter().filter_map(|file| file.path.strip_suffix("Cargo.toml")).collect();
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    for file in tree.files.iter().filter(|file| file.is_rust() && !file.is_generated()) {
        let owner = folders.iter().filter(|folder| file.path.starts_with(**folder));
        let Some(folder) = owner.max_by_key(|folder| folder.len()) else { continue };
        let count = counts.entry(folder).or_default();
        count.n_unwraps += unwraps_in(file);
        count.n_lines += file.n_production_lines();
    }
    counts
}

fn unwraps_in(file: &SourceFile) -> usize {
    let mut n_unwraps = 0;
    for call in [".unwrap()", ".expect("] {
        for (at, _) in file.code.match_indices(call) {
            let line = super::classify::line_of(&file.code, at);
            let in_production = file.production.get(line - 1).is_some_and(|line| *line);
            let argument = file.text[at + call.len()..].trim_start();
            let is_invariant = call == ".expect(" && argument.starts_with("\"invariant:");
            n_unwraps += usize::from(in_production && !is_invariant);
        }
    }
    n_unwraps
}
