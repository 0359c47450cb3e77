//! Rows of what kernels print, what they never print, and bytes that nobody printed.

use std::fmt::Debug;

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check<T: Debug + PartialEq>(
    parse: impl Fn(&str) -> Result<T, ParseError>,
    rows: &[(&str, Option<T>)],
) {
    for (text, expected) in rows {
        let found = parse(text);
        assert_eq!(found.as_ref().ok(), expected.as_ref(), "{text:?} gave {found:?}");
    }
}

#[test]
fn cpu_max_is_a_quota_and_a_period() {
    let limited =
        |quota, period| Some(CpuMax { quota: Some(Micros(quota)), period: Micros(period) });
    check(
        cpu_max,
        &[
            ("max 100000\n", Some(CpuMax::UNLIMITED)),
            ("50000 100000\n", limited(50_000, 100_000)),
            ("50000 100000", limited(50_000, 100_000)),
            ("", None),
            ("1", None),
            ("a b\n", None),
            ("max max\n", None),
            ("-1 100000\n", None),
            ("1 2 3\n", None),
        ],
    );
}

#[test]
fn a_weight_of_zero_means_idle() {
    check(
        cpu_weight,
        &[
            ("100\n", Some(Some(CpuWeight::DEFAULT))),
            ("1\n", Some(Some(CpuWeight::MIN))),
            ("10000\n", Some(CpuWeight::new(10_000))),
            ("0\n", Some(None)),
            ("10001\n", None),
            ("70000\n", None),
            ("\n", None),
        ],
    );
}

#[test]
fn cpu_stat_without_the_cpu_controller_has_no_periods() {
    let bare =
        CpuStat { usage: Micros(10), user: Micros(7), system: Micros(3), ..CpuStat::default() };
    let full =
        CpuStat { nr_periods: Some(5), nr_throttled: Some(2), throttled: Some(Micros(99)), ..bare };
    check(
        cpu_stat,
        &[
            ("usage_usec 10\nuser_usec 7\nsystem_usec 3\n", Some(bare)),
            (
                "usage_usec 10\nuser_usec 7\nsystem_usec 3\ncore_sched.force_idle_usec 0\n\
                 nr_periods 5\nnr_throttled 2\nthrottled_usec 99\nnr_bursts 0\nburst_usec 0\n",
                Some(full),
            ),
            ("usage_usec 10\nuser_usec 7\n", None),
            ("usage_usec x\nuser_usec 7\nsystem_usec 3\n", None),
            ("", None),
        ],
    );
}

#[test]
fn lists_of_cpus_and_nodes_may_be_empty() {
    check(
        |text| cpus(text).map(|cpus| cpus.to_string()),
        &[
            ("0-3,8\n", Some("0-3,8".to_owned())),
            ("\n", Some(String::new())),
            ("0-10:1/2\n", Some("0,2,4,6,8,10".to_owned())),
            ("3-1\n", None),
            ("1024\n", None),
            ("a\n", None),
        ],
    );
    let nodes = |ids: &[u16]| Some(ids.iter().copied().map(model::NumaNodeId).collect());
    check(
        mems,
        &[("0-1,33\n", nodes(&[0, 1, 33])), ("\n", nodes(&[])), ("0;1", None), ("64", None)],
    );
}

#[test]
fn a_score_is_within_a_thousand_on_both_sides() {
    let score = |value| model::knob::OomScoreAdj::new(value);
    let rows = [("-1000\n", score(-1000)), ("1000\n", score(1000)), ("0", score(0))];
    check(oom_score_adj, &rows);
    check(oom_score_adj, &[("1001\n", None), ("", None), ("0..5", None)]);
}

#[test]
fn a_partition_can_be_invalid_and_says_why() {
    check(
        partition,
        &[
            ("member\n", Some(Partition::Member)),
            ("root\n", Some(Partition::Root)),
            ("isolated\n", Some(Partition::Isolated)),
            (
                "root invalid (Parent is not a partition root)\n",
                Some(Partition::Invalid { why: "Parent is not a partition root".to_owned() }),
            ),
            ("root invalid\n", Some(Partition::Invalid { why: String::new() })),
            ("roots\n", None),
            ("", None),
        ],
    );
}

#[test]
fn memory_files_know_max_and_missing_rows() {
    check(
        memory_limit,
        &[
            ("max\n", Some(MemoryLimit::Max)),
            ("4096\n", Some(MemoryLimit::Bytes(Bytes(4096)))),
            ("4k\n", None),
        ],
    );
    let stat = MemoryStat { anon: Some(Bytes(4096)), pgmajfault: Some(3), ..MemoryStat::default() };
    check(
        memory_stat,
        &[
            ("anon 4096\nthp_fault_alloc 9\npgmajfault 3\n", Some(stat)),
            ("", Some(MemoryStat::default())),
            ("anon\n", None),
            ("anon x\n", None),
            ("pgfault x\n", None),
        ],
    );
}

fn use_of(anon: u64, file: u64, kernel: u64) -> NodeUse {
    NodeUse { anon: Bytes(anon), file: Bytes(file), kernel: Bytes(kernel) }
}

/// As kernel 6.1 prints it on a machine of two nodes (cgroup-v2.rst, `memory.numa_stat`).
const NUMA_STAT: &str = "\
anon N0=139264 N1=4096
file N0=1081344 N1=270336
kernel_stack N0=16384 N1=0
pagetables N0=61440 N1=8192
sec_pagetables N0=0 N1=0
shmem N0=8192 N1=0
file_mapped N0=675840 N1=135168
file_dirty N0=0 N1=0
file_writeback N0=0 N1=0
swapcached N0=0 N1=0
anon_thp N0=0 N1=0
file_thp N0=0 N1=0
shmem_thp N0=0 N1=0
inactive_anon N0=143360 N1=4096
active_anon N0=8192 N1=0
inactive_file N0=540672 N1=135168
active_file N0=532480 N1=135168
unevictable N0=0 N1=0
slab_reclaimable N0=225816 N1=1024
slab_unreclaimable N0=96456 N1=512
workingset_refault_anon N0=0 N1=0
workingset_refault_file N0=7 N1=9
";

#[test]
fn memory_by_node_counts_every_byte_once() {
    let node = |id: u16, used: NodeUse| (NumaNodeId(id), used);
    let all = |nodes: &[(NumaNodeId, NodeUse)]| Some(nodes.iter().copied().collect::<NodeUses>());
    // 16384 + 61440 + 0 + 225816 + 96456 = 400096; 8192 + 1024 + 512 = 9728
    let real = [node(0, use_of(139_264, 1_081_344, 400_096)), node(1, use_of(4096, 270_336, 9728))];
    check(
        memory_numa_stat,
        &[
            (NUMA_STAT, all(&real)),
            ("", all(&[])),
            // one node; nodes that are not numbered in a row; a kind without a node
            ("anon N0=1\nfile N0=2\n", all(&[node(0, use_of(1, 2, 0))])),
            ("anon N1=1 N63=2\n", all(&[node(1, use_of(1, 0, 0)), node(63, use_of(2, 0, 0))])),
            ("anon\n", all(&[])),
            // a kind of a later kernel, of which nothing is read
            ("anon N0=1\nballoon N0=x\n", all(&[node(0, use_of(1, 0, 0))])),
            ("anon N64=1\n", None),
            ("anon N0=-1\n", None),
            ("anon N0\n", None),
            ("anon 0=1\n", None),
            ("file N99999999999=1\n", None),
        ],
    );
    let most = format!("anon N0={0}\nanon N0={0}\n", u64::MAX);
    let sum = memory_numa_stat(&most).expect("numbers")[&NumaNodeId(0)];
    assert_eq!(sum.total(), Bytes(u64::MAX), "too much is not little");
}

#[test]
fn events_procs_and_controllers() {
    check(
        events,
        &[
            ("populated 1\nfrozen 0\n", Some(Events { populated: true, frozen: Some(false) })),
            ("populated 0\n", Some(Events { populated: false, frozen: None })),
            ("frozen 0\n", None),
        ],
    );
    check(
        procs,
        &[
            ("1\n22\n0\n", Some(vec![1, 22, 0])),
            ("", Some(vec![])),
            ("1\n\n", None),
            ("4294967296\n", None),
        ],
    );
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    check(
        controllers,
        &[
            ("cpuset cpu io\n", names(&["cpu", "cpuset", "io"])),
            ("\n", names(&[])),
            ("cpu +io\n", None),
        ],
    );
}

#[test]
fn io_stat_may_name_a_device_without_values() {
    let row = IoStat {
        major: 253,
        minor: 0,
        read: Bytes(512),
        written: Bytes(4096),
        n_reads: 1,
        n_writes: 2,
    };
    check(
        io_stat,
        &[
            ("253:0 rbytes=512 wbytes=4096 rios=1 wios=2 dbytes=0 dios=0\n", Some(vec![row])),
            ("8:0 \n", Some(vec![IoStat { major: 8, ..IoStat::default() }])),
            ("", Some(vec![])),
            ("8 rbytes=1\n", None),
            ("8:0 rbytes\n", None),
            ("8:0 rbytes=x\n", None),
        ],
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in crate::parse::tests::arb_text()) {
        let _ = (cpu_stat(&text), cpu_weight(&text), cpu_max(&text), cpus(&text), mems(&text), oom_score_adj(&text));
        let _ = (partition(&text), memory_limit(&text), memory_stat(&text), events(&text));
        if let Ok(nodes) = memory_numa_stat(&text) {
            prop_assert!(nodes.len() <= 64);
        }
        let _ = (procs(&text), controllers(&text), io_stat(&text));
    }

    #[test]
    fn what_we_write_we_read_back(quota in prop::option::of(1000u64..), period in 1000u64..=1_000_000) {
        let max = CpuMax { quota: quota.map(Micros), period: Micros(period) };
        prop_assert_eq!(cpu_max(&max.to_string()), Ok(max));
    }
}
