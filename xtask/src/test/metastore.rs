//! The metastore's tests beside an etcd, and the long forms of those that crash it. Owns which tests these are and how they are told how
//! much to do; what they do is the metastore's.

use std::env;
use std::ffi::OsStr;
use std::time::Duration;

use anyhow::Context as _;

use super::build::{Built, Executable};
use super::libtest::Tally;
use super::tier::{command, run_tests};
use crate::place;
use crate::setup::{kube, versions};

/// How much the long forms do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Long {
    /// Of the process, and cuts of the power; so many rounds each.
    pub(crate) n_crashes: u32,
    /// Random sequences of operations told to an etcd as well.
    pub(crate) n_sequences: u32,
    /// Of all clients together, for one order that explains them.
    pub(crate) n_operations: u32,
}

const FOLDER: &str = "controlplane/metastore";

const CONTROL: &str = "controlplane/control";

/// In the names of tests that need one.
const KINE: &str = "a_kine";

/// Whether these are tests beside an etcd.
pub(super) fn is_parity(test: &Executable) -> bool {
    let is = |folder: &str, name: &str| test.folder.ends_with(folder) && test.name == name;
    is(FOLDER, "it") || is(CONTROL, "moving")
}

/// The metastore and an etcd, told the same; so many sequences instead of the usual number.
pub(super) fn parity(
    built: &Built,
    programs: &OsStr,
    n_sequences: Option<u32>,
    filter: Option<&str>,
) -> anyhow::Result<Tally> {
    let mut folders = env::split_paths(programs).map(|folder| folder.join("etcd"));
    let etcd = folders.find(|etcd| etcd.is_file()).context("no etcd among the programs")?;
    let mut tests = command(built.test(FOLDER, "it")?);
    tests.args(filter).env("BERTH_ETCD", &etcd);
    if let Some(n) = n_sequences {
        tests.env("BERTH_PARITY_SEQUENCES", n.to_string()).arg("--nocapture");
    }
    let mut tally = run_tests(tests, "the metastore beside an etcd", LIMIT)?;
    let mut moving = command(built.test(CONTROL, "moving")?);
    moving.args(filter).args(["--skip", KINE]).env("BERTH_ETCD", etcd);
    tally.add(run_tests(moving, "stores that move to and from an etcd", LIMIT)?);
    Ok(tally)
}

/// A kine is taken over.
pub(super) fn from_kine(built: &Built) -> anyhow::Result<Tally> {
    let (cache, versions) = (place::cache()?, versions::pinned()?);
    let kine = kube::folder_of(&cache, &versions, "kine")?.join("kine");
    let mut moving = command(built.test(CONTROL, "moving")?);
    moving.arg(KINE).env("BERTH_KINE", kine);
    run_tests(moving, "stores that move from a kine", LIMIT)
}

/// Power cuts and clients of a store in one process.
pub(super) fn crashes(built: &Built, long: Long) -> anyhow::Result<Tally> {
    let mut tests = command(built.test(FOLDER, "metastore")?);
    tests.args(["store::tests", "--nocapture"]);
    tests.env("BERTH_POWER_CUTS", long.n_crashes.to_string());
    tests.env("BERTH_CROWD_OPERATIONS", long.n_operations.to_string());
    run_tests(tests, "the store without power", LIMIT)
}

/// The program, killed while clients write, and a watcher that is asleep while a thousand times as much happens.
pub(super) fn kills(built: &Built, long: Long) -> anyhow::Result<Tally> {
    let mut tests = command(built.test(CONTROL, "it")?);
    tests.args(["killed", "slow_watcher", "--nocapture"]);
    tests.env("BERTH_KILLS", long.n_crashes.to_string());
    tests.env("BERTH_WATCHED_EVENTS", (1000 * u64::from(long.n_crashes)).to_string());
    run_tests(tests, "the program killed", LIMIT)
}

/// Of the long forms.
const LIMIT: Duration = Duration::from_secs(3 * 3600);
