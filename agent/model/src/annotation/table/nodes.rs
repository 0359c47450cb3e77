//! Rows of what stands at a node whose resources are promised more than once.

use super::Place::{NodeAnnotation, NodeLabel};
use super::Row;
use super::State::NotAsked;
use crate::annotation::overcommit as key;

const fn ratio(key: &'static str, meaning: &'static str) -> Row {
    Row::new(key, NodeAnnotation, NotAsked, "1.5", Some("-1"))
        .values("0 to 100; under 1 counts as 1")
        .means(meaning)
        .katalyst("its webhook multiplies what the node says it has")
}

const fn amount(
    key: &'static str,
    good: &'static str,
    bad: &'static str,
    meaning: &'static str,
) -> Row {
    Row::new(key, NodeAnnotation, NotAsked, good, Some(bad)).values("a quantity").means(meaning)
}

pub(super) const ROWS: [Row; 13] = [
    Row::new(key::NODE_POOL, NodeLabel, NotAsked, "demo", None)
        .values("any text")
        .means("which configuration is meant for the node"),
    ratio(key::CPU_RATIO, "how many times its CPUs may be promised"),
    ratio(key::MEMORY_RATIO, "how many times its memory may be promised"),
    ratio(key::REALTIME_CPU_RATIO, "how many times its load allows; the smaller one counts"),
    ratio(key::REALTIME_MEMORY_RATIO, "how many times its load allows; the smaller one counts"),
    amount(key::ORIGINAL_CAPACITY_CPU, "8", "-1", "before multiplication"),
    amount(key::ORIGINAL_CAPACITY_MEMORY, "16Gi", "all", "before multiplication"),
    amount(key::ORIGINAL_ALLOCATABLE_CPU, "7800m", "most", "before multiplication"),
    amount(key::ORIGINAL_ALLOCATABLE_MEMORY, "15Gi", "-1", "before multiplication"),
    amount(key::CAPACITY_CPU, "12080m", "x", "after multiplication"),
    amount(key::CAPACITY_MEMORY, "24Gi", "9E", "after multiplication"),
    amount(key::ALLOCATABLE_CPU, "11", "", "after multiplication; within the capacity"),
    amount(key::ALLOCATABLE_MEMORY, "23Gi", "-1", "after multiplication; within the capacity"),
];
