//! Tracing to stderr: one line per event, colours only for a person at a terminal.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Why there will be no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("log filter {filter:?} is not a level or a list of target=level")]
    Filter {
        filter: String,
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("tracing cannot be set up twice")]
    AlreadySet {
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Sends events that pass `filter` (`info`, `info,advisor=debug`) to stderr. Once per process.
pub fn init_tracing(filter: &str) -> Result<(), LogError> {
    let parsed = parse(filter)?;
    // https://no-color.org: present and not empty
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && !no_color)
        .try_init()
        .map_err(|source| LogError::AlreadySet { source })
}

fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|source| LogError::Filter { filter: filter.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::{LogError, parse};

    #[track_caller]
    fn check(filter: &str, accepted: bool) {
        match parse(filter) {
            Ok(_) => assert!(accepted, "{filter:?} was accepted"),
            Err(LogError::Filter { filter: named, .. }) => {
                assert!(!accepted, "{filter:?} was refused");
                assert_eq!(named, filter);
            }
            Err(other) => panic!("{filter:?} gave {other}"),
        }
    }

    #[test]
    fn filters() {
        check("info", true);
        check("info,advisor=debug", true);
        check("info,advisor=loud", false);
        check("advisor==debug", false);
    }
}
