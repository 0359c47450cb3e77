//! Why a pod may not come: the operation, the numbers, what would have been allowed.

use model::qos::PodUid;
use model::{Bytes, MilliCpu, NumaSet};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{reason}")]
    Impossible { reason: String },
    #[error(
        "shared pods without NUMA binding ask {} CPUs already and this one {} more; {has} CPUs are \
         not withheld",
        cpus(*resident), cpus(*asked)
    )]
    SharedFull { resident: MilliCpu, asked: MilliCpu, has: usize },
    #[error(
        "NUMA node {node} has {} CPUs, of which bound pods ask {} already, and this one {} more",
        cpus(*has), cpus(*resident), cpus(*asked)
    )]
    NodeFull { node: NumaSet, has: MilliCpu, resident: MilliCpu, asked: MilliCpu },
    #[error("a shared pod is bound to exactly one NUMA node, the hint is [{hint}]")]
    OneNode { hint: NumaSet },
    #[error(
        "{asked} CPUs of its own are asked for; {has} can be given: {unbound} that pods without \
         NUMA binding do not need and {bound} that bound pods do not need"
    )]
    OwnFull { asked: usize, has: usize, unbound: usize, bound: usize },
    #[error("memory: {asked} bytes are asked for, the machine has {has}")]
    Memory { asked: Bytes, has: Bytes },
    #[error(
        "memory: NUMA nodes {nodes} have {has} bytes; pods that can only be there ask {resident} \
         already, and this pod asks {asked}"
    )]
    NodeMemory { nodes: NumaSet, resident: Bytes, asked: Bytes, has: Bytes },
    #[error("the pod {uid} was not admitted")]
    Unknown { uid: PodUid },
    #[error("the pod {uid} was admitted with other wishes: it can be resized or removed")]
    Changed { uid: PodUid },
    #[error("{what} of an admitted pod cannot change: it was {before}, {now} is asked for")]
    Fixed { what: &'static str, before: String, now: String },
}

fn cpus(milli: MilliCpu) -> String {
    format!("{}.{:03}", milli.0 / 1000, milli.0 % 1000)
}
