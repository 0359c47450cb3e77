//! Which shared libraries a program needs, as `ldd` tells it. The parser is pure; the guest gets each
//! library at the path the host has it, which is where the loader looks by default.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// The libraries and the loader of one program; none when it is static or a script.
pub(crate) fn needed_by(program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    ask(Command::new("ldd").arg(program), program)
}

/// The same of a program that brought libraries with it: `search` is the loader's `LD_LIBRARY_PATH`.
pub(crate) fn needed_by_with(program: &Path, search: &OsStr) -> anyhow::Result<Vec<PathBuf>> {
    ask(Command::new("ldd").arg(program).env("LD_LIBRARY_PATH", search), program)
}

fn ask(ldd: &mut Command, program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output = ldd.output().context("run ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        if text.contains("not a dynamic executable")
            || complaint.contains("not a dynamic executable")
        {
            return Ok(Vec::new());
        }
        bail!("ldd {}: {}", program.display(), complaint.trim());
    }
    parse(&text).map_err(|missing| {
        anyhow::anyhow!("{} needs {missing}, which this machine lacks", program.display())
    })
}

/// The absolute paths in ldd's answer, or the name of the first library that was not found.
fn parse(answer: &str) -> Result<Vec<PathBuf>, String> {
    let mut paths = Vec::new();
    for line in answer.lines().map(str::trim) {
        let (name, place) = line.split_once(" => ").unwrap_or((line, line));
        if place.starts_with("not found") {
            return Err(name.to_owned());
        }
        // The address behind the path is in brackets; linux-vdso and "statically linked" have no path.
        let path = place.split(" (").next().unwrap_or(place);
        if path.starts_with('/') {
            paths.push(PathBuf::from(path));
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[track_caller]
    fn check(answer: &str, expected: Result<&[&str], &str>) {
        let got = parse(answer);
        let got =
            got.as_ref().map(|paths| paths.iter().filter_map(|p| p.to_str()).collect::<Vec<_>>());
        assert_eq!(got.as_deref().map_err(|missing| missing.as_str()), expected);
    }

    #[test]
    fn rows() {
        check("", Ok(&[]));
        check("\tstatically linked\n", Ok(&[]));
        check("\tlinux-vdso.so.1 (0x00007ffd)\n", Ok(&[]));
        check(
            "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibgcc_s.so.1 => /lib/x86_64-linux-gnu/libgcc_s.so.1 (0x00007f)\n\
             \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n",
            Ok(&[
                "/lib/x86_64-linux-gnu/libgcc_s.so.1",
                "/lib/x86_64-linux-gnu/libc.so.6",
                "/lib64/ld-linux-x86-64.so.2",
            ]),
        );
        check(
            "\tlibodd.so => /opt/with space/libodd.so (0x1)\n",
            Ok(&["/opt/with space/libodd.so"]),
        );
        check(
            "\tlibgone.so.3 => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x1)\n",
            Err("libgone.so.3"),
        );
    }
}
