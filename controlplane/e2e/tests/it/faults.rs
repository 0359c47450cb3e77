//! What is said of a server that cannot start.

use testkit::{Apiserver, Bench};

/// The message names the server and what it last said; nobody waits for the limit.
#[tokio::test]
async fn a_server_that_ends_early_is_told_with_its_log() {
    let bench = Bench::of_test().unwrap();
    let Err(error) = Apiserver::start(&bench, "unix://").await else {
        panic!("an apiserver started without a store")
    };
    let said = format!("{error:#}");
    assert!(said.contains("kube-apiserver ended with exit status"), "{said}");
    assert!(said.contains("its log ends with"), "{said}");
}
