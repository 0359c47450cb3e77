//! Exit codes and the failures behind them. The codes are an interface: scripts branch on them.

use std::error::Error;
use std::fmt::Write;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use tonic::{Code, Status};

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok = 0,
    /// It worked and what it found is not good, or the agent refused.
    Finding = 1,
    Usage = 2,
    Unreachable = 3,
    NoSuchWorkload = 4,
    BadInput = 64,
}

impl Exit {
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(self as u8)
    }

    /// clap's verdict on the command line.
    pub(crate) fn of_parse(error: &clap::Error) -> Exit {
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Ok,
            ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::InvalidUtf8 => {
                Exit::BadInput
            }
            _ => Exit::Usage,
        }
    }
}

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot reach the agent at {socket}: {reason}", socket = .socket.display())]
    Unreachable { socket: PathBuf, reason: &'static str, fix: &'static str },
    #[error("the agent at {socket} went away", socket = .socket.display())]
    WentAway { socket: PathBuf },
    #[error("what listens at {socket} does not speak the agent's protocol", socket = .socket.display())]
    Foreign { socket: PathBuf },
    #[error("no workload is named {name:?}")]
    NoSuchWorkload { name: String, nearest: Vec<String> },
    #[error("nothing is named {name:?}: no workload, no pool, no rule of a recorded decision")]
    NothingNamed { name: String, nearest: Vec<String> },
    #[error("{what}: {why}")]
    Unsupported { what: &'static str, why: String },
    #[error("the agent did not do it: {}", .status.message())]
    Refused { status: Box<Status> },
    #[error("`berth top` needs a terminal; `berth top --once` prints one frame as text")]
    NoTerminal,
    #[error("cannot use the terminal")]
    Terminal { source: io::Error },
    #[error("cannot write the output")]
    Output { source: io::Error },
    #[error("cannot start")]
    Runtime { source: io::Error },
}

impl Failure {
    /// An answer of the agent that is not the one that was asked for. A status with a source was
    /// made on this side, by the transport: a peer that breaks HTTP/2 becomes `Internal`, one that
    /// hangs up something else, and which of the two a foreign peer looks like is a race.
    pub(crate) fn of_status(status: Status, socket: &std::path::Path) -> Failure {
        let socket = socket.to_owned();
        match (status.code(), status.source()) {
            (Code::Internal, Some(_)) => Failure::Foreign { socket },
            (Code::Unknown | Code::Cancelled, _) | (_, Some(_)) => Failure::WentAway { socket },
            _ => Failure::Refused { status: Box::new(status) },
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Failure::Unreachable { .. } | Failure::WentAway { .. } | Failure::Foreign { .. } => {
                Exit::Unreachable
            }
            Failure::NoSuchWorkload { .. } | Failure::NothingNamed { .. } => Exit::NoSuchWorkload,
            Failure::NoTerminal => Exit::Usage,
            Failure::Refused { status } => match status.code() {
                Code::PermissionDenied => Exit::Unreachable,
                Code::InvalidArgument => Exit::BadInput,
                _ => Exit::Finding,
            },
            Failure::Unsupported { .. }
            | Failure::Terminal { .. }
            | Failure::Output { .. }
            | Failure::Runtime { .. } => Exit::Finding,
        }
    }

    /// What goes to stderr: the error with its causes, and what to do about it.
    pub(crate) fn explain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            // writing to a String cannot fail
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        match self {
            Failure::Unreachable { fix, .. } => {
                let _ = write!(text, "\n  {fix}");
            }
            Failure::Foreign { .. } => text.push_str("\n  check --socket and BERTH_SOCKET"),
            Failure::NoSuchWorkload { nearest, .. } | Failure::NothingNamed { nearest, .. }
                if !nearest.is_empty() =>
            {
                let _ = write!(text, "\n  did you mean: {}", nearest.join(", "));
            }
            Failure::NoSuchWorkload { .. } => text.push_str("\n  `berth qos` lists all workloads"),
            Failure::NothingNamed { .. } => {
                text.push_str("\n  `berth qos`, `berth pools` and `berth decisions` list names");
            }
            Failure::Refused { status } if status.code() == Code::PermissionDenied => {
                text.push_str("\n  run it as root");
            }
            _ => {}
        }
        text
    }
}
