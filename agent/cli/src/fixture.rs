//! One node as the tests see it: 8 CPUs on 2 NUMA nodes, a service under suppression of two batch
//! workloads, one of them without a run-queue signal. Also read by `tests/it`.

use proto::v1::*;

pub(crate) const SEC: u64 = 1_000_000_000;

pub(crate) fn snapshot() -> Snapshot {
    Snapshot {
        at_mono_ns: 1000 * SEC,
        now_mono_ns: 1000 * SEC + 400_000_000,
        mode: Mode::Enforce.into(),
        signal: Some(Signal { state: SignalState::Good.into(), why: String::new() }),
        host: Some(Host {
            busy_ratio: Some(0.731),
            steal_ratio: Some(0.004),
            cpu_pressure: Some(pressure(12.5)),
            memory_total_bytes: Some(8 << 30),
            memory_available_bytes: Some(5 << 30),
        }),
        cpus: (0..8).map(cpu).collect(),
        pools: vec![
            pool("reclaim", "2-3,5-6", 4, 0, Some(1900)),
            pool("reserve", "0", 1, 500, None),
            pool("share", "1-3", 3, 2600, Some(2450)),
        ],
        workloads: vec![
            workload("batch/one", "reclaimed_cores", Some(1500)),
            workload("batch/two", "reclaimed_cores", None),
            workload("web", "shared_cores", Some(2450)),
        ],
        suppression: Some(Suppression {
            victim: "web".into(),
            began_mono_ns: 999 * SEC,
            expires_mono_ns: 1001 * SEC,
            first_wait_mono_ns: 999 * SEC - 4_000_000,
            floor_milli_cpu: 100,
            cpu_idle: true,
        }),
        suppression_stats: Some(SuppressionStats {
            n_events: 214,
            latency_p50_ns: Some(3_200_000),
            latency_p99_ns: Some(11_400_000),
            latency_max_ns: Some(40_000_000),
        }),
        agent: Some(AgentHealth {
            rss_bytes: Some(21 << 20),
            cpu_ratio: Some(0.0042),
            probe_loaded: true,
            probe_status: "4 programs attached".into(),
            started_mono_ns: 100 * SEC,
        }),
        findings: vec![Finding {
            severity: Severity::Warning.into(),
            rule: "glob-matches-nothing".into(),
            subject: "etl".into(),
            message: "no cgroup matches /etl.slice/*".into(),
        }],
        sources: vec![SourceHealth {
            name: "host".into(),
            age_ns: Some(400_000_000),
            fault: None,
            detail: String::new(),
        }],
    }
}

fn cpu(cpu: u32) -> CpuView {
    CpuView {
        cpu,
        numa_node: cpu / 4,
        online: cpu != 7,
        busy_ratio: (cpu != 4).then_some(f64::from(cpu) / 6.0),
    }
}

fn pool(name: &str, cpus: &str, n_cpus: u32, need: u64, usage: Option<u64>) -> Pool {
    Pool {
        name: name.into(),
        cpus: cpus.into(),
        n_cpus,
        need_milli_cpu: need,
        usage_milli_cpu: usage,
        n_workloads: u32::from(usage.is_some()),
    }
}

fn pressure(avg10_pct: f64) -> Pressure {
    let some = PressureLine { avg10_pct, avg60_pct: 3.0, avg300_pct: 1.0, total_us: 99 };
    Pressure { some: Some(some), full: None }
}

fn workload(name: &str, qos: &str, usage_milli_cpu: Option<u64>) -> Workload {
    let batch = qos == "reclaimed_cores";
    let runq = Runq {
        n_waits: 12_000,
        wait_p50_ns: Some(if batch { 800_000 } else { 12_000 }),
        wait_p99_ns: Some(if batch { 95_000_000 } else { 2_100_000 }),
        wait_p999_ns: None,
        wait_total_ns: 900_000_000,
        on_cpu_ns: 1_500_000_000,
    };
    Workload {
        name: name.into(),
        qos: qos.into(),
        pool: usage_milli_cpu.map(|_| if batch { "reclaim" } else { "share" }.into()),
        cgroup: format!("/demo.slice/{}", name.replace('/', "-")),
        cgroup_id: 4711,
        populated: true,
        request_milli_cpu: if batch { 0 } else { 2000 },
        target_wait_p99_us: (!batch).then_some(5_000),
        usage_milli_cpu,
        runq: usage_milli_cpu.map(|_| runq),
        throttled_ratio: batch.then_some(0.42),
        cpu_pressure: usage_milli_cpu.map(|used| pressure(used as f64 / 50.0)),
        memory_current_bytes: usage_milli_cpu.map(|used| used << 20),
        knobs: Some(Knobs {
            cpu_idle: Some(batch),
            cpu_weight: Some(if batch { 1 } else { 100 }),
            cpu_max: Some(CpuMax { quota_us: batch.then_some(5_000), period_us: 100_000 }),
            cpuset_cpus: Some(if batch { "2-3,5-6" } else { "" }.into()),
            cpuset_cpus_effective: Some(if batch { "2-3,5-6" } else { "0-6" }.into()),
        }),
        suppressed: batch,
        memory: Some(MemoryView {
            anon_bytes: usage_milli_cpu.map(|used| used << 19),
            file_bytes: usage_milli_cpu.map(|used| used << 18),
            kernel_bytes: None,
            health: Some(seldom("memory.stat", usage_milli_cpu)),
        }),
        io: Some(IoView {
            read_bytes_per_s: usage_milli_cpu.map(|used| used << 10),
            written_bytes_per_s: usage_milli_cpu.map(|_| 0),
            health: Some(seldom("io.stat", usage_milli_cpu)),
        }),
    }
}

/// Nine seconds old; what has no usage has no `io` controller either.
fn seldom(name: &str, usage_milli_cpu: Option<u64>) -> SourceHealth {
    let fault = usage_milli_cpu.is_none() && name == "io.stat";
    SourceHealth {
        name: name.into(),
        age_ns: (!fault).then_some(9 * SEC),
        fault: fault.then(|| "unsupported".into()),
        detail: String::new(),
    }
}

pub(crate) fn plan() -> Plan {
    let planned = |name: &str, qos: &str, pool: &str, cpus: &str| PlannedWorkload {
        name: name.into(),
        qos: qos.into(),
        pool: pool.into(),
        cgroup: format!("/demo.slice/{name}"),
        cpus: cpus.into(),
        cpu_weight: Some(if pool == "reclaim" { 1 } else { 200 }),
        cpu_idle: None,
        cpu_max: None,
    };
    Plan {
        generation: 17,
        built_mono_ns: 1000 * SEC,
        snapshot_mono_ns: 1000 * SEC,
        now_mono_ns: 1000 * SEC + 400_000_000,
        pools: Vec::new(),
        workloads: vec![
            planned("batch/one", "reclaimed_cores", "reclaim", "2-3,5-6"),
            planned("web", "shared_cores", "share", "1-3"),
        ],
    }
}

pub(crate) fn topology() -> Topology {
    let node = |numa_node: u32, cpus: &str, memory_bytes| NumaNode {
        numa_node,
        cpus: cpus.into(),
        memory_bytes,
        distances: (0..2)
            .map(|to| NumaDistance {
                to_numa_node: to,
                distance: if to == numa_node { 10 } else { 21 },
            })
            .collect(),
    };
    Topology {
        cpus: Vec::new(),
        nodes: vec![node(0, "0-3", Some(4 << 30)), node(1, "4-7", None)],
        offline_cpus: "7".into(),
        efficiency_cpus: String::new(),
    }
}

pub(crate) fn decisions() -> Decisions {
    let decision = |sequence: u64, ago_ns: u64, rule: &str, subject: &str, result: &str| Decision {
        sequence,
        at_mono_ns: 1000 * SEC - ago_ns,
        rule: rule.into(),
        subject: subject.into(),
        inputs: vec![
            DecisionInput { name: "need".into(), value: "2.6 CPUs".into() },
            DecisionInput { name: "margin".into(), value: "1.25".into() },
        ],
        result: result.into(),
    };
    Decisions {
        now_mono_ns: 1000 * SEC,
        decisions: vec![
            decision(41, 125 * SEC, "share-grow", "share", "grew from 2 to 3 CPUs"),
            decision(42, SEC / 2, "suppress", "web", "holds reclaimed work at 0.10 CPUs for 1 s"),
        ],
        n_lost: 0,
    }
}

pub(crate) fn why_slow() -> WhySlowReport {
    let total = 820_000_000.0;
    let cause = |kind: CauseKind, workload: Option<&str>, wait_ns: u64| Cause {
        kind: kind.into(),
        workload: workload.map(str::to_owned),
        wait_ns,
        share_ratio: wait_ns as f64 / total,
    };
    WhySlowReport {
        workload: "web".into(),
        qos: "shared_cores".into(),
        at_mono_ns: 1000 * SEC,
        now_mono_ns: 1000 * SEC,
        wait_total_ns: 820_000_000,
        wait_p50_ns: Some(12_000),
        wait_p99_ns: Some(8_400_000),
        target_wait_p99_us: Some(5_000),
        causes: vec![
            cause(CauseKind::Offender, Some("batch/one"), 610_000_000),
            cause(CauseKind::OwnGroup, None, 150_000_000),
            cause(CauseKind::Untracked, None, 40_000_000),
            cause(CauseKind::IdleOrSteal, None, 15_000_000),
            cause(CauseKind::Unknown, None, 5_000_000),
        ],
        verdict: "74 % of its waiting was because batch/one ran on the CPU.".into(),
        advice: "Give batch/one a lower QoS level or another pool, or let Berth enforce.".into(),
    }
}

pub(crate) fn doctor() -> DoctorReport {
    let check = |name: &str, status: CheckStatus, detail: &str, fix: &str| Check {
        name: name.into(),
        status: status.into(),
        detail: detail.into(),
        fix: fix.into(),
    };
    DoctorReport {
        checks: vec![
            check("btf", CheckStatus::Ok, "/sys/kernel/btf/vmlinux, 5.1 MiB", ""),
            check(
                "psi",
                CheckStatus::Warn,
                "/proc/pressure/cpu does not exist",
                "boot with psi=1 on the kernel command line",
            ),
            check(
                "cgroup-v2",
                CheckStatus::Fail,
                "/sys/fs/cgroup is a v1 hierarchy; the agent can only observe",
                "boot with systemd.unified_cgroup_hierarchy=1",
            ),
        ],
    }
}

pub(crate) fn policy() -> Policy {
    let row = |key: &str, value: &str, source: PolicySource, line: Option<u32>, built_in: &str| {
        let (key, value, built_in) = (key.into(), value.into(), built_in.into());
        let instead_of = String::new();
        PolicyValue { key, value, source: source.into(), line, built_in, instead_of }
    };
    let mut mode = row("mode", "observe", PolicySource::Command, None, "observe");
    mode.instead_of = "enforce".into();
    Policy {
        values: vec![
            mode,
            row("reclaim.weight", "1", PolicySource::BuiltIn, None, "1"),
            row("reserve.cpuset", "", PolicySource::BuiltIn, None, ""),
            row("share.usage_margin", "1.5", PolicySource::File, Some(12), "1.25"),
        ],
        file: "/etc/berth/agent.toml".into(),
    }
}

pub(crate) fn explanation() -> Explanation {
    let because = ["about its pool, share", "about it"];
    let decisions = decisions().decisions.into_iter().zip(because).map(|(decision, because)| {
        ExplainedDecision { decision: Some(decision), because: because.into() }
    });
    Explanation {
        name: "web".into(),
        kind: NameKind::Workload.into(),
        now_mono_ns: 1000 * SEC,
        placement: Some(Placement {
            pool: "share".into(),
            qos: "shared_cores".into(),
            cpus: "1-3".into(),
            reasons: vec![
                "shared_cores work runs in the share pool".into(),
                "it asked for 2.00 CPUs and used 2.45 in the last interval".into(),
            ],
        }),
        decisions: decisions.collect(),
        findings: vec![Finding {
            severity: Severity::Warning.into(),
            rule: "foreign-write".into(),
            subject: "web".into(),
            message: "somebody else writes cpu.weight too".into(),
        }],
    }
}

pub(crate) fn headroom() -> Headroom {
    let term = |term: &str, value: Option<f64>, unit: &str, source: &str| Term {
        term: term.into(),
        value,
        unit: unit.into(),
        source: source.into(),
    };
    let cpu = Explained {
        result: Some(3500.0),
        unit: "mCPU".into(),
        terms: vec![
            term("reclaim pool", Some(4000.0), "mCPU", "plan"),
            term("used by batch work", Some(-500.0), "mCPU", "cpu.stat"),
        ],
    };
    let memory = Explained {
        result: None,
        unit: "bytes".into(),
        terms: vec![term("free", None, "bytes", "/proc/zoneinfo")],
    };
    Headroom {
        now_mono_ns: 1000 * SEC,
        cpu: Some(cpu.clone()),
        memory: Some(memory),
        nodes: vec![NodeHeadroom { numa_node: 0, cpu: Some(cpu), memory: None }],
    }
}
