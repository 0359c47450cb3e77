//! Rows of what stands at a pod, but for the inner keys of enhancements.

use super::Place::{PodAnnotation, PodLabel, Request};
use super::Row;
use super::State::{self, Done, Simulated, Unused};
use crate::annotation::{self as key, resource};

const FLAG: &str = "`false`, `true`";
const TEXT: &str = "any text";

const fn annotation(key: &'static str, state: State, good: &'static str, bad: &'static str) -> Row {
    Row::new(key, PodAnnotation, state, good, Some(bad))
}

/// Any value is taken.
const fn text(key: &'static str, state: State, good: &'static str) -> Row {
    Row::new(key, PodAnnotation, state, good, None).values(TEXT)
}

const fn request(key: &'static str, state: State, good: &'static str, bad: &'static str) -> Row {
    Row::new(key, Request, state, good, Some(bad))
}

const OBJECT: &str = "a JSON object whose values are all texts";

pub(super) const LEVELS: [Row; 5] = [
    annotation(key::QOS_LEVEL, Done, "dedicated_cores", "gold")
        .values("`dedicated_cores`, `shared_cores`, `reclaimed_cores`, `system_cores`")
        .means("the level; without the key `shared_cores`")
        .katalyst("`dedicated_cores` needs `numa_binding`"),
    Row::new(key::KOORDINATOR_QOS, PodLabel, Done, "BE", Some("be"))
        .values("`LSE`, `LSR`, `LS`, `BE`, `SYSTEM`")
        .means("an alias of the level, see below; both keys may be there when they agree")
        .katalyst("does not know it"),
    annotation(key::CPU_ENHANCEMENT, Done, r#"{"numa_share":"false"}"#, r#"{"numa_share":false}"#)
        .values(OBJECT)
        .means("its inner keys are those of the next table, in whichever of the three they stand")
        .katalyst("what is no JSON counts as `{}`"),
    annotation(key::MEMORY_ENHANCEMENT, Done, r#"{"numa_binding":"true"}"#, "numa_binding")
        .values(OBJECT)
        .means("as above")
        .katalyst("what is no JSON counts as `{}`"),
    annotation(key::NETWORK_ENHANCEMENT, Unused, r#"{"namespace_type":"host_ns"}"#, "[]")
        .values(OBJECT)
        .means("as above; its own keys have no effect")
        .katalyst("chooses a NIC"),
];

pub(super) const OTHERS: [Row; 14] = [
    annotation(key::NUMA_BIND_RESULT, Simulated, "0-1", "left")
        .values("-1 or a list of node ids below 64")
        .means("what a scheduler bound it to is preferred; a node chooses by itself")
        .katalyst("written by its scheduler, which Berth is not"),
    annotation(key::SKIP_QRM_ADMIT, Simulated, "true", "yes")
        .values(FLAG)
        .means("admitted without CPUs of its own; a node gives it a place all the same"),
    annotation(key::NET_CLASS_ID, Unused, "4096", "-1")
        .values("whole numbers of 32 bits")
        .means("nothing: Berth shapes no traffic")
        .katalyst("sets the class of its packets"),
    text(key::NIC_SELECTION_RESULT, Unused, "eth0").means("a result of others"),
    text(key::GPU_SELECTION_RESULT, Unused, "gpu-0").means("a result of others"),
    text(key::SRIOV_VF_RESULT, Unused, "vf-3").means("a result of others"),
    text(key::RESOURCE_PACKAGE, Unused, "x2")
        .means("nothing")
        .katalyst("a share of the node with a name"),
    text(key::RESOURCE_POOL, Unused, "online")
        .means("nothing")
        .katalyst("a share of the node with a name"),
    annotation(key::SOFT_EVICT_NOTIFY, Unused, "true", "soon")
        .values(FLAG)
        .means("nothing: Berth evicts nobody yet")
        .katalyst("tells a pod that it will be evicted"),
    annotation(key::EVICT_SCORE, Unused, "0.5", "last")
        .values("from 0")
        .means("nothing: Berth evicts nobody yet")
        .katalyst("orders whom it evicts"),
    annotation(key::CPU_WEIGHT_DEMAND_CORES, Unused, "2.5", "two")
        .values("from 0")
        .means("nothing"),
    annotation(key::CPU_WEIGHT_BURST_RATIO, Unused, "1.5", "-1").values("from 0").means("nothing"),
    text(key::POD_TYPE, Unused, "daemon").means("nothing"),
    Row::new(key::POD_ROLE, PodLabel, Unused, "worker", None).values(TEXT).means("nothing"),
];

pub(super) const FOREIGN: [Row; 7] = [
    annotation(key::AGGREGATED_REQUESTS, Done, r#"{"cpu":"5"}"#, r#"{"cpu":5}"#)
        .values("like `{\"cpu\":\"5\"}`")
        .means("replaces the sum of the containers' requests, per resource"),
    annotation(key::MAIN_CONTAINER_NAME, Simulated, "main", "sidecar")
        .values("a container of the pod")
        .means("gets its CPUs first; a node gives them to the pod as a whole"),
    annotation(key::RESIZE_RESOURCES, Unused, r#"{"cpu":"5"}"#, "cpu=5")
        .values("like `{\"cpu\":\"5\"}`")
        .means("nothing: a node follows the resize of the kubelet itself"),
    text(key::RESIZE_POLICY, Unused, "Restart").means("nothing"),
    annotation(key::INPLACE_UPDATE_RESIZING, Unused, "true", "now").values(FLAG).means("nothing"),
    text(key::RDT_CLASS, Unused, "shared-50").means("nothing: Berth writes no resctrl group"),
    annotation(key::RDT_MON_GROUPS, Unused, "true", "1")
        .values(FLAG)
        .means("nothing: Berth writes no resctrl group"),
];

pub(super) const RESOURCES: [Row; 6] = [
    request(resource::CPU, Done, "2500m", "two")
        .values("a quantity")
        .means("what it asks for; without an apiserver read from the `cpu.shares` that the kubelet sets"),
    request(resource::MEMORY, Done, "4Gi", "-1")
        .values("a quantity")
        .means("what it asks for; known from the apiserver only"),
    request(resource::RECLAIMED_MILLICPU, Done, "2k", "1500m")
        .values("a whole number of milli-CPU, `2k` is two CPUs")
        .means("what reclaimed pods ask for; promised as capacity of the Node, and in a CustomNodeResource; known from the apiserver only")
        .katalyst("promised in a CustomNodeResource"),
    request(resource::RECLAIMED_MEMORY, Done, "1Gi", "much")
        .values("a quantity")
        .means("the same of memory")
        .katalyst("promised in a CustomNodeResource"),
    request(resource::BATCH_CPU, Done, "2k", "0.5")
        .values("a whole number of milli-CPU")
        .means("Koordinator's name of `reclaimed_millicpu`; that one wins where both are there")
        .katalyst("does not know it"),
    request(resource::BATCH_MEMORY, Done, "1Gi", "1Gb")
        .values("a quantity")
        .means("Koordinator's name of `reclaimed_memory`; that one wins where both are there")
        .katalyst("does not know it"),
];
