//! The document of `/configz` into the few values that count here. Pure. Whatever else stands in it is passed over.

use model::CpuSet;
use serde::Deserialize;
use thiserror::Error;

/// What of a kubelet's configuration counts beside it. `None`: it does not say so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubeletConfig {
    pub cpu_manager: Option<String>,
    pub topology_manager: Option<String>,
    pub memory_manager: Option<String>,
    pub cgroup_driver: Option<String>,
    /// CPUs that no pod is to own. The kubelet keeps some where it is told a list; where it is told an amount only, nobody can say which.
    pub reserved_cpus: Option<CpuSet>,
}

/// Why a document means nothing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    #[error("no document of a kubelet's configuration")]
    Document(#[from] serde_json::Error),
    #[error("{key} of {n_bytes} bytes is no name of a policy")]
    NoName { key: &'static str, n_bytes: usize },
    #[error("reservedSystemCPUs is no list of CPUs")]
    NoCpus(#[source] model::cpuset::ParseCpuListError),
}

#[derive(Debug, Deserialize)]
struct Document {
    kubeletconfig: Configuration,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Configuration {
    cpu_manager_policy: Option<String>,
    topology_manager_policy: Option<String>,
    memory_manager_policy: Option<String>,
    cgroup_driver: Option<String>,
    #[serde(rename = "reservedSystemCPUs")]
    reserved_system_cpus: Option<String>,
}

/// No policy of a kubelet has a longer name than `prefer-closest-numa-nodes`.
const MAX_NAME_BYTES: usize = 64;

pub(super) fn document(bytes: &[u8]) -> Result<KubeletConfig, ReadError> {
    let Document { kubeletconfig: raw } = serde_json::from_slice(bytes)?;
    Ok(KubeletConfig {
        cpu_manager: name("cpuManagerPolicy", raw.cpu_manager_policy)?,
        topology_manager: name("topologyManagerPolicy", raw.topology_manager_policy)?,
        memory_manager: name("memoryManagerPolicy", raw.memory_manager_policy)?,
        cgroup_driver: name("cgroupDriver", raw.cgroup_driver)?,
        reserved_cpus: match raw.reserved_system_cpus {
            Some(list) if !list.trim().is_empty() => Some(list.parse().map_err(ReadError::NoCpus)?),
            _ => None,
        },
    })
}

fn name(key: &'static str, text: Option<String>) -> Result<Option<String>, ReadError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match text.len() <= MAX_NAME_BYTES && text.bytes().all(is_plain) {
        true => Ok(Some(text)),
        false => Err(ReadError::NoName { key, n_bytes: text.len() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values in the order of the struct, or the error with its cause.
    #[track_caller]
    fn check(text: &str, expect: &str) {
        let line = match document(text.as_bytes()) {
            Ok(config) => {
                let cpus = config.reserved_cpus.map(|cpus| cpus.to_string());
                let all = [
                    config.cpu_manager,
                    config.topology_manager,
                    config.memory_manager,
                    config.cgroup_driver,
                    cpus,
                ];
                all.map(|one| one.unwrap_or_else(|| "-".to_owned())).join(" ")
            }
            Err(error) => crate::watching::fault(&error),
        };
        assert_eq!(line, expect);
    }

    /// One key of the configuration.
    #[track_caller]
    fn check_key(pair: &str, expect: &str) {
        check(&format!("{{\"kubeletconfig\":{{{pair}}}}}"), expect);
    }

    #[test]
    fn a_kubelets_own_document() {
        // Of a kubelet 1.36, shortened.
        let text = r#"{"kubeletconfig":{"enableServer":true,"port":10250,"cgroupDriver":"systemd","cpuManagerPolicy":"static",
            "singleProcessOOMKill":false,"cpuManagerReconcilePeriod":"10s","memoryManagerPolicy":"None","topologyManagerPolicy":"best-effort",
            "reservedSystemCPUs":"0-1,8","evictionHard":{"memory.available":"50Mi"},"logging":{"format":"text","flushFrequency":5e9}}}"#;
        check(text, "static best-effort None systemd 0-1,8");
    }

    #[test]
    fn what_is_not_said_is_not_known() {
        check_key("", "- - - - -");
        check_key(r#""cpuManagerPolicy":null,"reservedSystemCPUs":null"#, "- - - - -");
        check_key(r#""cpuManagerPolicy":"","reservedSystemCPUs":" ""#, "- - - - -");
        check_key(r#""cpuManagerPolicy":"none","cpumanagerpolicy":"static""#, "none - - - -");
        // A policy that is not known yet is told by its name.
        check_key(r#""topologyManagerPolicy":"of-tomorrow""#, "- of-tomorrow - - -");
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        check(
            "",
            "no document of a kubelet's configuration: EOF while parsing a value at line 1 column 0",
        );
        check(
            "{}",
            "no document of a kubelet's configuration: missing field `kubeletconfig` at line 1 column 2",
        );
        check(
            "<html>",
            "no document of a kubelet's configuration: expected value at line 1 column 1",
        );
        check_key(
            r#""cpuManagerPolicy":7"#,
            "no document of a kubelet's configuration: invalid type: integer `7`, expected a string at line 1 column 38",
        );
        check_key(
            r#""reservedSystemCPUs":["0"]"#,
            "no document of a kubelet's configuration: invalid type: sequence, expected a string at line 1 column 39",
        );
        check_key(
            r#""cgroupDriver":"a","cgroupDriver":"b""#,
            "no document of a kubelet's configuration: duplicate field `cgroupDriver` at line 1 column 51",
        );
    }

    #[test]
    fn names_and_lists_are_bounded() {
        check_key(
            &format!("\"cpuManagerPolicy\":\"{}\"", "a".repeat(65)),
            "cpuManagerPolicy of 65 bytes is no name of a policy",
        );
        check_key(r#""cgroupDriver":"a\nb""#, "cgroupDriver of 3 bytes is no name of a policy");
        check_key(r#""reservedSystemCPUs":"0-1023""#, "- - - - 0-1023");
        for bad in ["0-1024", "3-1", "a", "-1", "0-99999999999"] {
            let text = format!("{{\"kubeletconfig\":{{\"reservedSystemCPUs\":\"{bad}\"}}}}");
            let error = document(text.as_bytes()).expect_err(bad);
            assert!(matches!(error, ReadError::NoCpus(_)), "{bad}: {error}");
        }
    }

    const DEEP: &str = "no document of a kubelet's configuration: invalid type: sequence, expected a string at line 1 column 37";

    /// What is passed over is kept nowhere, however much of it there is.
    #[test]
    fn a_document_that_is_deep_or_wide_is_no_trouble() {
        let deep = format!(
            "{{\"kubeletconfig\":{{\"a\":{}{}}}}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        check(&deep, "- - - - -");
        check(&deep.replace("\"a\":", "\"cpuManagerPolicy\":"), DEEP);
        let wide = format!("\"a\":[{}0],\"cpuManagerPolicy\":\"none\"", "0,".repeat(500_000));
        check_key(&wide, "none - - - -");
    }
}
