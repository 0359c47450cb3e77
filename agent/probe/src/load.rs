//! Carries a `ReadPlan` out: offsets from the running kernel's BTF into the object, maps and
//! programs into the kernel. Tells the ways it can fail apart, because each has another remedy.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use agent_ebpf_common as common;
use aya::maps::MapError;
use aya::programs::{BtfTracePoint, Program, ProgramError, RawTracePoint};
use aya::{Ebpf, EbpfError, EbpfLoader, Endianness};
use model::Nanos;

use crate::btf::{Btf, BtfError};
use crate::facts::{CGROUP_EVENT, SCHED_EVENTS, TIMER_EVENT, btf_path};
use crate::maps::SchedProbe;
use crate::offsets::{FieldMissing, Offsets, offsets};
use crate::readplan::{CacheSlots, Hooks, OffReason, ReadPlan, Timers};
use crate::sizing::MapPlan;

/// Why the probe is not there.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan said so; nothing was tried.
    #[error(transparent)]
    Off(#[from] OffReason),
    #[error("the BPF object is missing from this build; build it with `cargo xtask ebpf`")]
    NoObject,
    #[error("reading the kernel's BTF from {path} failed")]
    NoBtf {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the kernel's BTF in {path} is malformed")]
    BtfMalformed {
        path: PathBuf,
        #[source]
        source: BtfError,
    },
    #[error(transparent)]
    FieldMissing(#[from] FieldMissing),
    /// EPERM or EACCES before the verifier had a word: capabilities, seccomp, sysctl or lockdown.
    #[error("the kernel refused {operation}; it needs CAP_BPF and CAP_PERFMON, and bpf(2) allowed")]
    Refused {
        operation: String,
        #[source]
        source: io::Error,
    },
    #[error("the verifier refused program {program}: {}", verdict(log_tail))]
    Verifier {
        program: String,
        /// The instructions before the refusal, for the log.
        log_tail: String,
        #[source]
        source: io::Error,
    },
    #[error("{operation} failed")]
    Kernel {
        operation: String,
        #[source]
        source: io::Error,
    },
    #[error("the BPF object cannot be used: {why}")]
    BadObject { why: String },
}

/// What the operator may choose.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// At most one burst record per slot in this time.
    pub burst_gap: Nanos,
}

impl Default for LoadOptions {
    /// A suppression holds for longer than this, and it outlasts the writes that one causes.
    fn default() -> Self {
        LoadOptions { burst_gap: Nanos::from_millis(100) }
    }
}

/// Loads the embedded object as `plan` says; `root` is where `/sys` lies.
pub fn load(root: &Path, plan: &ReadPlan, options: LoadOptions) -> Result<SchedProbe, LoadError> {
    let object = crate::object::OBJECT.ok_or(LoadError::NoObject)?;
    load_object(root, object, plan, options)
}

/// As `load`, with an object of the caller's (8-byte aligned).
pub fn load_object(
    root: &Path,
    object: &[u8],
    plan: &ReadPlan,
    options: LoadOptions,
) -> Result<SchedProbe, LoadError> {
    let (hooks, cache_slots, timers, maps) = match plan {
        ReadPlan::Off(reason) => return Err(reason.clone().into()),
        ReadPlan::Load { hooks, cache_slots, timers, maps } => {
            (hooks, *cache_slots, *timers, *maps)
        }
    };
    let mut events = SCHED_EVENTS.to_vec();
    if cache_slots == CacheSlots::Yes {
        events.push(CGROUP_EVENT);
    }
    if timers == Timers::Yes {
        events.push(TIMER_EVENT);
    }
    let loaded = load_and_attach(root, object, hooks, &events, maps);
    give_back_memory();
    let (ebpf, attached) = loaded?;
    SchedProbe::new(ebpf, attached, maps, options.burst_gap)
}

/// How the programs really hang on the tracepoints.
#[derive(Debug)]
pub struct Attached {
    pub hooks: Hooks,
    /// Why a better kind of hook was not to be had.
    pub instead_of: Option<LoadError>,
}

fn load_and_attach(
    root: &Path,
    object: &[u8],
    hooks: &[Hooks],
    events: &[&'static str],
    maps: MapPlan,
) -> Result<(Ebpf, Attached), LoadError> {
    let path = btf_path(root);
    let bytes =
        std::fs::read(&path).map_err(|source| LoadError::NoBtf { path: path.clone(), source })?;
    let parsed = Btf::parse(&bytes)
        .map_err(|source| LoadError::BtfMalformed { path: path.clone(), source })?;
    let offsets = offsets(&parsed)?;
    drop(parsed);
    let mut ebpf = create(object, &offsets, events, maps)?;
    let mut first_error = None;
    for hooks in hooks {
        match attach(&mut ebpf, *hooks, events, &bytes) {
            Ok(()) => {
                return Ok((ebpf, Attached { hooks: *hooks, instead_of: first_error }));
            }
            // The best kind's error tells more than its fallback's.
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    let why = "the plan names no kind of hook".to_owned();
    Err(first_error.unwrap_or(LoadError::BadObject { why }))
}

/// Creates the maps and patches the globals.
fn create(
    object: &[u8],
    offsets: &Offsets,
    events: &[&'static str],
    maps: MapPlan,
) -> Result<Ebpf, LoadError> {
    let mut globals: BTreeMap<&'static str, u32> = offsets.fields.iter().copied().collect();
    globals.insert("THROTTLE_KIND", offsets.throttle_kind);
    globals.insert("TASK_MASK", maps.n_tasks - 1);
    globals.insert("CACHE_SLOTS", u32::from(events.contains(&CGROUP_EVENT)));
    globals.insert("N_CPUS", maps.n_cpus);
    let mut loader = EbpfLoader::new();
    // No CO-RE relocations in the object, so the parse that `new` made is dead weight.
    loader.btf(None);
    for (name, value) in &globals {
        loader.override_global(name, value, true);
    }
    for (name, entries) in [
        (common::MAP_CGROUPS, maps.n_cgroups),
        (common::MAP_TASKS, maps.n_tasks),
        (common::MAP_CPUS, maps.n_cpus),
        (common::MAP_SLOTS, maps.n_slots),
        (common::MAP_OFFENDERS, maps.n_slots),
        (common::MAP_SETTINGS, maps.n_slots),
        (common::MAP_BURST_AT, maps.n_slots),
        (common::MAP_BURSTS, maps.ring_bytes),
    ] {
        loader.map_max_entries(name, entries);
    }
    loader.load(object).map_err(object_error)
}

fn attach(
    ebpf: &mut Ebpf,
    hooks: Hooks,
    events: &[&'static str],
    btf: &[u8],
) -> Result<(), LoadError> {
    match hooks {
        Hooks::BtfTracepoints => {
            let btf = aya::Btf::parse(btf, Endianness::default())
                .map_err(|error| LoadError::BadObject { why: error.to_string() })?;
            load_all(ebpf, events, "btf", |program, event| {
                let program: &mut BtfTracePoint = program.try_into()?;
                program.load(event, &btf)?;
                program.attach().map(drop)
            })
        }
        Hooks::RawTracepoints => load_all(ebpf, events, "raw", |program, event| {
            let program: &mut RawTracePoint = program.try_into()?;
            program.load()?;
            program.attach(event).map(drop)
        }),
    }
}

/// `sched_switch` comes last in `events` of the scheduler, so a task switched in has had its
/// chance to be stamped. On an error the programs loaded so far are unloaded again.
fn load_all(
    ebpf: &mut Ebpf,
    events: &[&'static str],
    kind: &str,
    mut load: impl FnMut(&mut Program, &'static str) -> Result<(), ProgramError>,
) -> Result<(), LoadError> {
    for (idx, event) in events.iter().enumerate() {
        let name = program_name(kind, event);
        let why = format!("it has no program {name}");
        let program = ebpf.program_mut(&name).ok_or(LoadError::BadObject { why })?;
        if let Err(error) = load(program, event) {
            for event in &events[..=idx] {
                // One that was never loaded has nothing to undo.
                match ebpf.program_mut(&program_name(kind, event)) {
                    Some(Program::BtfTracePoint(program)) => drop(program.unload()),
                    Some(Program::RawTracePoint(program)) => drop(program.unload()),
                    _ => {}
                }
            }
            return Err(program_error(name, error));
        }
    }
    Ok(())
}

fn program_name(kind: &str, event: &str) -> String {
    let short = match event {
        CGROUP_EVENT => "attach",
        TIMER_EVENT => "timer",
        event => event.strip_prefix("sched_").unwrap_or(event),
    };
    format!("{kind}_{short}")
}

fn object_error(error: EbpfError) -> LoadError {
    match error {
        EbpfError::MapError(MapError::CreateError { name, io_error }) => {
            kernel_error(format!("creating BPF map {}", name), io_error)
        }
        EbpfError::MapError(MapError::SyscallError(error)) => {
            kernel_error(format!("bpf({})", error.call), error.io_error)
        }
        EbpfError::BtfError(aya::BtfError::LoadError { io_error, .. }) => {
            kernel_error("loading the object's BTF".to_owned(), io_error)
        }
        other => LoadError::BadObject { why: chain(&other) },
    }
}

fn program_error(program: String, error: ProgramError) -> LoadError {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            if log.trim().is_empty() {
                return kernel_error(format!("loading BPF program {program}"), io_error);
            }
            LoadError::Verifier { program, log_tail: tail(&log), source: io_error }
        }
        ProgramError::SyscallError(error) => {
            kernel_error(format!("{} for BPF program {program}", error.call), error.io_error)
        }
        other => LoadError::BadObject { why: format!("{program}: {}", chain(&other)) },
    }
}

fn kernel_error(operation: String, source: io::Error) -> LoadError {
    match source.kind() {
        io::ErrorKind::PermissionDenied => LoadError::Refused { operation, source },
        _ => LoadError::Kernel { operation, source },
    }
}

/// The verifier tells what is wrong in its last lines, before the statistics.
fn tail(log: &str) -> String {
    const N_LINES: usize = 12;
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(N_LINES)..].join("\n")
}

/// The line that says what is wrong: the last one that is not a statistic (kernel/bpf/verifier.c,
/// `print_verification_stats`).
fn verdict(log: &str) -> &str {
    const STATISTICS: [&str; 3] = ["processed ", "verification time", "stack depth"];
    let is_statistic = |line: &&str| STATISTICS.iter().any(|start| line.starts_with(start));
    log.lines().rev().map(str::trim).find(|line| !is_statistic(line)).unwrap_or("it gave no reason")
}

/// aya's errors carry no type of ours to match on below this point, so they become text.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Parsing the kernel's BTF leaves tens of megabytes in the allocator's free lists; an agent that
/// is to stay under 30 MB gives them back.
fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    {
        #[expect(unsafe_code, reason = "glibc only, and rustix has no wrapper")]
        // SAFETY: malloc_trim(3) takes any pad and touches only free memory, under its own lock.
        unsafe extern "C" {
            safe fn malloc_trim(pad: usize) -> i32;
        }
        malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::{tail, verdict};

    #[track_caller]
    fn check(log: &str, expect: &str) {
        assert_eq!(verdict(&tail(log)), expect, "{log:?}");
    }

    #[test]
    fn the_reason_is_one_line_of_the_verifiers_log() {
        check("", "it gave no reason");
        check("0: (79) r6 = *(u64 *)(r9 +0)\nR9 !read_ok\n", "R9 !read_ok");
        check(
            "0: (79) r6 = *(u64 *)(r9 +0)\nR9 !read_ok\nprocessed 1 insns (limit 1000000)\n\n",
            "R9 !read_ok",
        );
        check("bad\nverification time 9 usec\nstack depth 8\nprocessed 3 insns\n", "bad");
    }
}
