//! A guest kernel below the cache: `kernel/6.1-<key>/{vmlinuz,modules/*.ko,order,package}`, taken out of Debian's
//! cloud kernel package. `order` lists the modules so that each comes after what it depends on.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::debs::Archive;
use super::shelf::{self, remove};
use super::step::Step;
use super::versions::{KernelPin, Versions};
use super::{packages, shell};

/// Where the kernel of a series ("6.1") lies once set up. Clones of the repository that pin other modules share the cache, so
/// the name tells what was pinned.
pub(crate) fn folder(cache: &Path, series: &str, versions: &Versions) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    let pin = versions.kernel.get(series).map(|pin| stamp(pin, &versions.modules.names));
    pin.hash(&mut hasher);
    cache.join("kernel").join(format!("{series}-{:016x}", hasher.finish()))
}

pub(super) fn is_present(cache: &Path, series: &str, versions: &Versions) -> bool {
    let pin = versions.kernel.get(series).map(|pin| stamp(pin, &versions.modules.names));
    let place = folder(cache, series, versions);
    pin.is_some()
        && fs::read_to_string(place.join("package")).ok() == pin
        && shelf::is_whole(&place)
}

pub(super) fn install(cache: &Path, series: &str, versions: &Versions) -> anyhow::Result<()> {
    let pin = versions
        .kernel
        .get(series)
        .with_context(|| format!("no kernel {series} in versions.toml"))?;
    let archive = Archive::of_machine();
    let package = archive.available(&pin.package, &pin.family)?;
    let target = archive.pinned_or_newest(&package, &pin.version)?;
    let place = folder(cache, series, versions);
    let staging = place.with_extension("part");
    let unpacked = staging.join("deb");
    remove(&staging)?;
    archive.fetch_and_unpack(&target, &unpacked)?;
    copy_out(&unpacked, &staging, &versions.modules.names)?;
    fs::remove_dir_all(&unpacked).with_context(|| format!("remove {}", unpacked.display()))?;
    fs::write(staging.join("package"), stamp(pin, &versions.modules.names))?;
    shelf::put(&staging, &place)
}

/// What the `package` file says: a changed pin or module list brings a new set-up.
fn stamp(pin: &KernelPin, modules: &[String]) -> String {
    format!("{}={} {}\n", pin.package, pin.version, modules.join(" "))
}

fn copy_out(unpacked: &Path, into: &Path, wanted: &[String]) -> anyhow::Result<()> {
    let image = only_entry(&unpacked.join("boot"), "vmlinuz-")?;
    fs::copy(&image, into.join("vmlinuz")).with_context(|| format!("copy {}", image.display()))?;
    let mut found = BTreeMap::new();
    collect_modules(&only_entry(&unpacked.join("lib/modules"), "")?.join("kernel"), &mut found)?;
    let modules = into.join("modules");
    fs::create_dir_all(&modules)?;
    let mut order = Vec::new();
    for name in wanted {
        place_module(name, &found, &modules, &mut order)?;
    }
    fs::write(into.join("order"), order.join("\n") + "\n").context("write the module order")
}

fn only_entry(folder: &Path, prefix: &str) -> anyhow::Result<PathBuf> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            return Ok(entry.path());
        }
    }
    bail!("nothing called {prefix}* in {}", folder.display())
}

/// Module name (with `_` for `-`, as the kernel has it) to its file.
fn collect_modules(folder: &Path, found: &mut BTreeMap<String, PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect_modules(&path, found)?;
        } else if let Some(name) =
            path.file_name().and_then(|name| name.to_str()?.split_once(".ko"))
        {
            found.insert(name.0.replace('-', "_"), path.clone());
        }
    }
    Ok(())
}

/// Puts a module and first all it depends on into `into`. A name the package has no file for is built into the
/// kernel, as virtio_pci is on 6.12.
fn place_module(
    name: &str,
    found: &BTreeMap<String, PathBuf>,
    into: &Path,
    order: &mut Vec<String>,
) -> anyhow::Result<()> {
    let Some(source) = found.get(name) else { return Ok(()) };
    if order.iter().any(|placed| placed == name) {
        return Ok(());
    }
    let bytes = read_module(source)?;
    for dependency in dependencies(&bytes) {
        place_module(&dependency, found, into, order)?;
    }
    fs::write(into.join(format!("{name}.ko")), bytes)
        .with_context(|| format!("write module {name}"))?;
    order.push(name.to_owned());
    Ok(())
}

fn read_module(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path.extension().is_some_and(|extension| extension == "xz") {
        let output = Command::new("xz").arg("-dc").arg(path).output().context("run xz")?;
        if !output.status.success() {
            bail!("xz -dc {}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
        }
        return Ok(output.stdout);
    }
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

/// The `depends=a,b` string of a module's modinfo section. It is the only NUL-terminated string of that form.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let value = module[at + KEY.len()..].split(|&byte| byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(value);
    text.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

/// The group of Debian's programs that every guest runs.
const GUEST: &str = "guest";

/// Set-up and the VM both run it.
pub(crate) fn busybox(cache: &Path, versions: &Versions) -> PathBuf {
    packages::folder(cache, GUEST, versions).join("bin/busybox")
}

pub(super) fn busybox_step<'a>(cache: &'a Path, versions: &'a Versions) -> Step<'a> {
    let check = |root: &Path| shell::quiet(Command::new(root.join("bin/busybox")).arg("true"));
    packages::checked_step(cache, GUEST, versions, check)
}

#[cfg(test)]
mod tests {
    use super::dependencies;

    #[track_caller]
    fn check(module: &[u8], expected: &[&str]) {
        assert_eq!(dependencies(module), expected);
    }

    #[test]
    fn modinfo_rows() {
        check(b"", &[]);
        check(b"license=GPL\0depends=\0retpoline=Y\0", &[]);
        check(
            b"license=GPL\0depends=virtio,virtio_ring\0name=virtio_blk\0",
            &["virtio", "virtio_ring"],
        );
        check(b"x\0depends=net-failover\0", &["net_failover"]);
        check(b"printk depends=this is prose\0x\0depends=llc\0", &["llc"]);
    }
}
