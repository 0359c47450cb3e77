//! House rules that the compiler and clippy do not know, checked over the tracked files. Owns the
//! list of rules and the printing; a rule is a pure function of one file or of the whole tree and
//! lives in `tidy/`.

mod alerts;
mod budget;
mod classify;
mod commands;
mod links;
mod named;
mod rust;
mod table;
mod text;
mod tree;

#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::ensure;
use tree::{SourceFile, Tree};

/// One place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// Counted from 1; 0 is the file as a whole.
    line: usize,
    /// Stable kebab-case id of the rule.
    rule: &'static str,
    severity: Severity,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Error,
    Warning,
}

impl Finding {
    fn error(file: &SourceFile, line: usize, rule: &'static str, message: String) -> Finding {
        Finding { path: file.path.clone(), line, rule, severity: Severity::Error, message }
    }

    fn warning(file: &SourceFile, line: usize, rule: &'static str, message: String) -> Finding {
        Finding { severity: Severity::Warning, ..Finding::error(file, line, rule, message) }
    }
}

/// Rules that need one file only.
const FILE_RULES: &[fn(&SourceFile) -> Vec<Finding>] = &[
    rust::module_doc,
    rust::length,
    rust::unfinished,
    rust::ignored_test,
    rust::file_name,
    rust::type_name,
    rust::host_file,
    text::developer_path,
    text::outside_reference,
    text::shell_options,
];

/// Rules that compare files with each other.
const TREE_RULES: &[fn(&Tree) -> Vec<Finding>] = &[
    alerts::findings,
    budget::unwraps,
    links::targets,
    named::flags,
    named::ports,
    named::config_keys,
    table::dependencies,
];

/// Prints every finding; `Ok` carries the counts for the progress line.
pub(crate) fn run(root: &Path) -> anyhow::Result<String> {
    let tree = Tree::read(root)?;
    let findings = inspect(&tree);
    for finding in &findings {
        println!("{}", render(finding));
    }
    let n_errors = findings.iter().filter(|one| one.severity == Severity::Error).count();
    ensure!(n_errors == 0, "{n_errors} findings in {} files", tree.files.len());
    Ok(format!(", {} files, {}", tree.files.len(), budget::summary(&tree)))
}

fn inspect(tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        tree.files.iter().flat_map(|file| FILE_RULES.iter().flat_map(|rule| rule(file))).collect();
    findings.extend(TREE_RULES.iter().flat_map(|rule| rule(tree)));
    findings.sort();
    findings
}

fn render(finding: &Finding) -> String {
    let mark = match finding.severity {
        Severity::Error => "",
        Severity::Warning => "warning: ",
    };
    format!("{}:{}: {mark}[{}] {}", finding.path, finding.line, finding.rule, finding.message)
}
