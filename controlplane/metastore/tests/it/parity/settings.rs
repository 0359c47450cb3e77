//! What is run, from the environment.

use std::env;
use std::ops::Range;
use std::path::PathBuf;

/// Forms that end well within a minute on two CPUs.
const SEEDS: Range<u64> = 0..1;
const SEQUENCES: u32 = 60;
const LONGEST: usize = 60;

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) etcd: PathBuf,
    pub(super) seeds: Range<u64>,
    /// For each seed.
    pub(super) sequences: u32,
    /// Operations of one sequence.
    pub(super) longest: usize,
}

impl Settings {
    pub(super) fn from_environment() -> Settings {
        let etcd = env::var_os("BERTH_ETCD").expect("BERTH_ETCD names the program of an etcd");
        let seeds = env::var("BERTH_PARITY_SEEDS").map_or(SEEDS, |text| {
            let (first, end) = text.split_once("..").expect("BERTH_PARITY_SEEDS is FIRST..END");
            number(first)..number(end)
        });
        let sequences = env::var("BERTH_PARITY_SEQUENCES").map_or(SEQUENCES, |text| number(&text));
        Settings { etcd: PathBuf::from(etcd), seeds, sequences, longest: LONGEST }
    }
}

fn number<N: std::str::FromStr>(text: &str) -> N {
    let parsed = text.parse().ok();
    parsed.unwrap_or_else(|| panic!("{text:?} is no number"))
}
