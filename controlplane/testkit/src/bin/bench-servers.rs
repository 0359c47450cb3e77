//! Keeps a control plane for others: starts it in a folder, says when it is ready, ends it when standard input closes or a signal
//! comes. `cargo xtask` calls it; nothing here is a test.

#![expect(clippy::print_stdout, reason = "who started it reads what it says")]

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser;
use testkit::{Apiserver, Bench, Controllers, Etcd, Scheduler};
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Parser)]
struct Args {
    /// For logs and certificates; what lies there is removed
    #[arg(long)]
    folder: PathBuf,
    /// Use this store instead of an etcd of its own
    #[arg(long, value_name = "ENDPOINT")]
    store: Option<String>,
    /// Also run the controller manager and the scheduler
    #[arg(long)]
    controllers: bool,
    /// End at a signal only, not when standard input closes
    #[arg(long)]
    detached: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let began = Instant::now();
    let bench = Bench::in_folder(&args.folder)?;
    let etcd = match args.store {
        Some(_) => None,
        None => Some(Etcd::start(&bench).await?),
    };
    let store =
        etcd.as_ref().map_or_else(|| args.store.clone(), |it| Some(it.endpoint().to_owned()));
    let apiserver = Apiserver::start(&bench, &store.context("no store")?).await?;
    let ready_s = began.elapsed().as_secs_f64();
    let controllers = if args.controllers {
        let manager = Controllers::start(&bench, &apiserver).await?;
        Some((manager, Scheduler::start(&bench, &apiserver).await?))
    } else {
        None
    };
    let mib = |kib: Option<u64>| kib.unwrap_or(0) / 1024;
    let etcd_mib = mib(etcd.as_ref().and_then(Etcd::memory_kib));
    let apiserver_mib = mib(apiserver.memory_kib());
    println!("etcd {etcd_mib} MiB, apiserver {apiserver_mib} MiB, ready in {ready_s:.1} s");
    println!("kubeconfig {}", apiserver.kubeconfig().path().display());
    until_told(args.detached).await?;
    drop(controllers);
    Ok(())
}

async fn until_told(detached: bool) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        result = input_closed(), if !detached => result?,
    }
    Ok(())
}

async fn input_closed() -> anyhow::Result<()> {
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await.map(drop).context("wait for the end of input")
}
