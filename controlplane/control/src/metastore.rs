//! `berth-control metastore`: the service as a process. Owns threads, signals and exit codes; flags are in `args`, and what is done with a
//! store besides serving it is `task`'s.

mod args;
mod config_file;
mod expiry;
mod listen;
mod reports;
mod stores;
mod task;
mod values;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::parser::ValueSource;
use clap::{CommandFactory as _, Parser};
use metastore::service::{self, Config, Deps};
use metastore::store::Store;
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::{error, info};

use args::Args;
use reports::Reports;
use stores::Stores;

/// To serve a store, or to do something with one
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Command {
    #[command(subcommand)]
    task: Option<task::Task>,
    #[command(flatten)]
    serve: Args,
}

/// EX_USAGE and EX_UNAVAILABLE of sysexits.
const BAD_USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;

/// Flags that mean the same.
const ALTERNATIVES: [[&str; 2]; 2] = [["port", "listen-client-urls"], ["engine", "data-dir"]];

/// The flags by themselves, to read those of a file.
#[derive(Debug, Parser)]
#[command(name = "metastore")]
struct Flags {
    #[command(flatten)]
    args: Args,
}

pub(crate) fn run(command: Command) -> ExitCode {
    match &command.task {
        Some(task) => task::run(task),
        None => run_service(command.serve),
    }
}

fn run_service(args: Args) -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let args = match &args.config_file {
        None => args,
        Some(path) => match with_file(path, &own_words()) {
            Ok(args) => args,
            Err(why) => return refuse(&why),
        },
    };
    let without_effect = args.without_effect.given();
    if !without_effect.is_empty() {
        info!(flags = without_effect.join(" "), "These flags are accepted and have no effect");
    }
    let serving = match Serving::of(&args) {
        Ok(serving) => serving,
        Err(why) => return refuse(&why),
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(n) = args.worker_threads {
        runtime.worker_threads(n.max(1));
    }
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "Threads cannot be started");
            return ExitCode::from(UNAVAILABLE);
        }
    };
    match serving {
        Serving::One(config) => runtime.block_on(serve(&args, *config)),
        Serving::Several(stores) => runtime.block_on(several(stores)),
    }
}

/// What a process is there for.
enum Serving {
    One(Box<Config>),
    Several(Stores),
}

impl Serving {
    fn of(args: &Args) -> Result<Serving, String> {
        let Some(file) = &args.stores_file else {
            return Ok(Serving::One(Box::new(args.config()?)));
        };
        refuse_beside_stores()?;
        Ok(Serving::Several(Stores::read(file, args.folder_of_stores()?)?))
    }
}

/// Of the process, where it has several stores.
const BESIDE_STORES: [&str; 3] = ["stores-file", "data-dir", "worker-threads"];

/// Each of them says for itself what else there is to say.
fn refuse_beside_stores() -> Result<(), String> {
    let mut command = Flags::command();
    let words = std::iter::once(OsString::from("metastore")).chain(own_words());
    let matches = command.try_get_matches_from_mut(words).map_err(|error| error.to_string())?;
    let is_given = |flag: &clap::Arg| {
        matches.value_source(flag.get_id().as_str()) == Some(ValueSource::CommandLine)
    };
    let given = command.get_arguments().filter(|flag| is_given(flag));
    let mut others =
        given.filter_map(clap::Arg::get_long).filter(|name| !BESIDE_STORES.contains(name));
    others.next().map_or(Ok(()), |flag| {
        Err(format!(
            "--{flag} beside --stores-file: give it to each store, or to \"*\", in the file"
        ))
    })
}

async fn several(stores: Stores) -> ExitCode {
    match stores.keep(shutdown()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => refuse(&why),
    }
}

fn refuse(why: &str) -> ExitCode {
    error!("{why}");
    ExitCode::from(BAD_USAGE)
}

/// What stands behind the name of the service.
fn own_words() -> Vec<OsString> {
    std::env::args_os().skip_while(|word| word != "metastore").skip(1).collect()
}

/// The flags again, with those of the file.
fn with_file(path: &Path, line: &[OsString]) -> Result<Args, String> {
    let at = |why: String| format!("--config-file {}: {why}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| at(error.to_string()))?;
    let names = names_but(&["config-file", "help"]);
    let settings = config_file::parse(&text, &names).map_err(at)?;
    let words = config_file::with_command_line(&settings, line, &ALTERNATIVES);
    parsed(words).map_err(at)
}

fn parsed(words: Vec<OsString>) -> Result<Args, String> {
    let words = std::iter::once(OsString::from("metastore")).chain(words);
    Flags::try_parse_from(words).map(|flags| flags.args).map_err(|error| error.to_string())
}

/// Of all flags.
fn names_but(others: &[&str]) -> Vec<String> {
    let command = Flags::command();
    let names = command.get_arguments().filter_map(clap::Arg::get_long);
    names.filter(|name| !others.contains(name)).map(str::to_owned).collect()
}

async fn serve(args: &Args, config: Config) -> ExitCode {
    let (deps, _tasks) = match deps(args).await {
        Ok(deps) => deps,
        Err(why) => return refuse(&why),
    };
    info!(urls = ?args.client_urls(), "Clients are listened to");
    match service::run(config, deps, shutdown()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ service::ServiceError::Policy(_)) => refuse(&kit::chain(&error).to_string()),
        Err(error) => {
            error!(error = %kit::chain(&error), "The store has ended");
            ExitCode::from(UNAVAILABLE)
        }
    }
}

/// The tasks end with the set.
async fn deps(args: &Args) -> Result<(Deps, JoinSet<()>), String> {
    let (listeners, pages) = (listen::listeners(args).await?, listen::pages(args).await?);
    let (opened, tasks) = beside(args).await?;
    Ok((Deps { listeners, pages, opened: Some(opened) }, tasks))
}

/// Begins what works in the store beside its clients, as soon as it is handed the store.
async fn beside(args: &Args) -> Result<(oneshot::Sender<Arc<Store>>, JoinSet<()>), String> {
    let (mut registry, mut tasks) = (Registry::default(), JoinSet::new());
    let of_store = registry.sub_registry_with_prefix("berth_metastore");
    if let Some(file) = &args.cert_file {
        tasks.spawn(expiry::watch(file.clone(), of_store));
    }
    let (opened, store) = oneshot::channel::<Arc<Store>>();
    let own = args.cert_file.as_deref().zip(args.key_file.as_deref());
    let (with_series, with_store) = oneshot::channel();
    if let Some(reports) = Reports::listen(&args.reports, own).await? {
        reports.begin(of_store, reports::opened(with_store));
    }
    tasks.spawn(async move {
        let Ok(store) = store.await else { return };
        store.metrics.health.show_beside(Arc::new(registry));
        // Nobody waits for it where nobody reports.
        let _ = with_series.send(store);
    });
    Ok((opened, tasks))
}

async fn shutdown() {
    let mut terminate =
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(terminate) => terminate,
            Err(error) => {
                error!(%error, "Signals are not heard");
                return std::future::pending().await;
            }
        };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    info!("The store ends");
}
