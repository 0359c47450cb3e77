//! Command lines of servers, with the placeholders that `xtask/kube/storage-suite` fills in for each test. Starts nothing.

use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::setup::versions::Versions;
use crate::setup::{kube, kubernetes};
use crate::test::build::{self, Profile};

/// Without fsync, as upstream's tests run it: what it stores does not outlive a test.
const ETCD: &str = "--data-dir {data} --listen-client-urls http://127.0.0.1:{client} \
    --advertise-client-urls http://127.0.0.1:{client} --listen-peer-urls http://127.0.0.1:{peer} \
    --initial-advertise-peer-urls http://127.0.0.1:{peer} --initial-cluster default=http://127.0.0.1:{peer} \
    --watch-progress-notify-interval {progress} --unsafe-no-fsync --log-level error";

const BERTH: &str = "metastore --data-dir {data} --listen-client-urls http://127.0.0.1:{client} \
    --watch-progress-notify-interval {progress}";

/// Its title and its words.
pub(super) fn etcd(cache: &Path, versions: &Versions) -> anyhow::Result<(String, Vec<String>)> {
    let program = kube::folder_of(cache, versions, "etcd")?.join("etcd");
    let title = format!("etcd {}", kubernetes::module(versions, "etcd")?.version);
    Ok((title, with_arguments(&program, ETCD)?))
}

pub(super) fn berth(profile: Profile) -> anyhow::Result<(String, Vec<String>)> {
    let program = build::control_program(profile)?;
    Ok(("berth-control metastore".to_owned(), with_arguments(&program, BERTH)?))
}

/// A line as a shell would take it apart.
pub(super) fn given(line: &str) -> anyhow::Result<Vec<String>> {
    let words = shlex::split(line).with_context(|| format!("an open quote in {line:?}"))?;
    ensure!(!words.is_empty(), "--command names no program");
    ensure!(line.contains("{client}"), "--command {line:?} does not say where {{client}} goes");
    Ok(words)
}

/// Each word stays one, whatever is in the program's path.
fn with_arguments(program: &Path, arguments: &str) -> anyhow::Result<Vec<String>> {
    let program = program.to_str().with_context(|| format!("odd path {}", program.display()))?;
    let arguments = arguments.split_whitespace().map(str::to_owned);
    Ok([program.to_owned()].into_iter().chain(arguments).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{BERTH, ETCD, given, with_arguments};

    #[test]
    fn every_server_is_told_its_port_its_folder_and_the_interval() {
        for line in [ETCD, BERTH] {
            let words = with_arguments(Path::new("/a b/server"), line).unwrap();
            assert_eq!(words[0], "/a b/server");
            for placeholder in ["{client}", "{data}", "{progress}"] {
                assert!(words.iter().any(|word| word.ends_with(placeholder)), "{placeholder}");
            }
        }
    }

    #[track_caller]
    fn check(line: &str, expected: Result<&[&str], &str>) {
        match (given(line), expected) {
            (Ok(words), Ok(expected)) => assert_eq!(words, expected),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (other, _) => panic!("{line:?}: {other:?}"),
        }
    }

    #[test]
    fn a_line_is_taken_apart_as_by_a_shell() {
        check("kine '--x=a b' {client}", Ok(&["kine", "--x=a b", "{client}"]));
        check("kine", Err("where {client} goes"));
        check("", Err("names no program"));
        check("kine 'a", Err("an open quote"));
    }
}
