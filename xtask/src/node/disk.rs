//! Makes a node's disk of a folder: an ext4 file system, into which a guest then imports the container images with the
//! node's own containerd.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::setup::shell;
use crate::vm::{self, Guest, Kernel, Stream};

pub(super) const IMPORT: &str = include_str!("import.sh");

/// Sparse: it takes what is written.
const SIZE: &str = "2G";
/// It takes 6 to 12 s, more on a busy machine.
const IMPORT_LIMIT: Duration = Duration::from_secs(240);

/// `disk` is a file that does not exist yet.
pub(super) fn make(folder: &Path, disk: &Path, kernel: Kernel) -> anyhow::Result<()> {
    let mut make = Command::new("mke2fs");
    // Without a journal: nobody reads the disk after a crash.
    make.args(["-q", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0", "-d"]);
    shell::quiet(make.arg(folder).arg(disk).arg(SIZE)).context("make the node's disk")?;
    import(disk, kernel)
}

fn import(disk: &Path, kernel: Kernel) -> anyhow::Result<()> {
    let script = disk.with_extension("import");
    fs::write(&script, IMPORT).with_context(|| format!("write {}", script.display()))?;
    let mut guest = Guest::new(&["sh", "/import"]);
    guest.kernel = kernel;
    guest.files = vec![(script.clone(), "/import".to_owned())];
    guest.disks = vec![disk.to_owned()];
    guest.timeout = IMPORT_LIMIT;
    let mut said = Vec::new();
    let ended = vm::boot(&guest, &mut |_: Stream, bytes| said.extend_from_slice(bytes))?;
    fs::remove_file(&script).with_context(|| format!("remove {}", script.display()))?;
    if ended.exit_code != 0 {
        bail!("import the container images: {}", String::from_utf8_lossy(&said));
    }
    Ok(())
}
