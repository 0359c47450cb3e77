//! One node as its key says: the JSON read back, as far as a person is shown it. Pure. A field that is missing is not known.

use serde::Deserialize;

/// What is read of a value; docs/metastore.md has the whole shape.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Report {
    pub(super) reported_unix_ms: Option<u64>,
    pub(super) behind: Option<String>,
    pub(super) mode: Option<String>,
    pub(super) signal: Option<String>,
    pub(super) capacity: Option<Amount>,
    pub(super) headroom: Option<Amount>,
    pub(super) usage_milli_cpu: Option<u64>,
    pub(super) pools: Vec<Pool>,
    pub(super) n_findings: u64,
    pub(super) findings: Vec<Finding>,
    pub(super) n_pods: Option<u64>,
    pub(super) n_suppressed: u64,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Amount {
    pub(super) milli_cpu: Option<u64>,
    pub(super) memory_bytes: Option<u64>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) cpus: String,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Finding {
    pub(super) severity: String,
    pub(super) rule: String,
    pub(super) message: String,
}

#[derive(Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    /// `Err` is a value that somebody else wrote.
    pub(super) report: Result<Report, String>,
}

impl Row {
    pub(super) fn of(name: &str, value: &[u8]) -> Row {
        let report = serde_json::from_slice(value).map_err(|error| error.to_string());
        Row { name: name.to_owned(), report }
    }
}

impl Report {
    /// The gravest one; the first of these where there are several.
    pub(super) fn worst(&self) -> Option<&Finding> {
        let weight = |finding: &Finding| match finding.severity.as_str() {
            "fatal" => 3,
            "warning" => 2,
            "note" => 1,
            _ => 0,
        };
        self.findings.iter().rev().max_by_key(|finding| weight(finding))
    }
}
