//! What the agent answers the container runtime. Owns the table of pods and asks the loop for places; every answer comes from memory, and
//! one that does not come in time is none: the pod starts as the kubelet wants it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use advisor::turn::Reserved;
use cluster::kubelet::Given;
use collector::clock;
use model::Timestamp;
use model::knob::Knob;
use model::plan::{Finding, Severity};
use model::pod::Declared;
use model::qos::{CgroupPath, WorkloadName};
use model::sample::PodOnNode;
use proto::nri::{
    Container, ContainerAdjustment, ContainerRequest, ContainerUpdate, Event,
    LinuxContainerAdjustment, LinuxContainerUpdate, LinuxCpu, LinuxResources, PodSandbox,
    UpdateContainerRequest, ValidateContainerAdjustmentRequest,
};
use runtime::cgroup;
use runtime::nri::{Answer, Call, Identity, can_validate, foreign_cpusets, mask};
use runtime::pods::{Mark, PLACED, PodTable};
use state::{NOT_MADE_YET, Original};
use tokio::sync::{Notify, mpsc, watch};
use tracing::{info, warn};

use super::intruders::{Intruders, foreign_cpuset, harm};
use crate::config::OnUnplaceable;
use crate::metrics::{Placed, RuntimeMetrics};
use crate::node_state::{NewContainer, Request};

/// The loop answers in microseconds; beside a saturated machine it may need its turn. Far under the two seconds after which a runtime drops
/// a plugin.
const PLACE_LIMIT: Duration = Duration::from_millis(250);

/// Everything the answers depend on.
#[derive(Debug)]
pub(super) struct Plugin {
    pub(super) table: PodTable,
    /// The managed cgroup below the mount.
    pub(super) managed: String,
    pub(super) on_unplaceable: OnUnplaceable,
    pub(super) pods: watch::Sender<Arc<Vec<PodOnNode>>>,
    pub(super) told: watch::Sender<Arc<Vec<Finding>>>,
    /// What is wrong with the conversations, by rule.
    pub(super) troubles: BTreeMap<&'static str, Finding>,
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) metrics: RuntimeMetrics,
    /// As the runtime knows us.
    pub(super) identity: Identity,
    /// What others did to pods that own CPUs.
    pub(super) intruders: Intruders,
    /// What is to be told has changed.
    pub(super) news: Arc<Notify>,
}

impl Plugin {
    /// Answers one call. What it changes is told later (`tell`): all pods are looked at for that, and the runtime waits for this.
    pub(super) fn answer(&mut self, call: &Call) -> Answer {
        if self.table.hear(call) {
            self.news.notify_one();
        }
        match call {
            Call::Configure(runtime) => {
                self.is_well("runtime-not-heard");
                let (name, version) = (&runtime.runtime_name, &runtime.runtime_version);
                info!(%name, %version, "The container runtime is heard");
                Answer::Configured { events: events(can_validate(&runtime.nri_version)) }
            }
            Call::Synchronize(_) => Answer::Synchronized { update: Vec::new() },
            Call::CreateContainer(request) => self.create(request),
            Call::UpdateContainer(request) => {
                Answer::Updated { update: self.rewrite(request).into_iter().collect() }
            }
            Call::Validate(request) => Answer::Validated { refused: self.validate(request) },
            Call::StopContainer(_) => Answer::Stopped { update: Vec::new() },
            _ => Answer::Done,
        }
    }

    /// What the cluster says of the pods.
    pub(super) fn declare(&mut self, declared: Option<Arc<Declared>>) {
        self.table.declare(declared);
        self.news.notify_one();
    }

    /// What the kubelet says of those who were here at `mark`.
    pub(super) fn give(&mut self, mark: Mark, given: Given) {
        self.troubles.remove("kubelet-not-heard");
        self.table.give(mark, given);
        self.news.notify_one();
    }

    /// Something is wrong with a conversation.
    pub(super) fn trouble(&mut self, finding: Finding) {
        if self.troubles.insert(finding.rule, finding.clone()) != Some(finding) {
            self.news.notify_one();
        }
    }

    /// It is not, or no more.
    pub(super) fn is_well(&mut self, rule: &'static str) {
        if self.troubles.remove(rule).is_some() {
            self.news.notify_one();
        }
    }

    /// Tells collector and loop what is known.
    pub(super) fn tell(&mut self) {
        let (pods, misread) = self.table.pods();
        let findings = self.troubles.values().cloned();
        let findings = findings.chain(self.intruders.findings());
        let findings = findings.chain(misread.iter().map(not_understood));
        self.told.send_replace(Arc::new(findings.collect()));
        self.pods.send_if_modified(|told| {
            let changed = **told != pods;
            if changed {
                *told = Arc::new(pods);
            }
            changed
        });
    }

    fn create(&self, request: &ContainerRequest) -> Answer {
        let made = |adjust| Answer::Created { adjust, update: Vec::new() };
        let (Some(pod), Some(container)) = (&request.pod, &request.container) else {
            return made(None);
        };
        let originals = self.originals(container);
        let Some(reserved) = self.place(&pod.id, originals) else { return made(None) };
        if let (Some(refusal), OnUnplaceable::Fail) = (&reserved.refused, self.on_unplaceable) {
            return Answer::Refused { reason: refused(pod, &refusal.to_string()) };
        }
        let resources = on(LinuxResources::default(), &reserved);
        let linux = LinuxContainerAdjustment { resources: Some(resources), oom_score_adj: None };
        let annotations = [(PLACED.to_owned(), "true".to_owned())].into();
        made(Some(ContainerAdjustment { annotations, linux: Some(linux) }))
    }

    /// What the kubelet wants of a container, on the CPUs that it has from us.
    fn rewrite(&self, request: &UpdateContainerRequest) -> Option<ContainerUpdate> {
        let container = request.container.as_ref()?;
        let reserved = self.place(&container.pod_sandbox_id, Vec::new())?;
        let wanted = request.linux_resources.clone().unwrap_or_default();
        Some(ContainerUpdate {
            container_id: container.id.clone(),
            linux: Some(LinuxContainerUpdate { resources: Some(on(wanted, &reserved)) }),
            ignore_failure: false,
        })
    }

    /// Why a container must not be made as all plugins together want it. The loop is asked only where somebody else sets a cpuset.
    fn validate(&mut self, request: &ValidateContainerAdjustmentRequest) -> Option<String> {
        let foreign = foreign_cpusets(request, &self.identity);
        let owners =
            if foreign.is_empty() { None } else { self.ask(|reply| Request::Owners { reply }) }?;
        let mut refused = None;
        for one in &foreign {
            let pod = self.table.pod_of(&one.container);
            let Some(harm) = harm(one, pod.as_ref(), &owners) else { continue };
            let what_follows = match self.on_unplaceable {
                OnUnplaceable::Degrade => "it is put right within a turn",
                OnUnplaceable::Fail => {
                    "the container is not made (kubernetes.on_unplaceable = fail)"
                }
            };
            let message = format!("{harm}; {what_follows}");
            warn!(container = %one.container, "{message}");
            if self.on_unplaceable == OnUnplaceable::Fail {
                refused.get_or_insert_with(|| format!("berth: {message}"));
            }
            let subject = pod.map_or_else(|| one.container.clone(), |pod| pod.to_string());
            if self.intruders.note(clock::now(), foreign_cpuset(&subject, message)) {
                self.news.notify_one();
            }
        }
        refused
    }

    /// Nobody is told any more what others did long ago.
    pub(super) fn forget(&mut self, now: Timestamp) {
        if self.intruders.forget(now) {
            self.news.notify_one();
        }
    }

    /// `None` where the loop does not answer in time.
    fn ask<T>(&self, request: impl FnOnce(SyncSender<T>) -> Request) -> Option<T> {
        let (reply, answered) = sync_channel(1);
        let asked = self.requests.try_send(request(reply));
        asked.ok().and_then(|()| answered.recv_timeout(PLACE_LIMIT).ok())
    }

    fn place(&self, sandbox: &str, originals: Vec<Original>) -> Option<Reserved> {
        let (pod, _) = self.table.pod(sandbox)?;
        if pod.spec.given.is_some() {
            return None;
        }
        let container = Box::new(NewContainer { pod: pod.name, spec: pod.spec, originals });
        let name = container.pod.clone();
        let answer = self.ask(|reply| Request::Place { container, reply });
        if answer.is_none() {
            warn!(pod = %name, "The loop does not answer: the container is made as the kubelet wants it");
        }
        self.metrics.placed(match &answer {
            None => Placed::Late,
            Some(None) => Placed::LeftAlone,
            Some(Some(reserved)) if reserved.refused.is_some() => Placed::Refused,
            Some(Some(_)) => Placed::Placed,
        });
        answer.flatten()
    }

    /// What the container's files would hold without us.
    fn originals(&self, container: &Container) -> Vec<Original> {
        let Some(linux) = &container.linux else { return Vec::new() };
        let path = cgroup::of_container(&linux.cgroups_path);
        let path = path.and_then(|path| cgroup::below(&self.managed, &path));
        let Some(path) = path else { return Vec::new() };
        let cpu = linux.resources.as_ref().and_then(|resources| resources.cpu.clone());
        let cpu = cpu.unwrap_or_default();
        let original = |knob, text: &str| original(&path, knob, text);
        vec![original(Knob::CpusetCpus, &cpu.cpus), original(Knob::CpusetMems, &cpu.mems)]
    }
}

fn original(cgroup: &CgroupPath, knob: Knob, text: &str) -> Original {
    Original { cgroup: cgroup.clone(), cgroup_id: NOT_MADE_YET, knob, text: text.to_owned() }
}

/// What changes who is here or what they ask for, and what others do to it.
fn events(can_validate: bool) -> i32 {
    let validate = if can_validate { Event::ValidateContainerAdjustment } else { Event::Unknown };
    mask(&[
        validate,
        Event::RunPodSandbox,
        Event::StopPodSandbox,
        Event::RemovePodSandbox,
        Event::CreateContainer,
        Event::PostStartContainer,
        Event::UpdateContainer,
        Event::StopContainer,
        Event::RemoveContainer,
        Event::UpdatePodSandbox,
    ])
}

fn on(resources: LinuxResources, reserved: &Reserved) -> LinuxResources {
    let placement = &reserved.placement;
    let (cpus, mems) = (placement.cpus.to_string(), placement.mems.to_string());
    let cpu = LinuxCpu { cpus, mems, ..resources.cpu.unwrap_or_default() };
    LinuxResources { cpu: Some(cpu), ..resources }
}

fn refused(pod: &PodSandbox, why: &str) -> String {
    let PodSandbox { namespace, name, .. } = pod;
    format!("berth: {namespace}/{name} finds no place (kubernetes.on_unplaceable = fail): {why}")
}

pub(crate) fn not_understood((name, why): &(WorkloadName, String)) -> Finding {
    Finding {
        severity: Severity::Warning,
        rule: "pod-not-understood",
        subject: name.to_string(),
        message: format!("{name} runs as shared_cores: {why}"),
    }
}

#[cfg(test)]
mod tests;
