//! One workload -> protobuf.

use model::knob::{CpuMax, Knobs};
use model::plan::WorkloadPlan;
use model::qos::WorkloadName;
use model::snapshot::{IoView, MemoryView, RunqView, WorkloadView};
use proto::v1;

pub(super) fn workload(
    name: &WorkloadName,
    view: &WorkloadView,
    planned: Option<&WorkloadPlan>,
    suppressed: bool,
) -> v1::Workload {
    v1::Workload {
        name: name.to_string(),
        qos: view.spec.qos.to_string(),
        pool: planned.map(|plan| plan.pool.to_string()),
        cgroup: view.cgroup.to_string(),
        cgroup_id: view.cgroup_id.0,
        populated: view.populated,
        request_milli_cpu: view.spec.request.0,
        target_wait_p99_us: view.spec.target_p99.map(|micros| micros.0),
        usage_milli_cpu: view.usage.map(|usage| usage.0),
        runq: view.runq.as_ref().map(runq),
        throttled_ratio: view.throttled_ratio,
        cpu_pressure: view.cpu_pressure.as_ref().map(super::pressure),
        memory_current_bytes: view.memory_current.map(|bytes| bytes.0),
        knobs: Some(knobs(&shown(view))),
        suppressed,
        memory: Some(memory(&view.memory)),
        io: Some(io(&view.io)),
    }
}

/// Of a pod the cpuset that its containers hold, where they hold the same.
fn shown(view: &WorkloadView) -> Knobs {
    let mut sets =
        view.containers.iter().flat_map(|all| all.iter()).map(|one| one.knobs.cpuset_cpus);
    match sets.next() {
        Some(first) if sets.all(|other| other == first) => {
            Knobs { cpuset_cpus: first, ..view.knobs }
        }
        _ => view.knobs,
    }
}

fn memory(memory: &MemoryView) -> v1::MemoryView {
    v1::MemoryView {
        anon_bytes: memory.anon.map(|bytes| bytes.0),
        file_bytes: memory.file.map(|bytes| bytes.0),
        kernel_bytes: memory.kernel.map(|bytes| bytes.0),
        health: Some(super::source("memory.stat", &memory.health)),
    }
}

fn io(io: &IoView) -> v1::IoView {
    v1::IoView {
        read_bytes_per_s: io.read.map(|bytes| bytes.0),
        written_bytes_per_s: io.written.map(|bytes| bytes.0),
        health: Some(super::source("io.stat", &io.health)),
    }
}

pub(crate) fn runq(runq: &RunqView) -> v1::Runq {
    v1::Runq {
        n_waits: runq.waits.count(),
        wait_p50_ns: runq.p50.map(|nanos| nanos.0),
        wait_p99_ns: runq.p99.map(|nanos| nanos.0),
        wait_p999_ns: runq.p999.map(|nanos| nanos.0),
        wait_total_ns: runq.causes.total.0,
        on_cpu_ns: runq.on_cpu.0,
    }
}

fn knobs(knobs: &Knobs) -> v1::Knobs {
    v1::Knobs {
        cpu_idle: knobs.cpu_idle,
        cpu_weight: knobs.cpu_weight.map(|weight| weight.get().into()),
        cpu_max: knobs.cpu_max.map(cpu_max),
        cpuset_cpus: knobs.cpuset_cpus.map(|cpus| cpus.to_string()),
        cpuset_cpus_effective: knobs.cpuset_effective.map(|cpus| cpus.to_string()),
    }
}

pub(super) fn cpu_max(max: CpuMax) -> v1::CpuMax {
    v1::CpuMax { quota_us: max.quota.map(|micros| micros.0), period_us: max.period.0 }
}
