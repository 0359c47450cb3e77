//! The images of the test bench: Kubernetes' pause, and a box with a shell and the usual tools. Made of programs that set-up
//! brought, the same bytes for the same programs.

use std::path::Path;
use std::process::Command;

use super::layout::{self, Files, Image};
use crate::setup::shell;

/// An image that a node of the bench can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// What decides of an archive's bytes beside the programs.
pub(crate) const SOURCES: [&str; 2] = [include_str!("bench.rs"), include_str!("layout.rs")];

pub(crate) fn build(name: Name, busybox: &Path, pause: &Path) -> anyhow::Result<Image> {
    match name {
        Name::Pause => pause_image(pause),
        Name::Box => tool_box(busybox),
    }
}

fn pause_image(program: &Path) -> anyhow::Result<Image> {
    let mut files = Files::default();
    files.copy(program, "pause", 0o755)?;
    layout::archive(Name::Pause.reference(), files, &["/pause"])
}

/// Any command of busybox is there under its name; without one the container waits.
fn tool_box(busybox: &Path) -> anyhow::Result<Image> {
    let mut files = Files::default();
    for folder in ["bin", "etc", "proc", "root", "sys", "tmp", "dev"] {
        files.folder(folder)?;
    }
    files.copy(busybox, "bin/busybox", 0o755)?;
    files.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n")?;
    files.file("etc/group", 0o644, b"root:x:0:\n")?;
    for applet in shell::output(Command::new(busybox).arg("--list"))?.lines() {
        if applet != "busybox" {
            files.link(&format!("bin/{applet}"), "busybox")?;
        }
    }
    layout::archive(Name::Box.reference(), files, &["/bin/sleep", "2147483647"])
}
