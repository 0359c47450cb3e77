//! Edges of admission: exactly full, closed nodes, memory, what is remembered and for how long, and
//! what decisions say.

use model::Bytes;

use super::*;
use crate::testkit::machine;

fn on(topology: &model::Topology) -> Desk {
    let policy = PlacementPolicy::default();
    let layout = layout_of(topology, &policy);
    Desk { layout, policy, ..Desk::new() }
}

#[test]
fn a_machine_of_one_cpu_takes_shared_pods_that_fit_it() {
    let mut desk = on(&machine(1, 1, 1));
    assert_eq!(desk.admit(&ask("nothing", SharedCores, 0), ""), "0 mems 0 pool \"\"");
    assert_eq!(desk.admit(&ask("all", SharedCores, 1000), ""), "0 mems 0 pool \"\"");
    let said = desk.admit(&ask("more", SharedCores, 1), "");
    assert!(said.ends_with("1 CPUs are not withheld"), "{said}");
}

#[test]
fn a_node_is_full_or_closed() {
    // pods without binding ask 12 of 14: node 0 would take three of them
    let mut desk = Desk::new();
    desk.admit(&ask("web", SharedCores, 12_000), "");
    let said = desk.admit(&asking("db", SharedCores, 3000, &[BINDING]), "0");
    assert_eq!(
        said,
        "NUMA node 0 is closed: a pod on it does not tolerate this one, or shared pods without \
         NUMA binding, which can give up 2 CPUs, need its CPUs"
    );
    let said = desk.admit(&asking("db", SharedCores, 3001, &[BINDING]), "0");
    assert!(
        said.starts_with("NUMA node 0 has 3.000 CPUs, of which bound pods ask 0.000"),
        "{said}"
    );
    // all of a node is owned: it has nothing, also for a pod that asks for nothing
    let mut desk = Desk::new();
    desk.admit(&asking("db", DedicatedCores, 3000, &[EXCLUSIVE]), "0");
    let said = desk.admit(&asking("idle", SharedCores, 0, &[BINDING]), "0");
    assert!(said.starts_with("NUMA node 0 has 0.000 CPUs"), "{said}");
}

#[test]
fn nodes_that_are_not_there_are_refused() {
    let mut desk = Desk::new();
    let db = asking("db", DedicatedCores, 2000, &[BINDING]);
    assert_eq!(desk.admit(&db, "9"), "NUMA nodes 9 are not among those with CPUs, 0-3");
    let web = asking("web", SharedCores, 2000, &[BINDING]);
    assert_eq!(desk.admit(&web, "9"), "NUMA node 9 has no CPU or does not exist");
    // a node whose CPUs are all offline is none to be bound to
    let mut topology = f16();
    for cpu in [6, 7, 14, 15] {
        crate::testkit::offline(&mut topology, cpu);
    }
    desk.layout = layout_of(&topology, &desk.policy);
    assert_eq!(desk.admit(&web, "3"), "NUMA node 3 has no CPU or does not exist");
}

#[test]
fn an_even_part_of_one_node_is_all_of_it() {
    let evenly = ("distribute_evenly_across_numa", "true");
    let mut desk = Desk::new();
    let one = asking("a", DedicatedCores, 3000, &[BINDING, evenly]);
    assert_eq!(desk.admit(&one, "2"), "4-5,12 mems 2 pool \"dedicated\"");
}

#[test]
fn owners_without_binding_take_from_bound_nodes_only_what_others_leave() {
    // nodes 0, 1 and 3 have 10 CPUs: exactly enough
    let mut desk = Desk::new();
    desk.admit(&asking("a", SharedCores, 300, &[BINDING]), "2");
    let ten = ask("db", DedicatedCores, 10_000);
    assert_eq!(desk.admit(&ten, ""), "1,3,6-11,14-15 mems 0-1,3 pool \"dedicated\"");
    // three of node 2 are left for a second owner
    assert!(desk.admit(&ask("more", DedicatedCores, 3000), "").contains("pool \"dedicated\""));
    // one pod of node 2 tolerates owners, the other does not
    let mut desk = Desk::new();
    desk.admit(&asking("a", SharedCores, 300, &[BINDING]), "2");
    desk.admit(&asking("b", SharedCores, 300, &[BINDING, ("numa_share", "false")]), "2");
    assert_eq!(
        desk.admit(&ask("db", DedicatedCores, 11_000), ""),
        "11 CPUs of its own are asked for; 10 can be given: 10 that pods without NUMA binding do \
         not need and 0 that bound pods do not need"
    );
}

#[test]
fn owners_without_binding_leave_bound_nodes_alone_where_they_can() {
    // one CPU of each unbound node, and three of node 0 under one cache
    let mut desk = Desk::new();
    desk.policy.reserve = Reserve::Cpus(cpus("2-7,10,12,14"));
    desk.layout = layout_of(&f16(), &desk.policy);
    desk.admit(&asking("a", SharedCores, 300, &[BINDING]), "0");
    let said = desk.admit(&ask("db", DedicatedCores, 3000), "");
    assert_eq!(said, "11,13,15 mems 1-3 pool \"dedicated\"");
}

#[test]
fn an_owner_of_two_nodes_leaves_each_what_its_pods_ask_for() {
    let two = ("katalyst.kubewharf.io/numa_number", "2");
    let mut desk = Desk::new();
    desk.admit(&asking("a", SharedCores, 300, &[BINDING]), "2");
    let db = asking("db", DedicatedCores, 7000, &[BINDING, two]);
    assert_eq!(desk.admit(&db, "2-3"), "4-7,12,14-15 mems 2-3 pool \"dedicated\"");
    assert_eq!(desk.show(&PodUid::from("a")), "13 mems 2 pool \"share-NUMA2\"");
}

#[test]
fn what_is_given_back_leaves_whole_caches() {
    let mut desk = on(&model::Topology::synthetic(model::topology::Shape {
        sockets: 1,
        nodes_per_socket: 1,
        llcs_per_node: 2,
        cores_per_llc: 4,
        threads_per_core: 1,
        memory_per_node: Bytes(1 << 30),
    }));
    desk.admit(&ask("x", DedicatedCores, 2000), "");
    let sized = |milli| ask("db", DedicatedCores, milli);
    assert!(desk.admit(&sized(6000), "").starts_with("2-7 "));
    assert!(desk.resize(&sized(4000)).starts_with("4-7 "));
}

#[test]
fn binding_of_reclaimed_pods_can_be_turned_off() {
    let mut desk = Desk::new();
    desk.policy.reclaim_numa_binding = false;
    let batch = asking("ml", ReclaimedCores, 500, &[BINDING]);
    assert_eq!(desk.admit(&batch, "2"), "1,3-4,6 mems 0-3 pool \"reclaim\"");
}

#[test]
fn a_pod_may_ask_for_all_memory_and_no_byte_more() {
    let mut desk = Desk::new();
    let sized = |bytes| Ask { memory: Bytes(bytes), ..ask("web", SharedCores, 1000) };
    assert_eq!(
        desk.admit(&sized((4 << 30) + 1), ""),
        "memory: 4294967297 bytes are asked for, the machine has 4294967296"
    );
    assert_eq!(desk.admit(&sized(4 << 30), ""), "1,3-15 mems 0-3 pool \"\"");
    // the same at a resize
    let said = desk.resize(&sized((4 << 30) + 1));
    assert!(said.starts_with("memory: 4294967297 bytes"), "{said}");
    // a machine that does not say is not asked
    desk.layout.memory = None;
    desk.policy.check_memory = false;
    assert_eq!(desk.resize(&sized(u64::MAX)), "1,3-15 mems 0-3 pool \"\"");
}

#[test]
fn nodes_are_remembered_until_their_time_is_over() {
    let mut desk = Desk::new();
    for (name, node) in [("a", "0"), ("b", "1"), ("c", "2")] {
        desk.admit(&asking(name, DedicatedCores, 2000, &[EXCLUSIVE]), node);
    }
    let remembered = |desk: &Desk| desk.ledger.remembered.len();
    desk.remove("a");
    desk.now = Timestamp(0).after(Nanos::from_secs(200));
    desk.remove("b");
    assert_eq!(remembered(&desk), 2);
    // 300 s after the first
    desk.now = Timestamp(0).after(Nanos::from_secs(300));
    desk.remove("c");
    assert_eq!(remembered(&desk), 2);
    // who owned no whole node leaves nothing to remember
    desk.admit(&asking("d", DedicatedCores, 2000, &[BINDING]), "3");
    desk.remove("d");
    assert_eq!(remembered(&desk), 2);
}

#[test]
fn decisions_say_what_was_given() {
    #[track_caller]
    fn check(desk: &Desk, ask: &Ask, hint: &str, expect: &str) {
        let given = NumaSet::parse(hint).filter(|nodes| !nodes.is_empty());
        let admission = admit(&desk.input(), ask, given).expect("admitted");
        assert_eq!(admission.decision.result, expect);
    }
    let desk = Desk::new();
    check(&desk, &ask("a", DedicatedCores, 2000), "", "CPUs 1,9 of its own");
    let bound = asking("a", DedicatedCores, 2000, &[BINDING]);
    check(&desk, &bound, "2", "CPUs 4,12 of its own on NUMA nodes 2");
    let ramping = "on all CPUs that are not withheld for 30000 ms, then in its pool";
    check(&desk, &ask("a", SharedCores, 2000), "", ramping);
    let running = Ask { running: true, ..ask("a", SharedCores, 2000) };
    check(&desk, &running, "", "in its pool");
    let bound = asking("a", SharedCores, 2000, &[BINDING]);
    check(&desk, &bound, "1", "in its pool on NUMA node 1");
    let mut anywhere = ask("a", DedicatedCores, 2000);
    anywhere.directives.skip_admission = true;
    check(&desk, &anywhere, "", "without an allocation");
}

#[test]
fn an_answer_has_cpus_by_node() {
    let desk = Desk::new();
    let parts = per_node(&desk.input(), &cpus("1,4-5,14"));
    let parts: Vec<String> = parts.iter().map(|(node, cpus)| format!("{node}: {cpus}")).collect();
    assert_eq!(parts, ["0: 1", "2: 4-5", "3: 14"]);
}
