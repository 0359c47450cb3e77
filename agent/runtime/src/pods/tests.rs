//! Who is here after a row of calls, what they ask for, and where their cgroups are.

mod read_once;

use std::collections::BTreeMap;

use model::annotation;
use model::pod::{Container as PodContainer, ContainerRole, Declared, DeclaredPod, Pod, Requests};
use model::qos::{PodUid, QosLevel, QosRules, WorkloadName};
use model::{Bytes, MilliCpu};
use proto::nri::{
    Container, ContainerRequest, ContainerState, Event, LinuxContainer, LinuxCpu, LinuxPodSandbox,
    LinuxResources, OptionalUInt64, PodSandbox, SynchronizeRequest, UpdateContainerRequest,
    UpdatePodSandboxRequest,
};

use super::PodTable;
use crate::nri::Call;

fn shares(shares: u64) -> LinuxResources {
    let shares = Some(OptionalUInt64 { value: shares });
    LinuxResources {
        cpu: Some(LinuxCpu { shares, ..LinuxCpu::default() }),
        ..LinuxResources::default()
    }
}

/// `name` in namespace `shop`; its sandbox is called `s-NAME`.
fn pod(name: &str, annotations: &[(&str, &str)], resources: Option<LinuxResources>) -> PodSandbox {
    let annotations =
        annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    PodSandbox {
        id: format!("s-{name}"),
        name: name.to_owned(),
        namespace: "shop".to_owned(),
        uid: format!("u-{name}"),
        annotations: annotations.collect(),
        linux: Some(LinuxPodSandbox {
            cgroup_parent: format!("/kubepods/burstable/pod{name}"),
            pod_resources: resources,
            ..LinuxPodSandbox::default()
        }),
        ..PodSandbox::default()
    }
}

fn container(of: &str, id: &str, asked: u64) -> Container {
    Container {
        id: id.to_owned(),
        pod_sandbox_id: format!("s-{of}"),
        linux: Some(LinuxContainer {
            resources: Some(shares(asked)),
            cgroups_path: format!("/kubepods/burstable/pod{of}/{id}"),
            ..LinuxContainer::default()
        }),
        ..Container::default()
    }
}

fn told(event: Event, pod: &PodSandbox, container: Option<Container>) -> Call {
    Call::Told { event, pod: pod.clone(), container }
}

fn create(pod: &PodSandbox, container: Container) -> Call {
    Call::CreateContainer(ContainerRequest { pod: Some(pod.clone()), container: Some(container) })
}

fn list(pods: &[PodSandbox], containers: &[Container], more: bool) -> Call {
    Call::Synchronize(SynchronizeRequest {
        pods: pods.to_vec(),
        containers: containers.to_vec(),
        more,
    })
}

fn table() -> PodTable {
    PodTable::new(QosRules::default(), "/kubepods")
}

/// One line per pod: name, level, request, cgroup, containers.
fn lines(table: &mut PodTable) -> Vec<String> {
    let (pods, misread) = table.pods();
    let line = |pod: &model::sample::PodOnNode| {
        let containers: Vec<String> = pod.containers.iter().map(ToString::to_string).collect();
        let why = misread.iter().find(|(name, _)| *name == pod.name).map(|(_, why)| why.as_str());
        format!(
            "{} {} {} {} [{}]{}",
            pod.name,
            pod.spec.qos,
            pod.spec.request,
            pod.cgroup,
            containers.join(" "),
            why.map(|why| format!(" because {why}")).unwrap_or_default()
        )
    };
    pods.iter().map(line).collect()
}

/// The table after each call, and which of the calls changed it.
#[track_caller]
fn check(calls: &[(Call, bool)], expect: &[&str]) {
    let mut table = table();
    for (nth, (call, changes)) in calls.iter().enumerate() {
        assert_eq!(table.hear(call), *changes, "call {nth}, {}", call.name());
    }
    assert_eq!(lines(&mut table), expect);
}

#[test]
fn a_pod_from_its_sandbox_to_its_end() {
    let web = pod("web", &[], Some(shares(512)));
    let c1 = || container("web", "c1", 512);
    let began = [(told(Event::RunPodSandbox, &web, None), true)];
    let made = [(create(&web, c1()), true)];
    let runs = [(told(Event::PostStartContainer, &web, Some(c1())), true)];
    let ends = [(told(Event::StopContainer, &web, Some(c1())), true)];
    let alone = "shop/web shared_cores 500 /burstable/podweb []";
    check(&began, &[alone]);
    check(&[&began[..], &made].concat(), &[alone]);
    let with = "shop/web shared_cores 500 /burstable/podweb [/burstable/podweb/c1]";
    check(&[&began[..], &made, &runs].concat(), &[with]);
    check(&[&began[..], &made, &runs, &ends].concat(), &[alone]);
    let stopped = [
        (told(Event::StopPodSandbox, &web, None), true),
        (told(Event::StopPodSandbox, &web, None), false),
    ];
    check(&[&began[..], &made, &stopped].concat(), &[]);
    let removed = [
        (told(Event::RemovePodSandbox, &web, None), true),
        (told(Event::RemovePodSandbox, &web, None), false),
    ];
    check(&[&began[..], &stopped, &removed].concat(), &[]);
}

#[test]
fn a_list_replaces_what_was_known_once_it_is_whole() {
    let (web, db) = (pod("web", &[], None), pod("db", &[], None));
    let running = Container {
        state: ContainerState::ContainerRunning.into(),
        ..container("web", "c1", 1024)
    };
    let made = container("web", "c2", 512);
    let ended = Container {
        state: ContainerState::ContainerStopped.into(),
        ..container("web", "c3", 4096)
    };
    let old = (told(Event::RunPodSandbox, &pod("old", &[], None), None), true);
    let first = (list(&[web], &[running, made], true), false);
    let last = (list(&[db], &[ended, container("nobody", "c4", 2)], false), true);
    check(&[old.clone(), first.clone()], &["shop/old shared_cores 0 /burstable/podold []"]);
    check(
        &[old, first, last],
        &[
            "shop/db shared_cores 0 /burstable/poddb []",
            // 1024 and 512 shares; what has ended asks for nothing.
            "shop/web shared_cores 1500 /burstable/podweb [/burstable/podweb/c1]",
        ],
    );
}

#[test]
fn annotations_say_what_a_pod_is() {
    let level = |level| (annotation::QOS_LEVEL, level);
    let two = Some(shares(2048));
    let rows = [
        (
            pod("db", &[level("dedicated_cores")], two.clone()),
            "shop/db dedicated_cores 2000 /burstable/poddb []",
        ),
        (
            pod("ml", &[level("reclaimed_cores")], Some(shares(2))),
            "shop/ml reclaimed_cores 0 /burstable/podml []",
        ),
    ];
    for (pod, expect) in rows {
        check(&[(told(Event::RunPodSandbox, &pod, None), true)], &[expect]);
    }
    let wrong = pod("db", &[level("gold")], two);
    let mut table = table();
    table.hear(&told(Event::RunPodSandbox, &wrong, None));
    let said = lines(&mut table);
    assert!(
        said[0].starts_with("shop/db shared_cores 2000 /burstable/poddb [] because "),
        "{said:?}"
    );
    assert!(said[0].contains(annotation::QOS_LEVEL) && said[0].contains("gold"), "{said:?}");
    let (found, _) = table.pods();
    assert_eq!(found[0].spec.qos, QosLevel::SharedCores);
}

#[test]
fn shares_are_read_back_to_what_was_asked() {
    for milli in 3..=64_000 {
        let asked = pod("web", &[], Some(shares(milli * 1024 / 1000)));
        let mut table = table();
        table.hear(&told(Event::RunPodSandbox, &asked, None));
        let (pods, _) = table.pods();
        assert_eq!(pods[0].spec.request.0, milli);
    }
}

#[test]
fn a_resize_changes_what_is_asked_for() {
    let web = pod("web", &[], Some(shares(512)));
    let began = [
        (told(Event::RunPodSandbox, &web, None), true),
        (create(&web, container("web", "c1", 512)), true),
    ];
    let resize = |asked| {
        Call::UpdatePodSandbox(UpdatePodSandboxRequest {
            pod: Some(web.clone()),
            linux_resources: Some(shares(asked)),
            ..UpdatePodSandboxRequest::default()
        })
    };
    let grown = [(resize(1024), true), (resize(1024), false)];
    check(&[&began[..], &grown].concat(), &["shop/web shared_cores 1000 /burstable/podweb []"]);

    // A runtime that tells nothing of the pod tells of its containers.
    let bare = pod("web", &[], None);
    let update = Call::UpdateContainer(UpdateContainerRequest {
        pod: Some(bare.clone()),
        container: Some(container("web", "c1", 512)),
        linux_resources: Some(shares(2048)),
    });
    check(
        &[(create(&bare, container("web", "c1", 512)), true), (update, true)],
        &["shop/web shared_cores 2000 /burstable/podweb []"],
    );
}

#[test]
fn the_agents_own_pod_is_left_out() {
    let mut table = table().without(Some(PodUid::from("u-berth")));
    for name in ["berth", "web"] {
        table.hear(&told(Event::RunPodSandbox, &pod(name, &[], None), None));
    }
    assert_eq!(lines(&mut table), ["shop/web shared_cores 0 /burstable/podweb []"]);
    assert_eq!(table.pod("s-berth"), None);
}

#[test]
fn a_name_belongs_to_the_later_sandbox() {
    let old = pod("web", &[], Some(shares(1024)));
    let new = PodSandbox { id: "s-later".to_owned(), ..pod("web", &[], Some(shares(512))) };
    let new = PodSandbox {
        linux: Some(LinuxPodSandbox {
            cgroup_parent: "/kubepods/podlater".to_owned(),
            ..new.linux.clone().unwrap()
        }),
        ..new
    };
    check(
        &[
            (told(Event::RunPodSandbox, &old, None), true),
            (told(Event::RunPodSandbox, &new, None), true),
        ],
        &[
            "shop/web shared_cores 500 /podlater []",
            "shop/web@/burstable/podweb shared_cores 1000 /burstable/podweb []",
        ],
    );
}

/// A runtime that ended while it made a sandbox leaves that one behind, and the kubelet has another one made for the same pod.
#[test]
fn a_pod_keeps_its_name_when_its_sandbox_is_made_anew() {
    let first = pod("web", &[], Some(shares(1024)));
    let second = PodSandbox { id: "s-later".to_owned(), ..first.clone() };
    let runs = |sandbox: &PodSandbox, id: &str| {
        let one = Container { pod_sandbox_id: sandbox.id.clone(), ..container("web", id, 1024) };
        [
            (create(sandbox, one.clone()), true),
            (told(Event::PostStartContainer, sandbox, Some(one)), true),
        ]
    };
    let left = [(list(std::slice::from_ref(&first), &[], false), true)];
    let anew = [(told(Event::RunPodSandbox, &second, None), true)];
    let pod =
        |containers: &str| format!("shop/web shared_cores 1000 /burstable/podweb [{containers}]");
    let later = pod("/burstable/podweb/c2");
    check(&[&left[..], &anew].concat(), &[&pod("")]);
    check(&[&left[..], &anew, &runs(&second, "c2")].concat(), &[&later]);
    // As long as the first one's containers run, they are the pod's too.
    let both = pod("/burstable/podweb/c2 /burstable/podweb/c1");
    check(&[&left[..], &runs(&first, "c1"), &anew, &runs(&second, "c2")].concat(), &[&both]);
    let removed = [(told(Event::RemovePodSandbox, &first, None), true)];
    check(&[&left[..], &anew, &runs(&second, "c2"), &removed].concat(), &[&later]);
    // A list tells of both in either order.
    let both_told = list(&[second.clone(), first.clone()], &[], false);
    check(&[(both_told, true)], &[&pod("")]);
}

#[test]
fn what_is_not_below_the_managed_cgroup_is_not_listed() {
    let mut stray = pod("web", &[], None);
    stray.linux = Some(LinuxPodSandbox {
        cgroup_parent: "/other/podx".to_owned(),
        ..LinuxPodSandbox::default()
    });
    check(&[(told(Event::RunPodSandbox, &stray, None), true)], &[]);
    stray.linux = None;
    check(&[(told(Event::RunPodSandbox, &stray, None), true)], &[]);
}

/// CPUs that the kubelet gave for itself, by where the pod is, what its container asks for and holds.
#[test]
fn whole_cpus_of_guaranteed_pods_are_the_kubelets() {
    let rows = [
        ("/kubepods/poddb", 2048, "1-2", "", Some("1-2")),
        ("kubepods-poddb.slice", 1024, "5", "", Some("5")),
        ("/kubepods/poddb", 2048, "0,3-7", "", None),
        ("/kubepods/poddb", 2048, "", "", None),
        ("/kubepods/poddb", 1536, "1-2", "", None),
        ("/kubepods/poddb", 2048, "nonsense", "", None),
        // Ours, heard again after a restart of the agent.
        ("/kubepods/poddb", 2048, "1-2", super::PLACED, None),
        ("/kubepods/burstable/poddb", 2048, "1-2", "", None),
        ("kubepods-besteffort-poddb.slice", 2048, "1-2", "", None),
    ];
    for (parent, shares, cpus, mark, expect) in rows {
        let mut db = pod("db", &[], None);
        db.linux.as_mut().unwrap().cgroup_parent = parent.to_owned();
        let mut one = container("db", "c1", shares);
        one.set_state(ContainerState::ContainerRunning);
        one.annotations =
            (!mark.is_empty()).then(|| (mark.to_owned(), "true".to_owned())).into_iter().collect();
        let linux = one.linux.as_mut().unwrap();
        linux.cgroups_path = format!("{parent}/c1");
        linux.resources.as_mut().unwrap().cpu.as_mut().unwrap().cpus = cpus.to_owned();
        let mut table = PodTable::new(QosRules::default(), "/");
        table.hear(&list(&[db], &[one], false));
        let (found, _) = table.pods();
        let given = found[0].spec.given.map(|cpus| cpus.to_string());
        assert_eq!(given.as_deref(), expect, "{parent} {shares} {cpus:?} {mark}");
        assert!(expect.is_none() || found[0].containers.is_empty(), "the kubelet's to write");
    }
}

/// A pod of `pod()` as the cluster has it.
fn declared(name: &str, level: &str, cpu: u64, running: &[&str]) -> Declared {
    let uid = PodUid::new(format!("u-{name}"));
    let requests = Requests { cpu: MilliCpu(cpu), memory: Bytes(7), ..Requests::default() };
    let app = PodContainer { name: "app".to_owned(), role: ContainerRole::App, requests };
    let pod = Pod {
        uid: uid.clone(),
        name: WorkloadName::new(format!("shop/{name}")),
        owner: None,
        labels: BTreeMap::new(),
        annotations: [(annotation::QOS_LEVEL.to_owned(), level.to_owned())].into(),
        containers: vec![app],
        running: true,
    };
    let running = running.iter().map(|id| (*id).to_owned()).collect();
    [(uid, DeclaredPod { pod, running, why: None }.into())].into()
}

/// The cluster's word is the newer one; without it, or once it is gone, the runtime's counts.
#[test]
fn what_the_cluster_says_goes_over_what_the_runtime_says() {
    let web = pod("web", &[], Some(shares(512)));
    let mut table = table();
    table.hear(&told(Event::RunPodSandbox, &web, None));
    let alone = "shop/web shared_cores 500 /burstable/podweb []";
    assert_eq!(lines(&mut table), [alone]);
    table.declare(Some(declared("web", "reclaimed_cores", 700, &[]).into()));
    assert_eq!(lines(&mut table), ["shop/web reclaimed_cores 700 /burstable/podweb []"]);
    let (pods, _) = table.pods();
    assert_eq!(pods[0].spec.memory_request, Bytes(7));
    table.declare(Some(declared("web", "fast_cores", 700, &[]).into()));
    assert!(
        lines(&mut table)[0].starts_with("shop/web shared_cores 500 /burstable/podweb [] because")
    );
    table.declare(Some(declared("other", "reclaimed_cores", 700, &[]).into()));
    assert_eq!(lines(&mut table), [alone]);
    table.declare(None);
    assert_eq!(lines(&mut table), [alone]);
}

#[test]
fn containers_that_nobody_told_of() {
    let web = pod("web", &[], None);
    let mut table = table();
    let untold = |table: &PodTable| {
        table.untold().map(|(pod, id)| format!("{pod} {id}")).collect::<Vec<_>>()
    };
    assert!(untold(&table).is_empty());
    table.declare(Some(declared("web", "shared_cores", 1, &["c1", "c2"]).into()));
    assert_eq!(untold(&table), ["shop/web c1", "shop/web c2"]);
    table.hear(&told(Event::RunPodSandbox, &web, None));
    table.hear(&create(&web, container("web", "c2", 2)));
    assert_eq!(untold(&table), ["shop/web c1"]);
}

/// CPUs that the kubelet says it gave: of those who were here when it was asked, and of nobody else of their name.
#[test]
fn the_kubelets_word_counts_for_those_it_was_asked_about() {
    let web = pod("web", &[], None);
    let mut web = web;
    if let Some(linux) = &mut web.linux {
        linux.cgroup_parent = "/kubepods/podweb".to_owned();
    }
    // It lies on as many CPUs as it asks for.
    let mut one = container("web", "c1", 2048);
    if let Some(cpu) = one.linux.as_mut().and_then(|it| it.resources.as_mut()?.cpu.as_mut()) {
        cpu.cpus = "2-3".to_owned();
    }
    let given = |table: &mut PodTable| {
        let (pods, _) = table.pods();
        pods[0].spec.given.map(|cpus| cpus.to_string())
    };
    let says = |cpus: &str| [(WorkloadName::new("shop/web"), cpus.parse().expect("a list"))].into();
    let mut table = table();
    let before = table.mark();
    table.hear(&create(&web, one));
    assert_eq!(given(&mut table).as_deref(), Some("2-3"), "by its looks");
    table.give(before, says("5"));
    assert_eq!(given(&mut table).as_deref(), Some("2-3"), "asked about another one of its name");
    table.give(table.mark(), says("5"));
    assert_eq!(given(&mut table).as_deref(), Some("5"));
    table.give(table.mark(), says(""));
    assert_eq!(given(&mut table), None, "it shares");
    table.give(table.mark(), BTreeMap::new());
    assert_eq!(
        given(&mut table).as_deref(),
        Some("2-3"),
        "a kubelet that has just started knows nobody"
    );
}
