//! The guest's root file system: busybox, our init, the modules, what the host wants in the guest with
//! the shared libraries of each program, and the order what to run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use super::cpio::Archive;
use super::qemu::Workplace;
use super::{Guest, Session, libs};
use crate::setup::shell;

/// What the first script of a guest begins with, also that of a node.
pub(crate) const COMMON: &str = include_str!("common.sh");

/// The initramfs of one guest, as bytes. The folder of `place` is for files on the way.
pub(super) fn build(guest: &Guest, busybox: &Path, place: &Workplace) -> anyhow::Result<Vec<u8>> {
    let mut archive = Archive::default();
    for directory in ["/tmp", "/run", "/out"] {
        archive.directory(directory);
    }
    archive.file("/etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n");
    archive.file("/etc/group", 0o644, b"root:x:0:\n");
    add_system(&mut archive, busybox, &place.kernel, include_bytes!("init.sh"))?;
    archive.file("/etc/guest/common", 0o644, COMMON.as_bytes());
    for (host, path) in &guest.files {
        add_path(&mut archive, host, path, &place.folder)?;
    }
    add_order(&mut archive, guest)?;
    Ok(archive.finish())
}

/// An initramfs with `init`, busybox and the modules alone, for a guest that has the rest on a disk.
pub(crate) fn minimal(busybox: &Path, kernel: &Path, init: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut archive = Archive::default();
    add_system(&mut archive, busybox, kernel, init)?;
    Ok(archive.finish())
}

fn add_system(
    archive: &mut Archive,
    busybox: &Path,
    kernel: &Path,
    init: &[u8],
) -> anyhow::Result<()> {
    for directory in ["/dev", "/proc", "/sys", "/root"] {
        archive.directory(directory);
    }
    // The kernel opens it for init before any file system is mounted.
    archive.character_device("/dev/console", 5, 1);
    archive.file("/init", 0o755, init);
    add_busybox(archive, busybox)?;
    add_modules(archive, kernel)
}

fn add_busybox(archive: &mut Archive, busybox: &Path) -> anyhow::Result<()> {
    archive.file("/bin/busybox", 0o755, &read(busybox)?);
    for applet in shell::output(Command::new(busybox).arg("--list"))?.lines() {
        archive.symlink(&format!("/bin/{applet}"), "busybox");
    }
    Ok(())
}

fn add_modules(archive: &mut Archive, kernel: &Path) -> anyhow::Result<()> {
    let order = fs::read_to_string(kernel.join("order"))
        .with_context(|| format!("read {}/order", kernel.display()))?;
    for name in order.split_whitespace() {
        let module = read(&kernel.join(format!("modules/{name}.ko")))?;
        archive.file(&format!("/lib/modules/{name}.ko"), 0o644, &module);
    }
    archive.file("/etc/guest/modules", 0o644, order.as_bytes());
    Ok(())
}

/// A file with the libraries it needs, or a folder with all that is in it.
fn add_path(archive: &mut Archive, host: &Path, guest: &str, scratch: &Path) -> anyhow::Result<()> {
    if host.is_dir() {
        archive.directory(guest);
        for entry in fs::read_dir(host).with_context(|| format!("list {}", host.display()))? {
            let entry = entry?;
            add_path(
                archive,
                &entry.path(),
                &format!("{guest}/{}", entry.file_name().to_string_lossy()),
                scratch,
            )?;
        }
        return Ok(());
    }
    let content = read(host)?;
    let is_program = content.starts_with(b"\x7fELF");
    let permissions =
        fs::metadata(host).with_context(|| format!("look at {}", host.display()))?.permissions();
    if is_program && content.len() > STRIP_FROM_BYTES {
        archive.file(guest, permissions.mode(), &without_debug_info(host, scratch)?);
    } else {
        archive.file(guest, permissions.mode(), &content);
    }
    if is_program {
        add_libraries(archive, host)?;
    }
    Ok(())
}

/// Unpacking costs the guest about 30 ms for each MiB; below this, stripping costs as much.
const STRIP_FROM_BYTES: usize = 2 << 20;

/// The program with its symbols but without line tables, which are two thirds of it.
fn without_debug_info(program: &Path, scratch: &Path) -> anyhow::Result<Vec<u8>> {
    let stripped = scratch.join("stripped");
    shell::quiet(Command::new("strip").arg("--strip-debug").arg("-o").arg(&stripped).arg(program))?;
    read(&stripped)
}

fn add_libraries(archive: &mut Archive, program: &Path) -> anyhow::Result<()> {
    for library in libs::needed_by(program)? {
        let name =
            library.to_str().with_context(|| format!("odd library path {}", library.display()))?;
        if !archive.contains(name) {
            archive.file(name, 0o755, &read(&library)?);
        }
    }
    Ok(())
}

fn add_order(archive: &mut Archive, guest: &Guest) -> anyhow::Result<()> {
    let session = match guest.session {
        Session::Batch => "batch",
        Session::Terminal { .. } => "terminal",
    };
    let window = match guest.session {
        Session::Terminal { rows, columns } => format!("rows {rows} cols {columns}"),
        Session::Batch => String::new(),
    };
    archive.file("/etc/guest/session", 0o644, session.as_bytes());
    archive.file("/etc/guest/window", 0o644, window.as_bytes());
    archive.file("/etc/guest/command", 0o644, command_script(guest)?.as_bytes());
    let deadline_s = guest.timeout.as_secs() + super::GRACE.as_secs();
    archive.file("/etc/guest/deadline", 0o644, deadline_s.to_string().as_bytes());
    Ok(())
}

/// A script of one command, every word quoted. What the guest was asked to be goes with it, for the tests.
fn command_script(guest: &Guest) -> anyhow::Result<String> {
    let mut script = format!(
        "export BERTH_KERNEL={} BERTH_CPUS={} BERTH_NODES={}\n",
        guest.kernel.series(),
        guest.cpus,
        guest.nodes
    );
    for (key, value) in &guest.environment {
        let value = shlex::try_quote(value).context("quote a variable of the guest")?;
        script += &format!("export {key}={value}\n");
    }
    let words = guest.command.iter().map(String::as_str);
    let command = shlex::try_join(words).context("quote the guest's command")?;
    Ok(script + "exec " + &command + "\n")
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}
