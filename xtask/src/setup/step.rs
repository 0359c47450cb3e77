//! One step of the set-up and the runner that shows it. A step knows whether it is done; the runner
//! skips, times and prints.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::debs::Archive;
use super::versions::Versions;
use super::{debs, shell};

pub(super) struct Step<'a> {
    pub(super) name: String,
    pub(super) needs: Needs,
    pub(super) is_present: Box<dyn Fn() -> bool + 'a>,
    pub(super) install: Box<dyn Fn() -> anyhow::Result<()> + 'a>,
}

/// What a step asks of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Anybody can do it anywhere.
    Nothing,
    /// Unpacks Debian's packages below the cache: the release that the pins belong to, as any user.
    Archive,
    /// Installs Debian's packages: the same as root.
    Root,
}

/// Runs the steps that are not done, in order. `prepare_machine` is called with all of them, and only when there is something
/// to do, so that a prepared machine of any kind works.
pub(super) fn run_missing(
    steps: &[Step<'_>],
    prepare_machine: impl Fn(&[&Step<'_>]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut prepared = false;
    let total = steps.len();
    for (index, step) in steps.iter().enumerate() {
        let title = format!("setup {}/{total}: {}", index + 1, step.name);
        if (step.is_present)() {
            continue;
        }
        if !prepared {
            let missing = |step: &&Step<'_>| !(step.is_present)();
            prepare_machine(&steps.iter().filter(missing).collect::<Vec<_>>())?;
            prepared = true;
        }
        let began = Instant::now();
        let spinner = spinner(&title);
        let result = (step.install)();
        spinner.finish_and_clear();
        result.map_err(advised).with_context(|| title.clone())?;
        eprintln!("{title} ({:.1} s)", began.elapsed().as_secs_f64());
    }
    Ok(())
}

/// What to do about the failures that anybody may meet.
fn advised(error: anyhow::Error) -> anyhow::Error {
    let said = format!("{error:#}").to_lowercase();
    let has = |words: &str| said.contains(words);
    if has("no space left on device") {
        return error.context(
            "the disk is full. Compiling takes 6 GB in Go's caches and /tmp, the results 2 GB; \
             `go clean -cache -modcache` gives the former back. Run the set-up again then",
        );
    }
    let names = ["could not resolve", "temporary failure resolving", "no such host"];
    let network = ["connection refused", "connection timed out", "network is unreachable"];
    if names.into_iter().chain(network).any(has) {
        return error.context(
            "something could not be fetched: is there a network? What has come so far stays; run the set-up again",
        );
    }
    error
}

/// A spinner on a terminal, a plain line elsewhere (a log should show what is being waited for).
fn spinner(title: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if bar.is_hidden() {
        eprintln!("{title} ...");
    }
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(title.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// All Debian packages of a group in one apt-get call.
pub(super) fn apt<'a>(group: &'a str, versions: &'a Versions) -> Step<'a> {
    let missing = move || -> Vec<(&String, &String)> {
        let packages = versions.apt.get(group).into_iter().flatten();
        packages.filter(|(package, _)| debs::installed(package).is_none()).collect()
    };
    Step {
        name: format!("Debian packages of group {group}"),
        needs: Needs::Root,
        is_present: Box::new(move || missing().is_empty()),
        install: Box::new(move || {
            let archive = Archive::of_machine();
            let targets: Result<Vec<_>, _> = missing()
                .into_iter()
                .map(|(package, version)| archive.pinned_or_newest(package, version))
                .collect();
            let mut install = Command::new("apt-get");
            install.args(["install", "-y", "--no-install-recommends"]).args(targets?);
            shell::quiet(install.env("DEBIAN_FRONTEND", "noninteractive"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::advised;

    #[track_caller]
    fn check(error: &'static str, expected: &str) {
        let said = format!("{:#}", advised(anyhow!(error).context("build etcd")));
        assert!(said.starts_with(expected) && said.ends_with(error), "{said}");
    }

    #[test]
    fn a_full_disk_and_an_absent_network_come_with_advice() {
        check("write /x: No space left on device (os error 28)", "the disk is full.");
        check("go: copying a.out: no space left on device", "the disk is full.");
        check("dial tcp: lookup example.org: no such host", "something could not be fetched");
        check("main.go:3: undefined: x", "build etcd");
    }
}
