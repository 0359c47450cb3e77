//! Keeps a control plane for others: starts it in a folder, says when it is ready, ends it when standard input closes or a signal
//! comes. Also runs a command in a node of it. `cargo xtask` calls it; nothing here is a test.

#![expect(clippy::print_stdout, reason = "who started it reads what it says")]

use std::io::IsTerminal as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use testkit::{Apiserver, Bench, Cluster, Node, Settings, Shape, Shell, Store};
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// etcd and an apiserver, for tests that share them
    Servers {
        /// For logs and certificates; what lies there is removed
        #[arg(long)]
        folder: PathBuf,
    },
    /// A whole control plane with nodes, for a person; ends at a signal only
    Cluster(ClusterArgs),
    /// Run a command in a node
    Exec {
        node: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
struct ClusterArgs {
    /// For logs and certificates; what lies there is removed
    #[arg(long)]
    folder: PathBuf,
    /// Use this store instead of an etcd of its own
    #[arg(long, value_name = "ENDPOINT")]
    store: Option<String>,
    #[arg(long, default_value_t = 0)]
    nodes: u32,
    #[arg(long)]
    cpus: u32,
    #[arg(long)]
    numa_nodes: u32,
    #[arg(long)]
    memory_mib: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Args::parse().action {
        Action::Servers { folder } => keep_servers(&Bench::in_folder(&folder)?).await,
        Action::Cluster(args) => keep_cluster(&args).await,
        Action::Exec { node, words } => exec(&node, &words),
    }
}

async fn keep_servers(bench: &Bench) -> anyhow::Result<()> {
    let began = Instant::now();
    let store = Store::start(bench).await?;
    let apiserver = Apiserver::start(bench, store.endpoint()).await?;
    let memory = [store.memory_kib(), ("kube-apiserver", apiserver.memory_kib())];
    tell(memory.into_iter().map(|(name, kib)| (name, kib.unwrap_or(0))), began);
    println!("kubeconfig {}", apiserver.kubeconfig().path().display());
    tokio::select! {
        result = input_closed() => result,
        result = signalled() => result,
    }
}

async fn keep_cluster(args: &ClusterArgs) -> anyhow::Result<()> {
    let began = Instant::now();
    let bench = Bench::in_folder(&args.folder)?;
    let nodes = async {
        let cluster = match &args.store {
            Some(store) => Cluster::on_store(&bench, store).await?,
            None => Cluster::start(&bench).await?,
        };
        tell(cluster.memory_kib(), began);
        let nodes = add_nodes(&bench, &cluster, args).await?;
        anyhow::Ok((cluster, nodes))
    };
    // A signal while they start ends them as well: both values are dropped here.
    let (cluster, _nodes) = tokio::select! {
        started = nodes => started?,
        told = signalled() => return told,
    };
    println!("kubeconfig {}", cluster.apiserver().kubeconfig().path().display());
    signalled().await
}

async fn add_nodes(
    bench: &Bench,
    cluster: &Cluster,
    args: &ClusterArgs,
) -> anyhow::Result<Vec<Node>> {
    let shape = Shape { cpus: args.cpus, numa_nodes: args.numa_nodes, memory_mib: args.memory_mib };
    let settings = Settings { shape, ..Settings::default() };
    let mut nodes = Vec::new();
    for _ in 0..args.nodes {
        let node = cluster.add_node(bench, &settings).await?;
        let mib = node.memory_kib().unwrap_or(0) / 1024;
        let seconds = node.timings().ready.as_secs_f64();
        println!("node {} is Ready, {seconds:.1} s after its start, {mib} MiB", node.name());
        nodes.push(node);
    }
    Ok(nodes)
}

fn tell<'a>(memory: impl IntoIterator<Item = (&'a str, u64)>, began: Instant) {
    let sizes = memory.into_iter().map(|(name, kib)| format!("{name} {} MiB", kib / 1024));
    let sizes = sizes.collect::<Vec<_>>().join(", ");
    println!("{sizes}, ready in {:.1} s", began.elapsed().as_secs_f64());
}

/// Becomes the command, so that its streams and its exit code are ours.
fn exec(node: &str, words: &[String]) -> anyhow::Result<()> {
    let shell = Shell::of_node(node)?;
    let error = shell.command(&line(words)?, std::io::stdin().is_terminal()).exec();
    bail!("run a command on {node}: {error}")
}

/// A program and its arguments arrive as they were given; one word alone is a line of shell.
fn line(words: &[String]) -> anyhow::Result<String> {
    match words {
        [line] => Ok(line.clone()),
        words => shlex::try_join(words.iter().map(String::as_str)).context("quote a command"),
    }
}

async fn signalled() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

async fn input_closed() -> anyhow::Result<()> {
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await.map(drop).context("wait for the end of input")
}

#[cfg(test)]
mod tests {
    use super::line;

    #[track_caller]
    fn check(words: &[&str], expected: &str) {
        let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
        assert_eq!(line(&words).unwrap(), expected);
    }

    #[test]
    fn words_arrive_as_they_were_given_and_one_alone_is_a_line() {
        check(&["uptime"], "uptime");
        check(&["cat /proc/stat | wc -l"], "cat /proc/stat | wc -l");
        check(&["sh", "-c", "echo $1; exit 3"], "sh -c 'echo $1; exit 3'");
        check(&["echo", "", "it's"], r#"echo '' "it's""#);
    }
}
