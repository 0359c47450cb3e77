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

pub use source::{SourceHandle, SourcePlan, spawn};

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

impl Collector {
    /// The newest of everything. Never blocks: a source that hangs shows as a fault and an age.
    pub fn sample(&self, now: Timestamp) -> Sample {
        let workloads = self.workloads.read(now);
        let probe = workloads.value().map(|found| found.probe.clone()).unwrap_or_default();
        let fault = workloads.fault.clone();
        Sample {
            at: now,
            topology: self.topology.read(now),
            host: unshare(self.host.read(now)),
            probe: Source { fault: probe.fault.or_else(|| fault.clone()), ..probe },
            workloads: Source {
                latest: workloads.latest.map(|reading| model::sample::Reading {
                    at: reading.at,
                    value: reading.value.cgroups.clone(),
                }),
                fault,
            },
        }
    }

    /// Globs that matched nothing at the last walk.
    pub fn unmatched(&self, now: Timestamp) -> Vec<String> {
        self.workloads.read(now).value().map(|found| found.unmatched.clone()).unwrap_or_default()
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
