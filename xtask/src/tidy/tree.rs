//! The files the rules look at: tracked or about to be (not ignored by git), read once. Owns the
//! reading and the split into code, comments and production lines; knows no rule.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::classify::{Class, classify, only, production_lines};

/// All text files of the checkout, by path.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) files: Vec<SourceFile>,
}

/// One file. For anything but Rust, `code`, `comments` and `production` are empty.
#[derive(Debug)]
pub(super) struct SourceFile {
    /// Relative to the root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
    /// `text` with comments and literals blanked; same offsets.
    pub(super) code: String,
    /// `text` with everything but comments blanked; same offsets.
    pub(super) comments: String,
    /// Per line: outside of tests.
    pub(super) production: Vec<bool>,
}

impl Tree {
    pub(super) fn read(root: &Path) -> anyhow::Result<Tree> {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("failed to start git, which lists the files to look at")?;
        ensure!(listed.status.success(), "git ls-files ended with {}", listed.status);
        let listed = String::from_utf8(listed.stdout).context("a file name is not UTF-8")?;
        let mut paths: Vec<&str> = listed.split('\0').filter(|path| !path.is_empty()).collect();
        paths.sort_unstable();
        Ok(Tree::new(paths.into_iter().filter_map(|path| read_text(root, path)).collect()))
    }

    /// Files that another one declares as `#[cfg(test)] mod name;` lose their production lines.
    pub(super) fn new(mut files: Vec<SourceFile>) -> Tree {
        let test_only: Vec<String> = files.iter().flat_map(SourceFile::test_modules).collect();
        for file in &mut files {
            let own = file.path.strip_suffix(".rs").unwrap_or(&file.path);
            let below = |module: &String| {
                own.strip_prefix(module)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            if test_only.iter().any(below) {
                file.production.fill(false);
            }
        }
        Tree { files }
    }

    pub(super) fn get(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Files below `folder`, which ends with `/`.
    pub(super) fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a SourceFile> {
        self.files.iter().filter(move |file| file.path.starts_with(folder))
    }
}

/// `None` for what is no text and for a file that is deleted but not yet committed so.
fn read_text(root: &Path, path: &str) -> Option<SourceFile> {
    let text = std::fs::read_to_string(root.join(path)).ok()?;
    Some(SourceFile::new(path, text))
}

impl SourceFile {
    pub(super) fn new(path: &str, text: impl Into<String>) -> SourceFile {
        let text: String = text.into();
        let mut file = SourceFile {
            path: path.to_owned(),
            code: String::new(),
            comments: String::new(),
            production: Vec::new(),
            text,
        };
        if file.is_rust() {
            let classes = classify(&file.text);
            file.code = only(&file.text, &classes, Class::Code);
            file.comments = only(&file.text, &classes, Class::Comment);
            file.production = production_lines(&file.code);
            if file.is_test() {
                file.production.fill(false);
            }
        }
        file
    }

    pub(super) fn is_rust(&self) -> bool {
        self.extension() == "rs"
    }

    pub(super) fn extension(&self) -> &str {
        self.file_name().rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    pub(super) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Written by a tool and committed: its form is the tool's.
    pub(super) fn is_generated(&self) -> bool {
        self.text.lines().take(5).any(|line| line.contains("@generated"))
    }

    /// Number of lines outside of tests.
    pub(super) fn n_production_lines(&self) -> usize {
        self.production.iter().filter(|line| **line).count()
    }

    /// Paths, without `.rs`, of the modules this file declares for tests only.
    fn test_modules(&self) -> Vec<String> {
        let folder = match self.path.rsplit_once('/').unwrap_or(("", &self.path)) {
            (folder, "lib.rs" | "main.rs") => folder,
            _ => self.path.strip_suffix(".rs").unwrap_or(&self.path),
        };
        let behind = self.code.split("#[cfg(test)]").skip(1).map(str::trim_start);
        let declared = behind.filter_map(|rest| {
            let rest = rest.strip_prefix("pub(crate) ").unwrap_or(rest);
            let (name, _) = rest.strip_prefix("mod ")?.split_once(';')?;
            (!name.contains('{')).then_some(name)
        });
        declared.map(|name| format!("{folder}/{}", name.trim())).collect()
    }

    /// Test code by its place: such a file holds no production line.
    fn is_test(&self) -> bool {
        let in_test_folder = self.path.split('/').any(|part| {
            matches!(part, "tests" | "tests.rs" | "benches" | "fuzz" | "examples" | "vmtest")
        });
        in_test_folder || self.code.contains("#![cfg(test)]")
    }
}
