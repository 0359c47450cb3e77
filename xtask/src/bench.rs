//! `cargo xtask bench NAME`: runs one benchmark, prints its rows, writes bench/results/NAME.json and
//! NAME.svg. Every file has the same form: facts about the machine and named rows; a row with a bar
//! says how the measurement relates to it. What is measured is in the modules below and in `bench/`.

mod advisor;
mod count;
mod dry_run;
mod example;
mod figure;
mod guest;
mod metastore;
mod picture;
mod probe;
pub(crate) mod row;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::demo::table;
use crate::place;
use row::Row;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which one; a name that does not exist lists those that do
    name: String,
    /// Also write the result to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    metastore: metastore::Options,
}

/// Facts about the machine the numbers are from.
type Machine = BTreeMap<String, Value>;

/// A benchmark: what it says of itself and how it is run.
struct Bench {
    name: &'static str,
    about: &'static str,
    run: fn(&Args, &mut Machine) -> anyhow::Result<Vec<Row>>,
}

const BENCHES: [Bench; 6] = [
    Bench {
        name: "suppression",
        about: "first long wait to last read-back in the 2-CPU VM (7 minutes)",
        run: |_, machine| guest::suppression(machine),
    },
    Bench {
        name: "dry-run",
        about: "first long wait to the last Step on this machine, nothing written, needs root (2 minutes)",
        run: |_, machine| dry_run::run(machine),
    },
    Bench {
        name: "probe",
        about: "what the BPF programs cost per context switch on this machine, needs root (1 minute)",
        run: |_, machine| probe::run(machine),
    },
    Bench {
        name: "advisor",
        about: "the deciding functions at 512 CPUs and 300 workloads (2 minutes)",
        run: |_, machine| advisor::run(machine),
    },
    Bench {
        name: "footprint",
        about: "memory and CPU of the agent at 100 cgroups in the VM (2 minutes)",
        run: |_, machine| guest::footprint(machine),
    },
    Bench {
        name: "metastore",
        about: "etcd, kine and Berth's metastore under the load of apiservers, in turns (2 hours; --quick 2 minutes)",
        run: |args, machine| metastore::run(&args.metastore, machine),
    },
];

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Some(bench) = BENCHES.iter().find(|bench| bench.name == args.name) else {
        let list = BENCHES.iter().map(|it| format!("  {:<12} {}", it.name, it.about));
        bail!("no benchmark {:?}; there are\n{}", args.name, list.collect::<Vec<_>>().join("\n"));
    };
    let mut machine = machine();
    let rows = (bench.run)(args, &mut machine).with_context(|| format!("bench {}", bench.name))?;
    let result = json!({
        "machine": machine,
        "rows": rows.iter().map(Row::to_json).collect::<Vec<_>>(),
    });
    let text = serde_json::to_string_pretty(&result).context("encode the result")? + "\n";
    let folder = results(args.metastore.is_quick());
    let name = if bench.name == "metastore" { args.metastore.result() } else { bench.name };
    write(&folder.join(format!("{name}.json")), &text)?;
    write(&folder.join(format!("{name}.svg")), &picture::draw(name, &rows, &machine))?;
    if let Some(file) = &args.json {
        write(file, &text)?;
    }
    println!("\n{}", table::render(&row::table(&rows)));
    println!("written: {}", folder.join(format!("{name}.json")).display());
    Ok(())
}

/// For soak.
pub(crate) fn run_fleet() -> anyhow::Result<()> {
    let metastore = metastore::Options::fleet();
    run(&Args { name: "metastore".to_owned(), json: None, metastore })
}

/// Where results are kept; those of a quick run are none.
fn results(is_quick: bool) -> PathBuf {
    if is_quick { place::target().join("bench-quick") } else { place::repo().join("bench/results") }
}

fn machine() -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let n_cpus = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let memory = read("/proc/meminfo");
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let rows = [
        ("kernel", json!(read("/proc/sys/kernel/osrelease").trim())),
        ("cpus", json!(n_cpus)),
        ("model", json!(model.map_or("unknown", |(_, name)| name))),
        ("memory", json!(memory.unwrap_or_default().trim())),
        ("berth", json!(env!("CARGO_PKG_VERSION"))),
    ];
    rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
