//! Katalyst's numeric policy (pkg/agent/orm/topology/policy_numeric.go): a set per resource. Aligned
//! resources have one set, which one of them prefers; of the others each larger set contains each
//! smaller one. More preferred hints win, then the smaller largest set, then the first in order.

use std::collections::{BTreeMap, BTreeSet};

use model::NumaSet;

use super::{Providers, Verdict, impossible, options};
use crate::hint::Hint;

/// Combinations that one call looks at. Four resources on eight nodes stay below; a pod that asks
/// for more is refused with this number instead of holding up the node.
const MOST: usize = 1 << 18;

/// One set of nodes for each resource.
pub fn numeric(providers: &Providers, aligned: &BTreeSet<String>) -> Verdict {
    if let Some((resource, reason)) = impossible(providers) {
        return Verdict::Refuse(format!("{resource}: {reason}"));
    }
    let resources: Vec<(&String, &Vec<Hint>, bool)> =
        options(providers).map(|(name, hints)| (name, hints, aligned.contains(name))).collect();
    let mut search = Search { resources: &resources, left: MOST, best: None };
    search.step(&mut Vec::new());
    match (search.best, search.left) {
        (Some((_, chosen)), _) => {
            let names = resources.iter().map(|(name, ..)| (*name).clone());
            Verdict::Admit(names.zip(chosen).collect::<BTreeMap<String, Hint>>())
        }
        (None, 0) => Verdict::Refuse(format!(
            "topology policy numeric: none of the first {MOST} combinations of hints fits"
        )),
        (None, _) => Verdict::Refuse(
            "topology policy numeric: no combination of hints gives aligned resources the same \
             NUMA nodes and nests the others"
                .to_owned(),
        ),
    }
}

/// Smaller is better: not preferred hints among the others, the largest set, preferred aligned ones.
type Rank = (usize, usize, Vec<NumaSet>);

struct Search<'a> {
    resources: &'a [(&'a String, &'a Vec<Hint>, bool)],
    left: usize,
    best: Option<(Rank, Vec<Hint>)>,
}

impl Search<'_> {
    fn step(&mut self, chosen: &mut Vec<Hint>) {
        let Some((_, hints, _)) = self.resources.get(chosen.len()) else {
            self.weigh(chosen);
            return;
        };
        for hint in *hints {
            if self.left == 0 {
                return;
            }
            self.left -= 1;
            chosen.push(*hint);
            if self.is_nested(chosen) {
                self.step(chosen);
            }
            chosen.pop();
        }
    }

    /// Whether the newest choice goes with all before it.
    fn is_nested(&self, chosen: &[Hint]) -> bool {
        let Some((newest, before)) = chosen.split_last() else { return true };
        let is_aligned = |idx: usize| self.resources[idx].2;
        before.iter().enumerate().all(|(idx, other)| {
            let (a, b) = (newest.nodes, other.nodes);
            match is_aligned(idx) && is_aligned(before.len()) {
                true => a == b,
                false => a.is_subset(b) || b.is_subset(a),
            }
        })
    }

    fn weigh(&mut self, chosen: &[Hint]) {
        let with_role = || chosen.iter().zip(self.resources.iter().map(|(.., aligned)| *aligned));
        let mut aligned = with_role().filter(|(_, aligned)| *aligned).peekable();
        if aligned.peek().is_some() && !aligned.any(|(hint, _)| hint.preferred) {
            return;
        }
        let n_reluctant = with_role().filter(|(hint, aligned)| !aligned && !hint.preferred).count();
        let widest = chosen.iter().map(|hint| hint.nodes.len()).max().unwrap_or(0);
        let rank = (n_reluctant, widest, chosen.iter().map(|hint| hint.nodes).collect());
        if self.best.as_ref().is_none_or(|(best, _)| rank < *best) {
            self.best = Some((rank, chosen.to_vec()));
        }
    }
}
