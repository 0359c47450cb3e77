//! `berth-control metastore`: etcd's flags, as far as there is something behind them. Owns how they become a configuration; what is done
//! with a store besides serving it is `task`'s.

mod task;

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use metastore::grpc::Settings;
use metastore::server::tls::{Certificates, Files};
use metastore::service::{self, Config, Deps, EngineUrl, Listener};
use tokio::net::TcpListener;
use tracing::{error, info};

/// To serve a store, or to do something with one
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Command {
    #[command(subcommand)]
    task: Option<task::Task>,
    #[command(flatten)]
    serve: Args,
}

#[derive(Debug, clap::Args)]
struct Args {
    /// Where the store is kept: log://FOLDER, or memory:// to forget it with the process
    #[arg(long, value_name = "URL", value_parser = engine_url, conflicts_with = "data_dir")]
    engine: Option<EngineUrl>,
    /// The same as --engine log://FOLDER
    #[arg(long, value_name = "FOLDER", default_value = "default.metastore")]
    data_dir: PathBuf,
    /// Where clients are listened to, several with commas between
    #[arg(
        long,
        value_name = "URLS",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:2379"
    )]
    listen_client_urls: Vec<String>,
    /// What clients are told to come back to; the listened ones when left out
    #[arg(long, value_name = "URLS", value_delimiter = ',')]
    advertise_client_urls: Vec<String>,
    /// Certificate of the server, for https:// among the listened URLs; read again when it is renewed
    #[arg(long, value_name = "FILE", requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    key_file: Option<PathBuf>,
    /// Who signs the certificates of clients
    #[arg(long, value_name = "FILE")]
    trusted_ca_file: Option<PathBuf>,
    /// Refuse clients without a certificate
    #[arg(long, requires = "trusted_ca_file")]
    client_cert_auth: bool,
    /// The name of the member
    #[arg(long, default_value = "default")]
    name: String,
    /// The largest request
    #[arg(long, value_name = "BYTES", default_value_t = 1_572_864)]
    max_request_bytes: usize,
    /// The most operations of one transaction
    #[arg(long, value_name = "N", default_value_t = 128)]
    max_txn_ops: usize,
    /// Writes are refused when the store has more; 0 for no limit but the disk's
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    quota_backend_bytes: u64,
    /// How often watchers that ask for it hear how far they are: 500ms, 5s, 10m
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    watch_progress_notify_interval: Duration,
    /// How much of what happened last is kept in memory for watchers
    #[arg(long, value_name = "BYTES", default_value_t = 32 << 20)]
    watch_cache_bytes: usize,
    /// How much may wait for one stream of watches in memory
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 20)]
    watch_stream_bytes: usize,
    /// The room that is reserved for each file of the log
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    segment_bytes: u64,
    /// Threads that serve clients; as many as CPUs when left out
    #[arg(long, value_name = "N")]
    worker_threads: Option<usize>,
}

/// EX_USAGE and EX_UNAVAILABLE of sysexits.
const BAD_USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;

pub(crate) fn run(command: &Command) -> ExitCode {
    match &command.task {
        Some(task) => task::run(task),
        None => run_service(&command.serve),
    }
}

fn run_service(args: &Args) -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
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
    runtime.block_on(serve(args))
}

async fn serve(args: &Args) -> ExitCode {
    let listeners = match listeners(args).await {
        Ok(listeners) => listeners,
        Err(why) => {
            error!("{why}");
            return ExitCode::from(BAD_USAGE);
        }
    };
    info!(urls = ?args.listen_client_urls, "Clients are listened to");
    let ended = service::run(config(args), Deps { listeners }, shutdown()).await;
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = %kit::chain(&error), "The store has ended");
            ExitCode::from(UNAVAILABLE)
        }
    }
}

fn config(args: &Args) -> Config {
    let folder = args.data_dir.clone();
    let client_urls = match args.advertise_client_urls.as_slice() {
        [] => args.listen_client_urls.clone(),
        urls => urls.to_vec(),
    };
    Config {
        engine: args.engine.clone().unwrap_or(EngineUrl::Log { folder }),
        segment_bytes: args.segment_bytes,
        recent_bytes: args.watch_cache_bytes,
        settings: Settings {
            name: args.name.clone(),
            client_urls,
            max_request_bytes: args.max_request_bytes,
            max_txn_ops: args.max_txn_ops,
            quota_bytes: args.quota_backend_bytes,
            progress_every: args.watch_progress_notify_interval,
            stream_bytes: args.watch_stream_bytes,
        },
    }
}

async fn listeners(args: &Args) -> Result<Vec<Listener>, String> {
    let certificates = certificates(args)?;
    let mut listeners = Vec::new();
    for url in &args.listen_client_urls {
        let (address, is_tls) = address(url)?;
        let certificates = certificates.clone().filter(|_| is_tls);
        if is_tls && certificates.is_none() {
            return Err(format!(
                "--listen-client-urls {url}: https:// needs --cert-file and --key-file"
            ));
        }
        let socket = TcpListener::bind(address).await;
        let socket = socket.map_err(|error| format!("listen at {url}: {error}"))?;
        listeners.push(Listener { socket, certificates });
    }
    Ok(listeners)
}

fn certificates(args: &Args) -> Result<Option<Arc<Certificates>>, String> {
    let (Some(certificate), Some(key)) = (&args.cert_file, &args.key_file) else { return Ok(None) };
    let files = Files {
        certificate: certificate.clone(),
        key: key.clone(),
        authority: args.trusted_ca_file.clone(),
        needs_client: args.client_cert_auth,
    };
    let loaded = Certificates::load(files).map_err(|error| kit::chain(&error).to_string())?;
    Ok(Some(Arc::new(loaded)))
}

/// And whether it is one of TLS.
fn address(url: &str) -> Result<(SocketAddr, bool), String> {
    let (host, is_tls) = match url.split_once("://") {
        Some(("http", host)) => (host, false),
        Some(("https", host)) => (host, true),
        _ => {
            let allowed = "http://ADDRESS:PORT and https://ADDRESS:PORT can be listened to";
            return Err(format!("--listen-client-urls {url}: {allowed}"));
        }
    };
    let mut addresses = host
        .trim_end_matches('/')
        .to_socket_addrs()
        .map_err(|error| format!("--listen-client-urls {url}: {error}"))?;
    let address = addresses.next();
    let address = address.ok_or_else(|| format!("--listen-client-urls {url}: no such address"))?;
    Ok((address, is_tls))
}

fn engine_url(text: &str) -> Result<EngineUrl, String> {
    match text.split_once("://") {
        Some(("memory", "")) => Ok(EngineUrl::Memory),
        Some(("log", folder)) if !folder.is_empty() => {
            Ok(EngineUrl::Log { folder: PathBuf::from(folder) })
        }
        _ => Err("log://FOLDER or memory://".to_owned()),
    }
}

/// As Go writes them, with one unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1.0,
        "s" => 1000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        _ => return Err("a number with ms, s, m or h behind it".to_owned()),
    };
    let number: f64 = digits.parse().map_err(|error| format!("{digits:?}: {error}"))?;
    let ms = number * unit_ms;
    if (1.0..=86_400_000.0).contains(&ms) {
        Ok(Duration::from_secs_f64(ms / 1000.0))
    } else {
        Err("1ms to 24h".to_owned())
    }
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
