//! Reads the host: one thread per source with its own period and deadline, latest value with age
//! and fault, composed into a `Sample` without waiting for anybody. Derives nothing, decides
//! nothing.

pub mod clock;
mod files;
pub mod host;
pub mod rules;
pub mod slots;
pub mod source;
pub mod workloads;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::qos::WorkloadName;
use model::sample::{HostSample, ProbeSample, Sample, Source, WorkloadSample};
use model::{Timestamp, Topology};

pub use source::{SourceHandle, SourcePlan, Waker, spawn};

/// The mailboxes of all sources.
#[derive(Debug)]
pub struct Collector {
    pub topology: SourceHandle<Topology>,
    pub host: SourceHandle<HostSample>,
    pub workloads: SourceHandle<Workloads>,
}

/// Cgroups and probe are read by one thread, back to back: the probe's slots are given out by what
/// the walk found, and rates of both refer to the same instant.
#[derive(Clone, Debug, Default)]
pub struct Workloads {
    pub cgroups: BTreeMap<WorkloadName, WorkloadSample>,
    pub probe: Source<ProbeSample>,
    /// `[[workload]]` globs that match nothing, for a finding.
    pub unmatched: Vec<String>,
}

/// The newest value of every source at one time, shared with the mailboxes: cheap to take. The
/// default is a node of which nothing was read yet.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    at: Timestamp,
    topology: Source<Arc<Topology>>,
    host: Source<Arc<HostSample>>,
    workloads: Source<Arc<Workloads>>,
}

impl Collector {
    /// The newest of everything. Never blocks: a source that hangs shows as a fault and an age.
    pub fn readings(&self, now: Timestamp) -> Readings {
        Readings {
            at: now,
            topology: self.topology.read(now),
            host: self.host.read(now),
            workloads: self.workloads.read(now),
        }
    }
}

impl Readings {
    /// The Sample they make, and the globs that matched nothing. Copies every workload.
    pub fn compose(self) -> (Sample, Vec<String>) {
        let workloads = self.workloads;
        let found = workloads.value();
        let unmatched = found.map(|found| found.unmatched.clone()).unwrap_or_default();
        let probe = found.map(|found| found.probe.clone()).unwrap_or_default();
        let fault = workloads.fault.clone();
        let sample = Sample {
            at: self.at,
            topology: self.topology,
            host: unshare(self.host),
            probe: Source { fault: probe.fault.or_else(|| fault.clone()), ..probe },
            workloads: Source {
                latest: workloads.latest.map(|reading| model::sample::Reading {
                    at: reading.at,
                    value: reading.value.cgroups.clone(),
                }),
                fault,
            },
        };
        (sample, unmatched)
    }
}

fn unshare<T: Clone>(source: Source<Arc<T>>) -> Source<T> {
    Source {
        latest: source.latest.map(|reading| model::sample::Reading {
            at: reading.at,
            value: (*reading.value).clone(),
        }),
        fault: source.fault,
    }
}
