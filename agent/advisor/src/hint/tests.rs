//! Named cases on the machine of 16 CPUs and four nodes, reserve 0 and 2: 3, 3, 4, 4 CPUs for pods.

mod bounds;

use model::placement::NumaHintPolicy;
use model::policy::Reserve;

use super::*;
use crate::testkit::{ask, asking, cpus, f16, layout_of};

const EXCLUSIVE: (&str, &str) = ("numa_exclusive", "true");
const BINDING: (&str, &str) = ("numa_binding", "true");
const EVENLY: (&str, &str) = ("distribute_evenly_across_numa", "true");
const PAIRING: (&str, &str) = ("full_pcpus_pairing", "true");
const ALIGN: (&str, &str) = ("align_by_socket", "true");
const NUMBER: &str = "katalyst.kubewharf.io/numa_number";
const IDS: &str = "katalyst.kubewharf.io/numa_ids";

fn policy() -> PlacementPolicy {
    PlacementPolicy { reserve: Reserve::Cpus(cpus("0,2")), ..PlacementPolicy::default() }
}

/// `0T 1T 0,1F`, or the reason.
fn text(hints: &Hints) -> String {
    match hints {
        Hints::DontCare => "dont-care".to_owned(),
        Hints::Impossible(reason) => reason.clone(),
        Hints::Options(options) => {
            let one =
                |hint: &Hint| format!("{}{}", hint.nodes, if hint.preferred { "T" } else { "F" });
            options.iter().map(one).collect::<Vec<_>>().join(" ")
        }
    }
}

fn owner(name: &str, list: &str, nodes: &str) -> Resident {
    let nodes = NumaSet::parse(nodes).expect("nodes");
    let place = Place::Own { cpus: cpus(list), nodes };
    Resident { ask: ask(name, QosLevel::DedicatedCores, 1000), place, ramp_until: None }
}

fn bound(name: &str, node: u16, milli: u64) -> Resident {
    let ask = asking(name, QosLevel::SharedCores, milli, &[BINDING]);
    Resident { ask, place: Place::Node(NumaNodeId(node)), ramp_until: None }
}

fn shared(name: &str, milli: u64) -> Resident {
    let ask = ask(name, QosLevel::SharedCores, milli);
    Resident { ask, place: Place::Pool, ramp_until: None }
}

fn hints_of(policy: &PlacementPolicy, residents: &[Resident], ask: &Ask) -> Hints {
    hints_on(&f16(), policy, residents, ask)
}

fn hints_on(
    machine: &model::Topology,
    policy: &PlacementPolicy,
    residents: &[Resident],
    ask: &Ask,
) -> Hints {
    let layout = layout_of(machine, policy);
    let pods = residents.iter().map(|one| (one.ask.uid.clone(), one.clone()));
    let ledger = Ledger { pods: pods.collect(), ..Ledger::default() };
    let now = Timestamp(0);
    hints(&PlacementInput { now, layout: &layout, policy, ledger: &ledger, headroom: None }, ask)
}

#[track_caller]
fn check(cpus: u64, wishes: &[(&str, &str)], residents: &[Resident], expect: &str) {
    let ask = asking("new", QosLevel::DedicatedCores, cpus * 1000, wishes);
    let said = text(&hints_of(&policy(), residents, &ask));
    assert!(said.starts_with(expect), "{said}");
    if !expect.is_empty() && !expect.starts_with("no ") {
        assert_eq!(said, expect);
    }
}

#[test]
fn exclusive_pods_take_whole_nodes() {
    let all = "0T 1T 2T 3T 0-1F 2-3F 0-2F 0-1,3F 0,2-3F 1-3F 0-3F";
    check(2, &[EXCLUSIVE], &[], all);
    // 3 + 3 + 4 + 4 = 14
    check(14, &[EXCLUSIVE], &[], "0-3T");
    check(15, &[EXCLUSIVE], &[], "no set of NUMA nodes can give 15 CPUs");
    // node 2 has an owner
    let taken = [owner("db", "4-5", "2")];
    check(2, &[EXCLUSIVE], &taken, "0T 1T 3T 0-1F 0-1,3F");
    // only across sockets: possible, not preferred
    let both = [owner("a", "1,8-9", "0"), owner("b", "4-5", "2")];
    check(5, &[EXCLUSIVE], &both, "1,3F");
}

#[test]
fn align_by_socket_wants_the_fewest_sockets() {
    let wishes = [EXCLUSIVE, ALIGN];
    // socket 0 has 6; larger sets touch both sockets
    check(7, &wishes, &[], "2-3T");
    check(7, &wishes, &[owner("db", "4-5", "2")], "no set of NUMA nodes can give 7 CPUs");
    check(9, &wishes, &[], "0-2T 0-1,3T 0,2-3T 1-3T 0-3F");
}

#[test]
fn even_and_paired_parts_are_counted_in_every_node() {
    check(12, &[BINDING, EVENLY, (NUMBER, "4")], &[], "0-3T");
    check(13, &[BINDING, EVENLY, (NUMBER, "4")], &[], "no 4 NUMA nodes can give 13 CPUs");
    // 9 is taken: node 0 has 1 and 8, no whole core
    let taken = [owner("x", "9", "")];
    let paired = [BINDING, EVENLY, PAIRING, (NUMBER, "3")];
    check(6, &paired, &taken, "1-3T");
    check(6, &[BINDING, EVENLY, (NUMBER, "3")], &taken, "0-2T 0-1,3T 0,2-3T 1-3T");
    // 9 CPUs are there, but node 0 has two of the three that are its part
    check(9, &[BINDING, EVENLY, (NUMBER, "3")], &taken, "1-3T");
    // one node has its part whole
    check(3, &[BINDING, EVENLY], &[], "0T 1T 2T 3T");
    // three CPUs of a node need 3/2 = 1 whole core
    check(6, &[BINDING, EVENLY, PAIRING, (NUMBER, "2")], &[], "0-1T 2-3T");
    check(8, &[BINDING, EVENLY, PAIRING, (NUMBER, "2")], &[], "2-3T");
    check(4, &[BINDING, PAIRING], &[], "2T 3T");
}

#[test]
fn without_exclusivity_one_node_or_those_that_are_named() {
    check(4, &[BINDING], &[], "2T 3T");
    check(5, &[BINDING], &[], "no single NUMA node can give 5 CPUs");
    check(5, &[BINDING, (NUMBER, "2")], &[], "0-1T 2-3T");
    check(5, &[BINDING, (IDS, "0,3"), (NUMBER, "1")], &[], "0,3T");
    check(8, &[BINDING, (IDS, "0,3")], &[], "NUMA nodes 0,3 have 7 CPUs for this pod of 8");
    let outside = "numa_ids: 3-4 are not all among the NUMA nodes with CPUs, 0-3";
    check(1, &[BINDING, (IDS, "3-4")], &[], outside);
}

#[test]
fn pods_without_binding_keep_what_they_asked_for() {
    // 14 CPUs, 11 asked: 3 can be given up, nodes 0 and 1 have 3
    check(2, &[BINDING], &[shared("web", 11_000)], "0T 1T");
    check(2, &[BINDING], &[shared("web", 12_000)], "no single NUMA node can give 2 CPUs");
    // a node that is bound already costs nothing more
    let residents = [shared("web", 11_000), bound("db", 0, 1000)];
    check(2, &[BINDING], &residents, "0T");
}

#[test]
fn a_pod_that_is_here_keeps_its_nodes() {
    let here = owner("new", "1,8-9", "0");
    check(2, &[EXCLUSIVE], &[here], "0T");
}

#[track_caller]
fn check_bound(hint: NumaHintPolicy, milli: u64, residents: &[Resident], expect: &str) {
    let policy = PlacementPolicy { numa_hint: hint, ..policy() };
    let ask = asking("new", QosLevel::SharedCores, milli, &[BINDING]);
    let said = text(&hints_of(&policy, residents, &ask));
    assert!(said.starts_with(expect), "{said}");
}

#[test]
fn bound_shared_pods_prefer_by_policy() {
    use NumaHintPolicy::{DynamicPacking, Packing, Spreading};
    // node 0 is owned whole; 1 has 3 - 1.5 left, 2 and 3 have 4
    let residents = [owner("db", "1,8-9", "0"), bound("a", 1, 1500)];
    check_bound(Spreading, 1000, &residents, "1F 2T 3T");
    check_bound(Packing, 1000, &residents, "1T 2F 3F");
    // 0.5 of 3 stay on node 1, under a half
    check_bound(DynamicPacking, 1000, &residents, "2T 3T 1F");
    // 4 - 3 = 1 of 4 on nodes 2 and 3: none keeps a half, so it spreads
    check_bound(DynamicPacking, 3000, &residents, "2T 3T");
    check_bound(Spreading, 10_000, &[], "no single NUMA node can give 10.000 CPUs");
}

#[test]
fn a_node_is_not_mixed_with_whom_its_pods_do_not_tolerate() {
    let mut alone = bound("a", 1, 500);
    alone.ask.wish.numa_share = false;
    check(1, &[BINDING], std::slice::from_ref(&alone), "0T 2T 3T");
    // its own kind is welcome
    check_bound(NumaHintPolicy::Packing, 500, std::slice::from_ref(&alone), "0F 1T 2F 3F");
    check(1, &[BINDING, ("numa_share", "false")], &[bound("a", 1, 500)], "0T 2T 3T");
}

#[test]
fn reclaimed_pods_prefer_nodes_with_headroom() {
    let ask = asking("ml", QosLevel::ReclaimedCores, 1000, &[BINDING]);
    // the empty node's reclaim pool has one CPU per node
    assert_eq!(text(&hints_of(&policy(), &[], &ask)), "0T 1T 2T 3T");
    let large = asking("ml", QosLevel::ReclaimedCores, 2000, &[BINDING]);
    assert_eq!(text(&hints_of(&policy(), &[], &large)), "0F 1F 2F 3F");
}

#[test]
fn levels_without_binding_do_not_care() {
    for level in QosLevel::ALL {
        let said = hints_of(&policy(), &[], &ask("new", level, 1000));
        assert_eq!(said, Hints::DontCare, "{level}");
    }
}
