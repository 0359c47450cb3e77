//! Edges of hints: exactly enough, nothing asked, nodes without CPUs, sockets of unequal size, more
//! sets of nodes than can be looked at; and what the reasons say.

use model::{CpuId, SocketId, Topology};

use super::*;
use crate::testkit::{machine, offline};

/// Node 3 has no CPU any more.
fn without_node_three() -> Topology {
    let mut topology = f16();
    for cpu in [6, 7, 14, 15] {
        offline(&mut topology, cpu);
    }
    topology
}

#[track_caller]
fn check_on(topology: &Topology, ask: &Ask, residents: &[Resident], expect: &str) {
    assert_eq!(text(&hints_on(topology, &policy(), residents, ask)), expect);
}

fn dedicated(cpus: u64, wishes: &[(&str, &str)]) -> Ask {
    asking("new", QosLevel::DedicatedCores, cpus * 1000, wishes)
}

fn shared_bound(milli: u64, wishes: &[(&str, &str)]) -> Ask {
    asking("new", QosLevel::SharedCores, milli, &[&[BINDING], wishes].concat())
}

fn batch(name: &str, node: u16, milli: u64) -> Resident {
    let ask = asking(name, QosLevel::ReclaimedCores, milli, &[BINDING]);
    Resident { ask, place: Place::Node(NumaNodeId(node)), ramp_until: None }
}

#[test]
fn reasons_carry_the_numbers() {
    check_on(
        &f16(),
        &dedicated(15, &[EXCLUSIVE]),
        &[],
        "no set of NUMA nodes can give 15 CPUs with wishes [numa_exclusive]; CPUs for this pod by \
         node {0: 3, 1: 3, 2: 4, 3: 4}, shared pods without NUMA binding can give up 14",
    );
    check_on(
        &f16(),
        &dedicated(5, &[BINDING, ("numa_share", "false")]),
        &[shared("web", 3000)],
        "no single NUMA node can give 5 CPUs with wishes [numa_share=false]; CPUs for this pod by \
         node {0: 3, 1: 3, 2: 4, 3: 4}, shared pods without NUMA binding can give up 11",
    );
    check_on(
        &f16(),
        &shared_bound(10_000, &[]),
        &[bound("a", 1, 1500)],
        "no single NUMA node can give 10.000 CPUs; left by node {0: 3.000 CPUs, 1: 1.500 CPUs, 2: \
         4.000 CPUs, 3: 4.000 CPUs}, shared pods without NUMA binding can give up 11 CPUs",
    );
}

#[test]
fn a_pod_that_asks_for_nothing_needs_a_cpu() {
    // node 0 has 1 left, which is enough
    let taken = [owner("x", "8-9", "")];
    check_on(&f16(), &dedicated(0, &[BINDING]), &taken, "0T 1T 2T 3T");
    // and now none
    let taken = [owner("x", "1,8-9", "")];
    check_on(&f16(), &dedicated(0, &[BINDING]), &taken, "1T 2T 3T");
    check_on(&f16(), &shared_bound(0, &[]), &taken, "1F 2T 3T");
}

#[test]
fn whole_cores_are_counted_once_and_only_as_far_as_they_can_be_given() {
    // of cores {0,4} {1,5} {2,6} {3,7} the system has 0 and 2
    let four = machine(1, 4, 2);
    check_on(&four, &dedicated(5, &[BINDING, PAIRING]), &[], "0T");
    let said = text(&hints_on(&four, &policy(), &[], &dedicated(6, &[BINDING, PAIRING])));
    assert!(said.starts_with("no single NUMA node can give 6 CPUs"), "{said}");
    // nodes 2 and 3 have two cores each, and a bound pod needs a CPU of each: one core and a thread
    let residents = [bound("a", 2, 300), bound("b", 3, 300)];
    let two = [BINDING, PAIRING, (NUMBER, "2")];
    check_on(&f16(), &dedicated(5, &two), &residents, "0-1T 2-3T");
    let said = text(&hints_of(&policy(), &residents, &dedicated(6, &two)));
    assert!(said.starts_with("no 2 NUMA nodes can give 6 CPUs"), "{said}");
}

#[test]
fn a_shared_pod_names_one_node_at_most() {
    check_on(&f16(), &shared_bound(500, &[(IDS, "2")]), &[], "2T");
    check_on(&f16(), &shared_bound(500, &[(NUMBER, "1")]), &[], "0F 1F 2T 3T");
    let refused = |n| format!("a shared pod is bound to one NUMA node, {n} are asked for");
    check_on(&f16(), &shared_bound(500, &[(NUMBER, "2")]), &[], &refused(2));
    check_on(&f16(), &shared_bound(500, &[(IDS, "0,3")]), &[], &refused(2));
    check_on(&f16(), &shared_bound(500, &[(IDS, "0-2"), (NUMBER, "1")]), &[], &refused(3));
}

#[test]
fn a_node_that_keeps_exactly_its_part_is_packed() {
    // 4 - 1 - 1 is a half of node 2; 3 - 1 on nodes 0 and 1 is more than a half
    let policy = PlacementPolicy { numa_hint: NumaHintPolicy::DynamicPacking, ..policy() };
    let said = hints_of(&policy, &[bound("a", 2, 1000)], &shared_bound(1000, &[]));
    assert_eq!(text(&said), "0T 1T 2T 3F");
}

#[test]
fn a_node_without_cpus_is_never_offered() {
    let machine = without_node_three();
    check_on(&machine, &dedicated(2, &[BINDING]), &[], "0T 1T 2T");
    check_on(&machine, &shared_bound(500, &[]), &[], "0F 1F 2T");
    let batch = asking("ml", QosLevel::ReclaimedCores, 500, &[BINDING]);
    // of four CPUs of the reclaim pool node 0 has two
    check_on(&machine, &batch, &[], "0T 1T 2T");
    let told = text(&hints_on(&machine, &policy(), &[], &shared_bound(9000, &[])));
    assert!(told.contains("{0: 3.000 CPUs, 1: 3.000 CPUs, 2: 4.000 CPUs}"), "{told}");
}

#[test]
fn reclaimed_pods_go_where_others_are_bound_and_headroom_is() {
    let new = |milli| asking("new", QosLevel::ReclaimedCores, milli, &[BINDING]);
    // one CPU of the reclaim pool on each node, and the one of node 2 is asked for
    check_on(&f16(), &new(1000), &[batch("a", 2, 1000)], "2F 0T 1T 3T");
    check_on(&f16(), &new(500), &[batch("a", 2, 500)], "2T 0T 1T 3T");
    // measured headroom: 3 on node 1, of which 1 is asked for; none is known of others
    let layout = layout_of(&f16(), &policy());
    let resident = batch("a", 1, 1000);
    let pods = std::iter::once((resident.ask.uid.clone(), resident)).collect();
    let ledger = Ledger { pods, ..Ledger::default() };
    let known = BTreeMap::from([(NumaNodeId(1), MilliCpu(3000))]);
    let said = |milli| {
        let (now, headroom) = (Timestamp(0), Some(&known));
        let (layout, policy, ledger) = (&layout, &policy(), &ledger);
        text(&hints(&PlacementInput { now, layout, policy, ledger, headroom }, &new(milli)))
    };
    assert_eq!((said(2000), said(2001)), ("1T 0F 2F 3F".into(), "1F 0F 2F 3F".into()));
}

#[test]
fn nodes_that_were_chosen_elsewhere_count_only_where_they_are_possible() {
    let mut ask = dedicated(3, &[EXCLUSIVE]);
    ask.directives.numa_bind_result = NumaSet::parse("1");
    let all = text(&hints_of(&policy(), &[], &ask));
    assert!(all.starts_with("0F 1T 2F 3F 0-1F "), "{all}");
    // an owner is there: as if nothing had been chosen
    let said = text(&hints_of(&policy(), &[owner("db", "3", "1")], &ask));
    assert_eq!(said, "0T 2T 3T 2-3F 0,2-3F");
}

#[test]
fn sockets_may_have_different_numbers_of_nodes() {
    // nodes 0 to 2 in one socket, node 3 alone: three nodes fit one socket
    let mut topology = f16();
    for cpu in [4, 5, 12, 13] {
        topology.cpus.get_mut(&CpuId(cpu)).expect("the CPU exists").socket = SocketId(0);
    }
    check_on(&topology, &dedicated(9, &[EXCLUSIVE]), &[], "0-2T 0-3F");
}

#[test]
fn of_more_than_sixteen_nodes_two_sizes_are_listed() {
    let sizes = |nodes: u16, cpus| {
        let policy = PlacementPolicy::default();
        let said = hints_on(&machine(nodes, 1, 1), &policy, &[], &dedicated(cpus, &[EXCLUSIVE]));
        let Hints::Options(options) = said else { panic!("{said:?}") };
        let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
        for hint in options {
            *sizes.entry(hint.nodes.len()).or_default() += 1;
        }
        sizes.into_iter().collect::<Vec<_>>()
    };
    // all of sixteen: 16 over 14, 15 and 16
    assert_eq!(sizes(16, 14), [(14, 120), (15, 16), (16, 1)]);
    assert_eq!(sizes(17, 14), [(14, 680), (15, 136)]);
    // 20 over 10 is 184756, and no more than 65536 are looked at
    assert_eq!(sizes(20, 10), [(10, 1 << 16)]);
}

/// Forty nodes, the first thirty of one CPU and ten of four; eight nodes with two CPUs each are
/// wanted. Sets in the order of ids begin with small nodes, of which millions have 16 CPUs together
/// and none has two on each.
#[test]
fn where_not_all_sets_can_be_looked_at_the_largest_nodes_are_tried() {
    let mut topology = machine(40, 4, 1);
    for node in 0..30 {
        (1..4).for_each(|cpu| offline(&mut topology, node * 4 + cpu));
    }
    let ask = dedicated(16, &[BINDING, EVENLY, (NUMBER, "8")]);
    let said = hints_on(&topology, &PlacementPolicy::default(), &[], &ask);
    assert_eq!(text(&said), "30-37F");
}
