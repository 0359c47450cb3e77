//! Named cases on the machine of 16 CPUs and four nodes, reserve 0 and 2; the arithmetic stands
//! beside them. Whole scenarios are in `sim`.

mod edges;

use model::placement::PlacementPolicy;
use model::policy::Reserve;
use model::{Nanos, Timestamp};

use super::*;
use crate::layout::Layout;
use crate::testkit::{ask, asking, cpus, f16, layout_of};

/// A node that is changed step by step.
struct Desk {
    layout: Layout,
    policy: PlacementPolicy,
    ledger: Ledger,
    now: Timestamp,
}

impl Desk {
    fn new() -> Desk {
        let policy = PlacementPolicy {
            reserve: Reserve::Cpus(cpus("0,2")),
            reclaim_enabled: true,
            ..PlacementPolicy::default()
        };
        let layout = layout_of(&f16(), &policy);
        Desk { layout, policy, ledger: Ledger::default(), now: Timestamp(0) }
    }

    fn input(&self) -> PlacementInput<'_> {
        let (layout, policy, ledger) = (&self.layout, &self.policy, &self.ledger);
        PlacementInput { now: self.now, layout, policy, ledger, headroom: None }
    }

    fn take(&mut self, admission: Result<Admission, Refusal>) -> String {
        match admission {
            Err(refusal) => refusal.to_string(),
            Ok(admission) => {
                let uid = admission.resident.ask.uid.clone();
                self.ledger.pods.insert(uid.clone(), admission.resident);
                self.show(&uid)
            }
        }
    }

    fn show(&self, uid: &PodUid) -> String {
        let placement = placement_of(&self.input(), &self.ledger.pods[uid]);
        let pool = pool_text(&placement);
        format!("{} mems {} pool {pool:?}", placement.cpus, placement.mems)
    }

    fn admit(&mut self, ask: &Ask, hint: &str) -> String {
        let given = NumaSet::parse(hint).filter(|nodes| !nodes.is_empty());
        let admission = admit(&self.input(), ask, given);
        self.take(admission)
    }

    fn resize(&mut self, ask: &Ask) -> String {
        let admission = resize(&self.input(), ask);
        self.take(admission)
    }

    fn remove(&mut self, name: &str) {
        let mut ledger = self.ledger.clone();
        remove(&self.input(), &mut ledger, &PodUid::from(name)).expect("it is here");
        self.ledger = ledger;
    }
}

use QosLevel::{DedicatedCores, ReclaimedCores, SharedCores, SystemCores};

const BINDING: (&str, &str) = ("numa_binding", "true");
const EXCLUSIVE: (&str, &str) = ("numa_exclusive", "true");

#[test]
fn a_shared_pod_ramps_up_and_joins_its_pool_when_the_time_is_over() {
    let mut desk = Desk::new();
    let web = ask("web", SharedCores, 2000);
    assert_eq!(desk.admit(&web, ""), "1,3-15 mems 0-3 pool \"\"");
    let batch = ask("ml", ReclaimedCores, 2000);
    // nobody is measured yet: reclaim has its reserve, whoever starts
    assert_eq!(desk.admit(&batch, ""), "1,3-4,6 mems 0-3 pool \"reclaim\"");
    desk.now = Timestamp(0).after(Nanos::from_secs(30));
    assert_eq!(desk.show(&web.uid), "1,9 mems 0-3 pool \"share\"");
    assert_eq!(desk.show(&batch.uid), "3-8,10-15 mems 0-3 pool \"reclaim\"");
    // one that runs already does not ramp up
    let late = Ask { running: true, ..ask("late", SharedCores, 1000) };
    assert_eq!(desk.admit(&late, ""), "1,8-9 mems 0-3 pool \"share\"");
}

#[test]
fn shared_requests_must_fit_what_is_not_withheld() {
    let mut desk = Desk::new();
    desk.admit(&ask("a", SharedCores, 11_500), "");
    assert_eq!(
        desk.admit(&ask("b", SharedCores, 2600), ""),
        "shared pods without NUMA binding ask 11.500 CPUs already and this one 2.600 more; 14 CPUs \
         are not withheld"
    );
    assert_eq!(desk.admit(&ask("b", SharedCores, 2500), ""), "1,3-15 mems 0-3 pool \"\"");
    // and a dedicated pod cannot take from them
    assert_eq!(
        desk.admit(&ask("db", DedicatedCores, 1000), ""),
        "1 CPUs of its own are asked for; 0 can be given: 0 that pods without NUMA binding do not \
         need and 0 that bound pods do not need"
    );
}

#[test]
fn an_exclusive_pod_has_its_node_and_others_stay_off_it() {
    let mut desk = Desk::new();
    let db = asking("db", DedicatedCores, 2000, &[EXCLUSIVE]);
    assert_eq!(desk.admit(&db, "0"), "1,8-9 mems 0 pool \"dedicated\"");
    // asked again it says the same
    assert_eq!(desk.admit(&db, "1"), "1,8-9 mems 0 pool \"dedicated\"");
    let web = ask("web", SharedCores, 2000);
    assert_eq!(desk.admit(&web, ""), "3-7,10-15 mems 1-3 pool \"\"");
    let more = asking("more", DedicatedCores, 1000, &[EXCLUSIVE]);
    assert_eq!(desk.admit(&more, "0"), "NUMA nodes 0 have 0 CPUs for this pod of 1");
    // without a hint the first preferred
    assert_eq!(desk.admit(&more, ""), "3,10-11 mems 1 pool \"dedicated\"");
}

#[test]
fn even_parts_are_packed_in_each_node() {
    let evenly = ("distribute_evenly_across_numa", "true");
    let two = ("katalyst.kubewharf.io/numa_number", "2");
    let mut desk = Desk::new();
    let four = asking("a", DedicatedCores, 4000, &[BINDING, evenly, two]);
    assert_eq!(desk.admit(&four, "2-3"), "4,6,12,14 mems 2-3 pool \"dedicated\"");
    let pairing = ("full_pcpus_pairing", "true");
    let mut desk = Desk::new();
    let six = asking("b", DedicatedCores, 6000, &[BINDING, evenly, pairing, two]);
    assert_eq!(desk.admit(&six, "2-3"), "4-7,12,14 mems 2-3 pool \"dedicated\"");
}

#[test]
fn bound_shared_pods_share_a_node() {
    let mut desk = Desk::new();
    let small = asking("a", SharedCores, 300, &[BINDING]);
    assert_eq!(desk.admit(&small, "0"), "1 mems 0 pool \"share-NUMA0\"");
    assert_eq!(
        desk.admit(&asking("b", SharedCores, 2800, &[BINDING]), "0"),
        "NUMA node 0 has 3.000 CPUs, of which bound pods ask 0.300 already, and this one 2.800 more"
    );
    assert_eq!(
        desk.admit(&asking("b", SharedCores, 300, &[BINDING]), "0-1"),
        "a shared pod is bound to exactly one NUMA node, the hint is [0-1]"
    );
    desk.policy.overlap_shared_reclaim = true;
    let one = asking("c", SharedCores, 1000, &[BINDING]);
    assert_eq!(desk.admit(&one, "0"), "1,8-9 mems 0 pool \"share-NUMA0\"");
}

#[test]
fn a_new_bound_pod_counts_twice_in_its_pool_until_it_is_measured() {
    let mut desk = Desk::new();
    let one = asking("a", SharedCores, 1000, &[BINDING]);
    assert_eq!(desk.admit(&one, "2"), "4,12 mems 2 pool \"share-NUMA2\"");
    desk.now = Timestamp(0).after(Nanos::from_secs(30));
    assert_eq!(desk.show(&one.uid), "4 mems 2 pool \"share-NUMA2\"");
}

#[test]
fn system_pods_have_their_pool_or_everything() {
    let mut desk = Desk::new();
    assert_eq!(desk.admit(&ask("a", SystemCores, 0), ""), "0-15 mems 0-3 pool \"system\"");
    let reserve = asking("b", SystemCores, 0, &[("cpuset_pool", "reserve")]);
    assert_eq!(desk.admit(&reserve, ""), "0,2 mems 0-3 pool \"reserve\"");
}

#[test]
fn one_node_stays_for_reclaimed_pods_without_binding() {
    let mut desk = Desk::new();
    for node in ["0", "1", "2"] {
        let ask = asking(node, ReclaimedCores, 1000, &[BINDING]);
        let said = desk.admit(&ask, node);
        assert!(said.ends_with(&format!("mems {node} pool \"reclaim\"")), "{said}");
    }
    let last = asking("last", ReclaimedCores, 1000, &[BINDING]);
    assert_eq!(desk.admit(&last, "3"), "6 mems 0-3 pool \"reclaim\"");
}

#[test]
fn a_dedicated_pod_grows_and_shrinks_in_place() {
    let mut desk = Desk::new();
    let sized = |milli| asking("db", DedicatedCores, milli, &[BINDING]);
    assert_eq!(desk.admit(&sized(2000), "2"), "4,12 mems 2 pool \"dedicated\"");
    assert_eq!(desk.resize(&sized(3000)), "4-5,12 mems 2 pool \"dedicated\"");
    assert_eq!(desk.resize(&sized(5000)), "NUMA nodes 2 have 4 CPUs for this pod of 5");
    assert_eq!(desk.show(&PodUid::from("db")), "4-5,12 mems 2 pool \"dedicated\"");
    // what is given back is not a half of the whole core
    assert_eq!(desk.resize(&sized(2000)), "4,12 mems 2 pool \"dedicated\"");
    let free = |milli| ask("anywhere", DedicatedCores, milli);
    // node 2 is bound; of 3, 3 and 4 free CPUs under a cache each the first fits exactly
    assert_eq!(desk.admit(&free(3000), ""), "1,8-9 mems 0-1,3 pool \"dedicated\"");
    // one more from the smallest cache, on the core that is not whole
    assert_eq!(desk.resize(&free(4000)), "1,8-10 mems 0-1,3 pool \"dedicated\"");
}

#[test]
fn only_requests_can_be_resized() {
    let mut desk = Desk::new();
    desk.admit(&ask("web", SharedCores, 1000), "");
    let said = desk.resize(&ask("web", ReclaimedCores, 1000));
    assert!(said.starts_with("the QoS level of an admitted pod cannot change"), "{said}");
    let said = desk.resize(&ask("other", SharedCores, 1000));
    assert_eq!(said, "the pod other was not admitted");
    let said = desk.resize(&ask("web", SharedCores, 15_000));
    assert!(said.contains("15.000 more; 14 CPUs"), "{said}");
    let said = desk.admit(&ask("web", SharedCores, 2000), "");
    assert!(said.contains("admitted with other wishes"), "{said}");
}

#[test]
fn a_successor_prefers_the_nodes_of_its_predecessor() {
    let mut desk = Desk::new();
    let mut db = asking("db-1", DedicatedCores, 2000, &[EXCLUSIVE]);
    db.owner = Some("set".to_owned());
    desk.admit(&db, "2");
    desk.remove("db-1");
    let mut next = asking("db-2", DedicatedCores, 2000, &[EXCLUSIVE]);
    next.owner = Some("set".to_owned());
    let stranger = asking("x", DedicatedCores, 2000, &[EXCLUSIVE]);
    let preferred = |desk: &Desk, ask: &Ask| match hint::hints(&desk.input(), ask) {
        Hints::Options(all) => {
            let nodes = all.iter().filter(|hint| hint.preferred).map(|hint| hint.nodes.to_string());
            nodes.collect::<Vec<_>>().join(" ")
        }
        other => format!("{other:?}"),
    };
    assert_eq!(preferred(&desk, &next), "2");
    assert_eq!(preferred(&desk, &stranger), "0 1 2 3");
    desk.now = Timestamp(0).after(Nanos::from_secs(300));
    assert_eq!(preferred(&desk, &next), "0 1 2 3");
}

#[test]
fn cpus_that_went_offline_come_back_to_their_owner() {
    let mut desk = Desk::new();
    let db = asking("db", DedicatedCores, 2000, &[BINDING]);
    desk.admit(&db, "2");
    let mut topology = f16();
    crate::testkit::offline(&mut topology, 4);
    desk.layout = layout_of(&topology, &desk.policy);
    assert_eq!(desk.show(&db.uid), "12 mems 2 pool \"dedicated\"");
    crate::testkit::offline(&mut topology, 12);
    desk.layout = layout_of(&topology, &desk.policy);
    // none of its own is left: it runs beside its memory
    assert_eq!(desk.show(&db.uid), "5,13 mems 2 pool \"\"");
    // nor of its node: it runs where anybody may
    crate::testkit::offline(&mut topology, 5);
    crate::testkit::offline(&mut topology, 13);
    desk.layout = layout_of(&topology, &desk.policy);
    assert_eq!(desk.show(&db.uid), "1,3,6-11,14-15 mems 2 pool \"\"");
    desk.layout = layout_of(&f16(), &desk.policy);
    assert_eq!(desk.show(&db.uid), "4,12 mems 2 pool \"dedicated\"");
}
