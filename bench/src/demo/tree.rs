//! The cgroups of one phase. Pods with ordinary requests lie side by side, each with its own
//! weight; BestEffort pods lie below one parent of weight 1, as the kubelet lays them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cgroup;
use crate::demo::phase::{Limit, Split};

/// Many pods, because one single batch cgroup of equal weight would leave the service half of
/// the node and show nothing.
pub const N_BATCH_PODS: usize = 8;
/// `cpu.weight` of a pod with an ordinary request.
const POD_WEIGHT: usize = 100;
/// `cpu.max` period for fixed quotas.
const PERIOD_US: u64 = 100_000;

/// Where batch pods lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Beside the service, equal weights.
    Siblings,
    /// Below a parent with the summed weight of its pods; the same shares as `Siblings`, but with
    /// one place to limit batch as a whole.
    BelowParent,
    /// Below a parent of weight 1.
    BestEffort,
}

/// The cgroup directories of a phase.
#[derive(Clone, Debug)]
pub struct Tree {
    pub root: PathBuf,
    pub service: PathBuf,
    pub batch_pods: Vec<PathBuf>,
    /// `None` in `Layout::Siblings`.
    pub batch_parent: Option<PathBuf>,
}

impl Tree {
    /// Makes the cgroups of a phase; those of an earlier one must be gone.
    pub fn create(root: &Path, layout: Layout) -> Result<Tree> {
        cgroup::write(root, "cgroup.subtree_control", "+cpu +cpuset +memory")?;
        let pods = root.join("pods");
        cgroup::create_parent(&pods)?;
        let batch_parent = match layout {
            Layout::Siblings => None,
            Layout::BelowParent | Layout::BestEffort => Some(root.join("batch")),
        };
        if let Some(parent) = &batch_parent {
            cgroup::create_parent(parent)?;
        }
        let batch_home = batch_parent.as_deref().unwrap_or(&pods);
        let batch_pod = |n: usize| batch_home.join(format!("batch-{n}"));
        let tree = Tree {
            root: root.to_owned(),
            service: pods.join("api"),
            batch_pods: (0..N_BATCH_PODS).map(batch_pod).collect(),
            batch_parent,
        };
        for dir in tree.batch_pods.iter().chain([&tree.service]) {
            cgroup::create(dir)?;
        }
        tree.write_weights(layout)?;
        Ok(tree)
    }

    pub fn remove(&self) -> Result<()> {
        remove_all(&self.root)
    }

    /// Divides the node once and for all.
    pub fn split(&self, split: Split, cpus: usize) -> Result<()> {
        let parent = self.batch_parent.as_ref().context("a split needs Layout::BelowParent")?;
        let last = cpus.saturating_sub(1).to_string();
        cgroup::write(parent, "cpu.weight", &split.weight.to_string())?;
        match split.limit {
            Limit::None => Ok(()),
            Limit::QuotaPct(pct) => {
                let quota = cpus as u64 * PERIOD_US * pct / 100;
                cgroup::write(parent, "cpu.max", &format!("{quota} {PERIOD_US}"))
            }
            Limit::LastCpu => cgroup::write(parent, "cpuset.cpus", &last),
            Limit::Partition => {
                cgroup::write(parent, "cpuset.cpus", &last)?;
                let others = format!("0-{}", cpus.saturating_sub(2));
                cgroup::write(&self.service, "cpuset.cpus", &others)
            }
        }
    }

    fn write_weights(&self, layout: Layout) -> Result<()> {
        let (pod_weight, parent_weight) = match layout {
            Layout::Siblings | Layout::BelowParent => (POD_WEIGHT, POD_WEIGHT * N_BATCH_PODS),
            Layout::BestEffort => (1, 1),
        };
        for pod in &self.batch_pods {
            cgroup::write(pod, "cpu.weight", &pod_weight.to_string())?;
        }
        match &self.batch_parent {
            Some(parent) => cgroup::write(parent, "cpu.weight", &parent_weight.to_string()),
            None => Ok(()),
        }
    }
}

/// Removes what any phase made below `root`.
pub fn remove_all(root: &Path) -> Result<()> {
    for name in ["pods", "batch", "berth"] {
        cgroup::remove(&root.join(name))?;
    }
    Ok(())
}

/// CPUs that tasks below `root` may use.
pub fn n_cpus(root: &Path) -> Result<usize> {
    let path = root.join("cpuset.cpus.effective");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let cpus: model::cpuset::CpuSet =
        text.parse().with_context(|| format!("{} is not a CPU list", path.display()))?;
    Ok(cpus.len())
}
