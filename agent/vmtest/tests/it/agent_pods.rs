//! The agent beside five hundred pods that a container runtime tells it of: what it holds, and how long the runtime
//! waits for it. In virtual time, where the host's load counts for nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use proto::nri::{
    Container, ContainerAdjustment, ContainerRequest, ContainerState, Event, Field, FieldOwners,
    LinuxContainer, LinuxContainerAdjustment, LinuxCpu, LinuxPodSandbox, LinuxResources,
    OptionalUInt64, OwningPlugins, PodSandbox, StateChangeEvent,
    ValidateContainerAdjustmentRequest,
};
use vmtest::wait_until;

use crate::agent_hosts::{EMULATOR_FACTOR, status_kib};
use crate::agent_process::{Agent, LIMIT, Scene};
use crate::cgroup_knobs::measured;
use crate::nri_runtime::{Groups, NriRuntime};

const N_PODS: usize = 500;
/// They start while the agent runs, the others were there before it.
const N_STARTED: usize = 100;
/// What a release build has in memory of its program, beside a hundred pods on a node; that of the tests has more code.
const RELEASE_PROGRAM_KIB: u64 = 13 * 1024;

/// Pods below a managed tree of their own.
struct Pods {
    scene: Scene,
    groups: Groups,
}

impl Pods {
    fn new() -> Pods {
        let scene = Scene::new("pods", 0);
        let groups = Groups::new(Mutex::new(BTreeMap::new()));
        make_parent(&scene.root.path().join("burstable"));
        Pods { scene, groups }
    }

    fn parent(n: usize) -> String {
        format!("/t-pods/burstable/pod{n:032x}")
    }

    /// As the kubelet and the runtime make them.
    #[track_caller]
    fn make_groups(&self, n: usize) {
        let parent = PathBuf::from(format!("/sys/fs/cgroup{}", Pods::parent(n)));
        make_parent(&parent);
        let container = Pods::container(n);
        let group = parent.join(&container.id);
        fs::create_dir(&group).expect("make a container's cgroup");
        self.groups.lock().expect("no panic").insert(container.id, group);
    }

    fn resources() -> LinuxResources {
        let shares = Some(OptionalUInt64 { value: 10 });
        LinuxResources {
            cpu: Some(LinuxCpu { shares, ..LinuxCpu::default() }),
            ..LinuxResources::default()
        }
    }

    /// Every fourth is batch work.
    fn sandbox(n: usize) -> PodSandbox {
        let level = if n.is_multiple_of(4) { "reclaimed_cores" } else { "shared_cores" };
        PodSandbox {
            id: format!("{n:064x}"),
            name: format!("pod-{n}"),
            namespace: "shop".to_owned(),
            uid: format!("{n:032x}"),
            labels: (0..8).map(|key| (format!("label-{key}"), format!("value-{n}"))).collect(),
            annotations: [(model::annotation::QOS_LEVEL.to_owned(), level.to_owned())].into(),
            linux: Some(LinuxPodSandbox {
                cgroup_parent: Pods::parent(n),
                pod_resources: Some(Pods::resources()),
                ..LinuxPodSandbox::default()
            }),
            ..PodSandbox::default()
        }
    }

    fn container(n: usize) -> Container {
        let id = format!("{:064x}", 0xc000 + n);
        Container {
            pod_sandbox_id: format!("{n:064x}"),
            name: "main".to_owned(),
            state: ContainerState::ContainerRunning.into(),
            linux: Some(LinuxContainer {
                resources: Some(Pods::resources()),
                cgroups_path: format!("{}/{id}", Pods::parent(n)),
                ..LinuxContainer::default()
            }),
            id,
            ..Container::default()
        }
    }

    fn cpus(&self, n: usize) -> String {
        let group = self.groups.lock().expect("no panic")[&Pods::container(n).id].clone();
        fs::read_to_string(group.join("cpuset.cpus")).expect("cpuset.cpus").trim().to_owned()
    }

    #[track_caller]
    fn remove(self) {
        for group in self.groups.lock().expect("no panic").values() {
            fs::remove_dir(group).expect("remove a container's cgroup");
            fs::remove_dir(group.parent().expect("a pod's")).expect("remove a pod's cgroup");
        }
        fs::remove_dir(self.scene.root.path().join("burstable")).expect("remove a cgroup");
    }

    /// The calls of one pod that starts, and how long each took.
    #[track_caller]
    fn start(&self, runtime: &mut NriRuntime, n: usize) -> Vec<Duration> {
        let (pod, container) = (Some(Pods::sandbox(n)), Some(Pods::container(n)));
        let told = |event: Event, container| StateChangeEvent {
            event: event.into(),
            pod: pod.clone(),
            container,
        };
        let made = ContainerRequest { pod: pod.clone(), container: container.clone() };
        let mut took = vec![
            runtime.call("StateChange", &told(Event::RunPodSandbox, None)).1,
            runtime.call("CreateContainer", &made).1,
            runtime.call("ValidateContainerAdjustment", &validated(&made)).1,
        ];
        self.make_groups(n);
        for event in [Event::PostCreateContainer, Event::StartContainer, Event::PostStartContainer]
        {
            took.push(runtime.call("StateChange", &told(event, container.clone())).1);
        }
        took
    }
}

#[test]
fn exact_agent_beside_five_hundred_pods_stays_within_its_bars() {
    let pods = Pods::new();
    let listener = UnixListener::bind("/tmp/pods-nri.sock").expect("a socket");
    let there: Vec<usize> = (0..N_PODS - N_STARTED).collect();
    there.iter().for_each(|n| pods.make_groups(*n));
    let config = format!(
        "{}[host]\nmanaged_cgroup = \"/t-pods\"\n\
         [kubernetes]\nnri_socket = \"/tmp/pods-nri.sock\"\nkubelet_socket = \"/tmp/no-kubelet.sock\"\n",
        pods.scene.config("enforce", "")
    );
    let agent = Agent::start(&pods.scene, &config);
    let mut runtime = NriRuntime::accept(&listener, &pods.groups);
    let sandboxes: Vec<_> = there.iter().map(|n| Pods::sandbox(*n)).collect();
    let containers: Vec<_> = there.iter().map(|n| Pods::container(*n)).collect();
    let synchronized = runtime.synchronize((&sandboxes, &containers), 150);
    check_bar("nri_synchronize_400_pods_native_ms", vec![synchronized], 100.0);
    wait_until("the agent to know the pods that were there", LIMIT, || knows(&agent, there.len()));
    start_the_others(&pods, &mut runtime);
    wait_until("the agent to know them all", LIMIT, || knows(&agent, N_PODS));
    let own_kib = status_kib(agent.pid(), "RssAnon");
    measured(&format!("agent_rss_kib_beside_500_pods {}", status_kib(agent.pid(), "VmRSS")));
    measured(&format!("agent_anon_kib_beside_500_pods {own_kib}"));
    assert!((own_kib + RELEASE_PROGRAM_KIB) * 1024 < 60_000_000, "{own_kib} KiB of its own");
    // Batch work has what the runtime was asked to give it.
    let batch: Vec<usize> = (0..N_PODS).filter(|n| n.is_multiple_of(4)).collect();
    wait_until("every batch pod to have its CPUs", LIMIT, || {
        batch.iter().all(|n| !pods.cpus(*n).is_empty())
    });
    assert_eq!(agent.stop(), 0);
    pods.remove();
}

/// A cgroup whose children have every controller that the agent writes.
#[track_caller]
fn make_parent(path: &Path) {
    fs::create_dir(path).expect("make a cgroup");
    fs::write(path.join("cgroup.subtree_control"), "+cpu +cpuset +memory").expect("pass on");
}

fn knows(agent: &Agent, n_pods: usize) -> bool {
    agent.says(&["qos"]).lines().filter(|line| line.starts_with("shop/pod-")).count() == n_pods
}

/// Another plugin has put it on CPUs as well, so that the owners of some are looked up.
fn validated(made: &ContainerRequest) -> ValidateContainerAdjustmentRequest {
    let cpu = LinuxCpu { cpus: "0-1".to_owned(), ..LinuxCpu::default() };
    let resources = Some(LinuxResources { cpu: Some(cpu), ..LinuxResources::default() });
    let linux = LinuxContainerAdjustment { resources, oom_score_adj: None };
    let mut fields = FieldOwners::default();
    fields.simple.insert(Field::CpusetCpus.into(), "10-pin".to_owned());
    let id = made.container.as_ref().map(|container| container.id.clone()).unwrap_or_default();
    ValidateContainerAdjustmentRequest {
        pod: made.pod.clone(),
        container: made.container.clone(),
        adjust: Some(ContainerAdjustment { linux: Some(linux), ..ContainerAdjustment::default() }),
        update: Vec::new(),
        owners: Some(OwningPlugins { owners: [(id, fields)].into() }),
    }
}

/// Ten pods a second, more than a kubelet starts: every call and all calls of a pod.
#[track_caller]
fn start_the_others(pods: &Pods, runtime: &mut NriRuntime) {
    let (mut calls, mut sums) = (Vec::new(), Vec::new());
    for n in N_PODS - N_STARTED..N_PODS {
        let took = pods.start(runtime, n);
        sums.push(took.iter().sum());
        calls.extend(took);
        std::thread::sleep(Duration::from_millis(100));
    }
    check_bar("nri_call_native_p99_ms", calls, 5.0);
    check_bar("nri_pod_start_native_p99_ms", sums, 20.0);
}

/// The longest but one in a hundred, in milliseconds of a native core.
#[track_caller]
fn check_bar(name: &str, mut took: Vec<Duration>, most_ms: f64) {
    took.sort_unstable();
    let nth = (took.len() * 99).div_ceil(100).saturating_sub(1);
    let native_ms = took[nth].as_secs_f64() * 1e3 / EMULATOR_FACTOR;
    measured(&format!("{name} {native_ms:.2}"));
    assert!(native_ms < most_ms, "{name}: {native_ms} ms");
}
