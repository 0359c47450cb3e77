//! What reclaimed pods may ask for as capacity of the Node, so that a scheduler that knows nothing of Berth places them. Pure: owns the names
//! and the form.

use cluster::node::OwnNode;
use model::annotation::resource::{RECLAIMED_MEMORY, RECLAIMED_MILLICPU};
use serde_json::{Value, json};

use super::pace::Content;
use super::promised::{Amounts, Promised};

/// The fields of the Node's status that are ours; `None` before anything is promised.
pub(super) fn status(node: &str, promised: &Promised) -> Option<Content> {
    let whole = promised.whole()?;
    let amounts = resources(whole);
    let fixed = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": node },
        "status": { "capacity": null, "allocatable": null },
    });
    Some(Content {
        fixed,
        amounts: vec![whole.milli_cpu, whole.memory],
        drifting: vec![("/status/capacity", amounts.clone()), ("/status/allocatable", amounts)],
        stamps: Vec::new(),
    })
}

/// By the names of Katalyst.
pub(super) fn resources(of: Amounts) -> Value {
    json!({ RECLAIMED_MILLICPU: of.milli_cpu.to_string(), RECLAIMED_MEMORY: of.memory.to_string() })
}

/// Whether the Node shows a promise of ours at all: one of zero where there is something was not written by us.
pub(super) fn stands(node: &OwnNode, promised: &Promised) -> bool {
    let shows = |name: &str| node.capacity.get(name).is_some_and(|text| text != "0");
    let nothing = promised.whole().is_none_or(|whole| whole.milli_cpu == 0);
    nothing || shows(RECLAIMED_MILLICPU)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_patch_names_nothing_but_what_is_ours() {
        assert_eq!(status("n", &Promised::default()), None);
        let promised = Promised::of_whole(1500, 1024);
        let content = status("n", &promised).expect("promised");
        let reclaimed = json!({
            "resource.katalyst.kubewharf.io/reclaimed_millicpu": "1500",
            "resource.katalyst.kubewharf.io/reclaimed_memory": "1024",
        });
        let expect = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n" },
            "status": { "capacity": reclaimed, "allocatable": reclaimed },
        });
        assert_eq!(content.object(), expect);
    }

    #[track_caller]
    fn check(shown: Option<&str>, promised: u64, expect: bool) {
        let capacity = shown.map(|text| (RECLAIMED_MILLICPU.to_owned(), text.to_owned()));
        let node = OwnNode { capacity: BTreeMap::from_iter(capacity), ..OwnNode::default() };
        assert_eq!(stands(&node, &Promised::of_whole(promised, 0)), expect, "{shown:?} {promised}");
    }

    #[test]
    fn a_kubelet_that_started_anew_has_zeroed_it() {
        check(None, 1500, false);
        check(Some("0"), 1500, false);
        check(Some("1400"), 1500, true);
        check(Some("0"), 0, true);
    }
}
