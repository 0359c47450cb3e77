//! Scenarios over many ticks: a script in `tests/scenarios/NAME.txt`, the whole trace beside it in
//! `NAME.out` (`UPDATE_EXPECT=1` records it; read the difference before committing).

mod assembling;
mod day;
mod handbook;
mod planning;
mod replaying;
mod schema;
mod simulating;
mod steady;

use expect_test::expect_file;

macro_rules! scenario {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let script = include_str!(concat!("../scenarios/", stringify!($name), ".txt"));
            let trace = sim::run(script).expect("the script is understood");
            expect_file![concat!("../scenarios/", stringify!($name), ".out")].assert_eq(&trace);
        }
    )*};
}

scenario! {
    level_changes
    quiet_burst_quiet
    records_in_a_hold
    churn
    cpu_offline
    probe_frozen
    foreign_write
    two_cpu_node
    denied_writes
}

#[test]
fn a_wrong_line_is_named() {
    let error = sim::run("node 1x2x1\nnonsense 3\n").expect_err("no such command");
    assert_eq!(error.to_string(), "line 2: \"nonsense 3\": no such command");
}
