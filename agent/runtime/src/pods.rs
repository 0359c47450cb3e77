//! Pods and containers as a runtime tells of them, kept from its calls. A value: no connection, no clock. Owns who is here and where their
//! cgroups are; what they ask for is read by `model::pod`, and where they go is the advisor's.

mod sandbox;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::CpuSet;
use model::pod::Declared;
use model::qos::{PodUid, QosRules, WorkloadName};
use model::sample::PodOnNode;
use proto::nri::{Container, ContainerState, Event, LinuxCpu, LinuxResources, PodSandbox};

use crate::nri::Call;
use sandbox::{Elsewhere, Read, Rules, Sandbox};

/// Annotation of a container that was made with our CPUs: what it holds is not what the kubelet wants.
pub const PLACED: &str = "berth.dev/placed";

/// Everybody the runtime knows.
#[derive(Clone, Debug, Default)]
pub struct PodTable {
    /// By the id of the sandbox: a pod whose sandbox ended has another one for a moment.
    sandboxes: BTreeMap<String, Sandbox>,
    /// A list that is being told in parts.
    incoming: Option<BTreeMap<String, Sandbox>>,
    rules: Rules,
    others: Others,
    /// Sandboxes ever heard of.
    n_heard: u64,
}

/// What others than the runtime say of the same pods.
#[derive(Clone, Debug, Default)]
struct Others {
    /// The cluster; `None` before it said anything.
    declared: Option<Arc<Declared>>,
    /// CPUs that the kubelet says it gave away, by pod.
    given: BTreeMap<WorkloadName, CpuSet>,
    /// It spoke of sandboxes that had come before this one.
    given_before: u64,
}

impl Others {
    fn of(&self, sandbox: &Sandbox) -> Elsewhere<'_> {
        let declared = self.declared.as_ref().and_then(|declared| declared.get(&sandbox.uid));
        let asked_for = sandbox.nth < self.given_before;
        let given = self.given.get(&sandbox.name).filter(|_| asked_for);
        Elsewhere { declared, given }
    }
}

/// A place in the row of everybody who ever came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

impl PodTable {
    /// Of the pods below `managed`, a path below the mount, as `qos` reads them.
    pub fn new(qos: QosRules, managed: &str) -> PodTable {
        PodTable {
            rules: Rules { qos, managed: managed.to_owned(), own: None },
            ..PodTable::default()
        }
    }

    /// Leaves one pod out, by its uid: an agent that protected its own would hold batch work down for itself.
    pub fn without(self, own: Option<PodUid>) -> PodTable {
        PodTable { rules: Rules { own, ..self.rules }, ..self }
    }

    /// Takes a call over; whether anything is different now.
    pub fn hear(&mut self, call: &Call) -> bool {
        match call {
            Call::Configure(_) => {
                self.incoming = None;
                false
            }
            Call::Synchronize(list) => self.synchronize(list),
            Call::CreateContainer(it) => self.container(it.pod.as_ref(), it.container.as_ref()),
            Call::UpdateContainer(it) => {
                let resources = it.linux_resources.as_ref();
                it.container.as_ref().is_some_and(|one| self.resized(one, resources))
            }
            Call::UpdatePodSandbox(it) => {
                let resources = it.linux_resources.as_ref();
                it.pod.as_ref().is_some_and(|pod| self.pod_resized(pod, resources))
            }
            Call::StopContainer(it) => it.container.as_ref().is_some_and(|one| self.gone(one)),
            Call::Told { event, pod, container } => self.told(*event, pod, container.as_ref()),
            Call::Validate(_) | Call::Shutdown => false,
        }
    }

    /// What the cluster says from now on.
    pub fn declare(&mut self, declared: Option<Arc<Declared>>) {
        self.others.declared = declared;
    }

    /// To be taken before the kubelet is asked: it may not know who comes while it answers, and a pod has the name of an earlier one.
    pub fn mark(&self) -> Mark {
        Mark(self.n_heard)
    }

    /// What the kubelet says of those who were here at `mark`.
    pub fn give(&mut self, mark: Mark, given: BTreeMap<WorkloadName, CpuSet>) {
        self.others.given_before = mark.0;
        self.others.given = given;
    }

    /// Ids of containers that run by the cluster's word and of which the runtime has told nothing.
    pub fn untold(&self) -> impl Iterator<Item = (&WorkloadName, &str)> {
        let ids = self.sandboxes.values().flat_map(|one| one.containers.keys());
        let told: BTreeSet<&str> = ids.map(String::as_str).collect();
        let declared = self.others.declared.iter().flat_map(|declared| declared.values());
        let running =
            declared.flat_map(|one| one.running.iter().map(move |id| (&one.pod.name, id.as_str())));
        running.filter(move |(_, id)| !told.contains(id))
    }

    fn synchronize(&mut self, list: &proto::nri::SynchronizeRequest) -> bool {
        let mut known = self.incoming.take().unwrap_or_default();
        for pod in &list.pods {
            // One that was here already, and its place among the others.
            let nth = self.sandboxes.get(&pod.id).map(|one| one.nth);
            let nth = nth.unwrap_or_else(|| self.next_nth());
            known.insert(pod.id.clone(), Sandbox::new(pod, nth));
        }
        for container in list.containers.iter().filter(|one| is_there(one)) {
            if let Some(sandbox) = known.get_mut(&container.pod_sandbox_id) {
                sandbox.containers.insert(container.id.clone(), container.clone());
            }
        }
        if list.more {
            self.incoming = Some(known);
            return false;
        }
        self.sandboxes = known;
        true
    }

    fn told(&mut self, event: Event, pod: &PodSandbox, container: Option<&Container>) -> bool {
        match (event, container) {
            (Event::RunPodSandbox, _) => {
                self.sandbox(pod);
                true
            }
            (Event::StopPodSandbox, _) => match self.changing(&pod.id) {
                Some(sandbox) => !std::mem::replace(&mut sandbox.has_stopped, true),
                None => false,
            },
            (Event::RemovePodSandbox, _) => self.sandboxes.remove(&pod.id).is_some(),
            (Event::CreateContainer, container) => self.container(Some(pod), container),
            (Event::PostStartContainer, Some(container)) => self.runs(container),
            (Event::StopContainer | Event::RemoveContainer, Some(container)) => {
                self.gone(container)
            }
            _ => false,
        }
    }

    fn sandbox(&mut self, pod: &PodSandbox) -> &mut Sandbox {
        let nth = self.n_heard;
        let sandbox = self.sandboxes.entry(pod.id.clone());
        let sandbox = sandbox.or_insert_with(|| {
            self.n_heard += 1;
            Sandbox::new(pod, nth)
        });
        sandbox.changing()
    }

    fn changing(&mut self, sandbox: &str) -> Option<&mut Sandbox> {
        self.sandboxes.get_mut(sandbox).map(Sandbox::changing)
    }

    fn next_nth(&mut self) -> u64 {
        self.n_heard += 1;
        self.n_heard - 1
    }

    fn container(&mut self, pod: Option<&PodSandbox>, container: Option<&Container>) -> bool {
        let (Some(pod), Some(container)) = (pod, container) else { return false };
        self.sandbox(pod).containers.insert(container.id.clone(), container.clone());
        true
    }

    /// Before that a runtime takes no update of it, and its cgroup may still be in the making.
    fn runs(&mut self, container: &Container) -> bool {
        let sandbox = self.changing(&container.pod_sandbox_id);
        let held = sandbox.and_then(|sandbox| sandbox.containers.get_mut(&container.id));
        held.is_some_and(|held| {
            let ran = held.state() == ContainerState::ContainerRunning;
            held.set_state(ContainerState::ContainerRunning);
            !ran
        })
    }

    fn gone(&mut self, container: &Container) -> bool {
        let sandbox = self.changing(&container.pod_sandbox_id);
        sandbox.is_some_and(|sandbox| sandbox.containers.remove(&container.id).is_some())
    }

    fn resized(&mut self, container: &Container, resources: Option<&LinuxResources>) -> bool {
        let sandbox = self.changing(&container.pod_sandbox_id);
        let held = sandbox.and_then(|sandbox| sandbox.containers.get_mut(&container.id));
        let held = held.and_then(|held| held.linux.as_mut());
        merge(held.map(|linux| &mut linux.resources), resources)
    }

    fn pod_resized(&mut self, pod: &PodSandbox, resources: Option<&LinuxResources>) -> bool {
        let held = self.changing(&pod.id).and_then(|sandbox| sandbox.pod.linux.as_mut());
        merge(held.map(|linux| &mut linux.pod_resources), resources)
    }

    /// Whose container it is, by its id.
    pub fn pod_of(&self, container: &str) -> Option<WorkloadName> {
        let of = |one: &&Sandbox| one.containers.contains_key(container);
        self.sandboxes.values().find(of).map(|one| one.name.clone())
    }

    /// The pod of a sandbox, as it is understood.
    pub fn pod(&self, sandbox: &str) -> Read {
        let sandbox = self.sandboxes.get(sandbox)?;
        sandbox.read(&self.rules, self.others.of(sandbox))
    }

    /// Everybody with a cgroup below the managed one, and the reasons of those who are not understood. Of two sandboxes of one name the later
    /// one has it; in one cgroup they are one pod, whose sandbox was made anew (a runtime that ends meanwhile leaves the first one behind).
    pub fn pods(&mut self) -> (Vec<PodOnNode>, Vec<(WorkloadName, String)>) {
        let PodTable { sandboxes, rules, others, .. } = self;
        let lives = |one: &&mut Sandbox| !one.has_stopped;
        let mut living: Vec<&mut Sandbox> = sandboxes.values_mut().filter(lives).collect();
        living.sort_by_key(|one| std::cmp::Reverse(one.nth));
        let mut pods: BTreeMap<WorkloadName, PodOnNode> = BTreeMap::new();
        let mut misread = Vec::new();
        let read = |one: &mut Sandbox| one.read_once(rules, others.of(one));
        for (mut pod, why) in living.into_iter().filter_map(read) {
            if let Some(later) = pods.get_mut(&pod.name) {
                if later.cgroup == pod.cgroup {
                    later.containers.append(&mut pod.containers);
                    continue;
                }
                pod.name = WorkloadName::new(format!("{}@{}", pod.name, pod.cgroup));
            }
            misread.extend(why.map(|why| (pod.name.clone(), why)));
            pods.insert(pod.name.clone(), pod);
        }
        (pods.into_values().collect(), misread)
    }
}

fn is_there(container: &Container) -> bool {
    container.state() != ContainerState::ContainerStopped
}

/// What an update says goes over what was there; what it leaves out stays.
fn merge(held: Option<&mut Option<LinuxResources>>, new: Option<&LinuxResources>) -> bool {
    let (Some(held), Some(new)) = (held, new) else { return false };
    let before = held.clone();
    let now = held.get_or_insert_default();
    if let Some(cpu) = &new.cpu {
        let was = now.cpu.get_or_insert_default();
        let kept =
            |new: &str, was: &str| if new.is_empty() { was.to_owned() } else { new.to_owned() };
        *was = LinuxCpu {
            shares: cpu.shares.or(was.shares),
            quota: cpu.quota.or(was.quota),
            period: cpu.period.or(was.period),
            cpus: kept(&cpu.cpus, &was.cpus),
            mems: kept(&cpu.mems, &was.mems),
        };
    }
    *held != before
}

#[cfg(test)]
mod tests;
