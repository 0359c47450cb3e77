//! The kernel's list format row by row, and set algebra against `BTreeSet` as the oracle.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{CpuSet, ParseCpuListError};
use crate::units::CpuId;

#[track_caller]
fn check(text: &str, expect: &str) {
    let set: CpuSet = text.parse().expect(text);
    assert_eq!(set.to_string(), expect);
}

#[track_caller]
fn check_refused(text: &str, matches: fn(&ParseCpuListError) -> bool) {
    let error = text.parse::<CpuSet>().expect_err(text);
    assert!(matches(&error), "{text:?} gave {error:?}");
}

#[test]
fn lists_the_kernel_prints_are_read() {
    check("", "");
    check("\n", "");
    check("0", "0");
    check("0-3\n", "0-3");
    check("0,2,4-5", "0,2,4-5");
    check("3,1,2", "1-3");
    check("0-10:1/2", "0,2,4,6,8,10");
    check("0-10:2/4", "0-1,4-5,8-9");
    check("0-1023", "0-1023");
    check("1023", "1023");
    check("7-7", "7");
    check("0, 2", "0,2");
}

#[test]
fn lists_the_kernel_never_prints_are_refused() {
    let malformed = |e: &ParseCpuListError| matches!(e, ParseCpuListError::Malformed { .. });
    for text in ["a", "1-", "-1", "1,,2", ",", "1-2-3", "0-3:2", "0-3:a/b", "+1", "1 2", "0x1"] {
        check_refused(text, malformed);
    }
    let out_of_range = |e: &ParseCpuListError| matches!(e, ParseCpuListError::OutOfRange { .. });
    for text in ["1024", "0-1024", "65536", "99999999999999999999"] {
        check_refused(text, out_of_range);
    }
    let inverted = |e: &ParseCpuListError| matches!(e, ParseCpuListError::Inverted { .. });
    for text in ["3-1", "0-3:0/2", "0-3:3/2", "0-3:1/0"] {
        check_refused(text, inverted);
    }
}

#[test]
fn a_cpu_that_cannot_be_held_is_refused_not_lost() {
    let mut set = CpuSet::EMPTY;
    assert!(set.insert(CpuId(1023)));
    assert!(!set.insert(CpuId(1024)));
    assert_eq!(set.last(), Some(CpuId(1023)));
    assert!(!set.contains(CpuId(5000)));
}

fn arb_cpus() -> impl Strategy<Value = BTreeSet<u16>> {
    prop_oneof![
        proptest::collection::btree_set(0u16..1024, 0..64),
        proptest::collection::btree_set(0u16..70, 0..64),
    ]
}

fn set_of(cpus: &BTreeSet<u16>) -> CpuSet {
    cpus.iter().copied().map(CpuId).collect()
}

fn cpus_of(set: CpuSet) -> BTreeSet<u16> {
    set.iter().map(|cpu| cpu.0).collect()
}

proptest! {
    #[test]
    fn algebra_agrees_with_btreeset(a in arb_cpus(), b in arb_cpus()) {
        let (x, y) = (set_of(&a), set_of(&b));
        prop_assert_eq!(cpus_of(x.union(&y)), &a | &b);
        prop_assert_eq!(cpus_of(x.intersection(&y)), &a & &b);
        prop_assert_eq!(cpus_of(x.difference(&y)), &a - &b);
        prop_assert_eq!(x.is_subset(&y), a.is_subset(&b));
        prop_assert_eq!(x.is_disjoint(&y), a.is_disjoint(&b));
        prop_assert_eq!(x.len(), a.len());
        prop_assert_eq!(x.first().map(|c| c.0), a.first().copied());
        prop_assert_eq!(x.last().map(|c| c.0), a.last().copied());
    }

    #[test]
    fn both_ends_of_the_iterator_meet(a in arb_cpus(), from_back in proptest::collection::vec(any::<bool>(), 80)) {
        let set = set_of(&a);
        let (mut iter, mut oracle) = (set.iter(), a.iter().copied());
        for back in from_back {
            prop_assert_eq!(iter.size_hint().0, oracle.len());
            let (ours, theirs) = match back {
                true => (iter.next_back(), oracle.next_back()),
                false => (iter.next(), oracle.next()),
            };
            prop_assert_eq!(ours.map(|cpu| cpu.0), theirs);
        }
    }

    #[test]
    fn printing_and_reading_return_the_same_set(a in arb_cpus()) {
        let set = set_of(&a);
        prop_assert_eq!(set.to_string().parse::<CpuSet>(), Ok(set));
    }

    #[test]
    fn no_text_panics(text in "[0-9,:/ a-]{0,24}") {
        let _ = text.parse::<CpuSet>();
    }
}
