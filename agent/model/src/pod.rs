//! A pod as the node sees it, and what it asks for: level, enhancements and requests, understood or
//! refused with a reason. Owns the reading; where the pod goes is the advisor's.

mod directives;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::annotation;
use crate::enhancement::{self, EnhancementError, Enhancements};
use crate::qos::{Keys, LevelError, PodUid, QosLevel, QosRules, WorkloadName};
use crate::quantity::{self, QuantityError};
use crate::sample::WorkloadSpec;
use crate::units::{Bytes, MilliCpu};

pub use directives::{DirectiveError, Directives};

/// Containers a pod may have: far over what a kubelet starts, and a bound on the work of one call.
pub const MAX_CONTAINERS: usize = 1024;

/// A pod object, its requests read already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub uid: PodUid,
    /// `namespace/name`.
    pub name: WorkloadName,
    /// Uid of the controller that owns it: what stays when a pod is replaced.
    pub owner: Option<String>,
    pub labels: Keys,
    pub annotations: Keys,
    pub containers: Vec<Container>,
    /// It runs already; somebody who starts late meets it so.
    pub running: bool,
}

/// A pod as the cluster has it, whether or not a runtime knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredPod {
    pub pod: Pod,
    /// Ids of the containers that run by the kubelet's word.
    pub running: BTreeSet<String>,
    /// What of its requests was not understood; they count as nothing.
    pub why: Option<String>,
}

/// Everybody whom the cluster has bound to a node, by the uid that the kubelet uses. Shared: all are handed on whenever one is different.
pub type Declared = BTreeMap<PodUid, Arc<DeclaredPod>>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub name: String,
    pub role: ContainerRole,
    pub requests: Requests,
}

/// What a container is to its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerRole {
    /// Ends before the others start; gets no CPUs of its own.
    Init,
    /// An ordinary container.
    App,
    /// An init container that is restarted for ever (Kubernetes 1.29, KEP-753).
    Sidecar,
}

/// Requests of one container; zero where none is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    pub cpu: MilliCpu,
    pub memory: Bytes,
    pub reclaimed_cpu: MilliCpu,
    pub reclaimed_memory: Bytes,
    /// `None` where the container may use what it finds.
    pub cpu_limit: Option<MilliCpu>,
}

/// What a pod asks the node for.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    pub uid: PodUid,
    pub name: WorkloadName,
    pub owner: Option<String>,
    pub level: QosLevel,
    pub wish: Enhancements,
    /// Of the whole pod: the aggregated annotation, or the sum over running containers; reclaimed
    /// resources for reclaimed pods that name them.
    pub cpu: MilliCpu,
    pub memory: Bytes,
    /// `None` when one of its containers has no limit.
    pub cpu_limit: Option<MilliCpu>,
    /// The first is the main one, init containers are last.
    pub containers: Vec<AskContainer>,
    pub directives: Directives,
    pub running: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskContainer {
    pub name: String,
    /// Init containers get no CPUs of their own.
    pub is_init: bool,
}

/// Why a pod cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PodError {
    #[error(transparent)]
    Level(#[from] LevelError),
    #[error(transparent)]
    Enhancement(#[from] EnhancementError),
    #[error(transparent)]
    Directive(#[from] DirectiveError),
    #[error("{key}: {source}")]
    Quantity { key: String, source: QuantityError },
    #[error("containers: a pod has at least one that is no init container, this one has {n}")]
    NoContainers { n: usize },
    #[error("containers: {n} are more than {MAX_CONTAINERS}")]
    TooManyContainers { n: usize },
    #[error("containers: the name {name:?} is given twice")]
    SameName { name: String },
    #[error("{key}: {name:?} is no container of this pod; it has {allowed}")]
    NoSuchContainer { key: &'static str, name: String, allowed: String },
}

impl Requests {
    /// Reads a map of resource names; others than CPU and memory are not ours.
    pub fn read(resources: &BTreeMap<String, String>) -> Result<Requests, PodError> {
        use annotation::resource as name;
        let cpu =
            |key: &str| read_one(resources, key, quantity::cpu).map(Option::unwrap_or_default);
        let memory = |key: &str| read_one(resources, key, quantity::memory);
        let milli = |key: &str| read_one(resources, key, quantity::whole_milli_cpu);
        let reclaimed_cpu = match milli(name::RECLAIMED_MILLICPU)? {
            Some(cpu) => cpu,
            None => milli(name::BATCH_CPU)?.unwrap_or_default(),
        };
        let reclaimed_memory = match memory(name::RECLAIMED_MEMORY)? {
            Some(memory) => memory,
            None => memory(name::BATCH_MEMORY)?.unwrap_or_default(),
        };
        Ok(Requests {
            cpu: cpu(name::CPU)?,
            memory: memory(name::MEMORY)?.unwrap_or_default(),
            reclaimed_cpu,
            reclaimed_memory,
            cpu_limit: None,
        })
    }
}

fn read_one<T>(
    resources: &BTreeMap<String, String>,
    key: &str,
    read: impl Fn(&str) -> Result<T, QuantityError>,
) -> Result<Option<T>, PodError> {
    let Some(text) = resources.get(key) else { return Ok(None) };
    read(text).map(Some).map_err(|source| PodError::Quantity { key: key.to_owned(), source })
}

impl Ask {
    /// Of a workload that is no pod: it is its own only container, and it runs.
    pub fn of_workload(name: &WorkloadName, spec: &WorkloadSpec) -> Ask {
        Ask {
            uid: PodUid::new(name.as_str()),
            name: name.clone(),
            owner: None,
            level: spec.qos,
            wish: (*spec.wish).clone(),
            cpu: spec.request,
            cpu_limit: None,
            memory: spec.memory_request,
            containers: vec![AskContainer { name: name.to_string(), is_init: false }],
            directives: Directives::default(),
            running: true,
        }
    }

    /// Understands a pod by the rules of its cluster.
    pub fn of(pod: &Pod, rules: &QosRules) -> Result<Ask, PodError> {
        check_containers(pod)?;
        let level = rules.level(&pod.annotations, &pod.labels)?;
        let flat = enhancement::flatten(&pod.annotations, rules)?;
        let wish = Enhancements::read(level, &flat, rules)?;
        let directives = Directives::read(&pod.annotations, &pod.labels)?;
        let (cpu, memory) = requested(pod, level, &directives)?;
        Ok(Ask {
            uid: pod.uid.clone(),
            name: pod.name.clone(),
            owner: pod.owner.clone(),
            level,
            wish,
            cpu,
            memory,
            cpu_limit: limit(pod),
            containers: ordered(pod, &directives)?,
            directives,
            running: pod.running,
        })
    }
}

fn check_containers(pod: &Pod) -> Result<(), PodError> {
    let n = pod.containers.len();
    if !pod.containers.iter().any(|one| one.role == ContainerRole::App) {
        return Err(PodError::NoContainers { n });
    }
    if n > MAX_CONTAINERS {
        return Err(PodError::TooManyContainers { n });
    }
    let mut names: Vec<&str> = pod.containers.iter().map(|one| one.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(PodError::SameName { name: pair[0].to_owned() }),
        None => Ok(()),
    }
}

fn requested(
    pod: &Pod,
    level: QosLevel,
    directives: &Directives,
) -> Result<(MilliCpu, Bytes), PodError> {
    let running = || pod.containers.iter().filter(|one| one.role != ContainerRole::Init);
    let sum = |of: fn(&Requests) -> u64| {
        running().map(|one| of(&one.requests)).fold(0, u64::saturating_add)
    };
    let mut cpu = sum(|requests| requests.cpu.0);
    let mut memory = sum(|requests| requests.memory.0);
    if level.is_reclaimed() {
        let reclaimed = (sum(|r| r.reclaimed_cpu.0), sum(|r| r.reclaimed_memory.0));
        cpu = if reclaimed.0 > 0 { reclaimed.0 } else { cpu };
        memory = if reclaimed.1 > 0 { reclaimed.1 } else { memory };
    }
    if let Some(aggregated) = &directives.aggregated_requests {
        let read = Requests::read(aggregated)?;
        let given = |key: &str| aggregated.contains_key(key);
        cpu = if given(annotation::resource::CPU) { read.cpu.0 } else { cpu };
        memory = if given(annotation::resource::MEMORY) { read.memory.0 } else { memory };
    }
    Ok((MilliCpu(cpu), Bytes(memory)))
}

/// The sum over containers that run for ever.
fn limit(pod: &Pod) -> Option<MilliCpu> {
    let running = pod.containers.iter().filter(|one| one.role != ContainerRole::Init);
    running
        .map(|one| one.requests.cpu_limit)
        .try_fold(MilliCpu(0), |sum, one| Some(MilliCpu(sum.0.saturating_add(one?.0))))
}

/// Main container, other containers, sidecars, init containers.
fn ordered(pod: &Pod, directives: &Directives) -> Result<Vec<AskContainer>, PodError> {
    let rank = |one: &Container| match one.role {
        ContainerRole::App if directives.main_container.as_ref() == Some(&one.name) => 0,
        ContainerRole::App => 1,
        ContainerRole::Sidecar => 2,
        ContainerRole::Init => 3,
    };
    let mut sorted: Vec<&Container> = pod.containers.iter().collect();
    sorted.sort_by_key(|one| rank(one));
    let is_init = |one: &Container| one.role == ContainerRole::Init;
    if let Some(name) = &directives.main_container
        && sorted.first().is_none_or(|first| first.name != *name)
    {
        let names: Vec<&str> = pod.containers.iter().map(|one| one.name.as_str()).collect();
        let key = annotation::MAIN_CONTAINER_NAME;
        let (name, allowed) = (name.clone(), names.join(", "));
        return Err(PodError::NoSuchContainer { key, name, allowed });
    }
    let asked = |one: &&Container| AskContainer { name: one.name.clone(), is_init: is_init(one) };
    Ok(sorted.iter().map(asked).collect())
}

#[cfg(test)]
mod tests;
