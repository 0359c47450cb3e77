//! What the servers are told.

use std::path::Path;

use super::{Kind, Launch, free_port_after};
use crate::scenario::Scenario;

#[track_caller]
fn check(kind: Kind, expected: &[&str]) {
    let arguments = kind.arguments(Path::new("/store"), 2379, 2380);
    for part in expected {
        assert!(arguments.iter().any(|it| it.contains(part)), "{part} is not in {arguments:?}");
    }
    assert!(!arguments.iter().any(|it| it.contains("no-fsync")), "{arguments:?}");
}

#[test]
fn every_server_waits_for_the_disk_and_has_its_own_folder() {
    check(Kind::Etcd, &["=/store", "listen-client-urls=http://127.0.0.1:2379", "8589934592"]);
    check(Kind::Kine, &["sqlite:///store/state.db", "_synchronous=FULL", "127.0.0.1:2379"]);
    check(Kind::Berth, &["metastore", "--data-dir=/store", "urls=http://127.0.0.1:2379"]);
}

#[test]
fn a_server_on_the_command_line() {
    let launch: Launch = "kine=/bin/kine".parse().unwrap();
    assert_eq!((launch.name(), launch.program.as_path()), ("kine", Path::new("/bin/kine")));
    let said = "zookeeper=/x".parse::<Launch>().unwrap_err();
    assert!(said.contains("zookeeper=/x") && said.contains("etcd="), "{said}");
}

#[test]
fn the_port_of_the_peers_is_another_one() {
    let port = free_port_after(23_790).unwrap();
    assert!(free_port_after(port).unwrap() > port);
    assert!(free_port_after(31_999).unwrap_err().to_string().contains("32000"));
}

#[test]
fn kine_only_writes_and_once() {
    let due = |text: &str| {
        let launch: Launch = text.parse().unwrap();
        let runs = [(1, Scenario::Writes), (2, Scenario::Writes), (1, Scenario::Objects)];
        runs.map(|(run, scenario)| launch.is_due(run, scenario))
    };
    assert_eq!(due("kine=k"), [true, false, false]);
    assert_eq!(due("etcd=e"), [true; 3]);
}
