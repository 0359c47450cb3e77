//! `cargo xtask image`: container images as archives that `ctr images import` and `docker load` take. Owns the command line; what is
//! in an image is the affair of the module of its name, how an archive is written is `layout`'s.

pub(crate) mod agent;
pub(crate) mod bench;
mod layout;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;

use crate::setup::kubernetes::Kubernetes;
use crate::setup::{self, kernel, versions};
use crate::{node, place};
use bench::Name;
pub(crate) use layout::Image;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    which: Which,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// The node agent and its command line tool, with the libraries they need and nothing else
    Agent(agent::Args),
    /// Kubernetes' own pause, as the nodes of the test bench have it
    Pause(Output),
    /// A shell and the usual tools, as the nodes of the test bench have it
    Box(Output),
}

#[derive(Debug, clap::Args)]
struct Output {
    /// Where the archive goes; NAME.tar in the build output when left out
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Output {
    fn or(&self, file_name: &str) -> PathBuf {
        self.output.clone().unwrap_or_else(|| place::target().join(file_name))
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.which {
        Which::Agent(args) => agent::run(args),
        Which::Pause(output) => of_bench(Name::Pause, output),
        Which::Box(output) => of_bench(Name::Box, output),
    }
}

fn of_bench(name: Name, output: &Output) -> anyhow::Result<()> {
    setup::ensure(setup::Group::Kube)?;
    let (cache, versions) = (place::cache()?, versions::pinned()?);
    let pause = node::folder(&cache, &versions, &Kubernetes::usual())?.join("pause");
    let image = bench::build(name, &kernel::busybox(&cache, &versions), &pause)?;
    save(&image, name.reference(), &output.or(name.file_name()))
}

/// Writes the archive and says what a person needs to use it.
fn save(image: &Image, reference: &str, path: &Path) -> anyhow::Result<()> {
    fs::write(path, &image.archive).with_context(|| format!("write {}", path.display()))?;
    println!("image   {reference}");
    println!("digest  {}", image.digest);
    let mib = image.archive.len() as f64 / f64::from(1 << 20);
    println!("size    {mib:.1} MiB in {}", path.display());
    Ok(())
}
