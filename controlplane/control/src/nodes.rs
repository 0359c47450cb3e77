//! `berth-control nodes`: the fleet as it stands under `/berth/nodes/` of a store. Owns the flags and exit codes; it reads with etcd's
//! protocol, so any store of that protocol will do.

mod client;
mod row;
mod table;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use self::client::{Change, Client, ClientError};
use self::row::Row;
use crate::credentials::Credentials;

/// Where the keys are.
const PREFIX: &str = "/berth/nodes/";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The store: http://ADDRESS:PORT or https://ADDRESS:PORT
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:2379")]
    endpoint: String,
    #[command(flatten)]
    credentials: Credentials,
    /// Go on with a line for each change
    #[arg(long, short)]
    watch: bool,
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    Table,
    /// With memory, pools and the worst finding
    Wide,
    /// What stands in the store, one node a line
    Json,
}

/// EX_UNAVAILABLE of sysexits.
const UNAVAILABLE: u8 = 69;
/// Before a store that went away is asked again.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &Args) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let shown = match runtime {
        Ok(runtime) => runtime.block_on(show(args)),
        Err(error) => Err(Ended::Write(error)),
    };
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read it has seen enough.
        Err(Ended::Write(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(ended) => {
            complain(&kit::chain(&ended).to_string());
            ExitCode::from(UNAVAILABLE)
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("write to standard output")]
    Write(#[from] std::io::Error),
}

async fn show(args: &Args) -> Result<(), Ended> {
    let mut was_there = false;
    loop {
        match list_and_follow(args).await {
            Ok(()) => return Ok(()),
            Err(Ended::Client(error)) if args.watch && (was_there || error.is_loss()) => {
                was_there = true;
                complain(&format!("{}; it is asked again", kit::chain(&error)));
                tokio::time::sleep(PAUSE).await;
            }
            Err(ended) => return Err(ended),
        }
    }
}

async fn list_and_follow(args: &Args) -> Result<(), Ended> {
    let mut client = Client::connect(&args.endpoint, &args.credentials).await?;
    let (nodes, revision) = client.list(PREFIX).await?;
    let rows: Vec<Row> = nodes.iter().map(|(name, value)| Row::of(name, value)).collect();
    let mut out = std::io::stdout();
    match args.output {
        Output::Json => {
            for (_, value) in &nodes {
                line(&mut out, value)?;
            }
        }
        Output::Table | Output::Wide => {
            let is_wide = args.output == Output::Wide;
            out.write_all(table::text(&rows, is_wide, now_unix_ms()).as_bytes())?;
        }
    }
    out.flush()?;
    if !args.watch {
        return Ok(());
    }
    let mut changes = client.follow(PREFIX, revision + 1).await?;
    loop {
        for change in changes.next().await? {
            tell(args.output, &change)?;
        }
    }
}

fn tell(output: Output, change: &Change) -> Result<(), Ended> {
    let mut out = std::io::stdout();
    match (output, change) {
        (Output::Json, Change::Put { value, .. }) => line(&mut out, value)?,
        (Output::Json, Change::Gone { name }) => {
            let gone = serde_json::json!({ "node": name, "gone": true });
            writeln!(out, "{gone}")?;
        }
        (_, Change::Put { name, value }) => {
            let is_wide = output == Output::Wide;
            let row = Row::of(name, value);
            out.write_all(table::line(&row, is_wide, now_unix_ms()).as_bytes())?;
        }
        (_, Change::Gone { name }) => {
            writeln!(out, "{name}  gone: it has not reported for as long as its lease lasts")?;
        }
    }
    Ok(out.flush()?)
}

fn line(out: &mut impl std::io::Write, value: &[u8]) -> std::io::Result<()> {
    out.write_all(value)?;
    out.write_all(b"\n")
}

fn now_unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn complain(words: &str) {
    // Nobody hears of it where standard error is closed.
    let _ = writeln!(std::io::stderr(), "berth-control nodes: {words}");
}
