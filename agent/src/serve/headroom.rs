//! Headroom as messages: each total with its terms, and the part of each NUMA node.

use model::Timestamp;
use model::headroom::{Explained, Headroom, NodeHeadroom, Unit};
use proto::v1;

/// A value that is not known has a term without an amount that says why.
const MISSING: &str = "missing";

pub(super) fn headroom(headroom: &Headroom, now: Timestamp) -> v1::Headroom {
    let nodes = headroom.per_numa.iter().map(|(id, part)| node(u32::from(id.0), part));
    v1::Headroom {
        now_mono_ns: now.0,
        cpu: Some(explained(&headroom.cpu)),
        memory: Some(explained(&headroom.memory)),
        nodes: nodes.collect(),
    }
}

fn node(numa_node: u32, part: &NodeHeadroom) -> v1::NodeHeadroom {
    let whole = |amount: Option<u64>, unit: Unit| {
        let terms = Vec::new();
        amount.map(|it| v1::Explained { result: Some(it as f64), unit: unit.to_string(), terms })
    };
    v1::NodeHeadroom {
        numa_node,
        cpu: whole(part.cpu.map(|cpu| cpu.0), Unit::MilliCpu),
        memory: whole(part.memory.map(|memory| memory.0), Unit::Bytes),
    }
}

fn explained(explained: &Explained) -> v1::Explained {
    let unit = explained.unit.to_string();
    let term = |term: &str, value: Option<f64>, source: String| v1::Term {
        term: term.to_owned(),
        value,
        unit: unit.clone(),
        source,
    };
    let known = explained.terms.iter();
    let mut terms: Vec<v1::Term> =
        known.map(|one| term(one.name, Some(one.amount as f64), one.from.clone())).collect();
    if let Err(reason) = &explained.value {
        terms.push(term(MISSING, None, reason.to_string()));
    }
    let result = explained.value.as_ref().ok().map(|value| value.0 as f64);
    v1::Explained { result, unit, terms }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::headroom::Absent;
    use model::{MilliCpu, NumaNodeId};

    use super::*;

    #[test]
    fn terms_add_up_and_a_missing_total_says_why() {
        let mut cpu = Explained::new(Unit::MilliCpu);
        cpu.add("supply", 4000, "CPUs 0-3");
        cpu.add("busy", -500, "cpu.stat");
        let memory = Explained::absent(Unit::Bytes, Absent::Filling { have: 1, want: 4 });
        let part = NodeHeadroom { cpu: Some(MilliCpu(3500)), memory: None };
        let per_numa = BTreeMap::from([(NumaNodeId(0), part)]);
        let told = headroom(&Headroom { cpu, memory, per_numa }, Timestamp(7));
        let cpu = told.cpu.expect("CPU");
        let sum: f64 = cpu.terms.iter().filter_map(|term| term.value).sum();
        assert_eq!((cpu.result, sum, cpu.unit.as_str()), (Some(3500.0), 3500.0, "mCPU"));
        let memory = told.memory.expect("memory");
        let why = memory.terms.last().map(|term| (term.term.as_str(), term.source.as_str()));
        assert_eq!(memory.result, None);
        assert_eq!(why, Some((MISSING, "1 of 4 samples are in the window")));
        assert_eq!(told.nodes.len(), 1);
        assert_eq!(told.nodes[0].memory, None);
    }
}
