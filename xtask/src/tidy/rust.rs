//! Rules of one Rust file: module documentation, length, unfinished code, names.

use super::Finding;
use super::classify::{is_word, line_of};
use super::tree::SourceFile;

/// Over this many production lines a file has more than one subject.
const MAX_LINES: usize = 800;
/// From here on it should be split at the next occasion.
const LONG_LINES: usize = 400;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 9] =
    ["manager", "helper", "helpers", "util", "utils", "common", "misc", "info", "data"];
/// The same as the last word of a type.
const EMPTY_SUFFIXES: [&str; 6] = ["Manager", "Helper", "Util", "Utils", "Common", "Misc"];

/// The PODs that the BPF programs and their loader have in common; the folder is named so by habit
/// of eBPF workspaces.
const ALLOWED_FOLDER: &str = "agent-ebpf/common";

/// Rooms of the agent that open files: the host's (`hostfs`), the kernel's BPF and its types
/// (`probe`), the agent's own folder (`state`), its configuration, its certificates, the group of its socket.
const OPENS_FILES: [&str; 6] = [
    "agent/hostfs/",
    "agent/probe/",
    "agent/state/",
    "agent/src/config.rs",
    "agent/src/report/dial.rs",
    "agent/src/serve/socket.rs",
];

/// Every file opens with what it owns and what it does not.
pub(super) fn module_doc(file: &SourceFile) -> Vec<Finding> {
    if !file.is_rust() || file.is_generated() {
        return Vec::new();
    }
    let found = |message: &str| vec![Finding::error(file, 1, "module-doc", message.to_owned())];
    let doc: String = file.text.lines().map_while(|line| line.strip_prefix("//!")).collect();
    if doc.trim().is_empty() {
        return found("open the file with `//!`: what it owns and what it does not");
    }
    if doc.contains("not yet filled") {
        return found("the module is a placeholder: fill it or remove it");
    }
    Vec::new()
}

/// Counts production lines only: tests may be as long as their tables are.
pub(super) fn length(file: &SourceFile) -> Vec<Finding> {
    let n_lines = file.n_production_lines();
    let message = format!("{n_lines} production lines; aim for 100-300");
    match n_lines {
        _ if file.is_generated() => Vec::new(),
        n if n > MAX_LINES => {
            vec![Finding::error(file, 0, "length", format!("{message}, never over {MAX_LINES}"))]
        }
        n if n > LONG_LINES => vec![Finding::warning(file, 0, "length", message)],
        _ => Vec::new(),
    }
}

/// Code that promises to be written later.
pub(super) fn unfinished(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in ["todo", "unimplemented", "dbg"] {
        for at in words(&file.code, name).filter(|at| file.code[at + name.len()..].starts_with('!'))
        {
            let message = format!("`{name}!` does not go in");
            findings.push(Finding::error(file, line_of(&file.code, at), "unfinished", message));
        }
    }
    for mark in ["TODO", "FIXME", "XXX", "HACK"] {
        for at in words(&file.comments, mark) {
            let message =
                format!("`{mark}` in a comment: do it, or say in the docs what is missing");
            findings.push(Finding::error(file, line_of(&file.comments, at), "unfinished", message));
        }
    }
    findings
}

/// A test that nobody runs is not a test; what needs a kernel or a device lives in its tier.
pub(super) fn ignored_test(file: &SourceFile) -> Vec<Finding> {
    let found = file.code.match_indices("#[ignore").map(|(at, _)| {
        let message = "`#[ignore]` hides a test; move it to the tier that can run it".to_owned();
        Finding::error(file, line_of(&file.code, at), "ignored-test", message)
    });
    found.collect()
}

/// Files and folders are named after what they hold.
pub(super) fn file_name(file: &SourceFile) -> Vec<Finding> {
    if !file.is_rust() {
        return Vec::new();
    }
    let own = file.path.strip_prefix(ALLOWED_FOLDER).unwrap_or(&file.path);
    let own = own.strip_suffix(".rs").unwrap_or(own);
    let mut findings: Vec<Finding> = own
        .split('/')
        .filter(|part| EMPTY_NAMES.contains(part))
        .map(|part| {
            let message = format!("`{part}` says nothing: name it after what it holds");
            Finding::error(file, 0, "file-name", message)
        })
        .collect();
    if file.file_name() == "mod.rs" {
        let message = "use `foo.rs` beside `foo/` instead of `mod.rs`".to_owned();
        findings.push(Finding::error(file, 0, "file-name", message));
    }
    findings
}

/// Everything the agent reads or writes on the host goes through `hostfs`, below its root.
pub(super) fn host_file(file: &SourceFile) -> Vec<Finding> {
    let is_agent = file.path.starts_with("agent/");
    if !is_agent || OPENS_FILES.iter().any(|room| file.path.starts_with(room)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for call in ["fs::read", "fs::write", "File::open", "File::create", "OpenOptions::new"] {
        for (at, _) in file.code.match_indices(call) {
            // `procfs::read_pressure` is ours.
            let is_tail = file.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let line = line_of(&file.code, at);
            if !is_tail && file.production.get(line - 1).is_some_and(|is_production| *is_production)
            {
                let message = format!("`{call}` outside of hostfs: host files have one door");
                findings.push(Finding::error(file, line, "host-file", message));
            }
        }
    }
    findings
}

/// Types are named by the vocabulary of ARCHITECTURE.md.
pub(super) fn type_name(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for keyword in ["struct", "enum", "trait", "type"] {
        for at in words(&file.code, keyword) {
            let name = word_after(&file.code, at + keyword.len());
            if EMPTY_SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
                let message =
                    format!("`{name}` says nothing: see the vocabulary in ARCHITECTURE.md");
                findings.push(Finding::error(file, line_of(&file.code, at), "type-name", message));
            }
        }
    }
    findings
}

/// Offsets of `word` in `text` where it stands alone.
pub(super) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let bytes = text.as_bytes();
        let begins = *at == 0 || !is_word(bytes[at - 1]);
        begins && bytes.get(at + word.len()).is_none_or(|byte| !is_word(*byte))
    })
}

/// The identifier that follows `at`, white space skipped; empty when something else does.
pub(super) fn word_after(text: &str, at: usize) -> &str {
    let rest = text[at..].trim_start();
    let len = rest.bytes().position(|byte| !is_word(byte)).unwrap_or(rest.len());
    &rest[..len]
}
