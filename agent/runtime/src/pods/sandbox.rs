//! One sandbox of a pod as the runtime tells of it, and how it reads as a pod on this node. A pod may have two for a moment. Owns when one is
//! read anew: at five hundred pods reading all of them takes milliseconds, for which a runtime that makes a container would wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::annotation;
use model::pod::{Ask, Container as PodContainer, ContainerRole, DeclaredPod, Pod, Requests};
use model::qos::{CgroupPath, PodUid, QosLevel, QosRules, WorkloadName};
use model::sample::{PodOnNode, WorkloadSpec};
use model::{Bytes, CpuSet, MilliCpu};
use proto::nri::{Container, ContainerState, LinuxResources, PodSandbox};

use super::PLACED;
use crate::cgroup;

/// What others than the runtime know of a pod.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elsewhere<'a> {
    pub(super) declared: Option<&'a Arc<DeclaredPod>>,
    pub(super) given: Option<&'a CpuSet>,
}

#[derive(Clone, Debug)]
pub(super) struct Sandbox {
    pub(super) pod: PodSandbox,
    pub(super) has_stopped: bool,
    /// With the cpuset that the kubelet wants: ours is never taken over.
    pub(super) containers: BTreeMap<String, Container>,
    /// Which one came later.
    pub(super) nth: u64,
    pub(super) uid: PodUid,
    pub(super) name: WorkloadName,
    reading: Option<Reading>,
}

/// How pods are read on this node.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub(super) qos: QosRules,
    /// The managed cgroup below the mount.
    pub(super) managed: String,
    /// The pod that is left out.
    pub(super) own: Option<PodUid>,
}

/// A pod, and why it is not what it says; `None` of one that has no cgroup below the managed one, or is left out.
pub(super) type Read = Option<(PodOnNode, Option<String>)>;

/// What a sandbox was read as, and what else was known then.
#[derive(Clone, Debug)]
struct Reading {
    declared: Option<Arc<DeclaredPod>>,
    given: Option<CpuSet>,
    read: Read,
}

impl Reading {
    fn is_of(&self, elsewhere: Elsewhere<'_>) -> bool {
        let is_same = match (&self.declared, elsewhere.declared) {
            (Some(was), Some(is)) => Arc::ptr_eq(was, is),
            (was, is) => was.is_none() && is.is_none(),
        };
        is_same && self.given.as_ref() == elsewhere.given
    }
}

impl Sandbox {
    pub(super) fn new(pod: &PodSandbox, nth: u64) -> Sandbox {
        Sandbox {
            has_stopped: false,
            containers: BTreeMap::new(),
            nth,
            uid: PodUid::new(pod.uid.as_str()),
            name: WorkloadName::new(format!("{}/{}", pod.namespace, pod.name)),
            pod: pod.clone(),
            reading: None,
        }
    }

    /// To change it: what it was read as is no more.
    pub(super) fn changing(&mut self) -> &mut Sandbox {
        self.reading = None;
        self
    }

    /// As `read`, from the last time where nothing is different.
    pub(super) fn read_once(&mut self, rules: &Rules, elsewhere: Elsewhere<'_>) -> Read {
        match &self.reading {
            Some(reading) if reading.is_of(elsewhere) => reading.read.clone(),
            _ => {
                let read = self.read(rules, elsewhere);
                let (declared, given) = (elsewhere.declared.cloned(), elsewhere.given.copied());
                self.reading = Some(Reading { declared, given, read: read.clone() });
                read
            }
        }
    }

    /// A pod that is not understood is a shared one, with the reason.
    pub(super) fn read(&self, rules: &Rules, elsewhere: Elsewhere<'_>) -> Read {
        if rules.own.as_ref() == Some(&self.uid) {
            return None;
        }
        let managed = rules.managed.as_str();
        let linux = self.pod.linux.as_ref()?;
        let cgroup = cgroup::below(managed, &cgroup::of_pod(&linux.cgroup_parent)?)?;
        let running = |one: &&Container| one.state() == ContainerState::ContainerRunning;
        let containers = self.containers.values().filter(running).filter_map(|one| {
            let path = &one.linux.as_ref()?.cgroups_path;
            cgroup::below(managed, &cgroup::of_container(path)?)
        });
        let given = self.given(elsewhere.given);
        // The cluster's word is the newer one: annotations may change while a pod runs, and a runtime knows nothing of memory requests
        // and of resources that are no CPU.
        let asking = elsewhere.declared.map_or_else(|| self.asking(), |one| one.pod.clone());
        let (mut spec, why) = match Ask::of(&asking, &rules.qos) {
            Ok(ask) => (spec(ask), elsewhere.declared.and_then(|one| one.why.clone())),
            Err(error) => {
                let plain = WorkloadSpec::plain(QosLevel::SharedCores, self.requests().cpu);
                (plain, Some(error.to_string()))
            }
        };
        spec.given = given;
        // What the kubelet places, it places whole.
        let containers: Vec<CgroupPath> = containers.filter(|_| given.is_none()).collect();
        let (uid, name) = (self.uid.clone(), self.name.clone());
        Some((PodOnNode { uid, name, cgroup, containers, spec }, why))
    }

    /// CPUs that a kubelet with the `static` CPU manager gave to containers of this pod for themselves, by its own word. Where it has not
    /// said anything of this pod yet, by what it asked the runtime for.
    fn given(&self, told: Option<&CpuSet>) -> Option<CpuSet> {
        match told {
            Some(cpus) => Some(*cpus).filter(|cpus| !cpus.is_empty()),
            None => self.looks_given(),
        }
    }

    /// In a pod of class Guaranteed as many whole CPUs as a container asks for (KEP-3570). Every other container of such a kubelet has all
    /// that nobody owns.
    fn looks_given(&self) -> Option<CpuSet> {
        let parent = &self.pod.linux.as_ref()?.cgroup_parent;
        if parent.contains("burstable") || parent.contains("besteffort") {
            return None;
        }
        let own = |one: &Container| {
            let cpu = one.linux.as_ref()?.resources.as_ref()?.cpu.as_ref()?;
            let cpus: CpuSet = cpu.cpus.parse().ok()?;
            let is_whole = cpu.shares?.value == cpus.len() as u64 * 1024;
            (is_whole && !cpus.is_empty() && !one.annotations.contains_key(PLACED)).then_some(cpus)
        };
        let own = self.containers.values().filter_map(own);
        own.reduce(|all, cpus| all.union(&cpus))
    }

    /// What a runtime knows of a pod's wishes: annotations and labels, and its requests as shares. Which container asks for how much is the
    /// kubelet's; here they are one.
    fn asking(&self) -> Pod {
        let annotations: BTreeMap<String, String> =
            self.pod.annotations.clone().into_iter().collect();
        let main = annotations.get(annotation::MAIN_CONTAINER_NAME);
        let container = PodContainer {
            name: main.cloned().unwrap_or_else(|| "pod".to_owned()),
            role: ContainerRole::App,
            requests: self.requests(),
        };
        Pod {
            uid: self.uid.clone(),
            name: self.name.clone(),
            owner: None,
            labels: self.pod.labels.clone().into_iter().collect(),
            annotations,
            containers: vec![container],
            running: true,
        }
    }

    fn requests(&self) -> Requests {
        let linux = self.pod.linux.as_ref();
        let whole = linux.and_then(|linux| linux.pod_resources.as_ref()).and_then(cpu);
        let each = self
            .containers
            .values()
            .filter_map(|one| cpu(one.linux.as_ref()?.resources.as_ref()?));
        let cpu =
            whole.unwrap_or_else(|| MilliCpu(each.map(|cpu| cpu.0).fold(0, u64::saturating_add)));
        Requests { cpu, memory: Bytes(0), ..Requests::default() }
    }
}

fn spec(ask: Ask) -> WorkloadSpec {
    WorkloadSpec {
        qos: ask.level,
        request: ask.cpu,
        memory_request: ask.memory,
        target_p99: None,
        given: None,
        wish: std::sync::Arc::new(ask.wish),
    }
}

/// Shares are 1024 for a CPU, rounded down, and 2 where nothing is asked for (kubelet, `MilliCPUToShares`).
fn cpu(resources: &LinuxResources) -> Option<MilliCpu> {
    let shares = resources.cpu.as_ref()?.shares.as_ref()?.value;
    Some(MilliCpu(if shares <= 2 { 0 } else { shares.saturating_mul(1000).div_ceil(1024) }))
}
