//! The difference between two states of a node, as it is reported. Owns what counts as a change; who sends a delta and
//! who still has its base is decided elsewhere.

use std::collections::BTreeMap;

use crate::v1::{NodeDelta, NodeState, PodReport};

/// What makes `before` into `after`. `None` when a part is known in `before` only: a delta cannot take a part away, so
/// `after` is sent in full.
///
/// Of several pods with one uid the last one counts.
pub fn between(before: &NodeState, after: &NodeState) -> Option<NodeDelta> {
    let pods_before = by_uid(before);
    let pods_after = by_uid(after);
    let is_other = |pod: &&&PodReport| pods_before.get(pod.uid.as_str()) != Some(*pod);
    Some(NodeDelta {
        capacity: part(before.capacity.as_ref(), after.capacity.as_ref())?,
        headroom: part(before.headroom.as_ref(), after.headroom.as_ref())?,
        pools: part(before.pools.as_ref(), after.pools.as_ref())?,
        pods: pods_after.values().filter(is_other).map(|pod| (*pod).clone()).collect(),
        removed_pods: pods_before
            .keys()
            .filter(|uid| !pods_after.contains_key(*uid))
            .map(|uid| (*uid).to_owned())
            .collect(),
        health: part(before.health.as_ref(), after.health.as_ref())?,
    })
}

/// `Some(None)` leaves the part as it was, `None` cannot be said.
fn part<T: Clone + PartialEq>(before: Option<&T>, after: Option<&T>) -> Option<Option<T>> {
    match (before, after) {
        (Some(_), None) => None,
        (before, after) if before == after => Some(None),
        (_, after) => Some(after.cloned()),
    }
}

fn by_uid(state: &NodeState) -> BTreeMap<&str, &PodReport> {
    state.pods.iter().map(|pod| (pod.uid.as_str(), pod)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::between;
    use crate::v1::{NodeAmount, NodeDelta, NodeHealth, NodePools, NodeState, PodReport, Pool};

    fn pod(uid: &str, usage_milli_cpu: u64) -> PodReport {
        PodReport {
            uid: uid.to_owned(),
            usage_milli_cpu: Some(usage_milli_cpu),
            ..PodReport::default()
        }
    }

    fn amount(milli_cpu: u64) -> Option<NodeAmount> {
        Some(NodeAmount { milli_cpu: Some(milli_cpu), ..NodeAmount::default() })
    }

    fn state(headroom: Option<NodeAmount>, pods: &[(&str, u64)]) -> NodeState {
        let pods = pods.iter().map(|(uid, usage)| pod(uid, *usage)).collect();
        NodeState { capacity: amount(8000), headroom, pods, ..NodeState::default() }
    }

    /// Headroom, changed pods and removed pods of the delta.
    #[track_caller]
    fn check(before: &NodeState, after: &NodeState, expect: Option<(Option<u64>, &str, &str)>) {
        let told = between(before, after);
        let said = told.as_ref().map(|delta| {
            let changed: Vec<_> = delta.pods.iter().map(|pod| pod.uid.as_str()).collect();
            let headroom = delta.headroom.as_ref().and_then(|amount| amount.milli_cpu);
            (headroom, changed.join(" "), delta.removed_pods.join(" "))
        });
        let said =
            said.as_ref().map(|(amount, pods, gone)| (*amount, pods.as_str(), gone.as_str()));
        assert_eq!(said, expect);
    }

    #[test]
    fn only_what_changed_is_told() {
        let empty = NodeState::default();
        let two = state(amount(500), &[("a", 1), ("b", 2)]);
        check(&empty, &empty, Some((None, "", "")));
        check(&empty, &two, Some((Some(500), "a b", "")));
        check(&two, &two, Some((None, "", "")));
        check(&two, &state(amount(500), &[("b", 2), ("a", 1)]), Some((None, "", "")));
        check(&two, &state(amount(400), &[("b", 3), ("c", 1)]), Some((Some(400), "b c", "a")));
        check(&two, &state(None, &[("a", 1), ("b", 2)]), None);
        check(&state(None, &[]), &state(None, &[]), Some((None, "", "")));
        assert_eq!(between(&two, &two), Some(NodeDelta::default()));
    }

    /// The contract's words, carried out on a list.
    fn applied(mut state: NodeState, delta: NodeDelta) -> NodeState {
        state.capacity = delta.capacity.or(state.capacity);
        state.headroom = delta.headroom.or(state.headroom);
        state.pools = delta.pools.or(state.pools);
        state.health = delta.health.or(state.health);
        for uid in &delta.removed_pods {
            let at = state.pods.iter().position(|pod| pod.uid == *uid);
            state.pods.remove(at.expect("was there"));
        }
        for changed in delta.pods {
            match state.pods.iter().position(|pod| pod.uid == changed.uid) {
                Some(at) => state.pods[at] = changed,
                None => state.pods.push(changed),
            }
        }
        state.pods.sort_by(|a, b| a.uid.cmp(&b.uid));
        state
    }

    fn any_state() -> impl Strategy<Value = NodeState> {
        let amounts = || proptest::option::of((0_u64..3).prop_map(|milli| amount(milli).unwrap()));
        let pools = proptest::option::of(
            (0_u32..3)
                .prop_map(|n_cpus| NodePools { pools: vec![Pool { n_cpus, ..Pool::default() }] }),
        );
        let health = proptest::option::of(
            (0_i32..3).prop_map(|mode| NodeHealth { mode, ..NodeHealth::default() }),
        );
        let pods = proptest::collection::btree_map("[a-e]", 0_u64..3, 0..5);
        (amounts(), amounts(), pools, health, pods).prop_map(
            |(capacity, headroom, pools, health, pods)| NodeState {
                capacity,
                headroom,
                pools,
                health,
                pods: pods.into_iter().map(|(uid, usage)| pod(&uid, usage)).collect(),
            },
        )
    }

    proptest! {
        #[test]
        fn a_delta_carried_out_is_the_state_after(before in any_state(), after in any_state()) {
            let lost = (before.capacity.is_some() && after.capacity.is_none())
                || (before.headroom.is_some() && after.headroom.is_none())
                || (before.pools.is_some() && after.pools.is_none())
                || (before.health.is_some() && after.health.is_none());
            match between(&before, &after) {
                Some(delta) => prop_assert_eq!(applied(before, delta), after),
                None => prop_assert!(lost),
            }
        }
    }
}
