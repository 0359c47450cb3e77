//! Recorded sysfs trees of real machines (`../shared/data/sysfs` beside the checkout; another
//! folder with `BERTH_SYSFS_DATA`). They are read there and unpacked into a temporary folder.
//! Without them these tests fail, unless `BERTH_ALLOW_SKIP` is set: then each says its name.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use expect_test::{Expect, expect};
use hostfs::sysfs::topology::{Survey, survey};
use hostfs::{HostRoot, Layout, detect_layout};
use model::Bytes;
use model::topology::Cpu;

use crate::lstopo::{self, Partition};

fn data_folder() -> PathBuf {
    std::env::var_os("BERTH_SYSFS_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/sysfs"),
        PathBuf::from,
    )
}

/// An unpacked machine; `None` is an allowed skip.
struct Recorded {
    _dir: tempfile::TempDir,
    host: HostRoot,
    console: Option<String>,
}

#[track_caller]
fn unpack(name: &str) -> Option<Recorded> {
    let archive = data_folder().join(format!("{name}.tar.bz2"));
    if !archive.exists() {
        skip(&format!("{} is not there", archive.display()));
        return None;
    }
    let dir = tempfile::tempdir().expect("temp dir");
    let status = Command::new("tar")
        .args(["--no-same-owner", "--strip-components=1", "-xjf"])
        .arg(&archive)
        .arg("-C")
        .arg(dir.path())
        .status()
        .expect("start tar");
    assert!(status.success(), "tar could not unpack {}: {status}", archive.display());
    let console = data_folder().join(format!("{name}.console"));
    let host = HostRoot::new(dir.path());
    Some(Recorded { _dir: dir, host, console: std::fs::read_to_string(console).ok() })
}

/// Allowed by `BERTH_ALLOW_SKIP` only, and then counted: `cargo xtask test` reads the line. It goes straight to the
/// descriptor, for libtest keeps what a passing test prints, and begins a line, for the test's own is not yet ended.
#[track_caller]
fn skip(why: &str) {
    assert!(std::env::var_os("BERTH_ALLOW_SKIP").is_some(), "{why}");
    let thread = std::thread::current();
    let test = thread.name().expect("libtest names a test's thread after it");
    writeln!(std::io::stdout(), "\nSKIP {test}: {why}").expect("tell of a skip");
}

#[track_caller]
fn check(name: &str, expected: Expect) {
    let Some(recorded) = unpack(name) else { return };
    let survey = survey(&recorded.host).expect("readable machine");
    expected.assert_eq(&summary(&survey));
    if let Some(console) = &recorded.console {
        compare(&survey, &lstopo::read(console));
    }
}

fn summary(survey: &Survey) -> String {
    let topology = &survey.topology;
    let llcs: BTreeSet<_> = topology.cpus.values().filter_map(|cpu| cpu.llc).collect();
    let mut text = format!(
        "{} cpus {} cores {} llcs {} sockets, offline [{}]\n",
        topology.n_online(),
        topology.cores().len(),
        llcs.len(),
        topology.sockets().len(),
        topology.offline,
    );
    for node in topology.nodes.values() {
        let memory =
            node.memory.map_or_else(|| "?".to_owned(), |Bytes(bytes)| (bytes >> 20).to_string());
        let distances: Vec<String> = node.distances.values().map(u32::to_string).collect();
        text += &format!(
            "node {} [{}] {memory} MiB, distances {}\n",
            node.id,
            node.cpus,
            distances.join(" ")
        );
    }
    for quirk in &survey.quirks {
        text += &format!("quirk: {quirk}\n");
    }
    text
}

/// Our sets against hwloc's.
#[track_caller]
fn compare(survey: &Survey, oracle: &lstopo::Oracle) {
    let topology = &survey.topology;
    let partition = |key: &dyn Fn(&Cpu) -> Option<u16>| -> Partition {
        let mut groups: BTreeMap<u16, BTreeSet<u16>> = BTreeMap::new();
        for cpu in topology.cpus.values().filter(|cpu| cpu.online) {
            if let Some(key) = key(cpu) {
                groups.entry(key).or_default().insert(cpu.id.0);
            }
        }
        groups.into_values().collect()
    };
    assert!(!oracle.cpus.is_empty(), "the oracle knows no CPU");
    assert_eq!(topology.online().iter().map(|cpu| cpu.0).collect::<BTreeSet<_>>(), oracle.cpus);
    assert_eq!(partition(&|cpu| Some(cpu.socket.0)), oracle.packages, "packages");
    assert_eq!(partition(&|cpu| Some(cpu.core.0)), oracle.cores, "cores");
    assert_eq!(partition(&|cpu| cpu.llc.map(|llc| llc.0)), oracle.llcs, "last-level caches");
    let with_memory: BTreeSet<u16> = topology
        .nodes
        .values()
        .filter(|node| node.memory.is_some())
        .map(|node| node.id.0)
        .collect();
    assert_eq!(with_memory, oracle.nodes.keys().copied().collect(), "NUMA nodes");
    for node in topology.nodes.values().filter(|node| node.memory.is_some()) {
        let cpus: BTreeSet<u16> = node.cpus.iter().map(|cpu| cpu.0).collect();
        // hwloc hangs memory-only nodes under the CPUs they are nearest to.
        if !cpus.is_empty() {
            assert_eq!(cpus, oracle.nodes[&node.id.0], "CPUs of node {}", node.id);
        }
    }
}

macro_rules! machines {
    ($($test:ident $name:literal $expected:expr;)+) => {
        $(#[test] fn $test() { check($name, $expected); })+
    };
}

machines! {
    eight_nodes_of_two_cores "16amd64-8n2c" expect![[r#"
        16 cpus 16 cores 16 llcs 8 sockets, offline []
        node 0 [0-1] 8190 MiB, distances 10 20 20 20 20 20 20 20
        node 1 [2-3] 8192 MiB, distances 20 10 20 20 20 20 20 20
        node 2 [4-5] 8192 MiB, distances 20 20 10 20 20 20 20 20
        node 3 [6-7] 8192 MiB, distances 20 20 20 10 20 20 20 20
        node 4 [8-9] 8192 MiB, distances 20 20 20 20 10 20 20 20
        node 5 [10-11] 8192 MiB, distances 20 20 20 20 20 10 20 20
        node 6 [12-13] 8192 MiB, distances 20 20 20 20 20 20 10 20
        node 7 [14-15] 8192 MiB, distances 20 20 20 20 20 20 20 10
    "#]];
    offline_cpus_on_an_old_kernel "16em64t-4s2c2t-offlines" expect![[r#"
        12 cpus 7 cores 4 llcs 4 sockets, offline [2,5,13-14]
        node 0 [0-1,3-4,6-12,15] 16379 MiB, distances 10
    "#]];
    performance_and_efficiency_cores "20em64t-hybrid-1p6c2t+2ca4co1t" expect![[r#"
        20 cpus 14 cores 1 llcs 1 sockets, offline []
        node 0 [0-19] 31728 MiB, distances 10
    "#]];
    no_node_directories "2i386-2t-hugepagesizecount" expect![[r#"
        2 cpus 1 cores 1 llcs 1 sockets, offline []
        node 0 [0-1] 390641386 MiB, distances 10
        quirk: the kernel shows no NUMA nodes, one is assumed
    "#]];
    cgroup_two_machine "32amd64-4s2n4c-cgroup2" expect![[r#"
        32 cpus 32 cores 8 llcs 4 sockets, offline []
        node 0 [0-3] 16381 MiB, distances 10 16 16 22 16 22 16 22
        node 1 [4-7] 16384 MiB, distances 16 10 22 16 22 16 22 16
        node 2 [8-11] 16384 MiB, distances 16 22 10 16 16 22 16 22
        node 3 [12-15] 16384 MiB, distances 22 16 16 10 22 16 22 16
        node 4 [16-19] 16384 MiB, distances 16 22 16 22 10 16 16 22
        node 5 [20-23] 16384 MiB, distances 22 16 22 16 16 10 22 16
        node 6 [24-27] 16384 MiB, distances 16 22 16 22 16 22 10 16
        node 7 [28-31] 16384 MiB, distances 22 16 22 16 22 16 16 10
    "#]];
    two_nodes_with_devices "32em64t-2n8c+dax+nvme+mic+dimms" expect![[r#"
        16 cpus 16 cores 2 llcs 2 sockets, offline []
        node 0 [0-7] 16354 MiB, distances 10 21
        node 1 [8-15] 16384 MiB, distances 21 10
    "#]];
    interleaved_cpu_numbers "40intel64-2g2n4c+pcilocality" expect![[r#"
        40 cpus 40 cores 4 llcs 4 sockets, offline []
        node 0 [0,4,8,12,16,20,24,28,32,36] 131058 MiB, distances 10 20 20 20
        node 1 [1,5,9,13,17,21,25,29,33,37] 131072 MiB, distances 20 10 20 20
        node 2 [2,6,10,14,18,22,26,30,34,38] 131072 MiB, distances 20 20 10 20
        node 3 [3,7,11,15,19,23,27,31,35,39] 131072 MiB, distances 20 20 20 10
    "#]];
    sparse_node_numbers "48amd64-4pa2n6c-sparse" expect![[r#"
        48 cpus 48 cores 8 llcs 4 sockets, offline []
        node 0 [0-5] 8189 MiB, distances 10 16 16 22 16 22 16 22
        node 1 [6-11] 16384 MiB, distances 16 10 22 16 16 22 22 16
        node 2 [12-17] 8192 MiB, distances 16 22 10 16 16 16 16 16
        node 33 [18-23] 16384 MiB, distances 22 16 16 10 16 16 22 22
        node 34 [24-29] 8192 MiB, distances 16 16 16 16 10 16 16 22
        node 45 [30-35] 16384 MiB, distances 22 22 16 16 16 10 22 16
        node 72 [36-41] 8192 MiB, distances 16 22 16 22 16 22 10 16
        node 73 [42-47] 16384 MiB, distances 22 16 16 22 22 16 16 10
    "#]];
    shared_compute_units "64amd64-4s2n4ca2co" expect![[r#"
        64 cpus 64 cores 8 llcs 4 sockets, offline []
        node 0 [0-7] 16376 MiB, distances 10 16 16 22 16 22 16 22
        node 1 [8-15] 16384 MiB, distances 16 10 22 16 16 22 22 16
        node 2 [16-23] 16384 MiB, distances 16 22 10 16 16 16 16 16
        node 3 [24-31] 16384 MiB, distances 22 16 16 10 16 16 22 22
        node 4 [32-39] 16384 MiB, distances 16 16 16 16 10 16 16 22
        node 5 [40-47] 8192 MiB, distances 22 22 16 16 16 10 22 16
        node 6 [48-55] 16384 MiB, distances 16 22 16 22 16 22 10 16
        node 7 [56-63] 16368 MiB, distances 22 16 16 22 22 16 16 10
    "#]];
    overlapping_nodes "8em64t-2s2ca2c-buggynuma" expect![[r#"
        8 cpus 8 cores 4 llcs 2 sockets, offline []
        node 0 [0-7] 2047 MiB, distances 10
        quirk: NUMA node 1 claims CPUs of another node and is ignored
        quirk: NUMA node 2 claims CPUs of another node and is ignored
        quirk: NUMA node 3 claims CPUs of another node and is ignored
        quirk: NUMA node 4 claims CPUs of another node and is ignored
        quirk: NUMA node 5 claims CPUs of another node and is ignored
        quirk: NUMA node 6 claims CPUs of another node and is ignored
        quirk: NUMA node 7 claims CPUs of another node and is ignored
    "#]];
    masks_without_lists "96em64t-4no4pa3ca2co" expect![[r#"
        96 cpus 96 cores 16 llcs 16 sockets, offline []
        node 0 [0-23] 129005 MiB, distances 10 26 26 26
        node 1 [24-47] 129027 MiB, distances 26 10 26 26
        node 2 [48-71] 129027 MiB, distances 26 26 10 26
        node 3 [72-95] 129027 MiB, distances 26 26 26 10
    "#]];
    memory_only_nodes "fakeheteromemtiers" expect![[r#"
        6 cpus 6 cores 1 llcs 1 sockets, offline []
        node 0 [0-1] 2934 MiB, distances 10 20 20 20 20 20 20
        node 1 [2-3] 978 MiB, distances 20 10 20 20 20 20 20
        node 2 [4-5] 512 MiB, distances 20 20 10 20 20 20 20
        node 4 [] 512 MiB, distances 20 20 20 10 20 20 20
        node 6 [] 384 MiB, distances 20 20 20 20 10 20 20
        node 8 [] 384 MiB, distances 20 20 20 20 20 10 20
        node 9 [] 384 MiB, distances 20 20 20 20 20 20 10
    "#]];
    arm_with_one_node "nvidia-dgx-gb10" expect![[r#"
        20 cpus 20 cores 2 llcs 1 sockets, offline []
        node 0 [0-19] 122566 MiB, distances 10
    "#]];
    offline_cpu_zero_and_node_zero "offline-cpu0-node0" expect![[r#"
        17 cpus 17 cores 2 llcs 2 sockets, offline [0-3,21-23]
        node 0 [4,6,8,10,12,14,16,18,20] ? MiB, distances 
        node 1 [5,7,9,11,13,15,17,19] 65536 MiB, distances 21 10
        quirk: CPUs 4,6,8,10,12,14,16,18,20 are on NUMA node 0, which is offline
    "#]];
}

/// hwloc's `disallowed` machines recorded their mount table too.
#[test]
fn the_recorded_mount_table_is_a_version_one_host() {
    let Some(recorded) = unpack("offline-cpu0-node0") else { return };
    let layout = detect_layout(&recorded.host).expect("mounts");
    assert!(matches!(layout, Layout::V1 { .. }), "{layout}");
}

#[test]
fn every_recorded_machine_has_a_row() {
    let Ok(entries) = std::fs::read_dir(data_folder()) else {
        return skip(&format!("no {}", data_folder().display()));
    };
    let here = include_str!("recorded_machines.rs");
    for entry in entries {
        let name = entry.expect("entry").file_name().into_string().expect("a name in UTF-8");
        if let Some(name) = name.strip_suffix(".tar.bz2") {
            assert!(here.contains(&format!("\"{name}\"")), "{name} has no row");
        }
    }
}
