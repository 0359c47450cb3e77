//! `cargo xtask image`: the container images of the test bench, as archives that `ctr images import` and `docker load` take.
//! Owns which images there are and what is in them; how an archive is written is `layout`'s.

mod layout;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::ValueEnum;

use crate::setup::kubernetes::Kubernetes;
use crate::setup::{self, kernel, shell, versions};
use crate::{node, place};
use layout::Files;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which image
    name: Name,
    /// Where the archive goes; NAME.tar in the build output when left out
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// An image that a node of the bench can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// Kubernetes' own pause: holds the namespaces of a pod
    Pause,
    /// A shell and the usual tools, for tests
    Box,
}

impl Name {
    /// As a pod names it. The host does not exist: nothing is ever pulled.
    pub(crate) fn reference(self) -> &'static str {
        match self {
            Self::Pause => "bench.test/pause:1",
            Self::Box => "bench.test/box:1",
        }
    }

    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Self::Pause => "pause.tar",
            Self::Box => "box.tar",
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    setup::ensure(setup::Group::Kube)?;
    let out = args.out.clone().unwrap_or_else(|| place::target().join(args.name.file_name()));
    let (cache, versions) = (place::cache()?, versions::pinned()?);
    let pause = node::folder(&cache, &versions, &Kubernetes::usual())?.join("pause");
    let archive = build(args.name, &kernel::busybox(&cache, &versions), &pause)?;
    fs::write(&out, archive).with_context(|| format!("write {}", out.display()))?;
    println!("{} in {}", args.name.reference(), out.display());
    Ok(())
}

/// What decides of an archive's bytes beside the programs.
pub(crate) const SOURCES: [&str; 2] = [include_str!("image.rs"), include_str!("image/layout.rs")];

/// The archive of one image. The same bytes for the same programs.
pub(crate) fn build(name: Name, busybox: &Path, pause: &Path) -> anyhow::Result<Vec<u8>> {
    match name {
        Name::Pause => pause_image(pause),
        Name::Box => tool_box(busybox),
    }
}

fn pause_image(program: &Path) -> anyhow::Result<Vec<u8>> {
    let mut files = Files::default();
    files.file("pause", 0o755, &read(program)?)?;
    layout::archive(Name::Pause.reference(), files, &["/pause"])
}

/// Any command of busybox is there under its name; without one the container waits.
fn tool_box(busybox: &Path) -> anyhow::Result<Vec<u8>> {
    let mut files = Files::default();
    for folder in ["bin", "etc", "proc", "root", "sys", "tmp", "dev"] {
        files.folder(folder)?;
    }
    files.file("bin/busybox", 0o755, &read(busybox)?)?;
    files.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n")?;
    files.file("etc/group", 0o644, b"root:x:0:\n")?;
    for applet in shell::output(Command::new(busybox).arg("--list"))?.lines() {
        if applet != "busybox" {
            files.link(&format!("bin/{applet}"), "busybox")?;
        }
    }
    layout::archive(Name::Box.reference(), files, &["/bin/sleep", "2147483647"])
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}
