//! Which fields of the kernel's structures the BPF programs read, and where they lie in the
//! running kernel. Pure; the names on the left are the globals in `agent-ebpf/src/kernel.rs`.

use agent_ebpf_common::{THROTTLE_NONE, THROTTLE_PELT, THROTTLE_SELF, THROTTLE_TASK};

use crate::btf::Btf;

/// Offsets to patch into the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offsets {
    /// (name of the global, byte offset)
    pub(crate) fields: Vec<(&'static str, u32)>,
    /// One of `agent_ebpf_common::THROTTLE_*`.
    pub(crate) throttle_kind: u32,
}

/// A field without which the probe would count nonsense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this kernel's BTF has no field {field}")]
pub struct FieldMissing {
    pub field: &'static str,
}

/// Global, then the field's paths in the order of preference (newer kernels first).
const REQUIRED: &[(&str, &[&str])] = &[
    ("OFF_TASK_PID", &["task_struct.pid"]),
    // moved from task_struct to thread_info in 5.16
    ("OFF_TASK_CPU", &["task_struct.thread_info.cpu", "task_struct.cpu"]),
    ("OFF_TASK_EXEC", &["task_struct.se.sum_exec_runtime"]),
    ("OFF_TASK_ON_RQ", &["task_struct.on_rq"]),
    ("OFF_TASK_CGROUPS", &["task_struct.cgroups"]),
    ("OFF_CSS_SET_CGROUP", &["css_set.dfl_cgrp"]),
    ("OFF_CGROUP_KN", &["cgroup.kn"]),
    ("OFF_CGROUP_PARENT", &["cgroup.self.parent"]),
    ("OFF_CSS_CGROUP", &["cgroup_subsys_state.cgroup"]),
    ("OFF_KN_ID", &["kernfs_node.id"]),
];

/// Absent before delayed dequeue (6.12), and then not needed.
const DELAYED: (&str, &str) = ("OFF_TASK_DELAYED", "task_struct.se.sched_delayed");

/// A kernel without CONFIG_CFS_BANDWIDTH has none of these, and nothing to tell apart.
const THROTTLES: &[(u32, &[(&str, &str)])] = &[
    (
        THROTTLE_SELF,
        &[
            ("OFF_CFS_THROTTLE_START", "cfs_rq.throttled_clock_self"),
            ("OFF_CFS_THROTTLE_TIME", "cfs_rq.throttled_clock_self_time"),
            ("OFF_RQ_CLOCK", "rq.clock"),
        ],
    ),
    (
        THROTTLE_PELT,
        &[
            ("OFF_CFS_THROTTLE_START", "cfs_rq.throttled_clock_pelt"),
            ("OFF_CFS_THROTTLE_TIME", "cfs_rq.throttled_clock_pelt_time"),
            ("OFF_RQ_CLOCK", "rq.clock_pelt"),
            ("OFF_RQ_LOST_IDLE", "rq.lost_idle_time"),
        ],
    ),
    (
        THROTTLE_TASK,
        &[
            ("OFF_CFS_THROTTLE_START", "cfs_rq.throttled_clock_task"),
            ("OFF_CFS_THROTTLE_TIME", "cfs_rq.throttled_clock_task_time"),
            ("OFF_RQ_CLOCK", "rq.clock_task"),
        ],
    ),
];

const THROTTLE_SHARED: &[(&str, &str)] = &[
    ("OFF_TASK_CFS_RQ", "task_struct.se.cfs_rq"),
    ("OFF_CFS_RQ_RQ", "cfs_rq.rq"),
    ("OFF_CFS_THROTTLE_COUNT", "cfs_rq.throttle_count"),
];

pub(crate) fn offsets(btf: &Btf<'_>) -> Result<Offsets, FieldMissing> {
    let mut fields = Vec::new();
    for (global, paths) in REQUIRED {
        let offset = paths.iter().find_map(|path| btf.offset_of(path));
        fields.push((*global, offset.ok_or(FieldMissing { field: paths[0] })?));
    }
    if let Some(offset) = btf.offset_of(DELAYED.1) {
        fields.push((DELAYED.0, offset));
    }
    let mut throttle_kind = THROTTLE_NONE;
    for (kind, own) in THROTTLES {
        let wanted = own.iter().chain(THROTTLE_SHARED);
        let found = wanted.map(|(global, path)| Some((*global, btf.offset_of(path)?)));
        if let Some(found) = found.collect::<Option<Vec<_>>>() {
            fields.extend(found);
            throttle_kind = *kind;
            break;
        }
    }
    Ok(Offsets { fields, throttle_kind })
}
