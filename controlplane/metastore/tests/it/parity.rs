//! Parity with etcd: the same random operations go to an etcd 3.7 and to this store, one after the other, and every answer, refusal and
//! watch stream has to be the same. Owns which sequences are run; what they are made of, and how two answers are compared, is below.
//!
//! `BERTH_ETCD` names the program of etcd; `cargo xtask test --tier e2e` runs these tests beside the one that set-up has built. By default it is one seed for each engine, well under a minute in all; two variables ask for more:
//!
//! ```sh
//! BERTH_ETCD=PATH/etcd cargo test -p metastore --features parity --test it -- --nocapture
//! BERTH_PARITY_SEEDS=100..120 BERTH_PARITY_SEQUENCES=200 BERTH_ETCD=PATH/etcd cargo test -p metastore --features parity --test it engine
//! ```
//!
//! A difference is shown with the shortest sequence that has it; its seed is in the message. What is not compared: `cluster_id`,
//! `member_id` and `raft_term` of a header, ids of leases that the server chose, seconds that are left to a lease, hashes, and how events
//! are divided into responses. There are never more than twelve keys, so that the sort of etcd (insertion up to twelve, unstable above)
//! leaves equal ones in the order of their keys, as this store always does.

mod answer;
mod cases;
mod client;
mod etcd;
mod generate;
mod op;
mod ours;
mod pair;
mod relative;
mod settings;
mod tally;
mod watching;

use std::cell::RefCell;
use std::time::Instant;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use op::Op;
use ours::Kept;
use pair::Pair;
use settings::Settings;
use tally::Tally;

/// Sequences, for who waits for thousands of them.
const SAY_EVERY: usize = 250;

#[test]
fn the_memory_engine_answers_as_etcd() {
    check(Kept::InMemory, 0);
}

#[test]
fn the_log_engine_answers_as_etcd_and_after_each_start_too() {
    check(Kept::InLog, 1000);
}

/// Both engines have other sequences: what is above the engine is the same code.
#[track_caller]
fn check(kept: Kept, first_seed: u64) {
    let settings = Settings::from_environment();
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let tally = RefCell::new(Tally::default());
    let begun = Instant::now();
    for seed in settings.seeds.clone() {
        let seed = first_seed + seed;
        let pair = RefCell::new(None);
        let mut runner = runner(&settings, seed);
        let operations = prop::collection::vec(generate::op(), 1..settings.longest);
        let ran = runner.run(&operations, |ops| {
            let mut pair = pair.borrow_mut();
            let ran = runtime.block_on(run(&settings, kept, &mut pair, &ops, &tally));
            if ran.is_err() {
                // They are not the same any more.
                *pair = None;
            }
            ran.map_err(TestCaseError::fail)
        });
        if let Err(failure) = ran {
            panic!("seed {seed}: {failure}");
        }
        let pair = pair.into_inner();
        runtime.block_on(async move { drop(pair) });
    }
    eprintln!("{kept:?}: seeds {:?}, {:?}\n{}", settings.seeds, begun.elapsed(), tally.borrow());
}

async fn run(
    settings: &Settings,
    kept: Kept,
    held: &mut Option<Pair>,
    ops: &[Op],
    tally: &RefCell<Tally>,
) -> Result<(), String> {
    let pair = match held {
        Some(pair) => pair,
        None => held.insert(Pair::start(settings, kept).await),
    };
    let ran = pair.run(ops).await.map_err(|difference| difference.to_string())?;
    let mut tally = tally.borrow_mut();
    tally.add(&ran);
    if tally.n_sequences().is_multiple_of(SAY_EVERY) {
        eprintln!("{kept:?}: {} sequences are the same", tally.n_sequences());
    }
    Ok(())
}

fn runner(settings: &Settings, seed: u64) -> TestRunner {
    let config = Config {
        cases: settings.sequences,
        failure_persistence: None,
        max_shrink_iters: 2000,
        max_shrink_time: 40_000,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}
