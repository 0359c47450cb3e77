//! promtool, which tests the alerts. Of Debian's package `prometheus` and all that it depends on this one program is kept: it needs
//! nothing but the machine's libc, and the server beside it is as large again.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use super::step::Step;
use super::versions::Versions;
use super::{packages, shell};

/// In `versions.toml`.
pub(crate) const GROUP: &str = "monitoring";

pub(super) fn step<'a>(cache: &'a Path, versions: &'a Versions) -> Step<'a> {
    packages::checked_step(cache, GROUP, versions, |root| {
        keep_only(root, "usr/bin/promtool")?;
        shell::quiet(Command::new(root.join("promtool")).arg("--version"))
    })
}

/// Moves `program` up to `root` and removes everything else there.
fn keep_only(root: &Path, program: &str) -> anyhow::Result<()> {
    let program = root.join(program);
    let name = program.file_name().context("a program has a name")?;
    let kept = root.join(name);
    fs::rename(&program, &kept).with_context(|| format!("move {}", program.display()))?;
    for entry in fs::read_dir(root).with_context(|| format!("list {}", root.display()))? {
        let path = entry?.path();
        if path == kept {
            continue;
        }
        // A link to a folder is removed as what it is.
        let is_folder = path.is_dir() && !path.is_symlink();
        let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::keep_only;

    #[test]
    fn one_program_is_left_and_nothing_behind_a_link_is_touched() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = dir.path();
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        for file in ["usr/bin/promtool", "usr/bin/prometheus", "control"] {
            fs::write(root.join(file), file).unwrap();
        }
        fs::write(elsewhere.path().join("kept"), "").unwrap();
        symlink(elsewhere.path(), root.join("lib")).unwrap();
        keep_only(root, "usr/bin/promtool").unwrap();
        let left: Vec<_> = fs::read_dir(root).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, ["promtool"]);
        assert!(elsewhere.path().join("kept").exists());
        assert!(keep_only(root, "usr/bin/promtool").is_err(), "it is not there any more");
    }
}
