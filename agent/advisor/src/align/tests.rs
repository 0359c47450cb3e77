//! Named cases of every policy, and merging against a plain cross product.

use proptest::prelude::*;

use super::*;

fn hint(text: &str) -> Hint {
    let (nodes, flag) = text.split_at(text.len() - 1);
    Hint { nodes: NumaSet::parse(nodes).expect(text), preferred: flag == "T" }
}

/// `cpu=0T 1T 0-1F; memory=-` where `-` does not care and nothing is impossible.
fn providers(text: &str) -> Providers {
    let rows = text.split(';').map(str::trim).filter(|row| !row.is_empty());
    let one = |row: &str| {
        let (name, hints) = row.split_once('=').expect(row);
        let hints = match hints {
            "-" => Hints::DontCare,
            hints => Hints::Options(hints.split_whitespace().map(hint).collect()),
        };
        (name.to_owned(), hints)
    };
    rows.map(one).collect()
}

#[track_caller]
fn check(policy: TopologyPolicy, text: &str, expect: &str) {
    let aligned = BTreeSet::from(["cpu".to_owned(), "memory".to_owned()]);
    let all = NumaSet::parse("0-1").expect("nodes");
    let said = match decide(policy, &providers(text), &aligned, all) {
        Verdict::Refuse(_) => "refused".to_owned(),
        Verdict::Admit(chosen) => {
            let one = |(name, hint): (&String, &Hint)| {
                format!("{name}={}{}", hint.nodes, if hint.preferred { "T" } else { "F" })
            };
            chosen.iter().map(one).collect::<Vec<_>>().join(" ")
        }
    };
    assert_eq!(said, expect);
}

use TopologyPolicy::{BestEffort, None as NoPolicy, Numeric, Restricted, SingleNumaNode};

#[test]
fn common_nodes_that_all_prefer_win() {
    let meeting = "cpu=0T 1T 0-1F; memory=1T 0-1F";
    for policy in [NoPolicy, BestEffort, Restricted, SingleNumaNode] {
        check(policy, meeting, "cpu=1T memory=1T");
        check(policy, "", "");
        check(policy, "cpu=-", "");
        check(policy, "cpu=", "refused");
    }
}

#[test]
fn policies_differ_where_nothing_is_preferred_by_all() {
    let apart = "cpu=0T; memory=1T 0-1F";
    check(BestEffort, apart, "cpu=0F memory=0F");
    check(Restricted, apart, "refused");
    check(SingleNumaNode, apart, "refused");
    let wide = "cpu=0-1T";
    check(BestEffort, wide, "cpu=0-1T");
    check(Restricted, wide, "cpu=0-1T");
    check(SingleNumaNode, wide, "refused");
    // nothing in common: anywhere, and nobody prefers it
    check(BestEffort, "cpu=0T; memory=1T", "cpu=0-1F memory=0-1F");
    check(BestEffort, "cpu=0T; gpu=1T; memory=0-1T", "cpu=0-1F gpu=0-1F memory=0-1F");
}

#[test]
fn numeric_gives_each_resource_its_own_set() {
    // neither is aligned: the smaller sets are nested in the larger
    check(Numeric, "r1=0-1T; r2=0T 1T 0-1F", "r1=0-1T r2=0T");
    check(Numeric, "cpu=0-1T; memory=0T 1T 0-1F; gpu=0T", "cpu=0-1T gpu=0T memory=0-1F");
    // memory cannot be where CPU is
    check(Numeric, "cpu=0-1T; memory=0T 1T; gpu=0T", "refused");
    check(Numeric, "cpu=", "refused");
    check(Numeric, "", "");
    check(Numeric, "cpu=-; gpu=1T", "gpu=1T");
    // aligned and nobody prefers it
    check(Numeric, "cpu=0F; memory=0F", "refused");
}

#[test]
fn an_impossible_resource_names_itself() {
    let mut all = providers("cpu=0T");
    all.insert("memory".to_owned(), Hints::Impossible("too little".to_owned()));
    let all_nodes = NumaSet::parse("0-1").expect("nodes");
    let verdict = decide(BestEffort, &all, &BTreeSet::new(), all_nodes);
    assert_eq!(verdict, Verdict::Refuse("memory: too little".to_owned()));
}

fn arb_hints() -> impl Strategy<Value = Vec<Hint>> {
    proptest::collection::vec((1u16..16, any::<bool>()), 1..6).prop_map(|rows| {
        let hint = |(mask, preferred): (u16, bool)| {
            let nodes = (0..4).filter(|bit| mask & (1 << bit) != 0).map(model::NumaNodeId);
            Hint { nodes: nodes.collect(), preferred }
        };
        rows.into_iter().map(hint).collect()
    })
}

proptest! {
    /// The oracle forms every permutation with plain sets: best-effort finds a preferred one exactly
    /// when there is one, and none that is narrower.
    #[test]
    fn folding_finds_what_a_cross_product_finds(all in proptest::collection::vec(arb_hints(), 1..4)) {
        let named = all.iter().enumerate().map(|(i, h)| (format!("r{i}"), Hints::Options(h.clone())));
        let all_nodes = NumaSet::parse("0-3").expect("nodes");
        let verdict = decide(BestEffort, &named.collect(), &BTreeSet::new(), all_nodes);
        let Verdict::Admit(chosen) = verdict else { return Err(TestCaseError::fail("refused")) };
        let chosen = chosen["r0"];
        let mut merged: Vec<(BTreeSet<u16>, bool)> = Vec::new();
        let mut picks = vec![0usize; all.len()];
        'all: loop {
            let hints: Vec<Hint> = picks.iter().zip(&all).map(|(p, h)| h[*p]).collect();
            let sets: Vec<BTreeSet<u16>> =
                hints.iter().map(|h| h.nodes.iter().map(|n| n.0).collect()).collect();
            let common = sets.iter().skip(1).fold(sets[0].clone(), |a, b| &a & b);
            let equal = sets.iter().all(|set| *set == sets[0]);
            if !common.is_empty() {
                merged.push((common, equal && hints.iter().all(|h| h.preferred)));
            }
            for idx in 0..picks.len() {
                picks[idx] += 1;
                if picks[idx] < all[idx].len() {
                    continue 'all;
                }
                picks[idx] = 0;
            }
            break;
        }
        let narrowest = merged.iter().filter(|(_, p)| *p).map(|(set, _)| set.len()).min();
        prop_assert_eq!(chosen.preferred, narrowest.is_some());
        let nodes: BTreeSet<u16> = chosen.nodes.iter().map(|n| n.0).collect();
        match narrowest {
            Some(size) => prop_assert_eq!(nodes.len(), size),
            None => prop_assert!(merged.is_empty() || merged.iter().any(|(set, _)| *set == nodes)),
        }
    }
}
