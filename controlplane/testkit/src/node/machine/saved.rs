//! A machine that was stopped when containerd was up, and goes on from there as often as somebody wants: memory, disk and the rest
//! in a file each. Made once for a shape and a version of QEMU; lies beside the image it was booted from.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::super::configuration;
use super::{Machine, Memory, Shape, arguments, escaped};
use crate::ready::eventually;

/// Writing 300 MB takes a second or two.
const SAVE_LIMIT: Duration = Duration::from_secs(180);

/// The folder of the state, which is made when there is none.
pub(in crate::node) async fn ensure(image: &Path, shape: &Shape) -> anyhow::Result<PathBuf> {
    let place = image.join("states").join(name(shape)?);
    let shelf = place.parent().unwrap_or(image);
    fs::create_dir_all(shelf).with_context(|| format!("create {}", shelf.display()))?;
    let path = shelf.join("lock");
    let lock = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    // Another test may be making it; the kernel drops the lock with its holder. Waits on a thread of its own, for the
    // holder may be a task of this one.
    let waited = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await;
    let _only_one = waited.context("wait for a thread")?.context("lock the saved states")?;
    if !place.exists() {
        make(image, shape, &place).await.context("save the state of a node")?;
    }
    Ok(place)
}

/// QEMU reads the states of its own version.
fn name(shape: &Shape) -> anyhow::Result<String> {
    let version = Command::new("qemu-system-x86_64").arg("--version").output();
    let version = version.context("run qemu-system-x86_64 (`cargo xtask setup --group kube`)")?;
    let mut hasher = DefaultHasher::new();
    (include_str!("saved.rs"), version.stdout).hash(&mut hasher);
    let Shape { cpus, numa_nodes, memory_mib } = shape;
    Ok(format!("{cpus}x{numa_nodes}-{memory_mib}-{:08x}", hasher.finish() as u32))
}

async fn make(image: &Path, shape: &Shape, place: &Path) -> anyhow::Result<()> {
    let staging = place.with_extension("part");
    if staging.exists() {
        fs::remove_dir_all(&staging).with_context(|| format!("empty {}", staging.display()))?;
    }
    fs::create_dir(&staging).with_context(|| format!("create {}", staging.display()))?;
    copy_sparse(&image.join("disk"), &staging.join("disk"))?;
    let empty = configuration::save(&staging.join("configuration.tar"), &[])?;
    let disk = format!("file={},format=raw", escaped(&staging.join("disk")));
    let line = arguments(image, shape, &disk, Memory::KeptIn(&staging), &empty.path, None)?;
    let mut machine = Machine::spawn(&staging, line)?;
    machine.wait_for("ready", 1).await?;
    machine.process.say("warm")?;
    machine.wait_for("warm", 1).await?;
    save(&mut machine).await?;
    let length = fs::metadata(staging.join(STATE)).map_or(0, |it| it.len());
    ensure!(length > 0, "QEMU wrote no state\n{}", machine.process.end_of_log());
    flush(&staging)?;
    fs::rename(&staging, place).with_context(|| format!("move into {}", place.display()))
}

/// Half a gigabyte. The first node would wait for the disk otherwise, and after a power cut a state would look whole.
fn flush(folder: &Path) -> anyhow::Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    for path in entries.map(|entry| entry.map(|entry| entry.path())) {
        let path = path.with_context(|| format!("list {}", folder.display()))?;
        if path.is_file() {
            let file = File::open(&path).and_then(|file| file.sync_all());
            file.with_context(|| format!("write {} to the disk", path.display()))?;
        }
    }
    Ok(())
}

/// All but the memory, which lies in files already: those that the machine kept it in.
const STATE: &str = "state";
/// QEMU neither writes nor reads memory that lies in a file.
const WITHOUT_MEMORY: &str = "migrate_set_capability x-ignore-shared on\n";

/// The machine runs until its state is written, so that says that it runs and nobody has to wake it.
async fn save(machine: &mut Machine) -> anyhow::Result<()> {
    machine.order(&format!("{WITHOUT_MEMORY}migrate \"exec:cat > {STATE}\"\nquit\n"))?;
    eventually("QEMU to save its state and end", SAVE_LIMIT, async || {
        Ok(machine.process.ended()?.map(drop))
    })
    .await
}

/// What a machine is told that has the memory of a saved one.
pub(super) fn orders_to_go_on(place: &Path) -> String {
    format!("{WITHOUT_MEMORY}migrate_incoming \"exec:cat '{}'\"\n", place.join(STATE).display())
}

/// Two gigabytes of which a tenth is written.
fn copy_sparse(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copied = Command::new("cp").arg("--sparse=always").args([from, to]).status();
    let copied = copied.context("run cp")?;
    ensure!(copied.success(), "copy {} to {}: {copied}", from.display(), to.display());
    Ok(())
}
