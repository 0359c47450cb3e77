//! Who was read before is shown as he would be read now, whatever was told between.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::pod::Declared;
use model::qos::WorkloadName;
use proptest::prelude::*;
use proto::nri::{
    Container, ContainerState, Event, PodSandbox, UpdateContainerRequest, UpdatePodSandboxRequest,
};

use super::{container, create, declared, list, pod, shares, table, told};
use crate::nri::Call;
use crate::pods::PodTable;

const PODS: [&str; 3] = ["web", "db", "ml"];

/// What may be told of one pod, its container, a number and a choice.
type Step = (u8, usize, u64, bool);

fn guaranteed(name: &str) -> PodSandbox {
    let mut pod = pod(name, &[], None);
    if let Some(linux) = &mut pod.linux {
        linux.cgroup_parent = format!("/kubepods/pod{name}");
    }
    pod
}

/// On CPUs that make it look given.
fn whole(name: &str, n: u64, runs: bool) -> Container {
    let mut one = container(name, &format!("c-{name}-{}", n % 2), n * 1024);
    if let Some(cpu) = one.linux.as_mut().and_then(|it| it.resources.as_mut()?.cpu.as_mut()) {
        cpu.cpus = format!("1-{n}");
    }
    if runs {
        one.set_state(ContainerState::ContainerRunning);
    }
    one
}

fn hear(table: &mut PodTable, (what, nth, n, choice): Step) {
    let (name, pod) = (PODS[nth], guaranteed(PODS[nth]));
    let one = whole(name, n, choice);
    let linux_resources = Some(shares(n * 1024));
    let call = match what {
        0 => told(Event::RunPodSandbox, &pod, None),
        1 => told(Event::StopPodSandbox, &pod, None),
        2 => told(Event::RemovePodSandbox, &pod, None),
        3 => create(&pod, one),
        4 => told(Event::PostStartContainer, &pod, Some(one)),
        5 => told(Event::StopContainer, &pod, Some(one)),
        6 => Call::UpdateContainer(UpdateContainerRequest {
            pod: Some(pod),
            container: Some(one),
            linux_resources,
        }),
        7 => Call::UpdatePodSandbox(UpdatePodSandboxRequest {
            pod: Some(pod),
            linux_resources,
            ..UpdatePodSandboxRequest::default()
        }),
        8 => list(&[pod], &[one], choice),
        9 => return table.declare(declaration(name, n, choice)),
        _ => {
            let given = [(WorkloadName::new(format!("shop/{name}")), format!("1-{n}"))];
            let given = given.map(|(name, cpus)| (name, cpus.parse().expect("a list")));
            let given = if choice { given.into() } else { BTreeMap::new() };
            return table.give(table.mark(), given);
        }
    };
    table.hear(&call);
}

fn declaration(name: &str, n: u64, choice: bool) -> Option<Arc<Declared>> {
    let level = if n == 1 { "reclaimed_cores" } else { "shared_cores" };
    (choice || n == 1).then(|| declared(name, level, n * 100, &[]).into())
}

proptest! {
    #[test]
    fn one_that_was_read_before_is_shown_as_it_is_now(
        steps in prop::collection::vec((0_u8..11, 0..PODS.len(), 1_u64..4, any::<bool>()), 1..60),
    ) {
        let (mut often, mut never) = (table(), table());
        for step in steps {
            hear(&mut often, step);
            hear(&mut never, step);
            prop_assert_eq!(often.pods(), never.clone().pods(), "after {:?}", step);
        }
    }
}
