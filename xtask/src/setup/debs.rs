//! Debian packages: what is installed, what the archive still has, fetching one and unpacking it
//! below the cache. Never decides which package is wanted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::shell;

/// The installed version of a package; `None` when it is not (fully) installed.
pub(super) fn installed(package: &str) -> Option<String> {
    let output = Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status} ${Version}", package])
        .output();
    let text = String::from_utf8(output.ok()?.stdout).ok()?;
    text.strip_prefix("installed ").map(str::to_owned)
}

/// Fetches package lists when this machine has none, as a fresh container image has not.
pub(super) fn ensure_lists() -> anyhow::Result<()> {
    let lists = Path::new("/var/lib/apt/lists");
    let has_lists = fs::read_dir(lists).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
    });
    if has_lists {
        return Ok(());
    }
    shell::quiet(Command::new("apt-get").arg("update"))
        .context("this machine has none; root brings them with `apt-get update`")
}

/// Where packages are looked for.
pub(super) struct Archive {
    /// For every call of an apt program.
    options: Vec<String>,
}

impl Archive {
    /// What the machine's own sources name.
    pub(super) fn of_machine() -> Archive {
        Archive { options: Vec::new() }
    }

    /// One suite beside the machine's own, under the same address, with apt's state of it in `folder`: nothing of
    /// the machine's is changed.
    pub(super) fn of_suite(suite: &str, folder: &Path) -> anyhow::Result<Archive> {
        for name in ["lists/partial", "cache/archives/partial"] {
            let folder = folder.join(name);
            fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        }
        let sources = folder.join("sources.list");
        let line = format!("deb [signed-by={KEYRING}] {} {suite} main\n", address(suite)?);
        fs::write(&sources, line).with_context(|| format!("write {}", sources.display()))?;
        let settings = [
            ("Dir::State::Lists", folder.join("lists")),
            ("Dir::Cache", folder.join("cache")),
            ("Dir::Etc::SourceList", sources),
            ("Dir::Etc::SourceParts", PathBuf::from("/dev/null")),
        ];
        let setting = |(key, path): &(&str, PathBuf)| format!("-o{key}={}", path.display());
        let archive = Archive { options: settings.iter().map(setting).collect() };
        shell::quiet(archive.apt("apt-get").arg("update"))?;
        Ok(archive)
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        // Root's own cache folder is not readable by apt's sandbox user, which would only cost a warning each time.
        command.arg("-oAPT::Sandbox::User=root").args(&self.options);
        command
    }

    /// The archive's candidate for `package` if its version is the pinned one, otherwise the newest the archive
    /// has, with a notice. `package=version` is what apt-get takes.
    pub(super) fn pinned_or_newest(&self, package: &str, version: &str) -> anyhow::Result<String> {
        let known = self.known(package)?;
        let mut versions = known.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim);
        if versions.clone().any(|candidate| candidate == version) {
            return Ok(format!("{package}={version}"));
        }
        let newest =
            versions.next().with_context(|| format!("the archive has no package {package}"))?;
        eprintln!("setup: {package} {version} has gone from the archive; taking {newest}");
        Ok(format!("{package}={newest}"))
    }

    fn known(&self, package: &str) -> anyhow::Result<String> {
        shell::output(self.apt("apt-cache").args(["madison", package]))
    }

    /// The newest package whose name matches `family`, when `package` itself has gone from the archive.
    pub(super) fn available(&self, package: &str, family: &str) -> anyhow::Result<String> {
        if !self.known(package)?.trim().is_empty() {
            return Ok(package.to_owned());
        }
        let search = ["search", "--names-only", family];
        let found = shell::output(self.apt("apt-cache").args(search))?;
        let names = found.lines().filter_map(|line| line.split_whitespace().next());
        let newest = names.max_by_key(|name| numbers_in(name));
        let newest = newest
            .with_context(|| format!("the archive has neither {package} nor any {family}"))?;
        eprintln!("setup: {package} has gone from the archive; taking {newest}");
        Ok(newest.to_owned())
    }

    /// Downloads `package=version` and unpacks it into `into`.
    pub(super) fn fetch_and_unpack(&self, target: &str, into: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(into).with_context(|| format!("create {}", into.display()))?;
        shell::quiet(self.apt("apt-get").args(["download", target]).current_dir(into))?;
        unpack_all(into, into).map(drop)
    }

    /// Downloads packages with those they depend on and this machine lacks, and unpacks all of them into `into`.
    pub(super) fn fetch_with_dependencies(
        &self,
        targets: &[String],
        into: &Path,
    ) -> anyhow::Result<()> {
        let archives = into.join("archives");
        let partial = archives.join("partial");
        fs::create_dir_all(&partial).with_context(|| format!("create {}", partial.display()))?;
        let mut download = self.apt("apt-get");
        download.arg(format!("-oDir::Cache::Archives={}", archives.display()));
        // dpkg's lock is root's, and nothing of dpkg's is written here.
        download.arg("-oDebug::NoLocking=1");
        // Reinstall: what is installed already comes as well, so that it lies where the others are.
        download.args(["install", "--reinstall", "--download-only", "--no-install-recommends"]);
        shell::quiet(download.args(["--allow-downgrades", "-y"]).args(targets))?;
        let count = unpack_all(&archives, into)?;
        ensure!(count >= targets.len(), "apt-get brought {count} packages of {targets:?}");
        fs::remove_dir_all(&archives).with_context(|| format!("remove {}", archives.display()))
    }
}

/// Unpacks every package that lies in `from`, and removes it. Returns how many there were.
fn unpack_all(from: &Path, into: &Path) -> anyhow::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let deb = entry?.path();
        if deb.extension().is_none_or(|extension| extension != "deb") {
            continue;
        }
        shell::quiet(Command::new("dpkg").arg("-x").arg(&deb).arg(into))?;
        fs::remove_file(&deb).with_context(|| format!("remove {}", deb.display()))?;
        count += 1;
    }
    ensure!(count > 0, "apt-get left no .deb in {}", from.display());
    Ok(count)
}

/// Of the package debian-archive-keyring, which every Debian has.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where the machine gets the release from that `suite` belongs to ("bookworm" of "bookworm-backports").
fn address(suite: &str) -> anyhow::Result<String> {
    let release = suite.split('-').next().unwrap_or(suite);
    let mut list = Command::new("apt-get");
    list.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
    let text = shell::output(list.arg(format!("Codename: {release}")))?;
    let first = text.lines().next();
    Ok(first.with_context(|| format!("no source of apt's names {release}"))?.to_owned())
}

fn numbers_in(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::numbers_in;

    #[test]
    fn package_names_order_by_their_numbers() {
        let newer = "linux-image-6.12.117+deb12-cloud-amd64";
        assert!(numbers_in(newer) > numbers_in("linux-image-6.12.99+deb12-cloud-amd64"));
        assert!(
            numbers_in("linux-image-6.1.0-56-cloud-amd64")
                > numbers_in("linux-image-6.1.0-9-cloud-amd64")
        );
    }
}
