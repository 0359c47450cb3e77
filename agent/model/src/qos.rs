//! QoS levels and the names of workloads and pools. Which level a pod has is `rules`.

mod rules;

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::units::NumaNodeId;

pub use rules::{KOORDINATOR, Keys, LevelError, QosRules};

/// Who a workload is to the node (Katalyst's four levels).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QosLevel {
    DedicatedCores,
    SharedCores,
    ReclaimedCores,
    SystemCores,
}

impl QosLevel {
    pub const ALL: [QosLevel; 4] = [
        QosLevel::DedicatedCores,
        QosLevel::SharedCores,
        QosLevel::ReclaimedCores,
        QosLevel::SystemCores,
    ];

    /// The name in annotations and config.
    pub const fn name(self) -> &'static str {
        match self {
            QosLevel::DedicatedCores => "dedicated_cores",
            QosLevel::SharedCores => "shared_cores",
            QosLevel::ReclaimedCores => "reclaimed_cores",
            QosLevel::SystemCores => "system_cores",
        }
    }

    /// Whether this is work that runs on what others leave.
    pub const fn is_reclaimed(self) -> bool {
        matches!(self, QosLevel::ReclaimedCores)
    }

    pub fn from_name(name: &str) -> Option<QosLevel> {
        QosLevel::ALL.into_iter().find(|level| level.name() == name)
    }
}

impl fmt::Display for QosLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }
    };
}

name!(
    /// A workload as people name it: from config, or `namespace/pod`.
    WorkloadName
);
name!(
    /// What tells a pod from an earlier one of the same name; Kubernetes' `metadata.uid`.
    PodUid
);
name!(
    /// A cgroup below the managed root, with a leading slash and no trailing one; the root
    /// itself is `/`.
    CgroupPath
);
name!(
    /// A named cpuset: reserve, share, reclaim, dedicated, isolation, system, interrupt, or a share
    /// pool with a name of its own.
    PoolName
);

impl PoolName {
    pub const RESERVE: &'static str = "reserve";
    pub const SHARE: &'static str = "share";
    pub const RECLAIM: &'static str = "reclaim";
    pub const DEDICATED: &'static str = "dedicated";
    pub const SYSTEM: &'static str = "system";
    pub const INTERRUPT: &'static str = "interrupt";
    pub const ISOLATION: &'static str = "isolation";
    /// Names that no share pool may have.
    pub const TAKEN: [&'static str; 6] = [
        PoolName::RESERVE,
        PoolName::RECLAIM,
        PoolName::DEDICATED,
        PoolName::SYSTEM,
        PoolName::INTERRUPT,
        PoolName::ISOLATION,
    ];

    /// The pool of one isolated pod.
    pub fn isolation_of(uid: &PodUid) -> PoolName {
        PoolName::new(format!("{}-{uid}", PoolName::ISOLATION))
    }

    /// The part of a share pool that is bound to one NUMA node.
    pub fn on_node(&self, node: NumaNodeId) -> PoolName {
        PoolName::new(format!("{self}-NUMA{node}"))
    }
}
