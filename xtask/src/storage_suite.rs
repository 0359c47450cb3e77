//! `cargo xtask storage-suite`: Kubernetes' own tests of its storage layer against a server of one's choice. Owns the command
//! line and what is printed at the end; the test programs are built by `setup::suite`.

mod gotest;
mod ran;
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::ValueEnum;

use crate::place;
use crate::setup::versions::Versions;
use crate::setup::{self, shelf, suite, versions};
use crate::test::build::Profile;
use gotest::{Failure, Tally};
use ran::{Program, Ran};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What the tests talk to
    #[arg(long, default_value = "etcd")]
    server: Server,
    /// Another server's command line; in it {client} and {peer} are ports, {data} an empty folder, {progress} an interval like 1s
    #[arg(long, value_name = "LINE", conflicts_with = "server")]
    command: Option<String>,
    /// The tests of this package only
    #[arg(long)]
    package: Option<Package>,
    /// Only tests that this regular expression finds, as `go test -run` takes it
    #[arg(long, value_name = "NAME")]
    run: Option<String>,
    /// How Berth is built
    #[arg(long, default_value = "ci")]
    profile: Profile,
    /// Flags of `go test`, such as -count=3 or -failfast
    #[arg(last = true)]
    flags: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Server {
    /// The etcd of the test bench
    Etcd,
    /// `berth-control metastore`, which is built first
    Berth,
}

/// As `suite::PACKAGES` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Package {
    /// The storage itself
    Etcd3,
    /// The watch cache in front of it
    Cacher,
}

impl Package {
    const fn name(self) -> &'static str {
        match self {
            Package::Etcd3 => "etcd3",
            Package::Cacher => "cacher",
        }
    }
}

/// All of it against Berth. For soak.
pub(crate) fn run_on_berth() -> anyhow::Result<ExitCode> {
    run(&Args {
        server: Server::Berth,
        command: None,
        package: None,
        run: None,
        profile: Profile::Ci,
        flags: Vec::new(),
    })
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (cache, versions) = (place::cache()?, versions::pinned()?);
    let own = args.command.is_some() || args.server == Server::Berth;
    setup::ensure_storage_suite(if own { &[] } else { &["etcd"] })?;
    let (title, words) = server_of(args, &cache, &versions)?;
    let folder = suite::folder(&cache, &versions)?;
    let version = suite::version(&versions)?;
    let out = place::target().join("storage-suite");
    let (mut failed, mut n_ran) = (false, 0);
    for package in args.package.map_or_else(|| suite::PACKAGES.to_vec(), |one| vec![one.name()]) {
        println!("=== storage tests of Kubernetes {version}, {package}, against {title}");
        let (log, scratch) = (out.join(format!("{package}.log")), scratch(&out, package)?);
        let program = Program {
            package,
            path: suite::program(&folder, package),
            folder: suite::sources(&folder, package),
            server: &words,
            log: &log,
            scratch: &scratch,
        };
        let ran = ran::run(&program, args.run.as_deref(), &args.flags)?;
        report(&ran, &program, &again(args));
        failed |= !ran.succeeded();
        n_ran += ran.tally.whole.sum();
    }
    // One package may well have none of that name.
    ensure!(n_ran > 0 || failed, "no test has such a name");
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What the server is called and its command line.
fn server_of(
    args: &Args,
    cache: &Path,
    versions: &Versions,
) -> anyhow::Result<(String, Vec<String>)> {
    if let Some(line) = &args.command {
        let words = server::given(line)?;
        return Ok((words[0].clone(), words));
    }
    match args.server {
        Server::Etcd => server::etcd(cache, versions),
        Server::Berth => server::berth(args.profile),
    }
}

/// An empty folder.
fn scratch(out: &Path, package: &str) -> anyhow::Result<PathBuf> {
    let folder = out.join(format!("{package}.servers"));
    shelf::remove(&folder)?;
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}

/// The part of a command line that names the server.
fn again(args: &Args) -> String {
    match (&args.command, args.server) {
        (Some(line), _) => {
            let quoted = shlex::try_quote(line).unwrap_or_default();
            format!(" --command {quoted}")
        }
        (None, Server::Etcd) => String::new(),
        (None, Server::Berth) => " --server berth".to_owned(),
    }
}

/// Failed tests with the ends of their output, then one closing line.
fn report(ran: &Ran, program: &Program<'_>, server: &str) {
    for failure in &ran.tally.failures {
        print!("{}", shown(failure));
    }
    if let Some(complaint) = &ran.complaint {
        println!("{complaint}");
    }
    if let Some(one) = ran.tally.failures.first() {
        let name = one.name.split('/').next().unwrap_or_default();
        println!(
            "one of them again: cargo xtask storage-suite{server} --package {} --run '^{name}$'",
            program.package
        );
    }
    println!("{}: {}", program.package, closing(&ran.tally, ran.took.as_secs_f64()));
    println!("all they said: {}", program.log.display());
}

fn shown(failure: &Failure) -> String {
    let how = failure.seconds.map_or_else(
        || "did not come to its end".to_owned(),
        |seconds| format!("failed in {seconds:.1} s"),
    );
    let mut text = format!("--- {} {how}\n", failure.name);
    for line in &failure.tail {
        text += &format!("    {line}\n");
    }
    text
}

fn closing(tally: &Tally, seconds: f64) -> String {
    format!(
        "{} passed, {} failed, {} skipped in {seconds:.0} s (parts of tests: {} passed, {} failed, {} skipped)",
        tally.whole.passed,
        tally.whole.failed,
        tally.whole.skipped,
        tally.parts.passed,
        tally.parts.failed,
        tally.parts.skipped,
    )
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::{Package, suite};

    #[test]
    fn a_package_is_named_as_the_set_up_builds_it() {
        let names: Vec<_> = Package::value_variants().iter().map(|it| it.name()).collect();
        assert_eq!(names, suite::PACKAGES);
    }
}
