//! What a runtime is answered, with a loop that says what a case wants it to.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use advisor::admit::Refusal;
use advisor::pool::Placement;
use advisor::turn::Reserved;
use model::NumaSet;
use model::annotation;
use model::knob::Knob;
use model::qos::{PodUid, QosRules, WorkloadName};
use proto::nri::{
    ConfigureRequest, Container, ContainerAdjustment, ContainerRequest, Event, Field, FieldOwners,
    LinuxContainer, LinuxContainerAdjustment, LinuxCpu, LinuxPodSandbox, LinuxResources,
    OptionalUInt64, OwningPlugins, PodSandbox, SynchronizeRequest, UpdateContainerRequest,
    ValidateContainerAdjustmentRequest,
};
use runtime::nri::{Answer, Call, Identity, mask};
use runtime::pods::{PLACED, PodTable};
use tokio::sync::{mpsc, watch};

use super::{PLACE_LIMIT, Plugin};
use crate::config::OnUnplaceable;
use crate::kubernetes::intruders::Intruders;
use crate::metrics::{Placed, RuntimeMetrics};
use crate::node_state::{NewContainer, Owner, Request};

/// What the loop answers, and what it was asked: one at a time, from a thread as the real one.
fn a_loop(answer: Option<Reserved>) -> (mpsc::Sender<Request>, JoinHandle<Vec<NewContainer>>) {
    let (requests, mut queue) = mpsc::channel(4);
    let asked = thread::spawn(move || {
        let mut asked = Vec::new();
        while let Some(request) = queue.blocking_recv() {
            match request {
                Request::Place { container, reply } => {
                    asked.push(*container);
                    reply.send(answer.clone()).expect("the plugin waits");
                }
                Request::Owners { reply } => reply.send(vec![owner()]).expect("the plugin waits"),
                Request::SetMode { .. } => panic!("the plugin sets no mode"),
            }
        }
        asked
    });
    (requests, asked)
}

fn plugin(on_unplaceable: OnUnplaceable, requests: mpsc::Sender<Request>) -> Plugin {
    Plugin {
        table: PodTable::new(QosRules::default(), "/kubepods"),
        managed: "/kubepods".to_owned(),
        on_unplaceable,
        pods: watch::channel(Arc::default()).0,
        told: watch::channel(Arc::default()).0,
        troubles: Default::default(),
        requests,
        metrics: RuntimeMetrics::default(),
        identity: Identity { name: "berth".to_owned(), index: 50 },
        intruders: Intruders::default(),
        news: Arc::default(),
    }
}

fn reserved(refused: Option<Refusal>) -> Reserved {
    let cpus = "2-3".parse().expect("a list");
    let placement = Placement { cpus, mems: NumaSet::single(model::NumaNodeId(0)), pool: None };
    Reserved { placement, refused, decisions: Vec::new() }
}

fn owner() -> Owner {
    let (pod, cpus) = (WorkloadName::from("shop/owner"), "2-3".parse().expect("a list"));
    Owner { pod, cpus, nodes: NumaSet::EMPTY }
}

fn resources(shares: u64, cpus: &str) -> LinuxResources {
    let shares = Some(OptionalUInt64 { value: shares });
    let cpu = LinuxCpu { shares, cpus: cpus.to_owned(), ..LinuxCpu::default() };
    LinuxResources { cpu: Some(cpu), ..LinuxResources::default() }
}

/// `shop/db`, and its container as the kubelet wants it.
fn pod(level: &str) -> PodSandbox {
    PodSandbox {
        id: "s".to_owned(),
        name: "db".to_owned(),
        namespace: "shop".to_owned(),
        uid: "u".to_owned(),
        annotations: [(annotation::QOS_LEVEL.to_owned(), level.to_owned())].into(),
        linux: Some(LinuxPodSandbox {
            cgroup_parent: "/kubepods/podu".to_owned(),
            ..LinuxPodSandbox::default()
        }),
        ..PodSandbox::default()
    }
}

fn container(wanted: LinuxResources) -> Container {
    Container {
        id: "c".to_owned(),
        pod_sandbox_id: "s".to_owned(),
        linux: Some(LinuxContainer {
            resources: Some(wanted),
            cgroups_path: "/kubepods/podu/c".to_owned(),
            ..LinuxContainer::default()
        }),
        ..Container::default()
    }
}

fn create(level: &str, wanted: LinuxResources) -> Call {
    let (pod, container) = (Some(pod(level)), Some(container(wanted)));
    Call::CreateContainer(ContainerRequest { pod, container })
}

/// CPUs and memory nodes of an adjustment; `None` where the container is left alone.
fn adjusted(answer: Answer) -> Option<(String, String)> {
    let Answer::Created { adjust, update } = answer else { panic!("{answer:?}") };
    assert_eq!(update, [], "others are moved by the slow lane, never while a pod waits");
    let adjust = adjust?;
    assert!(adjust.annotations.contains_key(PLACED));
    let cpu = adjust.linux?.resources?.cpu?;
    Some((cpu.cpus, cpu.mems))
}

#[test]
fn a_container_is_made_where_the_loop_says_and_its_originals_are_told() {
    let (requests, asked) = a_loop(Some(reserved(None)));
    let mut plugin = plugin(OnUnplaceable::Degrade, requests);
    let answer = plugin.answer(&create("dedicated_cores", resources(2048, "0,3-7")));
    assert_eq!(adjusted(answer), Some(("2-3".to_owned(), "0".to_owned())));
    drop(plugin);
    let asked = asked.join().expect("the loop");
    let originals: Vec<(Knob, &str, &str)> = asked[0]
        .originals
        .iter()
        .map(|one| (one.knob, one.cgroup.as_str(), one.text.as_str()))
        .collect();
    assert_eq!(asked[0].pod.as_str(), "shop/db");
    assert_eq!(
        originals,
        [(Knob::CpusetCpus, "/podu/c", "0,3-7"), (Knob::CpusetMems, "/podu/c", "")]
    );
}

/// The loop says so in observe mode and before the first Plan.
#[test]
fn a_container_is_left_alone_when_the_loop_has_no_place() {
    let (requests, _asked) = a_loop(None);
    let mut plugin = plugin(OnUnplaceable::Fail, requests);
    assert_eq!(adjusted(plugin.answer(&create("dedicated_cores", resources(2048, "")))), None);
    assert_eq!(plugin.metrics.n_placed(Placed::LeftAlone), 1);
}

#[test]
fn a_loop_that_hangs_or_is_gone_costs_a_pod_a_moment() {
    let (requests, queue) = mpsc::channel(4);
    let mut plugin = plugin(OnUnplaceable::Fail, requests);
    let began = Instant::now();
    assert_eq!(adjusted(plugin.answer(&create("dedicated_cores", resources(2048, "")))), None);
    assert!(began.elapsed() >= PLACE_LIMIT);
    assert!(began.elapsed() < PLACE_LIMIT * 6, "{:?}", began.elapsed());
    drop(queue);
    assert_eq!(adjusted(plugin.answer(&create("dedicated_cores", resources(2048, "")))), None);
    assert_eq!(plugin.metrics.n_placed(Placed::Late), 2);
}

#[test]
fn who_finds_no_place_runs_with_others_or_does_not_start() {
    let refusal = || Some(Refusal::Unknown { uid: PodUid::new("shop/db") });
    for policy in [OnUnplaceable::Degrade, OnUnplaceable::Fail] {
        let (requests, _asked) = a_loop(Some(reserved(refusal())));
        let mut plugin = plugin(policy, requests);
        let answer = plugin.answer(&create("dedicated_cores", resources(2048, "")));
        assert_eq!(plugin.metrics.n_placed(Placed::Refused), 1);
        match (policy, answer) {
            (OnUnplaceable::Degrade, answer) => assert!(adjusted(answer).is_some()),
            (OnUnplaceable::Fail, Answer::Refused { reason }) => {
                assert!(reason.contains("shop/db finds no place"), "{reason}");
                assert!(reason.contains("was not admitted"), "{reason}");
            }
            (_, other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_update_of_the_kubelet_keeps_all_but_the_cpuset() {
    let (requests, asked) = a_loop(Some(reserved(None)));
    let mut plugin = plugin(OnUnplaceable::Degrade, requests);
    plugin.answer(&create("shared_cores", resources(512, "")));
    let update = |wanted| {
        Call::UpdateContainer(UpdateContainerRequest {
            pod: Some(pod("shared_cores")),
            container: Some(container(resources(512, ""))),
            linux_resources: wanted,
        })
    };
    let Answer::Updated { update: updates } =
        plugin.answer(&update(Some(resources(1024, "0,5-7"))))
    else {
        panic!("an update is answered with one")
    };
    let rewritten = updates[0].linux.as_ref().and_then(|linux| linux.resources.clone());
    let cpu = rewritten.and_then(|resources| resources.cpu).expect("a cpuset");
    assert_eq!((cpu.cpus.as_str(), cpu.mems.as_str()), ("2-3", "0"));
    assert_eq!(cpu.shares.map(|shares| shares.value), Some(1024));
    // What the kubelet asks for is what the pod asks for from now on.
    plugin.answer(&update(None));
    drop(plugin);
    let asked = asked.join().expect("the loop");
    let requested: Vec<u64> = asked.iter().map(|one| one.spec.request.0).collect();
    assert_eq!(requested, [500, 1000, 1000]);
    assert!(asked[1].originals.is_empty(), "its originals were told when it was made");
}

/// A kubelet with the static CPU manager gave it the CPUs: the loop is not even asked.
#[test]
fn what_the_kubelet_places_is_the_kubelets() {
    let (requests, asked) = a_loop(Some(reserved(None)));
    let mut plugin = plugin(OnUnplaceable::Degrade, requests);
    assert_eq!(adjusted(plugin.answer(&create("shared_cores", resources(2048, "4-5")))), None);
    drop(plugin);
    assert_eq!(asked.join().expect("the loop"), []);
}

#[test]
fn what_is_missing_in_a_call_is_survived() {
    let (requests, _asked) = a_loop(Some(reserved(None)));
    let mut plugin = plugin(OnUnplaceable::Fail, requests);
    let bare = |pod, container| Call::CreateContainer(ContainerRequest { pod, container });
    for call in [
        bare(None, None),
        bare(Some(pod("gold")), None),
        bare(None, Some(container(LinuxResources::default()))),
        bare(Some(PodSandbox::default()), Some(Container::default())),
    ] {
        assert_eq!(adjusted(plugin.answer(&call)), None, "{call:?}");
    }
    let update = UpdateContainerRequest::default();
    let answer = plugin.answer(&Call::UpdateContainer(update));
    assert_eq!(answer, Answer::Updated { update: Vec::new() });
}

#[test]
fn who_is_here_is_told_with_who_is_not_understood() {
    let (requests, _asked) = a_loop(None);
    let mut plugin = plugin(OnUnplaceable::Degrade, requests);
    let (mut pods, told) = (plugin.pods.subscribe(), plugin.told.subscribe());
    let answer = plugin.answer(&Call::Configure(ConfigureRequest::default()));
    assert!(matches!(answer, Answer::Configured { events } if events != 0));
    let list = |more| SynchronizeRequest { pods: vec![pod("gold")], containers: Vec::new(), more };
    plugin.answer(&Call::Synchronize(list(true)));
    plugin.tell();
    assert!(!pods.has_changed().expect("open"), "half a list is none");
    plugin.answer(&Call::Synchronize(list(false)));
    assert!(!pods.has_changed().expect("open"), "the runtime is answered first");
    plugin.tell();
    assert_eq!(pods.borrow_and_update()[0].name.as_str(), "shop/db");
    let told = Arc::clone(&told.borrow());
    assert_eq!((told.len(), told[0].rule), (1, "pod-not-understood"));
    assert!(told[0].message.contains("gold"), "{}", told[0].message);
    let gone = Call::Told { event: Event::RemovePodSandbox, pod: pod("gold"), container: None };
    plugin.answer(&gone);
    plugin.tell();
    assert!(pods.borrow().is_empty());
}

/// What a plugin in front of us made of the cpuset of `shop/db`.
fn validate(by: &str, cpus: &str) -> Call {
    let (mut adjust, mut linux) =
        (ContainerAdjustment::default(), LinuxContainerAdjustment::default());
    linux.resources = Some(resources(512, cpus));
    adjust.linux = Some(linux);
    let mut fields = FieldOwners::default();
    fields.simple.insert(Field::CpusetCpus.into(), by.to_owned());
    let owners = OwningPlugins { owners: [("c".to_owned(), fields)].into() };
    Call::Validate(ValidateContainerAdjustmentRequest {
        pod: Some(pod("shared_cores")),
        container: Some(container(LinuxResources::default())),
        adjust: Some(adjust),
        update: Vec::new(),
        owners: Some(owners),
    })
}

/// Policy, who sets it, to what -> whether the container is made and what is told.
#[test]
fn whoever_comes_too_near_to_an_owner_is_told_of_or_not_made() {
    use OnUnplaceable::{Degrade, Fail};
    for (policy, by, cpus, is_made, told) in [
        (Degrade, "10-pin", "0-1", true, ""),
        (Degrade, "50-berth", "2-3", true, ""),
        (Degrade, "10-pin", "1-2", true, "put right within a turn"),
        (Fail, "10-pin", "0-1", true, ""),
        (
            Fail,
            "10-pin",
            "1-2",
            false,
            "of which 2 are shop/owner's own; the container is not made",
        ),
    ] {
        let (requests, _asked) = a_loop(None);
        let mut plugin = plugin(policy, requests);
        plugin.answer(&create("shared_cores", resources(512, "")));
        let Answer::Validated { refused } = plugin.answer(&validate(by, cpus)) else {
            panic!("a question is answered")
        };
        assert_eq!(refused.is_none(), is_made, "{by} {cpus}: {refused:?}");
        plugin.tell();
        let found = Arc::clone(&plugin.told.borrow());
        let found: Vec<_> = found.iter().map(|one| (one.subject.as_str(), &one.message)).collect();
        assert_eq!(found.len(), usize::from(!told.is_empty()), "{by} {cpus}: {found:?}");
        assert!(
            found.iter().all(|(pod, text)| *pod == "shop/db" && text.contains(told)),
            "{found:?}"
        );
        assert!(refused.is_none_or(|reason| reason.contains(told)));
    }
}

/// The loop is busy, or gone: pods start.
#[test]
fn without_the_loop_nobody_is_refused() {
    let (requests, queue) = mpsc::channel(4);
    let mut plugin = plugin(OnUnplaceable::Fail, requests);
    for call in [validate("10-pin", "2-3"), Call::Validate(Default::default())] {
        assert_eq!(plugin.answer(&call), Answer::Validated { refused: None });
    }
    drop(queue);
    assert_eq!(plugin.answer(&validate("10-pin", "2-3")), Answer::Validated { refused: None });
}

#[test]
fn only_a_runtime_that_knows_validation_is_asked_for_it() {
    let (requests, _asked) = a_loop(None);
    let mut plugin = plugin(OnUnplaceable::Fail, requests);
    for (nri_version, asks) in [("", false), ("0.9.0", false), ("0.12.3", true)] {
        let runtime =
            ConfigureRequest { nri_version: nri_version.to_owned(), ..Default::default() };
        let Answer::Configured { events } = plugin.answer(&Call::Configure(runtime)) else {
            panic!("a plugin says what it wants to hear")
        };
        let validation = mask(&[Event::ValidateContainerAdjustment]);
        assert_eq!(events & validation != 0, asks, "{nri_version:?}");
    }
}
