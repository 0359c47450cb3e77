//! The BPF linker: built once by cargo against the LLVM that Debian's rustc brought, so that both read
//! the same bitcode.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::shell;
use super::step::{Needs, Step};
use super::versions::{CargoTool, Versions};

const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

/// Where `bpf-linker` lies once set up.
pub(crate) fn linker_path(cache: &Path) -> PathBuf {
    tools(cache).join("bin/bpf-linker")
}

fn tools(cache: &Path) -> PathBuf {
    cache.join("tools")
}

fn llvm_prefix(cache: &Path) -> PathBuf {
    cache.join("llvm22")
}

fn pin(versions: &Versions) -> anyhow::Result<&CargoTool> {
    versions.cargo.get("bpf-linker").context("no bpf-linker in versions.toml")
}

/// A prefix that holds the one link bpf-linker's build looks for: Debian ships the library without it.
pub(super) fn llvm<'a>(cache: &'a Path, versions: &'a Versions) -> Step<'a> {
    let link = llvm_prefix(cache).join("lib/libLLVM.so");
    let seen = link.clone();
    Step {
        name: "link to Debian's LLVM".to_owned(),
        needs: Needs::Nothing,
        is_present: Box::new(move || seen.exists()),
        install: Box::new(move || {
            let library = Path::new(LIBRARIES).join(&pin(versions)?.llvm);
            fs::create_dir_all(llvm_prefix(cache).join("lib"))?;
            if link.is_symlink() {
                fs::remove_file(&link)?;
            }
            symlink(&library, &link)
                .with_context(|| format!("link {} to {}", link.display(), library.display()))
        }),
    }
}

pub(super) fn linker<'a>(cache: &'a Path, versions: &'a Versions) -> Step<'a> {
    Step {
        name: "bpf-linker".to_owned(),
        needs: Needs::Nothing,
        is_present: Box::new(move || {
            pin(versions).is_ok_and(|pin| is_installed(cache, &pin.version))
        }),
        install: Box::new(move || {
            let pin = pin(versions)?;
            let mut install = Command::new("cargo");
            install.args([
                "install",
                "bpf-linker",
                "--version",
                &pin.version,
                "--locked",
                "--profile",
                "dev",
            ]);
            install
                .args(["--no-default-features", "--features", &pin.features, "--root"])
                .arg(tools(cache));
            // No debug info: the linker is run, not debugged, and it halves the build.
            install.env("CARGO_PROFILE_DEV_DEBUG", "0").env("LLVM_PREFIX", llvm_prefix(cache));
            install.env_remove("CARGO_TARGET_DIR");
            shell::quiet(&mut install)
        }),
    }
}

/// cargo's own record of what it installed below the root; its keys are `name version (source)`.
fn is_installed(cache: &Path, version: &str) -> bool {
    let record = fs::read_to_string(tools(cache).join(".crates.toml")).unwrap_or_default();
    record.contains(&format!("\"bpf-linker {version} ")) && linker_path(cache).exists()
}
