//! Dedicated pods: which CPUs are theirs, on the nodes that were chosen or anywhere.

use model::ledger::Place;
use model::pod::Ask;
use model::{CpuSet, NumaSet};

use super::{Refusal, pairing};
use crate::hint::{PlacementInput, Rooms};
use crate::take::{self, Cache, TooFew};
use crate::tally::{Tally, Tenant};

/// CPUs on exactly these nodes.
pub(super) fn on_nodes(
    input: &PlacementInput<'_>,
    tally: &Tally,
    ask: &Ask,
    nodes: NumaSet,
) -> Result<Place, Refusal> {
    let impossible = |reason| Refusal::Impossible { reason };
    let rooms = Rooms::new(input.layout, tally, ask).map_err(impossible)?;
    rooms.check(nodes).map_err(impossible)?;
    let cpus = choose(input, tally, ask, nodes, &CpuSet::EMPTY)?;
    Ok(Place::Own { cpus, nodes })
}

/// CPUs of the chosen nodes; `held` are kept as far as they are wanted.
pub(super) fn choose(
    input: &PlacementInput<'_>,
    tally: &Tally,
    ask: &Ask,
    nodes: NumaSet,
    held: &CpuSet,
) -> Result<CpuSet, Refusal> {
    let n_cpus = whole(ask);
    let here = |nodes| input.layout.usable_of(nodes).intersection(&tally.free);
    if ask.wish.numa_exclusive {
        return Ok(here(nodes));
    }
    let too_few = |short: TooFew| Refusal::Impossible { reason: short.to_string() };
    if ask.wish.distribute_evenly {
        let part = n_cpus / nodes.len().max(1);
        let mut all = CpuSet::EMPTY;
        for node in nodes.iter() {
            let free = here(NumaSet::single(node));
            all = all.union(&pick(input, ask, &free, held, part).map_err(too_few)?);
        }
        return Ok(all);
    }
    with_spare(input, tally, ask, nodes, held)
}

/// Packs, but leaves each node what its bound pods asked for.
fn with_spare(
    input: &PlacementInput<'_>,
    tally: &Tally,
    ask: &Ask,
    nodes: NumaSet,
    held: &CpuSet,
) -> Result<CpuSet, Refusal> {
    let too_few = |short: TooFew| Refusal::Impossible { reason: short.to_string() };
    let mut free = CpuSet::EMPTY;
    for (node, sums) in input.layout.nodes.iter().zip(&tally.nodes) {
        if nodes.contains(node.id) {
            let here = node.cpus.intersection(&tally.free);
            free = free.union(&pick(input, ask, &here, held, sums.spare()).map_err(too_few)?);
        }
    }
    pick(input, ask, &free, held, whole(ask)).map_err(too_few)
}

/// `n` CPUs as the pod wishes them, those held first.
fn pick(
    input: &PlacementInput<'_>,
    ask: &Ask,
    free: &CpuSet,
    held: &CpuSet,
    n: usize,
) -> Result<CpuSet, TooFew> {
    match ask.wish.full_pcpus_pairing {
        true => pairing::paired(input, free, held, n),
        false => keep_or_take(input, free, held, n),
    }
}

/// At most `most` of the free CPUs, those held first.
fn leave(input: &PlacementInput<'_>, free: &CpuSet, held: &CpuSet, most: usize) -> CpuSet {
    if free.len() <= most {
        return *free;
    }
    keep_or_take(input, free, held, most).unwrap_or_default()
}

/// `n` CPUs: of those held as many as are wanted, and more from the free ones.
pub(super) fn keep_or_take(
    input: &PlacementInput<'_>,
    free: &CpuSet,
    held: &CpuSet,
    n: usize,
) -> Result<CpuSet, TooFew> {
    let held = held.intersection(free);
    let n_held = held.len();
    if n_held >= n {
        return take::by_topology(input.layout, &held, n, Cache::Align);
    }
    let more = take::by_topology(input.layout, &free.difference(&held), n - n_held, Cache::Align);
    more.map(|more| held.union(&more))
}

/// CPUs from wherever pods with other promises can give them.
pub(super) fn anywhere(
    input: &PlacementInput<'_>,
    tally: &Tally,
    ask: &Ask,
) -> Result<Place, Refusal> {
    let cpus = choose_anywhere(input, tally, ask, &CpuSet::EMPTY)?;
    Ok(Place::Own { cpus, nodes: NumaSet::EMPTY })
}

/// From the part without bound pods first, then from bound nodes.
pub(super) fn choose_anywhere(
    input: &PlacementInput<'_>,
    tally: &Tally,
    ask: &Ask,
    held: &CpuSet,
) -> Result<CpuSet, Refusal> {
    let n_cpus = whole(ask);
    let tenant = Tenant::of(ask);
    let unbound = leave(input, &tally.unbound, held, tally.unbound_spare());
    let mut bound = CpuSet::EMPTY;
    for (node, sums) in input.layout.nodes.iter().zip(&tally.nodes) {
        let tolerated = sums.tenants.iter().all(|other| tenant.tolerates(other));
        if sums.is_bound() && tolerated {
            let here = node.cpus.intersection(&tally.free);
            bound = bound.union(&leave(input, &here, held, sums.spare()));
        }
    }
    let (n_unbound, n_bound) = (unbound.len(), bound.len());
    let has = n_unbound + n_bound;
    if has < n_cpus {
        let (unbound, bound) = (n_unbound, n_bound);
        return Err(Refusal::OwnFull { asked: n_cpus, has, unbound, bound });
    }
    let all = unbound.union(&bound);
    let preferred = if n_unbound >= n_cpus { unbound } else { all };
    let from = preferred.union(&held.intersection(&all));
    let too_few = |short: TooFew| Refusal::Impossible { reason: short.to_string() };
    keep_or_take(input, &from, held, n_cpus).map_err(too_few)
}

fn whole(ask: &Ask) -> usize {
    usize::try_from(ask.cpu.ceil_cpus()).unwrap_or(usize::MAX).max(1)
}
