//! A plugin of the Node Resource Interface for tests in a node: gives containers the CPUs that an annotation of their pod names, and
//! keeps them there. `pin-plugin SOCKET FILE`: what is written into FILE are other CPUs for all of them. Prints what it hears.

#![expect(clippy::print_stdout, reason = "what it prints is what the test reads")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use proto::nri::{
    ContainerAdjustment, ContainerUpdate, Event, LinuxContainerAdjustment, LinuxContainerUpdate,
    LinuxCpu, LinuxResources, UpdateContainerRequest,
};
use runtime::nri::{self, Answer, Call, Identity};

const ANNOTATION: &str = "bench.test/cpus";

/// Container, its CPUs.
type Pinned = Rc<RefCell<BTreeMap<String, String>>>;

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
    let told = Rc::clone(&pinned);
    let talk = nri::serve(&socket, &identity, &mut pushes, |call| {
        println!("{}", described(call));
        answer(call, &told)
    });
    tokio::select! {
        ended = talk => println!("ended: {ended}"),
        () = follow(&file, &pinned, &runtime) => {}
    }
    ExitCode::FAILURE
}

fn answer(call: &Call, pinned: &Pinned) -> Answer {
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
        Call::CreateContainer(request) => {
            let wanted = request.pod.as_ref().and_then(|pod| pod.annotations.get(ANNOTATION));
            let (Some(cpus), Some(container)) = (wanted, &request.container) else {
                return Answer::Done;
            };
            pinned.borrow_mut().insert(container.id.clone(), cpus.clone());
            let linux = LinuxContainerAdjustment {
                resources: Some(on(LinuxResources::default(), cpus)),
                oom_score_adj: None,
            };
            let adjust =
                ContainerAdjustment { linux: Some(linux), ..ContainerAdjustment::default() };
            Answer::Created { adjust: Some(adjust), update: Vec::new() }
        }
        Call::UpdateContainer(request) => {
            Answer::Updated { update: rewritten(request, pinned).into_iter().collect() }
        }
        _ => Answer::Done,
    }
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
