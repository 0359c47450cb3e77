//! What stands in every writable file of a node's cgroups of pods, and the OOM scores of their processes. Owns the reading and how the
//! files of equal pods are compared; nothing is written.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use testkit::Node;

use crate::cgroups;

/// Every file that the agent could write, and more; what cpusets come to as well.
const FILES: [&str; 19] = [
    "cpuset.cpus",
    "cpuset.cpus.effective",
    "cpuset.mems",
    "cpuset.mems.effective",
    "cpuset.cpus.partition",
    "cpu.weight",
    "cpu.max",
    "cpu.max.burst",
    "cpu.idle",
    "cpu.uclamp.min",
    "cpu.uclamp.max",
    "memory.min",
    "memory.low",
    "memory.high",
    "memory.max",
    "memory.swap.max",
    "memory.oom.group",
    "io.weight",
    "pids.max",
];

/// By path of cgroup and file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Knobs(BTreeMap<String, String>);

impl Knobs {
    /// With two processes in the node, whatever there is to read: an emulated one takes its time to start others.
    pub(crate) async fn of(node: &Node) -> Knobs {
        let names = FILES.map(|name| format!("-name {name}")).join(" -o ");
        let line = format!(
            "find {} -type f \\( {names} -o -name cgroup.procs \\) -exec grep -H '' {{}} +; \
             grep -H '' /proc/[0-9]*/oom_score_adj 2>/dev/null || true",
            cgroups::root(node)
        );
        let said = node.shell().run(&line).await.unwrap().success().unwrap();
        let rows = said.lines().filter_map(|line| line.split_once(':'));
        let (processes, files): (Vec<_>, Vec<_>) =
            rows.partition(|(path, _)| path.ends_with("/cgroup.procs"));
        let (scores, files) = split_scores(files);
        let score = |(path, pid): (&str, &str)| {
            let score = scores.get(format!("/proc/{pid}/oom_score_adj").as_str())?;
            Some((format!("{path}/{pid}/oom_score_adj"), (*score).to_owned()))
        };
        let scores = processes.into_iter().filter_map(score);
        let files = files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned()));
        Knobs(files.chain(scores).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Below a pod's cgroup, with a name in place of the container's id and the rest (its sandbox) as one; processes by their score.
    pub(crate) fn of_pod(&self, node: &Node, pod: &Pod) -> BTreeSet<String> {
        let (cgroup, container) =
            (cgroups::of_pod(node, pod).unwrap(), cgroups::of_container(node, pod).unwrap());
        let below = |path: &str| {
            if let Some(file) = path.strip_prefix(&format!("{container}/")) {
                return Some(format!("container {}", named(file)));
            }
            let rest = path.strip_prefix(&format!("{cgroup}/"))?;
            Some(match rest.split_once('/') {
                Some((sandbox, file)) if sandbox.len() == 64 => format!("sandbox {}", named(file)),
                _ => format!("pod {}", named(rest)),
            })
        };
        let rows = self.0.iter();
        rows.filter_map(|(path, text)| Some(format!("{}={text}", below(path)?))).collect()
    }

    /// What differs, and what of `self` is no longer there.
    pub(crate) fn changed_in(&self, later: &Knobs) -> Vec<String> {
        let changed = self.0.iter().filter(|(path, text)| later.0.get(*path) != Some(*text));
        changed.map(|(path, text)| format!("{path}: {text:?} -> {:?}", later.0.get(path))).collect()
    }

    /// Those of pods only: the kubelet itself gives its classes other weights when pods come.
    pub(crate) fn of_pods(&self) -> Knobs {
        self.where_path(is_of_pod)
    }

    /// It counts the last pods that came a minute later too.
    pub(crate) fn but_weights_of_classes(&self) -> Knobs {
        self.where_path(|path| is_of_pod(path) || !path.ends_with("/cpu.weight"))
    }

    fn where_path(&self, is_wanted: impl Fn(&str) -> bool) -> Knobs {
        let rows = self.0.iter().filter(|(path, _)| is_wanted(path));
        Knobs(rows.map(|(path, text)| (path.clone(), text.clone())).collect())
    }

    /// An empty cpuset takes what its parent has. The kernel lets nobody empty one again that has tasks, so holding the same is all that can
    /// be put back.
    pub(crate) fn with_inherited(&self) -> Knobs {
        let inherited = |path: &str| self.0.get(&format!("{path}.effective")).cloned();
        let row = |(path, text): (&String, &String)| {
            let text = if text.is_empty() { inherited(path) } else { None }
                .unwrap_or_else(|| text.clone());
            (path.clone(), text)
        };
        Knobs(self.0.iter().map(row).collect())
    }
}

fn is_of_pod(path: &str) -> bool {
    path.contains("/pod") || path.contains("-pod")
}

/// A process has another number in each pod.
fn named(file: &str) -> String {
    let parts = file.split('/').filter(|part| part.parse::<u32>().is_err());
    parts.collect::<Vec<_>>().join("/")
}

type Rows<'a> = Vec<(&'a str, &'a str)>;

/// What is said of processes, and what of cgroups.
fn split_scores(rows: Rows<'_>) -> (BTreeMap<&str, &str>, Rows<'_>) {
    let (scores, files): (Rows<'_>, Rows<'_>) =
        rows.into_iter().partition(|(path, _)| path.starts_with("/proc/"));
    (scores.into_iter().collect(), files)
}
