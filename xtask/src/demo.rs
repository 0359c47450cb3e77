//! `cargo xtask demo`: sets up, builds, boots a small VM, runs one service beside batch pods under
//! several managers and under Berth, and shows one table and one picture. What runs inside the
//! guest is `bench::demo`; this owns the way there and what is made of the result.

pub(crate) mod build;
pub(crate) mod host;
mod picture;
mod result;
pub(crate) mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::vm::{self, Clock, Guest, Session};
use crate::{ebpf, place, setup};
use result::DemoResult;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also write the figures, one key each, to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leave the VM up afterwards with a shell, the load and the agent running (try `berth top`)
    #[arg(long, conflicts_with = "host")]
    keep: bool,
    /// Run on this machine instead of in a VM, in the delegated cgroup this command runs in
    #[arg(long)]
    host: bool,
    /// CPUs of the VM
    #[arg(long, value_name = "N", default_value_t = 2, conflicts_with = "host")]
    cpus: u32,
    /// NUMA nodes of the VM
    #[arg(long, value_name = "N", default_value_t = 2, conflicts_with = "host")]
    nodes: u32,
    /// How often all phases run, each time with other requests
    #[arg(long, value_name = "N", default_value_t = ROUNDS)]
    rounds: u32,
    /// `suppression.floor_milli_cpu` of the agent, to try another one
    #[arg(long, value_name = "MCPU")]
    floor_milli_cpu: Option<u64>,
    /// `reclaim.floor_cpus` of the agent, to try another one
    #[arg(long, value_name = "N")]
    reclaim_floor_cpus: Option<u64>,
    /// `target_p99_us` of the service, to try another one
    #[arg(long, value_name = "US")]
    target_us: Option<u64>,
    /// Only these phases
    #[arg(long, value_name = "A,B", default_value = ALL_PHASES)]
    phases: String,
    /// Show the result of an earlier run again (its raw demo.json) and run nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["host", "keep", "phases"])]
    from: Option<PathBuf>,
    /// Also renew docs/demo.svg and bench/results/demo.json
    #[arg(long)]
    record: bool,
}

const ROUNDS: u32 = 2;
const ALL_PHASES: &str = "alone,unmanaged,k8s,rule65,static,berth";
/// Three times what it takes on a quiet host.
const GUEST_LIMIT_PER_ROUND: Duration = Duration::from_secs(300);
/// `--keep` may stay for an evening.
const KEEP_LIMIT: Duration = Duration::from_secs(8 * 3600);

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let began = Instant::now();
    if let Some(earlier) = &args.from {
        return show(args, &DemoResult::read(earlier)?, None);
    }
    if args.host {
        host::check()?;
    }
    setup::ensure(setup::Group::Agent)?;
    ebpf::ensure_built()?;
    let programs = build::programs()?;
    let out = place::target().join("demo/raw");
    if out.exists() {
        fs::remove_dir_all(&out).context("forget the last demo")?;
    }
    let load = build::find(&programs, "berth-load")?;
    let native = build::calibrate(&load)?;
    let noise = host::Noise::start()?;
    if args.host {
        host::run(&programs, &plays(args), &out)?;
    } else {
        in_vm(args, &programs, &out)?;
    }
    let mut result = DemoResult::read(&out.join("demo.json"))?;
    result.add_emulator_factor(native);
    result.machine.insert("clock".to_owned(), clock_of(args).name().to_owned());
    if args.keep {
        result.add_noise(noise.other_work_ratio()?);
    }
    let took = began.elapsed();
    println!("took {:.0} s, set-up and build included", took.as_secs_f64());
    // The bar is for a run as everybody starts it.
    show(args, &result, Some(took).filter(|_| args.rounds == ROUNDS))
}

fn in_vm(args: &Args, programs: &[(String, PathBuf)], out: &Path) -> anyhow::Result<()> {
    let demo = format!("berth-demo --out /out {}", plays(args).join(" "));
    let mut guest = Guest::new(&["sh", "-c", &demo]);
    if args.keep {
        // The last phase goes on in the background, so that there is something to look at.
        let stay = format!(
            "{demo}; (berth-demo --out /tmp/keep --phases berth --rounds 1 --cycles 1000 >/tmp/keep.log 2>&1 &); \
             echo 'The load and the agent run on; try: berth top'; exec sh -l"
        );
        guest.command = vec!["sh".to_owned(), "-c".to_owned(), stay];
        guest.session = vm::terminal();
        guest.timeout = KEEP_LIMIT;
    } else {
        guest.session = Session::Batch;
        guest.timeout = GUEST_LIMIT_PER_ROUND * args.rounds;
    }
    guest.clock = clock_of(args);
    (guest.cpus, guest.nodes) = (args.cpus, args.nodes);
    guest.memory_mib = 1024;
    guest.files = build::guest_files(programs)?;
    guest.out = Some(out.to_owned());
    let ended = vm::boot(&guest, &mut vm::pass_through)?;
    ensure!(ended.exit_code == 0, "the demo failed in the guest with exit {}", ended.exit_code);
    Ok(())
}

/// What is played and how the agent is set up, as arguments of `berth-demo`.
fn plays(args: &Args) -> Vec<String> {
    let mut plays = vec![format!("--phases={}", args.phases), format!("--rounds={}", args.rounds)];
    let settings = [
        ("floor-milli-cpu", args.floor_milli_cpu),
        ("reclaim-floor-cpus", args.reclaim_floor_cpus),
        ("target-us", args.target_us),
    ];
    plays.extend(settings.iter().filter_map(|(key, value)| Some(format!("--{key}={}", (*value)?))));
    plays
}

/// A person who looks around wants a clock that waits for him.
fn clock_of(args: &Args) -> Clock {
    if args.keep || args.host { Clock::Host } else { Clock::Virtual }
}

fn show(args: &Args, result: &DemoResult, took: Option<Duration>) -> anyhow::Result<()> {
    let folder = place::target().join("demo");
    let svg = picture::draw(result);
    write(&folder.join("demo.svg"), &svg)?;
    let keys = serde_json::to_string_pretty(&result.keys).context("encode the figures")?;
    if let Some(json) = &args.json {
        write(json, &keys)?;
    }
    if args.record {
        write(&place::repo().join("docs/demo.svg"), &svg)?;
        let record = serde_json::to_string_pretty(&result.record()).context("encode the record")?;
        write(&place::repo().join("bench/results/demo.json"), &record)?;
    }
    println!("\n{}", table::phases(result));
    println!("{}", table::bars(result, took));
    for note in &result.notes {
        println!("note: {note}");
    }
    println!("picture: {}", folder.join("demo.svg").display());
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
