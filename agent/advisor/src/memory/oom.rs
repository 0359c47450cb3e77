//! Who is killed first: a pod's OOM priority as `oom_score_adj`.
//!
//! # Problem
//! Katalyst's priorities reach the kernel through a hook that stock kernels do not have.
//! `oom_score_adj` is what they have: -1000 is never, 1000 is first, and between them memory counts,
//! one step being a thousandth of the machine (mm/oom_kill.c, `oom_badness`).
//!
//! # Units
//! Priority -300..=300, higher is killed later; score -1000..=1000, lower is killed later.
//!
//! # Approach
//! A line for each level; the lines follow each other, so that the score falls with every priority
//! from -100 on and a pod of a higher level is never before one of a lower:
//!
//! | level | priority | score | kubelet |
//! |---|---|---|---|
//! | reclaimed | -100..=-1 | 1000..=901 | BestEffort: 1000, as the default priority here |
//! | shared | 0..=99 | 900..=9 | Burstable: 2..=999 by request |
//! | dedicated | 100..=199 | -800..=-899 | Guaranteed: -997 |
//! | system | 200..=299 | -900..=-999 | critical: -997 |
//! | never | 300 | -1000 | |
//!
//! Kubelet's -997 of all Guaranteed pods leaves no room for an order, so dedicated pods are above it:
//! one has to have 80 % of the machine before it is compared with anybody. -300 says "do not
//! compare": kubelet's value stays.
//!
//! # Worked example
//! Shared priority 10: 900 - 9 * 10 = 810. Dedicated 150: -700 - 150 = -850.
//!
//! # Limits
//! The kernel adds memory to the score: a shared pod with half of the machine goes before a small
//! reclaimed one when their scores are less than 500 apart.

/// "Do not compare."
pub const NOT_COMPARED: i32 = -300;
/// "Never kill."
pub const NEVER: i32 = 300;

/// The score of a priority; `None` leaves the file alone. What is out of range counts as the end.
pub fn score_adj(priority: i32) -> Option<i16> {
    let score = match priority {
        NOT_COMPARED => return None,
        ..=-101 => 1000,
        -100..=-1 => 900 - priority,
        0..=99 => 900 - 9 * priority,
        100..=299 => -700 - priority,
        NEVER.. => -1000,
    };
    i16::try_from(score).ok()
}
