//! `cargo xtask test`: sets up, builds and runs the tiers, and closes with one line over all of them.
//! Owns the order, the list of allowed skips and the times; a tier's own run is in `tier`.

pub(crate) mod build;
mod guest;
mod libtest;
mod metastore;
mod tier;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::ValueEnum;

use crate::kube::servers;
use crate::setup::kubernetes::{Choice, Kubernetes};
use crate::setup::versions;
use crate::vm::Kernel;
use crate::{ebpf, place, setup};
use guest::Beside;
pub(crate) use guest::Cases;
use libtest::Tally;
pub(crate) use metastore::Long as LongMetastore;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One tier only
    #[arg(long)]
    tier: Option<Tier>,
    /// Only tests whose name contains this
    filter: Option<String>,
    /// For the e2e tier
    #[command(flatten)]
    kubernetes: Choice,
    /// Only this guest kernel, for the VM tier
    #[arg(long)]
    kernel: Option<Kernel>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tier {
    /// Tables, properties, scenarios, parsers
    Unit,
    /// Cases on a real kernel in a VM
    Vm,
    /// Real peers: etcd and Kubernetes
    E2e,
}

/// The tiers of a `cargo xtask test` that names none.
const DEFAULT: &[Tier] = &[Tier::Unit, Tier::Vm, Tier::E2e];

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let wanted = |tier| args.tier.map_or_else(|| DEFAULT.contains(&tier), |only| only == tier);
    let mut report = Report::default();
    // The object and programs of both tiers; a failure here is told and the tiers that can still run do.
    if wanted(Tier::Unit) || wanted(Tier::Vm) {
        report.phase("set-up and BPF", || prepare().map(|()| Tally::default()));
    }
    let files = if wanted(Tier::Vm) { built_for_guests(&mut report) } else { Vec::new() };
    let is_whole = args.filter.is_none() && args.kernel.is_none() && wanted(Tier::Unit);
    let beside = (is_whole && !files.is_empty()).then(|| begin_beside(files.clone()));
    if wanted(Tier::Unit) {
        report.phase("unit", || tier::unit(args.filter.as_deref()));
    }
    if wanted(Tier::Vm) {
        let mut guests = guests_of(args);
        if let Some(beside) = beside {
            guests.retain(|(_, cases)| *cases != Beside::CASES);
            report.phase("vm in virtual time, the rest of it", || beside.end());
        }
        run_guests(&mut report, &files, &guests);
    }
    if wanted(Tier::E2e) {
        let kubernetes = args.kubernetes.among(&versions::pinned()?)?;
        run_e2e(&mut report, &kubernetes, args.filter.as_deref(), 1);
    }
    report.close()
}

/// The tier on every other Kubernetes, the cases with several nodes, and then the whole tier so often. For soak. A choice
/// takes the place of every Kubernetes.
pub(crate) fn run_e2e_rounds(rounds: u32, choice: &Choice) -> anyhow::Result<ExitCode> {
    let versions = versions::pinned()?;
    let chosen = choice.among(&versions)?;
    let mut report = Report::default();
    if choice.is_usual() {
        for other in Kubernetes::others(&versions) {
            run_e2e(&mut report, &other, None, 1);
        }
    }
    run_e2e(&mut report, &chosen, Some(tier::LONG), 1);
    run_e2e(&mut report, &chosen, None, rounds);
    report.close()
}

/// The long cases of the tier whose name goes on like this. For soak.
pub(crate) fn run_long_e2e(subject: &str, choice: &Choice) -> anyhow::Result<ExitCode> {
    let chosen = choice.among(&versions::pinned()?)?;
    let mut report = Report::default();
    run_e2e(&mut report, &chosen, Some(&format!("{}{subject}", tier::LONG)), 1);
    report.close()
}

/// What the metastore's tests do in seconds, for as long as it takes. For soak.
pub(crate) fn run_long_metastore(long: LongMetastore) -> anyhow::Result<ExitCode> {
    let usual = Choice::default().among(&versions::pinned()?)?;
    let built = build::everything()?;
    let mut report = Report::default();
    report.phase("set-up of etcd and kine", || {
        setup::ensure_programs(&["etcd", "kine"])?;
        Ok(Tally::default())
    });
    report.phase("power cuts, one order", || metastore::crashes(&built, long));
    report.phase("parity with etcd", || {
        metastore::parity(&built, &servers::programs(&usual)?, Some(long.n_sequences), None)
    });
    report.phase("a kine is taken over", || metastore::from_kine(&built));
    report.phase("kill -9", || metastore::kills(&built, long));
    report.close()
}

fn run_e2e(report: &mut Report, kubernetes: &Kubernetes, filter: Option<&str>, rounds: u32) {
    let mut is_set_up = false;
    let mut title = String::new();
    report.phase("set-up of real peers", || {
        setup::ensure_nodes(kubernetes)?;
        title = kubernetes.title(&versions::pinned()?);
        is_set_up = true;
        Ok(Tally::default())
    });
    // What failed before, in another tier, is no reason to leave this one out.
    let before = report.tally.failed;
    for round in 1..=rounds {
        if is_set_up && report.tally.failed == before {
            report
                .phase(&format!("e2e {title}, {round}/{rounds}"), || tier::e2e(kubernetes, filter));
        }
    }
}

/// All cases on 6.1, the smoke set on 6.12 and those without PSI, unless the command line says otherwise.
fn guests_of(args: &Args) -> Vec<(Kernel, Cases)> {
    match (&args.filter, args.kernel) {
        (None, None) => {
            let mut all = every_case(Kernel::V6_1);
            all.push((Kernel::V6_12, Cases::Smoke));
            all
        }
        (None, Some(kernel)) => every_case(kernel),
        (Some(part), kernel) => vec![(kernel.unwrap_or(Kernel::V6_1), Cases::Named(part.clone()))],
    }
}

pub(crate) fn every_case(kernel: Kernel) -> Vec<(Kernel, Cases)> {
    Cases::every().into_iter().map(|cases| (kernel, cases)).collect()
}

/// The cases given, a guest each, and the closing line. For soak.
pub(crate) fn run_vm_cases(guests: &[(Kernel, Cases)]) -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    report.phase("set-up and BPF", || prepare().map(|()| Tally::default()));
    let files = built_for_guests(&mut report);
    run_guests(&mut report, &files, guests);
    report.close()
}

/// The cases in virtual time, beside the unit tests.
fn begin_beside(files: Vec<(PathBuf, String)>) -> Beside {
    Beside::begin(files, Kernel::V6_1, place::target().join("vmtest-out/beside"))
}

/// Nothing where it could not be built.
fn built_for_guests(report: &mut Report) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    report.phase("build for the VM", || {
        files = build::guest_files()?;
        Ok(Tally::default())
    });
    files
}

fn prepare() -> anyhow::Result<()> {
    setup::ensure(setup::Group::Agent)?;
    ebpf::ensure_built().map(drop)
}

fn run_guests(report: &mut Report, files: &[(PathBuf, String)], guests: &[(Kernel, Cases)]) {
    if files.is_empty() {
        return;
    }
    let out = place::target().join("vmtest-out");
    for (kernel, cases) in guests {
        report.phase(&format!("vm {} {cases:?}", kernel.series()), || {
            guest::vm(files, *kernel, cases, &out)
        });
    }
}

/// What the phases came to.
#[derive(Debug, Default)]
struct Report {
    tally: Tally,
    lines: Vec<String>,
}

impl Report {
    /// Runs a phase; one that cannot run counts as one failure.
    fn phase(&mut self, name: &str, run: impl FnOnce() -> anyhow::Result<Tally>) {
        println!("=== {name}");
        let began = Instant::now();
        let tally = run().unwrap_or_else(|error| {
            println!("{name}: {error:#}");
            Tally { failed: 1, ..Tally::default() }
        });
        self.lines.push(format!(
            "{name:<32} {:>5.1} min   {}",
            began.elapsed().as_secs_f64() / 60.0,
            tally.line()
        ));
        self.tally.add(tally);
    }

    /// The closing line is the last that is printed, also when tests failed.
    fn close(mut self) -> anyhow::Result<ExitCode> {
        let path = place::repo().join("agent/vmtest/skips.txt");
        let listed =
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        for skip in self.tally.skips.clone() {
            let is_listed = is_listed(&listed, &skip.name);
            println!(
                "skipped: {}: {}{}",
                skip.name,
                skip.why,
                if is_listed { "" } else { " (NOT LISTED)" }
            );
            if !is_listed {
                self.tally.skipped -= 1;
                self.tally.failed += 1;
            }
        }
        for remark in &self.tally.remarks {
            println!("remark: {remark}");
        }
        println!("=== minutes");
        for line in &self.lines {
            println!("{line}");
        }
        println!("{}", self.tally.line());
        Ok(if self.tally.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn is_listed(skips: &str, name: &str) -> bool {
    let rows = skips.lines().filter(|line| !line.starts_with('#'));
    rows.filter_map(|line| line.split_once(": ")).any(|(listed, _)| {
        match listed.strip_suffix('*') {
            Some(module) => name.starts_with(module),
            None => listed == name,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::is_listed;

    #[test]
    fn a_skip_is_listed_by_its_whole_name_and_with_a_reason() {
        let skips = "# NAME: why\ngpu_clock: no device here\nno_reason\nmachines::*: no data\n";
        assert!(is_listed(skips, "machines::one"));
        assert!(!is_listed(skips, "my_machines::one"));
        assert!(is_listed(skips, "gpu_clock"));
        assert!(!is_listed(skips, "gpu"));
        assert!(!is_listed(skips, "no_reason"));
        assert!(!is_listed(skips, "# NAME"));
    }
}
