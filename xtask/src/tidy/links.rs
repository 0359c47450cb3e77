//! Links between the Markdown pages: the file exists, and so does the heading behind `#`.

use super::Finding;
use super::commands::prose;
use super::tree::{SourceFile, Tree};

pub(super) fn targets(tree: &Tree) -> Vec<Finding> {
    let pages = tree.files.iter().filter(|file| file.extension() == "md");
    pages.flat_map(|page| broken(tree, page)).collect()
}

fn broken(tree: &Tree, page: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in prose(&page.text) {
        for target in link_targets(text) {
            if let Some(message) = fault(tree, page, target) {
                findings.push(Finding::error(page, line, "link", message));
            }
        }
    }
    findings
}

/// What stands between `](` and `)`, titles removed.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())
}

fn fault(tree: &Tree, page: &SourceFile, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let path = if path.is_empty() { page.path.clone() } else { resolve(&page.path, path)? };
    let folder = format!("{}/", path.trim_end_matches('/'));
    match tree.get(&path) {
        None if tree.below(&folder).next().is_some() => None,
        None => Some(format!("`{target}` leads nowhere: there is no {path}")),
        Some(_) if heading.is_empty() => None,
        Some(file) if slugs(file).any(|slug| slug == heading) => None,
        Some(_) => Some(format!("`{target}`: {path} has no heading `{heading}`")),
    }
}

/// `None` when the link climbs out of the tree; the web page of the host is meant then.
fn resolve(page: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Anchors as the usual hosts make them: lower case, words joined by `-`, punctuation dropped.
fn slugs(file: &SourceFile) -> impl Iterator<Item = String> {
    let headings = prose(&file.text).into_iter().filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len() && title.starts_with(' ')).then(|| title.trim())
    });
    headings.map(|title| {
        let kept =
            title.chars().filter(|one| one.is_alphanumeric() || matches!(one, ' ' | '-' | '_'));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    })
}
