//! What the agent can see contention with on this host: the BPF probe, PSI, or nothing. Established once at the start;
//! the words are those that `/readyz`, `berth doctor`, the metrics and the log share.

use std::fmt;

use hostfs::HostRoot;
use hostfs::cgroup::read::PressureOf;
use hostfs::procfs::read_pressure;

/// Both ways to see a burst.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eyes {
    pub probe: Status,
    pub pressure: Status,
}

/// Whether something works here, and the sentence about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub works: bool,
    pub text: String,
}

/// Who tells the agent that a service waits, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    RunQueue,
    RunQueueAlone,
    Pressure,
    Nobody,
}

impl Eyes {
    pub fn witness(&self) -> Witness {
        match (self.probe.works, self.pressure.works) {
            (true, true) => Witness::RunQueue,
            (true, false) => Witness::RunQueueAlone,
            (false, true) => Witness::Pressure,
            (false, false) => Witness::Nobody,
        }
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Witness::RunQueue => "BPF run-queue waits; PSI stands by",
            Witness::RunQueueAlone => {
                "BPF run-queue waits alone; PSI is off and cannot stand in for them"
            }
            Witness::Pressure => {
                "PSI alone: a burst is seen after about 0.5 s and nobody can be named for it"
            }
            Witness::Nobody => {
                "none, neither BPF nor PSI: bursts are not seen and nothing is suppressed; \
                 pools follow requests and usage alone"
            }
        })
    }
}

/// Whether this kernel keeps pressure: it may be built without, or booted with `psi=0`.
pub fn pressure(host: &HostRoot) -> Status {
    match read_pressure(host, PressureOf::Cpu) {
        Ok(_) => {
            Status { works: true, text: "the kernel keeps pressure in /proc/pressure".to_owned() }
        }
        Err(error) => {
            let text = format!("PSI is off: {error}");
            Status { works: false, text }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(probe: bool, pressure: bool, expect: Witness, words: &str) {
        let status = |works| Status { works, text: String::new() };
        let witness = Eyes { probe: status(probe), pressure: status(pressure) }.witness();
        assert_eq!(witness, expect);
        assert!(witness.to_string().contains(words), "{witness}");
    }

    #[test]
    fn who_tells_of_a_burst() {
        check(true, true, Witness::RunQueue, "stands by");
        check(true, false, Witness::RunQueueAlone, "PSI is off");
        check(false, true, Witness::Pressure, "0.5 s");
        check(false, false, Witness::Nobody, "nothing is suppressed");
    }

    #[test]
    fn a_host_without_pressure_files_says_so() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let status = pressure(&HostRoot::new(root.path()));
        assert!(!status.works && status.text.starts_with("PSI is off: "), "{status:?}");
        assert!(status.text.contains("proc/pressure/cpu is not there"), "{status:?}");
    }
}
