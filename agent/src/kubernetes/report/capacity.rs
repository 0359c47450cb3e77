//! What reclaimed pods may ask for as capacity of the Node, so that a scheduler that knows nothing of Berth places them; and a condition that
//! says whether every pod has what it asks for. Pure: owns the names and the form.

use cluster::node::OwnNode;
use model::annotation::resource::{RECLAIMED_MEMORY, RECLAIMED_MILLICPU};
use model::plan::Finding;
use serde_json::{Value, json};

use super::pace::Content;
use super::promised::{Amounts, Promised};

/// The fields of the Node's status that are ours; `None` before anything is promised.
pub(super) fn status(
    node: &str,
    promised: &Promised,
    (findings, since): (&[Finding], &str),
) -> Option<Content> {
    let whole = promised.whole()?;
    let amounts = resources(whole);
    let mut condition = placed("BerthPodsPlaced", (findings, since));
    // Nothing is written to say that nothing has changed; without one it is shown as the year 1.
    condition["lastHeartbeatTime"] = json!(since);
    let fixed = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": node },
        "status": { "capacity": null, "allocatable": null, "conditions": [condition] },
    });
    Some(Content {
        fixed,
        amounts: vec![whole.milli_cpu, whole.memory],
        drifting: vec![("/status/capacity", amounts.clone()), ("/status/allocatable", amounts)],
        stamps: Vec::new(),
        // Its Node is followed.
        is_renewed: false,
    })
}

/// Leaves none of our fields in the Node's status.
pub(super) fn nothing(node: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": node }, "status": {} })
}

/// Names in a message; an operator looks at the node for more.
const MAX_NAMES: usize = 5;

/// Since when it is so that every pod has what it asks for, or that one has not.
#[derive(Debug, Default)]
pub(super) struct PlacedSince {
    holds: bool,
    at: String,
}

impl PlacedSince {
    /// `now` is the time of day (RFC 3339), asked for when it was not so before.
    pub(super) fn look(&mut self, findings: &[Finding], now: impl FnOnce() -> String) {
        let holds = unplaceable(findings).next().is_none();
        if self.at.is_empty() || self.holds != holds {
            *self = PlacedSince { holds, at: now() };
        }
    }

    pub(super) fn at(&self) -> &str {
        &self.at
    }
}

fn unplaceable(findings: &[Finding]) -> impl Iterator<Item = &Finding> {
    findings.iter().filter(|finding| finding.rule == "unplaceable")
}

/// Whether every pod has what it asks for.
pub(super) fn placed(condition: &str, (findings, since): (&[Finding], &str)) -> Value {
    let unplaceable = unplaceable(findings);
    let names: Vec<&str> = unplaceable.map(|finding| finding.subject.as_str()).collect();
    let n_more = names.len().saturating_sub(MAX_NAMES);
    let shown = names.iter().take(MAX_NAMES).copied().collect::<Vec<_>>().join(", ");
    let more = if n_more == 0 { String::new() } else { format!(" and {n_more} more") };
    let (status, reason, message) = match names.is_empty() {
        true => ("True", "EverybodyHasAPlace", "every pod has what it asks for".to_owned()),
        false => ("False", "Unplaceable", format!("{shown}{more}: not what they ask for")),
    };
    json!({
        "type": condition, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": since,
    })
}

/// By the names of Katalyst.
pub(super) fn resources(of: Amounts) -> Value {
    json!({ RECLAIMED_MILLICPU: of.milli_cpu.to_string(), RECLAIMED_MEMORY: of.memory.to_string() })
}

/// Whether the Node promises anything to reclaimed pods.
pub(super) fn shows(node: &OwnNode) -> bool {
    node.capacity.get(RECLAIMED_MILLICPU).is_some_and(|text| text != "0")
}

/// Whether what the Node shows can be ours: nothing where there is something was not written by us.
pub(super) fn stands(node: &OwnNode, promised: &Promised) -> bool {
    promised.whole().is_none_or(|whole| whole.milli_cpu == 0) || shows(node)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::plan::Severity;

    use super::*;

    const NOON: &str = "2026-11-27T12:00:00Z";

    #[test]
    fn a_condition_has_the_time_since_which_it_is_so() {
        let one = [Finding {
            severity: Severity::Warning,
            rule: "unplaceable",
            subject: "shop/db".to_owned(),
            message: String::new(),
        }];
        let mut since = PlacedSince::default();
        let mut check = |findings: &[Finding], now: &str, expect: &str| {
            since.look(findings, || now.to_owned());
            assert_eq!(since.at(), expect);
        };
        check(&[], "12:00", "12:00");
        check(&[], "12:01", "12:00");
        check(&one, "12:02", "12:02");
        check(&one, "12:03", "12:02");
        check(&[], "12:04", "12:04");
    }

    #[test]
    fn the_patch_names_nothing_but_what_is_ours() {
        assert_eq!(status("n", &Promised::default(), (&[], NOON)), None);
        let promised = Promised::of_whole(1500, 1024);
        let content = status("n", &promised, (&[], NOON)).expect("promised");
        let reclaimed = json!({
            "resource.katalyst.kubewharf.io/reclaimed_millicpu": "1500",
            "resource.katalyst.kubewharf.io/reclaimed_memory": "1024",
        });
        let expect = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n" },
            "status": {
                "capacity": reclaimed,
                "allocatable": reclaimed,
                "conditions": [{
                    "type": "BerthPodsPlaced", "status": "True", "reason": "EverybodyHasAPlace",
                    "message": "every pod has what it asks for",
                    "lastTransitionTime": NOON, "lastHeartbeatTime": NOON,
                }],
            },
        });
        assert_eq!(content.object(), expect);
    }

    #[test]
    fn who_has_no_place_is_named_up_to_a_number() {
        let finding = |name: u32, rule| Finding {
            severity: Severity::Warning,
            rule,
            subject: format!("shop/p{name}"),
            message: String::new(),
        };
        let message = |findings: &[Finding]| {
            placed("Placed", (findings, NOON))["message"].as_str().map(str::to_owned)
        };
        let all = "every pod has what it asks for";
        assert_eq!(message(&[finding(1, "step-refused")]).as_deref(), Some(all));
        let two = [finding(1, "unplaceable"), finding(2, "unplaceable")];
        assert_eq!(message(&two).as_deref(), Some("shop/p1, shop/p2: not what they ask for"));
        let seven: Vec<Finding> = (0..7).map(|name| finding(name, "unplaceable")).collect();
        let expect =
            "shop/p0, shop/p1, shop/p2, shop/p3, shop/p4 and 2 more: not what they ask for";
        assert_eq!(message(&seven).as_deref(), Some(expect));
        assert_eq!(placed("Placed", (&seven, NOON))["status"], "False");
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
