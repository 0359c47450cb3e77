//! Runs other programs for the xtask: quietly, with their output shown only when they fail.

use std::io::ErrorKind;
use std::process::Command;

use anyhow::{Context as _, bail};

/// Runs to the end; the error carries the command line and what it printed.
pub(crate) fn quiet(command: &mut Command) -> anyhow::Result<()> {
    output(command).map(drop)
}

/// Standard output of a program that must succeed.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let result = match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("{}", absence(command)),
        result => result.with_context(|| format!("run {command:?}"))?,
    };
    let text = String::from_utf8_lossy(&result.stdout).into_owned();
    if !result.status.success() {
        let complaint = String::from_utf8_lossy(&result.stderr);
        bail!("{command:?} ended with {}\n{}{}", result.status, text, complaint);
    }
    Ok(text)
}

/// Where Debian has a program under another name than its own.
const PACKAGES: [(&str, &str); 7] = [
    ("python3", "python3-pip"),
    ("cc", "gcc and libc6-dev"),
    ("strip", "binutils"),
    ("xz", "xz-utils"),
    ("mke2fs", "e2fsprogs"),
    ("apt-get", "apt, which only Debian has"),
    ("apt-cache", "apt, which only Debian has"),
];

/// The kernel's own "No such file or directory" does not say which file it means.
fn absence(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    if let Some(folder) = command.get_current_dir().filter(|folder| !folder.exists()) {
        return format!("run {program} in {}: there is no such folder", folder.display());
    }
    let named = PACKAGES.iter().find(|(name, _)| *name == program);
    let package = named.map_or(&*program, |(_, package)| package);
    format!("{program} is not in PATH (Debian: package {package}); it was to run {command:?}")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::output;

    #[track_caller]
    fn check(command: &mut Command, expected: &str) {
        let said = output(command).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn a_missing_program_is_told_with_its_package() {
        let absent = || Command::new("no-such-program-of-berth");
        check(&mut absent(), "no-such-program-of-berth is not in PATH (Debian: package no-such");
        check(Command::new("python3").env("PATH", "/nowhere"), "(Debian: package python3-pip)");
        check(absent().current_dir("/nowhere"), "in /nowhere: there is no such folder");
    }

    #[test]
    fn a_failure_is_told_with_all_that_was_said() {
        check(Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"]), "3\none\ntwo");
    }
}
