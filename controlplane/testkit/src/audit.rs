//! Who writes what, by the apiserver's own audit log. Owns which requests are kept: writes of service accounts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    userGroups: [system:serviceaccounts]
    verbs: [create, update, patch, delete, deletecollection]
  - level: None
";

/// The log of one apiserver.
#[derive(Debug)]
pub(crate) struct Audit {
    log: PathBuf,
}

impl Audit {
    /// The log, and what an apiserver has to be told for it.
    pub(crate) fn in_folder(folder: &Path) -> anyhow::Result<(Audit, Vec<String>)> {
        let policy = folder.join("audit-policy.yaml");
        fs::write(&policy, POLICY).with_context(|| format!("write {}", policy.display()))?;
        let log = folder.join("audit.log");
        let arguments = vec![
            format!("--audit-policy-file={}", policy.display()),
            format!("--audit-log-path={}", log.display()),
        ];
        Ok((Audit { log }, arguments))
    }

    /// The writes of a user in their order, also those that were refused: verb, path and answer.
    pub(crate) fn writes_of(&self, user: &str) -> anyhow::Result<Vec<String>> {
        let text = match fs::read_to_string(&self.log) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text.with_context(|| format!("read {}", self.log.display()))?,
        };
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let of_user = events.filter(|event| event["user"]["username"] == user);
        Ok(of_user.map(|event| line(&event)).collect())
    }
}

fn line(event: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let path = text(&event["requestURI"]);
    let path = path.split('?').next().unwrap_or_default();
    format!("{} {path}: {}", text(&event["verb"]), event["responseStatus"]["code"])
}
