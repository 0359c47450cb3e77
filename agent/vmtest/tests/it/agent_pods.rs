//! The agent beside five hundred pods that a container runtime tells it of: what it holds, and how long the runtime
//! waits for it. In virtual time, where the host's load counts for nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixListener;
use std::sync::Mutex;
use std::time::Duration;

use proto::nri::{
    Container, ContainerRequest, ContainerState, Event, LinuxContainer, LinuxCpu, LinuxPodSandbox,
    LinuxResources, OptionalUInt64, PodSandbox, StateChangeEvent,
};
use vmtest::wait_until;

use crate::agent_hosts::{EMULATOR_FACTOR, status_kib};
use crate::agent_process::{Agent, LIMIT, Scene};
use crate::cgroup_knobs::measured;
use crate::nri_runtime::{Groups, NriRuntime};

const N_PODS: usize = 500;
/// They start while the agent runs, the others were there before it.
const N_STARTED: usize = 100;
const CONTROLLERS: [&str; 3] = ["cpu", "cpuset", "memory"];

/// Pods below a managed tree of their own.
struct Pods {
    scene: Scene,
    groups: Groups,
}

impl Pods {
    fn new() -> Pods {
        let scene = Scene::new("pods", 0);
        let groups = Groups::new(Mutex::new(BTreeMap::new()));
        fs::create_dir(scene.root.path().join("burstable")).expect("make a cgroup");
        fs::write(
            scene.root.path().join("burstable/cgroup.subtree_control"),
            "+cpu +cpuset +memory",
        )
        .expect("pass controllers on");
        Pods { scene, groups }
    }

    fn parent(n: usize) -> String {
        format!("/t-pods/burstable/pod{n:032x}")
    }

    /// As the kubelet and the runtime make them.
    #[track_caller]
    fn make_groups(&self, n: usize) {
        let parent = format!("/sys/fs/cgroup{}", Pods::parent(n));
        fs::create_dir(&parent).expect("make a pod's cgroup");
        let controllers = CONTROLLERS.map(|name| format!("+{name}")).join(" ");
        fs::write(format!("{parent}/cgroup.subtree_control"), controllers).expect("pass on");
        let container = Pods::container(n);
        let group = format!("{parent}/{}", container.id);
        fs::create_dir(&group).expect("make a container's cgroup");
        self.groups.lock().expect("no panic").insert(container.id, group.into());
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
        ];
        self.make_groups(n);
        for event in [Event::PostCreateContainer, Event::StartContainer, Event::PostStartContainer]
        {
            took.push(runtime.call("StateChange", &told(event, container.clone())).1);
        }
        took
    }
}

/// Milliseconds on a native core, the longest but one in a hundred.
fn native_p99_ms(mut took: Vec<Duration>) -> f64 {
    took.sort_unstable();
    let nth = (took.len() * 99).div_ceil(100).saturating_sub(1);
    took[nth].as_secs_f64() * 1e3 / EMULATOR_FACTOR
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
    let known = |n: usize| {
        agent.says(&["qos"]).lines().filter(|line| line.starts_with("shop/pod-")).count() == n
    };
    wait_until("the agent to know the pods that were there", LIMIT, || known(there.len()));

    let mut calls = Vec::new();
    let mut sums = Vec::new();
    for n in there.len()..N_PODS {
        let took = pods.start(&mut runtime, n);
        sums.push(took.iter().sum());
        calls.extend(took);
        // Ten pods a second, as a kubelet starts them at most.
        std::thread::sleep(Duration::from_millis(100));
    }
    wait_until("the agent to know them all", LIMIT, || known(N_PODS));
    let rss_kib = status_kib(agent.pid(), "VmRSS");
    // XXX
    let smaps = fs::read_to_string(format!("/proc/{}/smaps", agent.pid())).unwrap();
    let mut head = String::new();
    for line in smaps.lines() {
        if let Some(anon) = line.strip_prefix("Anonymous:") {
            let kib: u64 = anon.trim().trim_end_matches(" kB").parse().unwrap();
            if kib > 200 {
                println!("SMAP {kib} {head}");
            }
        } else if line.contains('-')
            && line.split_whitespace().next().is_some_and(|w| w.contains('-') && !w.contains(':'))
        {
            head = line.to_owned();
        }
    }
    let synchronized = native_p99_ms(vec![synchronized]);
    let (call, sum) = (native_p99_ms(calls), native_p99_ms(sums));
    measured(&format!("agent_rss_kib_beside_500_pods {rss_kib}"));
    measured(&format!("agent_anon_kib_beside_500_pods {}", status_kib(agent.pid(), "RssAnon")));
    measured(&format!("nri_synchronize_400_pods_native_ms {synchronized:.2}"));
    measured(&format!("nri_call_native_p99_ms {call:.2}"));
    measured(&format!("nri_pod_start_native_p99_ms {sum:.2}"));
    assert!(rss_kib * 1024 < 60_000_000, "{rss_kib} KiB");
    assert!(synchronized < 100.0, "{synchronized} ms");
    assert!(call < 5.0, "{call} ms");
    assert!(sum < 20.0, "{sum} ms");
    // Batch work has what the runtime was asked to give it.
    let cpus = |n: usize| {
        let group = pods.groups.lock().expect("no panic")[&Pods::container(n).id].clone();
        fs::read_to_string(group.join("cpuset.cpus")).expect("cpuset.cpus").trim().to_owned()
    };
    let batch: Vec<usize> = (0..N_PODS).filter(|n| n.is_multiple_of(4)).collect();
    wait_until("every batch pod to have its CPUs", LIMIT, || {
        batch.iter().all(|n| !cpus(*n).is_empty())
    });
    assert_eq!(agent.stop(), 0);
}
