//! Whole cores for dedicated pods with `full_pcpus_pairing`. Packing alone may take the odd threads
//! of one cache where another has whole cores, and a pod that grows may hold odd threads already.

use model::CpuSet;

use super::dedicated::keep_or_take;
use crate::hint::PlacementInput;
use crate::layout::{Core, Layout};
use crate::take::{self, Cache, TooFew};

/// `n` of the free CPUs: as many whole cores as there are in `n`, those held first, then those held
/// in part; the odd threads last.
///
/// Worked example: cores {0,4} {1,5} {2,6}, free all but 4, held 0, `n` 3: no core of 0 is whole, so
/// 1,5, and 0 is the odd thread.
pub(super) fn paired(
    input: &PlacementInput<'_>,
    free: &CpuSet,
    held: &CpuSet,
    n: usize,
) -> Result<CpuSet, TooFew> {
    let layout = input.layout;
    let n_whole = n - n % layout.threads_per_core;
    let mut taken = CpuSet::EMPTY;
    for keep in [Keep::All, Keep::Part, Keep::None] {
        let from = cores(layout, free, held, keep).difference(&taken);
        let missing = (n_whole - taken.len()).min(from.len());
        taken = taken.union(&take::by_topology(layout, &from, missing, Cache::Align)?);
    }
    let odd = keep_or_take(input, &free.difference(&taken), held, n - taken.len())?;
    Ok(taken.union(&odd))
}

/// How much of a core is held.
#[derive(Clone, Copy)]
enum Keep {
    All,
    Part,
    None,
}

/// Whole free cores of which at least so much is held.
fn cores(layout: &Layout, free: &CpuSet, held: &CpuSet, keep: Keep) -> CpuSet {
    let is_wanted = |core: &&Core| {
        let mut threads = core.threads.iter();
        match keep {
            Keep::All => threads.all(|cpu| held.contains(*cpu)),
            Keep::Part => threads.any(|cpu| held.contains(*cpu)),
            Keep::None => true,
        }
    };
    let whole = layout.cores.iter().filter(|core| layout.is_whole_in(core, free));
    whole.filter(is_wanted).flat_map(|core| core.threads.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use model::placement::PlacementPolicy;
    use model::{Timestamp, Topology};

    use super::*;
    use crate::testkit::{cpus, layout_of, machine, offline};

    #[track_caller]
    fn check(machine: &Topology, free: &str, held: &str, n: usize, expect: &str) {
        let policy = PlacementPolicy::default();
        let (layout, ledger) = (layout_of(machine, &policy), model::ledger::Ledger::default());
        let input = PlacementInput {
            now: Timestamp(0),
            layout: &layout,
            policy: &policy,
            ledger: &ledger,
            headroom: None,
        };
        let taken = paired(&input, &cpus(free), &cpus(held), n).expect("enough");
        assert_eq!(taken.to_string(), expect);
    }

    #[test]
    fn whole_cores_come_first_and_odd_threads_last() {
        let four = machine(1, 4, 2);
        check(&four, "0-7", "", 0, "");
        check(&four, "0-7", "", 3, "0-1,4");
        check(&four, "0-3,5-7", "", 2, "1,5");
        // no core of what is held is whole
        check(&four, "0-3,5-7", "0", 2, "1,5");
        check(&four, "0-3,5-7", "0", 3, "0-1,5");
        // a held core stays, one that is held in part is filled up
        check(&four, "0-7", "2,6", 2, "2,6");
        check(&four, "0-7", "2,6", 4, "0,2,4,6");
        check(&four, "0-7", "1,2,6", 4, "1-2,5-6");
        check(&four, "0-7", "1-2,5-6", 2, "1,5");
    }

    #[test]
    fn whole_caches_are_taken_whole() {
        // cores {0,4} {1,5} under one cache, {2,6} {3,7} under the other
        let two = Topology::synthetic(model::topology::Shape {
            sockets: 1,
            nodes_per_socket: 1,
            llcs_per_node: 2,
            cores_per_llc: 2,
            threads_per_core: 2,
            memory_per_node: model::Bytes(1),
        });
        check(&two, "1-3,5-7", "", 4, "2-3,6-7");
    }

    #[test]
    fn the_last_thread_of_a_core_is_no_core() {
        let mut topology = machine(1, 4, 2);
        offline(&mut topology, 4);
        check(&topology, "0-3,5-7", "", 2, "1,5");
        check(&topology, "0-3,5-7", "", 7, "0-3,5-7");
        // a core of one thread is whole where cores are small
        let mut hybrid = machine(1, 4, 1);
        hybrid.efficiency = cpus("2-3");
        check(&hybrid, "1-3", "", 2, "2-3");
    }
}
