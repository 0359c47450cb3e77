//! What lies on a node's disk: programs with their libraries, scripts, settings, keys. Owns the places; the programs come from
//! `setup`, the file system is made by `disk`.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::setup::versions::Versions;
use crate::setup::{kernel, packages, shell};
use crate::vm::{initrd, libs};

/// Group of Debian's programs.
pub(super) const PACKAGES: &str = "kube";

/// This file decides of the disk too.
pub(super) const SOURCE: &str = include_str!("root.rs");

/// Scripts and settings: where they go in the node, may they be run, their text.
pub(super) const FILES: [(&str, u32, &str); 22] = [
    ("etc/inittab", 0o644, include_str!("root/inittab")),
    ("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\n"),
    ("etc/group", 0o644, "root:x:0:\n"),
    ("etc/hosts", 0o644, "127.0.0.1 localhost\n"),
    // QEMU's own.
    ("etc/resolv.conf", 0o644, "nameserver 10.0.2.3\n"),
    ("etc/machine-id", 0o644, "00000000000000000000000000000001\n"),
    ("etc/node/environment", 0o644, include_str!("root/environment")),
    ("etc/node/common", 0o644, initrd::COMMON),
    ("etc/node/prepare", 0o755, include_str!("root/prepare.sh")),
    ("etc/node/containerd", 0o755, include_str!("root/containerd.sh")),
    ("etc/node/ssh", 0o755, include_str!("root/ssh.sh")),
    ("etc/node/configure", 0o755, include_str!("root/configure.sh")),
    ("etc/node/kubelet", 0o755, include_str!("root/kubelet.sh")),
    ("etc/containerd/config.toml", 0o644, include_str!("root/containerd.toml")),
    ("etc/containerd/systemd.toml", 0o644, include_str!("root/containerd-systemd.toml")),
    ("etc/systemd/system/node.target", 0o644, include_str!("root/node.target")),
    ("etc/systemd/system/prepare.service", 0o644, include_str!("root/prepare.service")),
    ("etc/systemd/system/configure.service", 0o644, include_str!("root/configure.service")),
    ("etc/systemd/system/containerd.service", 0o644, DAEMON),
    ("etc/systemd/system/ssh.service", 0o644, DAEMON),
    ("etc/systemd/system/kubelet.service", 0o644, DAEMON),
    ("etc/cni/net.d/10-bench.conflist", 0o644, include_str!("root/network.conflist")),
];

/// Each runs the script of its own name.
const DAEMON: &str = include_str!("root/daemon.service");

/// Programs of the modules, and where a node looks for them.
const PROGRAMS: [(&str, &str); 7] = [
    ("kubelet", "usr/local/bin"),
    ("containerd", "usr/local/bin"),
    ("containerd-shim-runc-v2", "usr/local/bin"),
    ("ctr", "usr/local/bin"),
    ("ptp", "opt/cni/bin"),
    ("host-local", "opt/cni/bin"),
    ("bridge", "opt/cni/bin"),
];
/// Programs of the packages. They bring shared libraries.
const DEBIAN_PROGRAMS: [&str; 4] =
    ["usr/sbin/runc", "usr/sbin/dropbear", "lib/systemd/systemd", "bin/systemctl"];
const LIBRARIES: &str = "lib/x86_64-linux-gnu";
const LOADER: &str = "ld-linux-x86-64.so.2";

const FOLDERS: [&str; 14] = [
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "mnt",
    "root/.ssh",
    "images",
    "etc/dropbear",
    "lib64",
    "usr/sbin",
    "var/lib",
    "var/log",
    LIBRARIES,
];

/// Keys of one image: the node's own, and the one with which its host comes in.
pub(super) struct Keys {
    host: PathBuf,
    authorized: String,
}

impl Keys {
    /// Leaves in `staging` what the client takes: its private key `ssh_key`, readable by its owner only, and
    /// `.ssh/known_hosts`, in which every address that a node may get has this key.
    pub(super) fn make(cache: &Path, versions: &Versions, staging: &Path) -> anyhow::Result<Keys> {
        let host = staging.join("host_key");
        let of_node = make_key(cache, versions, &host)?;
        let authorized = make_key(cache, versions, &staging.join("ssh_key"))?;
        let known = (2..=254).map(|last| format!("127.0.0.{last} {of_node}\n"));
        write(&staging.join(".ssh/known_hosts"), known.collect::<String>().as_bytes(), 0o644)?;
        Ok(Keys { host, authorized })
    }
}

/// Returns the public key as one line.
fn make_key(cache: &Path, versions: &Versions, path: &Path) -> anyhow::Result<String> {
    let packages = packages::folder(cache, PACKAGES, versions);
    let mut make = Command::new(packages.join("usr/bin/dropbearkey"));
    make.env("LD_LIBRARY_PATH", packages::library_path(&packages));
    let said = shell::output(make.args(["-t", "ed25519", "-f"]).arg(path))?;
    let public = said.lines().find(|line| line.starts_with("ssh-ed25519"));
    let public = public.context("dropbearkey printed no public key")?;
    // Without the comment behind it, which dropbear takes for a part of the key in its list of known hosts.
    Ok(public.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

/// Writes the tree of the disk into `root`.
pub(super) fn lay_out(
    root: &Path,
    cache: &Path,
    versions: &Versions,
    modules: &[PathBuf],
    keys: &Keys,
    images: &[(&str, Vec<u8>)],
) -> anyhow::Result<()> {
    for folder in FOLDERS {
        let folder = root.join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    }
    for (path, mode, text) in FILES {
        write(&root.join(path), text.as_bytes(), mode)?;
    }
    write(&root.join("root/.ssh/authorized_keys"), keys.authorized.as_bytes(), 0o600)?;
    copy(&keys.host, &root.join("etc/dropbear/host_key"), 0o600)?;
    for (name, image) in images {
        write(&root.join("images").join(name), image, 0o644)?;
    }
    add_busybox(root, &kernel::busybox(cache, versions))?;
    add_programs(root, cache, versions, modules)
}

fn add_busybox(root: &Path, busybox: &Path) -> anyhow::Result<()> {
    copy(busybox, &root.join("bin/busybox"), 0o755)?;
    fs::create_dir_all(root.join("sbin")).context("create sbin")?;
    symlink("../bin/busybox", root.join("sbin/init")).context("link init")?;
    for applet in shell::output(Command::new(busybox).arg("--list"))?.lines() {
        if applet != "busybox" {
            symlink("busybox", root.join("bin").join(applet))
                .with_context(|| format!("link {applet}"))?;
        }
    }
    Ok(())
}

fn add_programs(
    root: &Path,
    cache: &Path,
    versions: &Versions,
    modules: &[PathBuf],
) -> anyhow::Result<()> {
    for (program, place) in PROGRAMS {
        let mut found = modules.iter().map(|folder| folder.join(program));
        let from = found.find(|path| path.exists());
        let from = from.with_context(|| format!("{program} is in none of {modules:?}"))?;
        copy(&from, &root.join(place).join(program), 0o755)?;
    }
    let packages = packages::folder(cache, PACKAGES, versions);
    let search = packages::library_path(&packages);
    for path in DEBIAN_PROGRAMS {
        let program = packages.join(path);
        copy(&program, &root.join(path), 0o755)?;
        for library in libs::needed_by_with(&program, &search)? {
            add_library(root, &library)?;
        }
    }
    Ok(())
}

/// The loader has a path that every program names; the others lie where the loader looks.
fn add_library(root: &Path, library: &Path) -> anyhow::Result<()> {
    let name = library.file_name().context("a library has a name")?;
    let place = if name == LOADER { "lib64" } else { LIBRARIES };
    copy(library, &root.join(place).join(name), 0o755)
}

fn copy(from: &Path, to: &Path, mode: u32) -> anyhow::Result<()> {
    let content = fs::read(from).with_context(|| format!("read {}", from.display()))?;
    write(to, &content, mode)
}

fn write(path: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    fs::write(path, content).with_context(|| format!("write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("set the mode of {}", path.display()))
}
