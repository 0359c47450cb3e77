//! A pod object into what the node needs of it. Pure: owns which fields count, and which of two that say the same.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{self as core, ContainerStatus, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use model::annotation::table;
use model::pod::{Container, ContainerRole, DeclaredPod, Pod, Requests};
use model::qos::{PodUid, WorkloadName};
use model::{Bytes, MilliCpu};

/// The uid under which the kubelet runs a static pod; its object in the apiserver, a mirror, has another one.
const STATIC_UID: &str = "kubernetes.io/config.hash";

/// `None` for an object without a name or a uid, which no apiserver sends.
pub(super) fn pod(object: &core::Pod) -> Option<(PodUid, DeclaredPod)> {
    let meta = &object.metadata;
    let annotations = meta.annotations.clone().unwrap_or_default();
    let uid = annotations.get(STATIC_UID).or(meta.uid.as_ref())?;
    let uid = PodUid::new(uid.as_str());
    let name = format!("{}/{}", meta.namespace.as_ref()?, meta.name.as_ref()?);
    let controller =
        meta.owner_references.iter().flatten().find(|one| one.controller == Some(true));
    let mut why = None;
    let pod = Pod {
        uid: uid.clone(),
        name: WorkloadName::new(name),
        owner: controller.map(|one| one.uid.clone()),
        labels: meta.labels.clone().unwrap_or_default(),
        annotations: kept(annotations),
        containers: containers(object, &mut why),
        running: true,
    };
    Some((uid, DeclaredPod { pod, running: running(object), why }))
}

/// Longer ones belong to other programs: kubectl keeps the whole manifest in one. A cluster may have names of its own for our keys, which is
/// why short ones stay.
const LONGEST: usize = 1024;

fn kept(mut annotations: BTreeMap<String, String>) -> BTreeMap<String, String> {
    annotations.retain(|key, value| value.len() <= LONGEST || table::knows(key));
    annotations
}

fn statuses(object: &core::Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = object.status.as_ref();
    let apps = status.and_then(|status| status.container_statuses.as_ref());
    let inits = status.and_then(|status| status.init_container_statuses.as_ref());
    apps.into_iter().chain(inits).flatten()
}

/// `containerd://3f1c...` without the runtime's name.
fn running(object: &core::Pod) -> BTreeSet<String> {
    let runs = statuses(object)
        .filter(|one| one.state.as_ref().is_some_and(|state| state.running.is_some()));
    let id =
        |one: &ContainerStatus| Some(one.container_id.as_ref()?.split_once("://")?.1.to_owned());
    runs.filter_map(id).collect()
}

fn containers(object: &core::Pod, why: &mut Option<String>) -> Vec<Container> {
    let Some(spec) = &object.spec else { return Vec::new() };
    let mut read = |one: &core::Container, role| {
        let status = statuses(object).find(|status| status.name == one.name);
        let actual = status.and_then(|status| status.resources.as_ref());
        let read = requests(one.resources.as_ref(), actual);
        if let Err(error) = &read {
            *why = Some(format!("container {}: {error}", one.name));
        }
        Container { name: one.name.clone(), role, requests: read.unwrap_or_default() }
    };
    let mut all: Vec<Container> =
        spec.containers.iter().map(|one| read(one, ContainerRole::App)).collect();
    for one in spec.init_containers.iter().flatten() {
        let role = match one.restart_policy.as_deref() {
            Some("Always") => ContainerRole::Sidecar,
            _ => ContainerRole::Init,
        };
        all.push(read(one, role));
    }
    if let Err(error) = of_the_pod(spec, &mut all) {
        *why = Some(error);
    }
    all
}

/// What a container has: while it is being resized the kubelet's word counts, not the wish (KEP-1287). Resources that are no CPU or memory
/// are never resized.
fn requests(
    asked: Option<&ResourceRequirements>,
    actual: Option<&ResourceRequirements>,
) -> Result<Requests, String> {
    let mut named = texts(asked.and_then(|asked| asked.requests.as_ref()));
    // What has a limit and no request asks for its limit.
    for (key, limit) in texts(asked.and_then(|asked| asked.limits.as_ref())) {
        named.entry(key).or_insert(limit);
    }
    named.extend(texts(actual.and_then(|actual| actual.requests.as_ref())));
    let limits = actual.or(asked).and_then(|one| one.limits.as_ref());
    let limit = texts(limits).remove("cpu").map(|text| ("cpu".to_owned(), text));
    let read =
        |map: &BTreeMap<String, String>| Requests::read(map).map_err(|error| error.to_string());
    let cpu_limit = match limit {
        Some(limit) => Some(read(&[limit].into())?.cpu),
        None => None,
    };
    Ok(Requests { cpu_limit, ..read(&named)? })
}

/// Requests of the pod as a whole (KEP-2837) and the overhead of its runtime class count for its first container, so that the sum is right.
fn of_the_pod(spec: &core::PodSpec, containers: &mut [Container]) -> Result<(), String> {
    let whole = texts(spec.resources.as_ref().and_then(|whole| whole.requests.as_ref()));
    let overhead = texts(spec.overhead.as_ref());
    let read = |map| Requests::read(map).map_err(|error| format!("pod: {error}"));
    let (asked, overhead) = (read(&whole)?, read(&overhead)?);
    let sum = |of: fn(&Requests) -> u64| -> u64 {
        let runs = containers.iter().filter(|one| one.role != ContainerRole::Init);
        runs.map(|one| of(&one.requests)).fold(0, u64::saturating_add)
    };
    let rest = |key: &str, of: fn(&Requests) -> u64| match whole.contains_key(key) {
        true => of(&asked).saturating_sub(sum(of)).saturating_add(of(&overhead)),
        false => of(&overhead),
    };
    let (cpu, memory) = (rest("cpu", |one| one.cpu.0), rest("memory", |one| one.memory.0));
    if let Some(first) = containers.first_mut() {
        first.requests.cpu = MilliCpu(first.requests.cpu.0.saturating_add(cpu));
        first.requests.memory = Bytes(first.requests.memory.0.saturating_add(memory));
    }
    Ok(())
}

fn texts(quantities: Option<&BTreeMap<String, Quantity>>) -> BTreeMap<String, String> {
    quantities.into_iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect()
}
