//! (laid out, not yet filled)

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args) -> anyhow::Result<()> {
    anyhow::bail!("codegen: laid out, not yet filled")
}
