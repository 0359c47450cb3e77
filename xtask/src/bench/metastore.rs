//! `bench metastore`: etcd, kine and Berth's metastore under the same load, in turns. Brings the programs, pins servers and generator to a
//! core each and reads what `berth-store-bench` found; the load itself is in `bench/store`.

mod bars;
mod runs;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::Machine;
use super::row::Row;
use crate::cargo::cargo;
use crate::demo::build;
use crate::setup::{self, shell, versions};
use crate::{place, setup::kube};
use runs::Runs;

/// What only this benchmark understands.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Only metastore")]
pub(crate) struct Options {
    /// Everything small, in two minutes: shows that it works and writes below target/, since the figures mean nothing
    #[arg(long)]
    quick: bool,
    /// How often every server is measured, kine once and only writing; the medians count [default: 3, quick 1]
    #[arg(long, value_name = "N")]
    runs: Option<u32>,
    /// Length of each timed stretch [default: 10]
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Scenarios: writes, objects, large, million, fleet [default: writes, objects, large]
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,
    /// In turns; berth is left out while there is no program berth-control
    #[arg(long, value_delimiter = ',', default_value = "etcd,kine,berth", value_name = "NAME")]
    servers: Vec<String>,
    /// Use this berth-control instead of building one
    #[arg(long, value_name = "PROGRAM")]
    berth: Option<PathBuf>,
}

impl Options {
    /// A million objects, 20,000 leases, 100 watchers at an etcd and at Berth, once each.
    pub(crate) fn fleet() -> Options {
        let servers = ["etcd", "berth"].map(str::to_owned).to_vec();
        let only = vec![FLEET.to_owned()];
        Options { quick: false, runs: Some(1), seconds: None, only, servers, berth: None }
    }

    pub(super) fn is_quick(&self) -> bool {
        self.quick
    }

    /// What the files are called.
    pub(super) fn result(&self) -> &'static str {
        if self.only == [FLEET] { "metastore-fleet" } else { "metastore" }
    }
}

const FLEET: &str = "fleet";

pub(super) fn run(options: &Options, machine: &mut Machine) -> anyhow::Result<Vec<Row>> {
    let servers = servers(options, machine)?;
    ensure!(!servers.is_empty(), "no server is left to measure");
    let generator = build::of(&["store-bench"], profile(options))?;
    let generator = build::find(&generator, "berth-store-bench")?;
    let folder = place::target().join("bench-metastore");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let found = folder.join("rows.json");
    let pinned = is_pinned();
    machine.insert("pinned".to_owned(), json!(pinned));
    machine.insert("load_before".to_owned(), json!(load()));
    let mut command = command(options, &generator, pinned);
    command.args(["--folder".as_ref(), folder.as_os_str(), "--out".as_ref(), found.as_os_str()]);
    for (name, program) in &servers {
        command.arg("--server").arg(format!("{name}={}", program.display()));
    }
    println!("measure: {}", servers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "));
    let status = command.status().with_context(|| format!("run {command:?}"))?;
    ensure!(status.success(), "berth-store-bench ended with {status}");
    let runs = Runs::read(&found)?;
    let kept = super::results(options.quick).join(format!("{}-runs.json", options.result()));
    super::write(&kept, &runs.to_json(machine)?)?;
    println!("\n{}", table::markdown(&runs));
    println!("written: {}", kept.display());
    Ok(bars::rows(&runs))
}

/// Servers and generator each have a core of their own where there are two.
const SERVER_CPU: &str = "0";
const GENERATOR_CPU: &str = "1";

fn is_pinned() -> bool {
    std::thread::available_parallelism().is_ok_and(|n| n.get() >= 2)
}

fn command(options: &Options, generator: &Path, pinned: bool) -> Command {
    let mut command = Command::new(if pinned { "taskset".as_ref() } else { generator.as_os_str() });
    if pinned {
        command.args(["--cpu-list", GENERATOR_CPU]).arg(generator);
        command.args(["--server-cpus", SERVER_CPU]);
    }
    let runs = options.runs.unwrap_or(if options.quick { 1 } else { 3 });
    command.args(["--runs", &runs.to_string()]);
    if let Some(seconds) = options.seconds {
        command.args(["--seconds", &seconds.to_string()]);
    }
    if options.quick {
        command.arg("--quick");
    }
    if !options.only.is_empty() {
        command.args(["--only", &options.only.join(",")]);
    }
    command
}

/// A generator that is not optimised would be what is measured.
const fn profile(options: &Options) -> &'static str {
    if options.quick { "ci" } else { "release" }
}

/// Name and program of each, and their versions among the facts.
fn servers<'a>(
    options: &'a Options,
    machine: &mut Machine,
) -> anyhow::Result<Vec<(&'a str, PathBuf)>> {
    let built = options.servers.iter().map(String::as_str).filter(|name| *name != "berth");
    setup::ensure_programs(&built.collect::<Vec<_>>())?;
    let (cache, versions) = (place::cache()?, versions::pinned()?);
    let mut found = Vec::new();
    for name in &options.servers {
        let program = match name.as_str() {
            "etcd" | "kine" => {
                machine.insert(name.clone(), json!(versions.kube.get(name).map(|it| &it.version)));
                Some(kube::folder_of(&cache, &versions, name)?.join(name))
            }
            "berth" => berth(options)?,
            _ => bail!("no server {name:?}; there are etcd, kine and berth"),
        };
        match program {
            Some(program) => found.push((name.as_str(), program)),
            None => println!("berth: no package has a program berth-control yet, left out"),
        }
    }
    Ok(found)
}

const BERTH: &str = "berth-control";

/// `None` while the workspace has no such program.
fn berth(options: &Options) -> anyhow::Result<Option<PathBuf>> {
    if let Some(program) = &options.berth {
        return Ok(Some(program.clone()));
    }
    let mut ask = cargo(place::repo());
    ask.args(["metadata", "--no-deps", "--format-version", "1"]);
    let graph: Value = serde_json::from_str(&shell::output(&mut ask)?).context("cargo metadata")?;
    let Some(package) = package_of(&graph, BERTH) else { return Ok(None) };
    build::find(&build::of(&[package], profile(options))?, BERTH).map(Some)
}

/// The package that has such a program.
fn package_of<'a>(graph: &'a Value, program: &str) -> Option<&'a str> {
    let is_it = |target: &Value| target["name"] == program && target["kind"][0] == "bin";
    let mut packages = graph["packages"].as_array()?.iter();
    let package =
        packages.find(|it| it["targets"].as_array().is_some_and(|all| all.iter().any(is_it)))?;
    package["name"].as_str()
}

/// What else runs here when it begins: above 0.1 the figures are of a busy machine.
fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|it| it.parse().ok()).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::package_of;

    #[test]
    fn the_package_of_a_program() {
        let target = |name: &str, kind: &str| json!({"name": name, "kind": [kind]});
        let graph = json!({"packages": [
            {"name": "a", "targets": [target("berth-control", "lib")]},
            {"name": "b", "targets": [target("b", "lib"), target("berth-control", "bin")]},
        ]});
        assert_eq!(package_of(&graph, "berth-control"), Some("b"));
        assert_eq!(package_of(&graph, "berth"), None);
    }
}
