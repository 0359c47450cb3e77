//! What other plugins of a runtime want of cpusets when a container is about to be made. Owns who set which field; whether that hurts
//! anybody is the caller's. Source: pkg/api/owners.go of containerd/nri (0.10 and later), where every plugin that sets a field is noted.

use model::knob::Knob;
use proto::nri::{Field, FieldOwners, LinuxResources, ValidateContainerAdjustmentRequest};

use super::session::Identity;

/// One field of one container, as somebody else wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignCpuset {
    pub container: String,
    /// By its place and its name, as in `10-pin`.
    pub plugin: String,
    pub field: CpusetField,
    /// A list of CPUs or memory nodes, unread.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpusetField {
    Cpus,
    Mems,
}

impl CpusetField {
    /// Of cgroup v2.
    pub fn file(self) -> &'static str {
        match self {
            CpusetField::Cpus => Knob::CpusetCpus.file(),
            CpusetField::Mems => Knob::CpusetMems.file(),
        }
    }

    fn number(self) -> i32 {
        match self {
            CpusetField::Cpus => Field::CpusetCpus.into(),
            CpusetField::Mems => Field::CpusetMems.into(),
        }
    }
}

/// Everything in `request` that is not ours: of the container that is made, and of others that are changed on the occasion. A field
/// without a note of who set it is nobody's.
pub fn foreign_cpusets(
    request: &ValidateContainerAdjustmentRequest,
    own: &Identity,
) -> Vec<ForeignCpuset> {
    let made = request.container.as_ref().map(|container| container.id.as_str());
    let adjusted = request.adjust.as_ref().and_then(|adjust| adjust.linux.as_ref());
    let adjusted = made.zip(adjusted.and_then(|linux| linux.resources.as_ref()));
    let updated = request.update.iter().filter_map(|update| {
        let linux = update.linux.as_ref()?;
        Some((update.container_id.as_str(), linux.resources.as_ref()?))
    });
    let noted = request.owners.as_ref().map(|owners| &owners.owners);
    let own = own.in_order();
    let mut found = Vec::new();
    for (container, resources) in adjusted.into_iter().chain(updated) {
        let Some(owners) = noted.and_then(|noted| noted.get(container)) else { continue };
        for field in [CpusetField::Cpus, CpusetField::Mems] {
            found.extend(set(field, resources, owners).filter(|(plugin, _)| **plugin != own).map(
                |(plugin, text)| ForeignCpuset {
                    container: container.to_owned(),
                    plugin: plugin.clone(),
                    field,
                    text: text.clone(),
                },
            ));
        }
    }
    found
}

/// By the field itself, and by the file's name among those that are written as they are.
fn set<'a>(
    field: CpusetField,
    resources: &'a LinuxResources,
    owners: &'a FieldOwners,
) -> impl Iterator<Item = (&'a String, &'a String)> {
    let cpu = resources.cpu.as_ref().map(|cpu| match field {
        CpusetField::Cpus => &cpu.cpus,
        CpusetField::Mems => &cpu.mems,
    });
    let named = owners.simple.get(&field.number()).zip(cpu);
    let files = owners.compound.get(&Field::CgroupsUnified.into());
    let file = files.and_then(|files| files.owners.get(field.file()));
    let file = file.zip(resources.unified.get(field.file()));
    named.into_iter().chain(file).filter(|(_, text)| !text.is_empty())
}

#[cfg(test)]
mod tests;
