//! A machine that was stopped when containerd was up, and goes on from there as often as somebody wants: the memory in one file,
//! the disk in another. Made once for a shape and a version of QEMU; lies beside the image it was booted from.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::super::configuration;
use super::{Machine, Shape, arguments, escaped};
use crate::ready::eventually;

/// Writing 300 MB takes a second or two.
const SAVE_LIMIT: Duration = Duration::from_secs(60);

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
    (super::KERNEL_LINE, version.stdout).hash(&mut hasher);
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
    let monitor = monitor(&staging)?;
    let disk = format!("file={},format=raw", escaped(&staging.join("disk")));
    let mut line = arguments(image, shape, &disk, &empty, None)?;
    line.extend(
        ["-chardev", "pipe,id=monitor,path=monitor", "-mon", "chardev=monitor"].map(str::to_owned),
    );
    let mut machine = Machine::spawn(&staging, line)?;
    machine.wait_for("ready", 1).await?;
    machine.process.say("warm")?;
    machine.wait_for("warm", 1).await?;
    save(&mut machine, &monitor).await?;
    let length = fs::metadata(staging.join("memory")).map_or(0, |it| it.len());
    ensure!(length > 0, "QEMU wrote no state\n{}", machine.process.end_of_log());
    fs::rename(&staging, place).with_context(|| format!("move into {}", place.display()))
}

/// The machine runs on while its memory is written, so its state says that it runs and nobody has to wake it.
async fn save(machine: &mut Machine, monitor: &Path) -> anyhow::Result<()> {
    let orders = "migrate_set_parameter max-bandwidth 8G\nmigrate \"exec:cat > memory\"\nquit\n";
    let pipe = File::options().write(true).open(monitor);
    pipe.and_then(|mut pipe| pipe.write_all(orders.as_bytes()))
        .with_context(|| format!("write to {}", monitor.display()))?;
    eventually("QEMU to save its state and end", SAVE_LIMIT, async || {
        Ok(machine.process.ended()?.map(drop))
    })
    .await
}

/// QEMU reads orders from NAME.in and answers in NAME.out.
fn monitor(folder: &Path) -> anyhow::Result<PathBuf> {
    let ends = ["monitor.in", "monitor.out"].map(|name| folder.join(name));
    let made = Command::new("mkfifo").args(&ends).status().context("run mkfifo")?;
    ensure!(made.success(), "mkfifo ended with {made}");
    let [orders, _] = ends;
    Ok(orders)
}

/// Two gigabytes of which a tenth is written.
fn copy_sparse(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copied = Command::new("cp").arg("--sparse=always").args([from, to]).status();
    let copied = copied.context("run cp")?;
    ensure!(copied.success(), "copy {} to {}: {copied}", from.display(), to.display());
    Ok(())
}
