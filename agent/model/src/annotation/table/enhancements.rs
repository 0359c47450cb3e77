//! Rows of the inner keys of the three enhancements.

use super::Place::Inside;
use super::State::{Done, Unused};
use super::{Row, State};
use crate::annotation::{CPU_ENHANCEMENT, MEMORY_ENHANCEMENT, NETWORK_ENHANCEMENT, inner};

const FLAG: &str = "`false`, `true`";

const fn cpu(key: &'static str, state: State, good: &'static str, bad: &'static str) -> Row {
    Row::new(key, Inside(CPU_ENHANCEMENT), state, good, Some(bad))
}

const fn memory(key: &'static str, state: State, good: &'static str, bad: &'static str) -> Row {
    Row::new(key, Inside(MEMORY_ENHANCEMENT), state, good, Some(bad))
}

const fn network(key: &'static str, good: &'static str, bad: &'static str) -> Row {
    Row::new(key, Inside(NETWORK_ENHANCEMENT), Unused, good, Some(bad))
}

pub(super) const ROWS: [Row; 17] = [
    cpu(inner::CPUSET_POOL, Done, "api", "reserve")
        .values("1 to 63 letters, digits, `-`, `_`, `.`")
        .means("shared: a pool of this name; system: run in that pool; others: ignored"),
    cpu(inner::NUMA_SHARE, Done, "false", "no")
        .values("`true`, `false`")
        .means("`false`: its NUMA nodes take no pod of another level or pool"),
    cpu(inner::ALIGN_BY_SOCKET, Done, "true", "yes")
        .values(FLAG)
        .means("as few sockets as can hold it"),
    cpu(inner::DISTRIBUTE_EVENLY, Done, "true", "1")
        .values(FLAG)
        .means("the same number of CPUs on each of its NUMA nodes")
        .katalyst("with pairing, looks at the first node only"),
    cpu(inner::FULL_PCPUS_PAIRING, Done, "true", "TRUE").values(FLAG).means("whole cores"),
    cpu(inner::NUMA_NUMBER, Done, "2", "0").values("1 to 64").means("on so many NUMA nodes"),
    cpu(inner::NUMA_IDS, Done, "0,2-3", "0-")
        .values("a list of node ids below 64")
        .means("on these NUMA nodes; wins over the number"),
    cpu(inner::CPU_BURST_POLICY, Done, "dynamic", "always")
        .values("`default`, `closed`, `static`, `dynamic`")
        .means("`cpu.max.burst`: left alone, 0, a part of the quota, a part that follows throttling; reclaimed pods have `closed` or nothing")
        .katalyst("`dynamic` is an error"),
    cpu(inner::CPU_BURST_PERCENT, Done, "50", "-1")
        .values("from 0; more than 100 counts as 100")
        .means("how much of the quota"),
    cpu(inner::CPU_BURST_THRESHOLD, Done, "0.1", "often")
        .values("from 0")
        .means("share of throttled periods over which a dynamic burst grows")
        .katalyst("for `dynamic`, which it does not have"),
    cpu(inner::SUPPRESSION_TOLERANCE_RATE, Unused, "1.5", "NaN")
        .values("from 0")
        .means("reclaimed: requests over supply that it bears; Berth evicts nobody yet")
        .katalyst("evicts; without the key at the node's rate, 5"),
    memory(inner::NUMA_BINDING, Done, "true", "on")
        .values(FLAG)
        .means("CPUs and memory of one NUMA node; dedicated: of as few as can be")
        .katalyst("`dedicated_cores` must have it"),
    memory(inner::NUMA_EXCLUSIVE, Done, "true", "0")
        .values(FLAG)
        .means("dedicated: the NUMA nodes are its alone; implies binding; others: ignored"),
    memory(inner::OOM_PRIORITY, Done, "50", "high")
        .values("reclaimed -100 to -1, shared 0 to 99, dedicated 100 to 199, system 200 to 299; 300 never, -300 not compared")
        .means("who is killed first, as `oom_score_adj`; clamped into the level's range; needs `[memory] oom_priority`")
        .katalyst("through a hook of its own kernel"),
    memory(inner::RSS_OVERUSE_THRESHOLD, Unused, "1.2", "0")
        .values("over 0")
        .means("how far over its request it may be; Berth evicts nobody yet")
        .katalyst("evicts; skips the pod when it cannot read the value"),
    network(inner::NAMESPACE_TYPE, "host_ns", "pod_ns")
        .values("`host_ns`, `host_ns_preferred`, `anti_host_ns`, `anti_host_ns_preferred`")
        .means("which NICs; Berth chooses none"),
    network(inner::TOPOLOGY_AFFINITY_RESTRICTED, "true", "restricted")
        .values(FLAG)
        .means("no NIC of another NUMA node; Berth chooses none"),
];
