//! The image of a node VM: `node/<key>/` below the cache, with the kernel, its parameters, a small initramfs and a disk that holds containerd, the
//! kubelet and the container images. Made once of what set-up brought; the crate `testkit` boots it.

mod disk;
mod root;

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::image::bench::{self, Name};
use crate::setup::kernel;
use crate::setup::kubernetes::Kubernetes;
use crate::setup::shelf::{self, remove};
use crate::setup::versions::Versions;
use crate::setup::{kube, shell};
use crate::vm::qemu::KERNEL_LINE;
use crate::vm::{self, Kernel};

/// The kernel that nodes run. It is the older one: what works there works on 6.12.
const KERNEL: Kernel = Kernel::V6_1;

/// Where the image lies once it is made. Another program, kernel or script is another image.
pub(crate) fn folder(
    cache: &Path,
    versions: &Versions,
    kubernetes: &Kubernetes,
) -> anyhow::Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    for folder in parts(cache, versions, kubernetes)? {
        folder.file_name().hash(&mut hasher);
    }
    (&versions.kernel, &versions.modules, versions.packages.get("guest")).hash(&mut hasher);
    versions.packages.get(root::PACKAGES).hash(&mut hasher);
    (root::SOURCE, root::FILES, disk::IMPORT, bench::SOURCES).hash(&mut hasher);
    (INITRAMFS, KERNEL_LINE).hash(&mut hasher);
    Ok(cache.join("node").join(format!("{:016x}", hasher.finish())))
}

/// The folders of the Go programs that a node runs.
fn parts(
    cache: &Path,
    versions: &Versions,
    kubernetes: &Kubernetes,
) -> anyhow::Result<Vec<PathBuf>> {
    let modules = [kubernetes.nodes.as_str(), "containerd", "cni"];
    modules.iter().map(|name| kube::folder_of(cache, versions, name)).collect()
}

pub(crate) fn is_present(cache: &Path, versions: &Versions, kubernetes: &Kubernetes) -> bool {
    folder(cache, versions, kubernetes).is_ok_and(|folder| shelf::is_whole(&folder))
}

/// Takes half a minute: the images are imported by the node's own containerd in a guest.
pub(crate) fn install(
    cache: &Path,
    versions: &Versions,
    kubernetes: &Kubernetes,
) -> anyhow::Result<()> {
    let place = folder(cache, versions, kubernetes)?;
    let shelf = cache.join("node");
    let _only_one = shelf::lock(&shelf)?;
    if shelf::is_whole(&place) {
        // Somebody else has made it while we waited.
        return Ok(());
    }
    let staging = shelf.join("part");
    remove(&staging)?;
    fs::create_dir(&staging).with_context(|| format!("create {}", staging.display()))?;
    write(&staging, cache, versions, kubernetes)?;
    remove_unused(&shelf)?;
    shelf::put(&staging, &place)
}

fn write(
    staging: &Path,
    cache: &Path,
    versions: &Versions,
    kubernetes: &Kubernetes,
) -> anyhow::Result<()> {
    let parts = parts(cache, versions, kubernetes)?;
    let busybox = kernel::busybox(cache, versions);
    let kernel = kernel::folder(cache, KERNEL.series(), versions);
    fs::write(staging.join("parameters"), KERNEL_LINE).context("write the kernel's parameters")?;
    fs::copy(kernel.join("vmlinuz"), staging.join("vmlinuz")).context("copy the node's kernel")?;
    let initramfs = vm::initrd::minimal(&busybox, &kernel, INITRAMFS.as_bytes())?;
    fs::write(staging.join("initramfs"), initramfs).context("write the node's initramfs")?;
    compile_pause(cache, versions, &kubernetes.nodes, &staging.join("pause"))?;
    let keys = root::Keys::make(cache, versions, staging)?;
    let images = [Name::Pause, Name::Box].map(|name| {
        bench::build(name, &busybox, &staging.join("pause"))
            .map(|image| (name.file_name(), image.archive))
    });
    let images = images.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let folder = staging.join("root");
    root::lay_out(&folder, cache, versions, &parts, &keys, &images)?;
    disk::make(&folder, &staging.join("disk"), KERNEL)?;
    remove(&folder)
}

const INITRAMFS: &str = include_str!("node/initramfs.sh");

/// Kubernetes' pause is one C file, which comes with the sources of the module.
fn compile_pause(cache: &Path, versions: &Versions, module: &str, to: &Path) -> anyhow::Result<()> {
    let source = kube::source_of(cache, versions, module)?.join("build/pause/linux/pause.c");
    let mut compile = Command::new("cc");
    compile.args(["-Os", "-static", "-s", "-DVERSION=bench", "-o"]).arg(to).arg(&source);
    shell::quiet(&mut compile).context("compile pause (Debian: gcc and libc6-dev)")
}

/// An image that no node was started from for so long is one of a version before.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// An image takes 600 MB with its saved states. Another clone of the repository may run nodes of an image of its own, so what
/// was used of late stays.
fn remove_unused(shelf: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(shelf).with_context(|| format!("list {}", shelf.display()))? {
        let path = entry?.path();
        if path.is_dir() && last_use(&path).is_some_and(|age| age > KEPT) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// How long ago: each node that is started opens the lock of the saved states anew.
fn last_use(image: &Path) -> Option<Duration> {
    let age = |path: &Path| fs::metadata(path).ok()?.modified().ok()?.elapsed().ok();
    age(&image.join("states/lock")).or_else(|| age(image))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use super::{KEPT, remove_unused};

    #[test]
    fn only_an_image_that_nobody_uses_goes() {
        let shelf = std::env::temp_dir().join(format!("xtask-images-{}", std::process::id()));
        for (name, age) in [("old", KEPT + Duration::from_secs(60)), ("used", KEPT / 2)] {
            let states = shelf.join(name).join("states");
            fs::create_dir_all(&states).unwrap();
            let lock = File::create(states.join("lock")).unwrap();
            lock.set_modified(SystemTime::now() - age).unwrap();
        }
        fs::create_dir(shelf.join("new")).unwrap();
        remove_unused(&shelf).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(&shelf).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["new", "used"]);
        fs::remove_dir_all(&shelf).unwrap();
    }
}
