//! `cargo xtask check`: everything that can be said about the tree without running the product.
//! Owns the order, the progress lines and the closing line; every check lives in a module of its
//! own or in the tool it calls.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::cargo::{MESSAGES, cargo};
use crate::test::build::FEATURES;
use crate::{codegen, compiled, deny, deps, ebpf, place, tidy};

/// Options of `cargo xtask check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only this check (may be repeated); the default is all of them
    #[arg(long, value_enum, value_name = "CHECK")]
    only: Vec<Check>,
    /// Rewrite xtask/deps.golden from the workspace as it is instead of comparing
    #[arg(long)]
    bless: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Check {
    Fmt,
    Clippy,
    Tidy,
    Deps,
    Deny,
    Codegen,
    Docs,
}

const ALL: [Check; 7] =
    [Check::Fmt, Check::Clippy, Check::Tidy, Check::Deps, Check::Deny, Check::Codegen, Check::Docs];

impl Check {
    const fn name(self) -> &'static str {
        match self {
            Check::Fmt => "fmt",
            Check::Clippy => "clippy",
            Check::Tidy => "tidy",
            Check::Deps => "deps",
            Check::Deny => "deny",
            Check::Codegen => "codegen",
            Check::Docs => "docs",
        }
    }

    const fn about(self) -> &'static str {
        match self {
            Check::Fmt => "the formatter has nothing to change",
            Check::Clippy => "no compiler or clippy warning in any target",
            Check::Tidy => "house rules the compiler does not know",
            Check::Deps => "only the allowed crate edges (xtask/deps.golden)",
            Check::Deny => "licences, banned crates, sources",
            Check::Codegen => "committed protobuf code is what proto/ generates",
            Check::Docs => "rustdoc without warnings",
        }
    }
}

/// Runs every check even after a failure, so that one run shows all there is to mend.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let root = place::repo();
    let wanted: Vec<Check> =
        ALL.into_iter().filter(|check| args.only.is_empty() || args.only.contains(check)).collect();
    let mut failed = Vec::new();
    for (idx, check) in wanted.iter().enumerate() {
        println!("[{}/{}] {}: {}", idx + 1, wanted.len(), check.name(), check.about());
        let began = Instant::now();
        let result = run_one(*check, root, args);
        let took_s = began.elapsed().as_secs_f64();
        match result {
            Ok(summary) => println!("      {} ok, {took_s:.1} s{summary}", check.name()),
            Err(error) => {
                println!("      {} FAILED, {took_s:.1} s: {error:#}", check.name());
                failed.push(check.name());
            }
        }
    }
    ensure!(
        failed.is_empty(),
        "{} of {} checks failed: {}",
        failed.len(),
        wanted.len(),
        failed.join(", ")
    );
    println!("all {} checks passed", wanted.len());
    Ok(())
}

/// Runs one check; `Ok` carries what is worth adding to its line, with its own separator.
fn run_one(check: Check, root: &Path, args: &Args) -> anyhow::Result<String> {
    match check {
        Check::Fmt => fmt(root),
        Check::Clippy => clippy(root),
        Check::Tidy => tidy::run(root),
        Check::Deps if args.bless => deps::bless(root),
        Check::Deps => deps::run(root),
        Check::Deny => deny::run(root),
        Check::Codegen => codegen::check().map(|()| String::new()),
        Check::Docs => docs(root),
    }
}

/// Packages outside of the workspace: the BPF programs and the fuzz targets.
const OUTSIDE: [&str; 3] = ["agent-ebpf/Cargo.toml", FUZZ[0], FUZZ[1]];
const FUZZ: [&str; 2] = ["agent/hostfs/fuzz/Cargo.toml", "controlplane/metastore/fuzz/Cargo.toml"];

fn fmt(root: &Path) -> anyhow::Result<String> {
    status(cargo(root).args(["fmt", "--all", "--check", "--", "-l"]))?;
    for manifest in OUTSIDE.map(|manifest| root.join(manifest)) {
        ensure!(manifest.exists(), "{} is gone", manifest.display());
        let format = ["fmt", "--check", "--manifest-path"];
        status(cargo(root).args(format).arg(manifest).args(["--", "-l"]))?;
    }
    Ok(String::new())
}

fn clippy(root: &Path) -> anyhow::Result<String> {
    let mut clippy = cargo(root);
    clippy.args(["clippy", "--locked", "--workspace", "--all-targets"]).args(FEATURES);
    clippy.args([MESSAGES, "--", "-D", "warnings"]);
    compiled::run(&mut clippy, "debug")?;
    // The fuzz targets are only built for a soak; a lock file that is behind would be found there.
    let locked = ["metadata", "--locked", "--format-version=1", "--manifest-path"];
    for manifest in FUZZ {
        status(cargo(root).args(locked).arg(manifest).stdout(Stdio::null()))?;
    }
    ebpf::clippy().map(|()| String::new())
}

fn docs(root: &Path) -> anyhow::Result<String> {
    let arguments =
        ["doc", "--quiet", "--locked", "--workspace", "--no-deps", "--document-private-items"];
    status(cargo(root).args(arguments).env("RUSTDOCFLAGS", "-D warnings")).map(|()| String::new())
}

/// Runs a child with our own output streams; an exit other than 0 is an error.
pub(crate) fn status(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("failed to start {command:?}"))?;
    ensure!(status.success(), "{} ended with {status}", shown(command));
    Ok(())
}

/// Program and arguments without the environment, short enough for one line.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let mut words = vec![program.to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}
