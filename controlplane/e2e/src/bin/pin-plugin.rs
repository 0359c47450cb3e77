//! A plugin of the Node Resource Interface for tests in a node: gives containers the CPUs that an annotation of their pod names, and
//! keeps them there; does worse to pods whose annotations ask for it. `pin-plugin SOCKET FILE`: what is written into FILE are other CPUs for all of them. Prints what it hears.

#![expect(clippy::print_stdout, reason = "what it prints is what the test reads")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use proto::nri::{
    ContainerAdjustment, ContainerRequest, ContainerUpdate, Event, LinuxContainerAdjustment,
    LinuxContainerUpdate, LinuxCpu, LinuxResources, PodSandbox, UpdateContainerRequest,
};
use runtime::nri::{self, Answer, Call, Identity};

/// CPUs of the pod's containers.
const ANNOTATION: &str = "bench.test/cpus";
/// The same past the field that every plugin knows: a file of cgroup v2 by its name.
const BY_FILE: &str = "bench.test/cpus-by-file";
/// `NAMESPACE/NAME=CPUS`: what becomes of the containers of another pod when the pod starts.
const MOVES: &str = "bench.test/moves";

/// Container, its CPUs.
type Pinned = Rc<RefCell<BTreeMap<String, String>>>;

/// Container, its pod.
type Known = Rc<RefCell<BTreeMap<String, String>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (Some(socket), Some(file)) = (arguments.next(), arguments.next()) else {
        println!("pin-plugin SOCKET FILE");
        return ExitCode::from(64);
    };
    let pinned = Pinned::default();
    let (runtime, mut pushes) = nri::runtime();
    let identity = Identity { name: "pin".to_owned(), index: 10 };
    let (told, known) = (Rc::clone(&pinned), Known::default());
    let talk = nri::serve(&socket, &identity, &mut pushes, |call| {
        println!("{}", described(call));
        answer(call, &told, &known)
    });
    tokio::select! {
        ended = talk => println!("ended: {ended}"),
        () = follow(&file, &pinned, &runtime) => {}
    }
    ExitCode::FAILURE
}

fn answer(call: &Call, pinned: &Pinned, known: &Known) -> Answer {
    match call {
        Call::Configure(_) => {
            let events = [
                Event::RunPodSandbox,
                Event::CreateContainer,
                Event::UpdateContainer,
                Event::StopContainer,
                Event::RemoveContainer,
            ];
            Answer::Configured { events: nri::mask(&events) }
        }
        Call::Synchronize(list) => {
            for container in &list.containers {
                let pod = list.pods.iter().find(|pod| pod.id == container.pod_sandbox_id);
                known.borrow_mut().extend(pod.map(|pod| (container.id.clone(), name(pod))));
            }
            Answer::Synchronized { update: Vec::new() }
        }
        Call::CreateContainer(request) => created(request, pinned, known),
        Call::UpdateContainer(request) => {
            Answer::Updated { update: rewritten(request, pinned).into_iter().collect() }
        }
        _ => Answer::Done,
    }
}

fn created(request: &ContainerRequest, pinned: &Pinned, known: &Known) -> Answer {
    let (Some(pod), Some(container)) = (&request.pod, &request.container) else {
        return Answer::Done;
    };
    known.borrow_mut().insert(container.id.clone(), name(pod));
    let mut resources = LinuxResources::default();
    if let Some(cpus) = pod.annotations.get(ANNOTATION) {
        pinned.borrow_mut().insert(container.id.clone(), cpus.clone());
        resources = on(resources, cpus);
    }
    if let Some(cpus) = pod.annotations.get(BY_FILE) {
        resources.unified.insert("cpuset.cpus".to_owned(), cpus.clone());
    }
    let moved = pod.annotations.get(MOVES).and_then(|text| text.split_once('='));
    let update = moved.map_or_else(Vec::new, |(whose, cpus)| {
        let known = known.borrow();
        let theirs = known.iter().filter(|(_, pod)| *pod == whose);
        theirs.map(|(id, _)| update(id, on(LinuxResources::default(), cpus))).collect()
    });
    let linux = LinuxContainerAdjustment { resources: Some(resources), oom_score_adj: None };
    let adjust = ContainerAdjustment { linux: Some(linux), ..ContainerAdjustment::default() };
    Answer::Created { adjust: Some(adjust), update }
}

fn name(pod: &PodSandbox) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}

/// What the kubelet wants, on the CPUs that the container has from us.
fn rewritten(request: &UpdateContainerRequest, pinned: &Pinned) -> Option<ContainerUpdate> {
    let id = &request.container.as_ref()?.id;
    let cpus = pinned.borrow().get(id)?.clone();
    let wanted = request.linux_resources.clone().unwrap_or_default();
    Some(update(id, on(wanted, &cpus)))
}

fn on(resources: LinuxResources, cpus: &str) -> LinuxResources {
    let cpu = LinuxCpu { cpus: cpus.to_owned(), ..resources.cpu.unwrap_or_default() };
    LinuxResources { cpu: Some(cpu), ..resources }
}

fn update(id: &str, resources: LinuxResources) -> ContainerUpdate {
    ContainerUpdate {
        container_id: id.to_owned(),
        linux: Some(LinuxContainerUpdate { resources: Some(resources) }),
        ignore_failure: false,
    }
}

/// Moves all containers when the file says so.
async fn follow(file: &PathBuf, pinned: &Pinned, runtime: &nri::Runtime) {
    let mut last = String::new();
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let cpus = std::fs::read_to_string(file).unwrap_or_default().trim().to_owned();
        if cpus.is_empty() || cpus == last {
            continue;
        }
        let updates: Vec<_> = {
            let mut pinned = pinned.borrow_mut();
            pinned.values_mut().for_each(|old| old.clone_from(&cpus));
            pinned.keys().map(|id| update(id, on(LinuxResources::default(), &cpus))).collect()
        };
        println!("moved to {cpus}: {:?}", runtime.update(updates).await);
        last = cpus;
    }
}

fn described(call: &Call) -> String {
    let of = match call {
        Call::CreateContainer(request) => request.container.as_ref(),
        Call::UpdateContainer(request) => request.container.as_ref(),
        _ => None,
    };
    format!("{} {}", call.name(), of.map_or("", |container| &container.name))
}
