//! The policy file: YAML into a policy, or what is wrong with it. Owns the words of the file; what they mean is said where they are
//! decided.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use super::access::{Clients, Rights};
use super::{Policy, PrefixLimit, Rate};

#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PolicyError {
    #[error("read the policy file {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("policy file {}: {what}", path.display())]
    Content { path: PathBuf, what: String },
}

/// Reads a file and checks it.
pub fn load(path: &Path) -> Result<Policy, PolicyError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| PolicyError::Read { path: path.to_owned(), source })?;
    parse(&text).map_err(|what| PolicyError::Content { path: path.to_owned(), what })
}

/// More than any policy has; a document that explodes is refused early.
const MOST_NODES: usize = 200_000;

pub fn parse(text: &str) -> Result<Policy, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: MOST_NODES, max_events: 2 * MOST_NODES },
    };
    let read: Result<Written, _> = serde_saphyr::from_str_with_options(text, options);
    let written = read.map_err(|error| {
        let told = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
        told.lines().next().unwrap_or_default().to_owned()
    })?;
    written.checked()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    prefixes: Vec<WrittenPrefix>,
    clients: Option<Vec<WrittenClient>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPrefix {
    prefix: String,
    max_bytes: Option<u64>,
    max_keys: Option<u64>,
    writes_per_second: Option<f64>,
    burst: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenClient {
    cn: String,
    #[serde(default)]
    read: Vec<String>,
    #[serde(default)]
    write: Vec<String>,
    #[serde(default)]
    admin: bool,
}

impl Written {
    fn checked(self) -> Result<Policy, String> {
        let mut prefixes: Vec<PrefixLimit> = Vec::with_capacity(self.prefixes.len());
        for written in self.prefixes {
            let limit = written.checked()?;
            if prefixes.iter().any(|one| one.prefix == limit.prefix) {
                return Err(format!("prefix {:?} is there twice", limit.prefix));
            }
            prefixes.push(limit);
        }
        let clients = self.clients.map(|clients| {
            clients.into_iter().map(WrittenClient::checked).collect::<Result<Vec<_>, _>>()
        });
        let clients = clients.transpose()?.map(Clients::new);
        Ok(Policy { prefixes, clients })
    }
}

impl WrittenPrefix {
    fn checked(self) -> Result<PrefixLimit, String> {
        let WrittenPrefix { prefix, max_bytes, max_keys, writes_per_second, burst } = self;
        let rate = match (writes_per_second, burst) {
            (None, None) => None,
            (None, Some(_)) => {
                return Err(format!("prefix {prefix:?}: burst is there without writes_per_second"));
            }
            (Some(per_second), burst) => Some(rate(&prefix, per_second, burst)?),
        };
        if max_bytes.is_none() && max_keys.is_none() && rate.is_none() {
            let allowed = "max_bytes, max_keys or writes_per_second";
            return Err(format!("prefix {prefix:?} has no limit: give {allowed}"));
        }
        Ok(PrefixLimit { prefix, max_bytes, max_keys, rate })
    }
}

/// Without a burst, what comes in a second is saved up.
fn rate(prefix: &str, per_second: f64, burst: Option<f64>) -> Result<Rate, String> {
    if !(0.001..=1e9).contains(&per_second) {
        let allowed = "0.001 to 1000000000";
        return Err(format!("prefix {prefix:?}: writes_per_second {per_second} is not {allowed}"));
    }
    let burst = burst.unwrap_or_else(|| per_second.max(1.0));
    if !(1.0..=1e9).contains(&burst) {
        return Err(format!("prefix {prefix:?}: burst {burst} is not 1 to 1000000000"));
    }
    Ok(Rate { per_second, burst })
}

impl WrittenClient {
    fn checked(self) -> Result<(String, Rights), String> {
        let WrittenClient { cn, read, write, admin } = self;
        if cn.is_empty() {
            return Err("a client has an empty cn: give a common name, or \"*\"".to_owned());
        }
        Ok((cn, Rights { read, write, admin }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, told: &str) {
        let said = parse(text).expect_err("a policy that is refused");
        assert!(said.contains(told), "{text}: {said}");
    }

    #[test]
    fn a_whole_policy() {
        let text = "
prefixes:
- prefix: /registry/events/
  max_bytes: 1048576
  writes_per_second: 0.5
- {prefix: /registry/pods/, max_keys: 10, writes_per_second: 100, burst: 200}
clients:
- {cn: kube-apiserver, read: [\"\"], write: [\"\"], admin: true}
- {cn: \"*\", read: [/public/]}
";
        let policy = parse(text).unwrap();
        let rate = |per_second, burst| Some(Rate { per_second, burst });
        let events = PrefixLimit {
            prefix: "/registry/events/".to_owned(),
            max_bytes: Some(1 << 20),
            max_keys: None,
            rate: rate(0.5, 1.0),
        };
        let pods = PrefixLimit {
            prefix: "/registry/pods/".to_owned(),
            max_bytes: None,
            max_keys: Some(10),
            rate: rate(100.0, 200.0),
        };
        assert_eq!(policy.prefixes, [events, pods]);
        let clients = policy.clients.unwrap();
        assert!(clients.rights_of(Some("kube-apiserver")).admin);
        assert_eq!(clients.rights_of(None).read, ["/public/"]);
    }

    #[test]
    fn what_is_left_out() {
        assert_eq!(parse("prefixes: []"), Ok(Policy::default()));
        assert_eq!(parse("clients: []").unwrap().clients, Some(Clients::default()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        refused("prefix: []", "prefix");
        refused("prefixes: [{prefix: a, max_byte: 1}]", "max_byte");
        refused("prefixes: [{prefix: a, max_bytes: -1}]", "");
        refused("prefixes: [{prefix: a}]", "has no limit: give max_bytes");
        refused("prefixes: [{prefix: a, burst: 1}]", "without writes_per_second");
        refused("prefixes: [{prefix: a, writes_per_second: 0}]", "writes_per_second 0 is not");
        refused("prefixes: [{prefix: a, writes_per_second: .inf}]", "");
        refused("prefixes: [{prefix: a, writes_per_second: 1, burst: 0.5}]", "burst 0.5 is not");
        refused("prefixes: [{prefix: a, max_keys: 1}, {prefix: a, max_keys: 2}]", "there twice");
        refused("clients: [{read: [a]}]", "cn");
        refused("clients: [{cn: \"\"}]", "empty cn");
        refused("clients: [{cn: a, raed: []}]", "raed");
        refused("[", "");
    }
}
