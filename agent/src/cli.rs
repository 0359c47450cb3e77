//! The command line of `berth-agent`: run, check a configuration, look once, put everything back.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing::error;

use crate::config::{self, Config};
use crate::kubernetes;
use crate::offline::{self, ReplayArgs};
use crate::{once, priority, rights, simulate, watchdog, wire};

/// Exit code for a configuration that is refused (sysexits.h, EX_USAGE).
const EX_USAGE: u8 = 64;

#[derive(Debug, Parser)]
#[command(
    name = "berth-agent",
    version,
    about = "Lets latency-critical and batch work share this machine",
    after_help = "Exit codes: 0 done, 1 failed (the last log line says why), 2 usage, 64 configuration refused.\n\
                  Look at a running agent with `berth top`, `berth doctor` and `berth why-slow NAME`."
)]
struct Cli {
    /// What to log: error, warn, info, debug, or a tracing filter such as `agent=debug`
    #[arg(long, global = true, default_value = "info", env = "BERTH_LOG")]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent until SIGTERM; then put every file it changed back
    Run {
        /// The configuration; without it everything is at its default, which only observes
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Check a configuration and print nothing when it is good
    Check {
        #[arg(long)]
        config: PathBuf,
    },
    /// Read the host once and print what the agent sees and would decide; writes nothing
    Snapshot {
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Answer the admissions and hints of a YAML file, one JSON object per step; touches no host
    Simulate {
        /// Machine, policy and steps, as agent/sim/README.md describes them
        file: PathBuf,
    },
    /// Plan once from a file and print Plan, decisions, findings and Steps; touches no host
    ///
    /// The file is what `berth snapshot -o json` prints, or a recorded Sample, or a "turn" with a
    /// policy and the Plan before.
    Plan {
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The policy of this configuration; without it the built-in one
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Run a recording again and compare every decision; exit code 1 at the first that differs
    Replay {
        /// What `recording.path` names; the part before is in FILE.1
        file: PathBuf,
        /// Print one entry with its decisions, findings and Steps, and stop
        #[arg(long, value_name = "N")]
        step: Option<u64>,
        /// Print all differences
        #[arg(long)]
        diff: bool,
    },
    /// Put back every file that a dead agent left changed
    Cleanup {
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Outlive the agent that started this, and clean up behind it
    #[command(hide = true)]
    Watchdog {
        #[arg(long)]
        config: PathBuf,
    },
}

/// Parses, runs, and turns the result into an exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = kit::init_tracing(&cli.log) {
        return usage(&error);
    }
    let result = match cli.command {
        Command::Check { config } => return check(&config),
        Command::Simulate { file } => return simulated(&file),
        Command::Run { config } => with_config(config.as_deref(), wire::run),
        Command::Snapshot { config } => {
            with_config(config.as_deref(), |config, _| once::run(&config))
        }
        Command::Replay { file, step, diff } => {
            return replayed(&file, ReplayArgs { step, diff });
        }
        Command::Plan { from, config } => {
            with_config(config.as_deref(), |config, _| offline::plan(&from, &config.policy))
        }
        Command::Cleanup { config } => {
            with_config(config.as_deref(), |config, _| wire::cleanup(&config))
        }
        Command::Watchdog { config } => with_config(Some(&config), |config, _| watch(&config)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Refused::Config(error)) => usage(&error),
        Err(Refused::Failed(error)) => {
            error!(error = %format!("{error:#}"), "The agent stops");
            ExitCode::FAILURE
        }
    }
}

enum Refused {
    Config(config::ConfigError),
    Failed(anyhow::Error),
}

fn with_config(
    path: Option<&Path>,
    act: impl FnOnce(Config, &Path) -> anyhow::Result<()>,
) -> Result<(), Refused> {
    let default = Path::new("/dev/null");
    let path = path.unwrap_or(default);
    let config = config::load(path).map_err(Refused::Config)?;
    let config = kubernetes::with_managed_cgroup(config).map_err(Refused::Failed)?;
    act(config, path).map_err(Refused::Failed)
}

fn check(path: &Path) -> ExitCode {
    match config::load(path) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => usage(&error),
    }
}

fn simulated(file: &Path) -> ExitCode {
    match simulate::run(file) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EX_USAGE),
        Err(error) => {
            error!(error = %format!("{error:#}"), "The document cannot be simulated");
            ExitCode::FAILURE
        }
    }
}

fn replayed(file: &Path, args: ReplayArgs) -> ExitCode {
    match offline::replay(file, args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            error!(error = %format!("{error:#}"), "The recording cannot be replayed");
            ExitCode::FAILURE
        }
    }
}

fn usage(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    error!(error = %kit::chain(error), "The configuration is refused");
    ExitCode::from(EX_USAGE)
}

fn watch(config: &Config) -> anyhow::Result<()> {
    // It inherits how the agent is scheduled.
    priority::take_turns();
    let tree = wire::open_tree(config)?;
    let agent = &config.agent;
    rights::give_up_for_files();
    watchdog::watch(&agent.runtime_dir, tree, agent.watchdog_grace, std::io::stdin());
    Ok(())
}
