//! Reads the cgroups of workloads: finds them (walk and rules, seldom), reads over held descriptors
//! what a decision needs (every turn) and what is only shown (seldom), and keeps the probe's slots
//! in step with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hostfs::cgroup::walk::{WalkLimits, walk};
use hostfs::{CgroupTree, ReadError};
use model::policy::Policy;
use model::qos::{QosLevel, WorkloadName};
use model::sample::{PodOnNode, ProbeSample, Source, SourceFault, WorkloadSpec};
use model::{CgroupId, Nanos, SlotId, Timestamp};
use probe::ProbeSource;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::Workloads;
use crate::clock;
use crate::files::Files;
use crate::host::fault_of;
use crate::rules::{self, Rule};
use crate::slots::Slots;

/// A walk may cost at most this share of the time between two walks: on a node with 10,000
/// cgroups (80 ms a walk) new groups are then seen every 8 s, on an ordinary node every second.
const WALK_COST_DIVISOR: u64 = 100;
/// Slots of the probe's maps (`agent-ebpf-common::N_SLOTS`): workloads beyond are not measured.
const N_SLOTS: u16 = 1024;
/// Groups listed by one walk; beyond that a finding is raised instead of memory being spent.
const MAX_GROUPS: usize = 50_000;

/// Everything the reading thread owns.
pub struct WorkloadReader {
    tree: CgroupTree,
    rules: Vec<Rule>,
    /// Who runs here by the word of the container runtime.
    pods: watch::Receiver<Arc<Vec<PodOnNode>>>,
    thresholds: Thresholds,
    probe: Box<dyn ProbeSource>,
    slots: Slots,
    open: BTreeMap<WorkloadName, Tracked>,
    unmatched: Vec<String>,
    probe_seen: Source<ProbeSample>,
    next_walk: Timestamp,
    n_opened: u64,
}

/// From which wait on a workload counts as a victim.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    pub default_target: model::Micros,
}

struct Tracked {
    files: Files,
    slot: SlotId,
    ids: Vec<CgroupId>,
}

impl std::fmt::Debug for WorkloadReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkloadReader").field("n_open", &self.open.len()).finish_non_exhaustive()
    }
}

impl Thresholds {
    pub fn of(policy: &Policy) -> Thresholds {
        Thresholds { default_target: policy.share.default_target_p99 }
    }

    /// Only latency-critical work can be a victim; 0 turns the detector off for a slot.
    fn of_spec(self, spec: &WorkloadSpec) -> Nanos {
        match spec.qos {
            QosLevel::ReclaimedCores => Nanos(0),
            _ => spec.target_p99.unwrap_or(self.default_target).as_nanos(),
        }
    }
}

impl WorkloadReader {
    pub fn new(
        tree: CgroupTree,
        rules: Vec<Rule>,
        thresholds: Thresholds,
        probe: Box<dyn ProbeSource>,
    ) -> WorkloadReader {
        let slots = Slots::new(N_SLOTS);
        let (_nobody, pods) = watch::channel(Arc::default());
        WorkloadReader {
            tree,
            rules,
            pods,
            thresholds,
            probe,
            slots,
            open: BTreeMap::new(),
            unmatched: Vec::new(),
            probe_seen: Source::default(),
            next_walk: Timestamp(0),
            n_opened: 0,
        }
    }

    /// With somebody who tells of pods.
    #[must_use]
    pub fn with_pods(self, pods: watch::Receiver<Arc<Vec<PodOnNode>>>) -> WorkloadReader {
        WorkloadReader { pods, ..self }
    }

    /// One reading of everything.
    pub fn read(&mut self, now: Timestamp) -> Result<Workloads, SourceFault> {
        // An error means that nobody tells of pods any more; those that were told stay.
        if now >= self.next_walk || self.pods.has_changed().unwrap_or(false) {
            self.find(now)?;
        }
        let mut cgroups = BTreeMap::new();
        let mut gone = false;
        for (name, tracked) in &mut self.open {
            match tracked.files.read(clock::now(), tracked.slot) {
                Ok(sample) => {
                    cgroups.insert(name.clone(), sample);
                }
                Err(ReadError::Absent { .. }) => gone = true,
                Err(error) => warn!(workload = %name, %error, "A workload cannot be read"),
            }
        }
        if gone {
            self.next_walk = Timestamp(0);
        }
        self.read_probe();
        let (probe, unmatched) = (self.probe_seen.clone(), self.unmatched.clone());
        Ok(Workloads { cgroups, probe, unmatched })
    }

    fn find(&mut self, now: Timestamp) -> Result<(), SourceFault> {
        let limits = WalkLimits { n_groups: MAX_GROUPS, ..WalkLimits::default() };
        let found = walk(&self.tree, limits).map_err(fault_of)?;
        let spent = clock::now().since(now);
        self.next_walk = now.after(Nanos(spent.0 * WALK_COST_DIVISOR));
        if found.truncated {
            warn!(limit = MAX_GROUPS, "The walk of the cgroup tree stopped at its limit");
        }
        let groups: Vec<_> =
            found.entries.into_iter().map(|entry| (entry.path, entry.id)).collect();
        let pods = Arc::clone(&self.pods.borrow_and_update());
        let matches = rules::match_rules(&self.rules, &pods, &groups);
        if matches.unmatched != self.unmatched {
            for glob in &matches.unmatched {
                warn!(cgroup = %glob, "A [[workload]] matches no cgroup");
            }
        }
        self.unmatched = matches.unmatched;
        self.forget_missing(&matches.workloads);
        for (name, found) in matches.workloads {
            self.track(name, found);
        }
        Ok(())
    }

    fn forget_missing(&mut self, found: &BTreeMap<WorkloadName, rules::Match>) {
        let same = |name: &WorkloadName, tracked: &Tracked| {
            found
                .get(name)
                .is_some_and(|found| found.ids.first() == Some(&tracked.files.cgroup_id()))
        };
        self.open.retain(|name, tracked| {
            let keep = same(name, tracked);
            if !keep {
                info!(workload = %name, "Workload is gone");
            }
            keep
        });
        let alive: BTreeSet<CgroupId> =
            self.open.values().map(|tracked| tracked.files.cgroup_id()).collect();
        for (cgroup, slot) in self.slots.release_missing(&alive) {
            if let Err(error) = self.probe.untrack(slot) {
                warn!(%cgroup, %slot, %error, "The probe cannot forget a workload");
            }
        }
    }

    fn track(&mut self, name: WorkloadName, found: rules::Match) {
        if let Some(tracked) = self.open.get_mut(&name) {
            if tracked.ids != found.ids {
                tracked.ids.clone_from(&found.ids);
                tell_probe(&mut *self.probe, tracked.slot, &found.ids);
            }
            if let Some(containers) = &found.containers {
                tracked.files.set_containers(&self.tree, containers);
            }
            if *tracked.files.spec() != found.spec {
                let (slot, threshold) = (tracked.slot, self.thresholds.of_spec(&found.spec));
                tell_threshold(&mut *self.probe, &name, (slot, threshold));
                tracked.files.set_spec(found.spec);
            }
            return;
        }
        let cgroup = match self.tree.cgroup(&found.cgroup) {
            Ok(cgroup) => cgroup,
            Err(error) => {
                warn!(workload = %name, %error, "A workload cannot be opened");
                return;
            }
        };
        let (slot, fresh) = self.slots.assign(cgroup.id());
        if fresh {
            tell_probe(&mut *self.probe, slot, &found.ids);
            let threshold = self.thresholds.of_spec(&found.spec);
            tell_threshold(&mut *self.probe, &name, (slot, threshold));
        }
        info!(workload = %name, cgroup = %found.cgroup, qos = %found.spec.qos, "Workload found");
        let mut files = Files::new(cgroup, found.spec, self.n_opened);
        if let Some(containers) = &found.containers {
            files.set_containers(&self.tree, containers);
        }
        self.n_opened += 1;
        let tracked = Tracked { files, slot, ids: found.ids };
        self.open.insert(name, tracked);
    }

    fn read_probe(&mut self) {
        let at = clock::now();
        match self.probe.read(at) {
            Ok(sample) => self.probe_seen = Source::fresh(at, sample),
            Err(probe::ReadError::Off { why }) => {
                self.probe_seen.fault = Some(SourceFault::Unsupported { why });
            }
            Err(error) => {
                self.probe_seen.fault = Some(SourceFault::Broken { error: error.to_string() });
            }
        }
    }
}

fn tell_probe(probe: &mut dyn ProbeSource, slot: SlotId, ids: &[CgroupId]) {
    if let Err(error) = probe.track(slot, ids) {
        warn!(%slot, %error, "The probe cannot track a workload");
    }
}

fn tell_threshold(
    probe: &mut dyn ProbeSource,
    name: &WorkloadName,
    (slot, threshold): (SlotId, Nanos),
) {
    if let Err(error) = probe.set_threshold(slot, threshold) {
        warn!(workload = %name, %error, "The probe takes no threshold");
    }
}

/// Starts the reading thread.
pub fn spawn(
    plan: crate::SourcePlan,
    mut reader: WorkloadReader,
) -> std::io::Result<crate::SourceHandle<Workloads>> {
    crate::source::spawn(plan, move |now| reader.read(now))
}
