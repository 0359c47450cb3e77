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
use model::qos::{PodUid, QosRules};
use proto::nri::{
    ConfigureRequest, Container, ContainerRequest, Event, LinuxContainer, LinuxCpu,
    LinuxPodSandbox, LinuxResources, OptionalUInt64, PodSandbox, SynchronizeRequest,
    UpdateContainerRequest,
};
use runtime::nri::{Answer, Call};
use runtime::pods::{PLACED, PodTable};
use tokio::sync::{mpsc, watch};

use super::{PLACE_LIMIT, Plugin};
use crate::config::OnUnplaceable;
use crate::metrics::{Placed, RuntimeMetrics};
use crate::node_state::{NewContainer, Request};

/// What the loop answers, and what it was asked: one at a time, from a thread as the real one.
fn a_loop(answer: Option<Reserved>) -> (mpsc::Sender<Request>, JoinHandle<Vec<NewContainer>>) {
    let (requests, mut queue) = mpsc::channel(4);
    let asked = thread::spawn(move || {
        let mut asked = Vec::new();
        while let Some(request) = queue.blocking_recv() {
            let Request::Place { container, reply } = request else { continue };
            asked.push(*container);
            reply.send(answer.clone()).expect("the plugin waits");
        }
        asked
    });
    (requests, asked)
}

fn plugin(on_unplaceable: OnUnplaceable, requests: mpsc::Sender<Request>) -> Plugin {
    Plugin {
        table: PodTable::default(),
        rules: QosRules::default(),
        managed: "/kubepods".to_owned(),
        on_unplaceable,
        pods: watch::channel(Arc::default()).0,
        told: watch::channel(Arc::default()).0,
        troubles: Default::default(),
        requests,
        metrics: RuntimeMetrics::default(),
        news: Arc::default(),
    }
}

fn reserved(refused: Option<Refusal>) -> Reserved {
    let cpus = "2-3".parse().expect("a list");
    let placement = Placement { cpus, mems: NumaSet::single(model::NumaNodeId(0)), pool: None };
    Reserved { placement, refused, decisions: Vec::new() }
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
