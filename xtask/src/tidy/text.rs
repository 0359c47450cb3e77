//! Rules of any text file: no trace of one developer's machine or desk, safe shell scripts.

use super::Finding;
use super::classify::is_word;
use super::tree::SourceFile;

/// Where people keep their checkouts. Put together at compile time so that this file passes.
const DEVELOPER_FOLDERS: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];

/// Papers that are not part of the tree: a reader of the project cannot follow them.
const OUTSIDE_PAPERS: [&str; 3] =
    [concat!("DESIGN", ".md"), concat!("DESIGN", " "), concat!("style", ".md")];

/// Says in a script why it must go on after an error; the reason stands behind it.
const NO_EXIT_ON_ERROR: &str = "# no set -e: ";

/// A path below a home folder works on one machine only.
pub(super) fn developer_path(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (idx, line) in file.text.lines().enumerate() {
        for folder in DEVELOPER_FOLDERS {
            let found = line.match_indices(folder).any(|(at, _)| begins_a_path(line, at));
            if found {
                let message = format!("`{folder}..` is a path of one machine");
                findings.push(Finding::error(file, idx + 1, "developer-path", message));
            }
        }
    }
    findings
}

/// `/sys/x` in `a/sys/x` is the middle of a relative path.
fn begins_a_path(line: &str, at: usize) -> bool {
    let before = line.as_bytes()[..at].last();
    before.is_none_or(|byte| !is_word(*byte) && !b".-}>)*".contains(byte))
}

/// A comment that points to a paper outside of the tree, or to a number in somebody's tracker.
pub(super) fn outside_reference(file: &SourceFile) -> Vec<Finding> {
    if file.extension() == "lock" {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (idx, line) in file.text.lines().enumerate() {
        let paper = OUTSIDE_PAPERS.iter().find(|paper| line.contains(**paper));
        if let Some(paper) = paper {
            let message = format!("`{}` is not in the tree: say it here", paper.trim());
            findings.push(Finding::error(file, idx + 1, "outside-reference", message));
        }
        if names_an_issue(line) {
            let message = "an issue number means nothing to a reader: say it here".to_owned();
            findings.push(Finding::error(file, idx + 1, "outside-reference", message));
        }
    }
    findings
}

fn names_an_issue(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    lower.match_indices("issue ").any(|(at, word)| {
        let rest = lower[at + word.len()..].trim_start_matches('#');
        let begins = at == 0 || !is_word(lower.as_bytes()[at - 1]);
        begins && rest.starts_with(|first: char| first.is_ascii_digit())
    })
}

/// A script stops at the first error and at a name that is not set.
pub(super) fn shell_options(file: &SourceFile) -> Vec<Finding> {
    let first = file.text.lines().next().unwrap_or_default();
    let is_script = first.starts_with("#!") && (first.ends_with("sh") || first.contains("sh "));
    if !is_script && file.extension() != "sh" {
        return Vec::new();
    }
    // A plain POSIX shell (the guest's busybox) has no pipefail.
    let is_posix = first.ends_with("/sh") || first.ends_with("busybox sh");
    let wanted = if is_posix { "set -eu" } else { "set -euo pipefail" };
    let mut head = file.text.lines().take(30).map(str::trim);
    if head.any(|line| line == wanted || line.starts_with(NO_EXIT_ON_ERROR)) {
        return Vec::new();
    }
    vec![Finding::error(file, 1, "shell-options", format!("the script lacks `{wanted}`"))]
}
