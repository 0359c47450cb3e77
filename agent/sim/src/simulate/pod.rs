//! A Kubernetes Pod object as YAML. Fields that do not matter here are ignored, as an apiserver would
//! keep them; `metadata` and `spec` may be left out around what is in them.

use std::collections::BTreeMap;

use model::annotation;
use model::pod::{Container, ContainerRole, Pod, Requests};
use model::qos::{PodUid, WorkloadName};

use super::field::Field;

/// What Kubernetes allows.
const MAX_NAME: usize = 253;

pub(super) fn read(pod: &Field<'_>) -> Result<Pod, String> {
    let named = Named::read(pod)?;
    let texts = |key| match from(pod, "metadata", key)? {
        Some(field) => field.texts(),
        None => Ok(BTreeMap::new()),
    };
    let mut containers = Vec::new();
    for (key, is_init) in [("containers", false), ("initContainers", true)] {
        let Some(list) = from(pod, "spec", key)? else { continue };
        for item in list.items()? {
            containers.push(container(&item, is_init, containers.len())?);
        }
    }
    Ok(Pod {
        uid: named.uid,
        name: named.name,
        owner: owner(pod)?,
        labels: texts("labels")?,
        annotations: texts("annotations")?,
        containers,
        running: phase(pod)?.as_deref() == Some("Running"),
    })
}

/// Who a pod is: by object, or by `name`, `namespace/name` or uid as text.
pub(super) struct Named {
    pub(super) uid: PodUid,
    pub(super) name: WorkloadName,
}

impl Named {
    pub(super) fn read(pod: &Field<'_>) -> Result<Named, String> {
        let text = |key| match from(pod, "metadata", key)? {
            Some(field) => Ok(Some(name_of(&field)?).filter(|text| !text.is_empty())),
            None => Ok::<_, String>(None),
        };
        let name = text("name")?.ok_or_else(|| pod.wrong(&"metadata.name: missing"))?;
        let namespace = text("namespace")?.unwrap_or_else(|| "default".to_owned());
        let name = format!("{namespace}/{name}");
        let uid = from(pod, "metadata", "uid")?.map(|field| field.text()).transpose()?;
        let uid = uid.filter(|uid| !uid.is_empty()).unwrap_or_else(|| name.clone());
        Ok(Named { uid: PodUid::new(uid), name: WorkloadName::new(name) })
    }
}

/// A name that can stand in `namespace/name`; empty is not given.
fn name_of(field: &Field<'_>) -> Result<String, String> {
    let name = field.text()?;
    let is_plain = |c: char| c != '/' && !c.is_whitespace() && !c.is_control();
    match name.len() <= MAX_NAME && name.chars().all(is_plain) {
        true => Ok(name),
        false => Err(field.refuse("names of at most 253 characters without '/' and white space")),
    }
}

/// `outer.key`, or `key` where the outer map is left out.
fn from<'a>(pod: &Field<'a>, outer: &str, key: &str) -> Result<Option<Field<'a>>, String> {
    if let Some(outer) = pod.get(outer)?
        && let Some(found) = outer.get(key)?
    {
        return Ok(Some(found));
    }
    pod.get(key)
}

fn owner(pod: &Field<'_>) -> Result<Option<String>, String> {
    let Some(owners) = from(pod, "metadata", "ownerReferences")? else { return Ok(None) };
    let Some(first) = owners.items()?.into_iter().next() else { return Ok(None) };
    first.get("uid")?.map(|uid| uid.text()).transpose()
}

fn phase(pod: &Field<'_>) -> Result<Option<String>, String> {
    let Some(status) = pod.get("status")? else { return Ok(None) };
    status.get("phase")?.map(|phase| phase.text()).transpose()
}

/// Limits stand for requests that are not given, as in Kubernetes.
fn container(item: &Field<'_>, is_init: bool, idx: usize) -> Result<Container, String> {
    let name = match item.get("name")? {
        Some(name) => name.text()?,
        None => format!("container-{idx}"),
    };
    let restarts = item.get("restartPolicy")?.map(|policy| policy.text()).transpose()?;
    let role = match (is_init, restarts.as_deref()) {
        (false, _) => ContainerRole::App,
        (true, Some("Always")) => ContainerRole::Sidecar,
        (true, _) => ContainerRole::Init,
    };
    let of = |key| match item.get("resources")? {
        Some(resources) => resources.get(key)?.map_or(Ok(BTreeMap::new()), |field| field.texts()),
        None => Ok(BTreeMap::new()),
    };
    let (limits, mut amounts) = (of("limits")?, of("limits")?);
    amounts.extend(of("requests")?);
    let read = |amounts| Requests::read(amounts).map_err(|error| item.wrong(&error));
    let limited = limits.contains_key(annotation::resource::CPU);
    let cpu_limit = if limited { Some(read(&limits)?.cpu) } else { None };
    let requests = Requests { cpu_limit, ..read(&amounts)? };
    Ok(Container { name, role, requests })
}
