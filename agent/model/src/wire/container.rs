//! The recorded form of a pod's containers: the cgroups that have its cpuset.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Knobs, WireError};
use crate::qos::CgroupPath;
use crate::sample::{self, ContainerSample};
use crate::units::CgroupId;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Container {
    cgroup: String,
    cgroup_id: u64,
    knobs: Knobs,
}

/// `None` of a workload that is no pod, and absent in recordings from before there were pods.
pub(super) type Containers = Option<Vec<Container>>;

impl From<&ContainerSample> for Container {
    fn from(container: &ContainerSample) -> Container {
        Container {
            cgroup: container.cgroup.to_string(),
            cgroup_id: container.cgroup_id.0,
            knobs: Knobs::from(&container.knobs),
        }
    }
}

impl TryFrom<Container> for ContainerSample {
    type Error = WireError;

    fn try_from(container: Container) -> Result<ContainerSample, WireError> {
        Ok(ContainerSample {
            cgroup: CgroupPath::new(container.cgroup),
            cgroup_id: CgroupId(container.cgroup_id),
            knobs: container.knobs.try_into()?,
        })
    }
}

pub(super) fn written(containers: &sample::Containers) -> Containers {
    containers.as_ref().map(|all| all.iter().map(Container::from).collect())
}

pub(super) fn read(containers: Containers) -> Result<sample::Containers, WireError> {
    let Some(containers) = containers else { return Ok(None) };
    let all = containers.into_iter().map(ContainerSample::try_from);
    Ok(Some(Arc::from(all.collect::<Result<Vec<_>, _>>()?)))
}
