//! The arithmetic of pool sizes: whole CPUs for requests, proportional where they do not fit. All
//! remainders go where they are largest and then to the first, so that equal input gives equal
//! output (Katalyst's generateProportionalPools and its provision assembler, which walk maps).

use model::MilliCpu;

use crate::tally::PoolTally;

/// What pools divide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub n_cpus: usize,
    /// Share pools grow until all together have so many.
    pub grow_to: Option<usize>,
}

/// What one pool wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    pub asked: MilliCpu,
    pub sized: MilliCpu,
    /// The pool of an isolated pod, and the most it gets.
    pub upper: Option<MilliCpu>,
}

impl Want {
    pub(super) fn of(pool: &PoolTally) -> Want {
        Want { asked: pool.asked, sized: pool.sized, upper: pool.upper }
    }

    /// Whole CPUs; a pool with a pod has one.
    pub(super) fn n_sized(&self) -> usize {
        whole(self.sized.0).max(1)
    }
}

/// More CPUs are to overlap than the pools have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{need} CPUs are to overlap, the pools have {total}")]
pub struct OverlapError {
    pub need: usize,
    pub total: usize,
}

/// Sizes of the share pools of a region and of its isolated pods. `None` when there are more pools
/// than CPUs.
///
/// Share pools come first: what an isolated pod gets over its request never takes a CPU that they
/// ask for or need. Where share pools grow into the rest anyway it is all or nothing, as in
/// Katalyst; otherwise it is as much as fits, since a pod that falls back to its request at once
/// would give CPUs to reclaimed work in the moment a service needs more.
///
/// Worked example: 20 CPUs, a share pool of 15, an isolated pod of 4 to 8. With growth 15 + 8 do not
/// fit: 4, and the pool grows to 16. Without, 20 - 15 = 5 are left for the pod.
pub fn assemble(space: Space, wants: &[Want]) -> Option<Vec<usize>> {
    let sized: Vec<MilliCpu> = wants.iter().map(|want| want.sized).collect();
    let mut sizes = regulate(space.n_cpus, &sized)?;
    let shared = |idx: &usize| wants[*idx].upper.is_none();
    let shares: Vec<usize> = (0..wants.len()).filter(shared).collect();
    let most = |want: &Want| want.upper.map_or(0, |upper| whole(upper.0));
    let grown: Vec<usize> =
        wants.iter().zip(&sizes).map(|(want, size)| most(want).saturating_sub(*size)).collect();
    let asked = shares.iter().map(|idx| wants[*idx].asked.0).fold(0, u64::saturating_add);
    let held: usize = shares.iter().map(|idx| sizes[*idx]).sum();
    let isolated: usize = sizes.iter().sum::<usize>() - held;
    let mut room = space.n_cpus.saturating_sub(isolated).saturating_sub(held.max(whole(asked)));
    let all: usize = grown.iter().fold(0, |sum: usize, more| sum.saturating_add(*more));
    if space.grow_to.is_none() || all <= room {
        for (size, more) in sizes.iter_mut().zip(grown) {
            let more = more.min(room);
            *size += more;
            room -= more;
        }
    }
    Some(match space.grow_to {
        Some(n_cpus) => grow(n_cpus, &shares, &sized, sizes),
        None => sizes,
    })
}

/// Share pools grow, isolated pods do not.
fn grow(n_cpus: usize, shares: &[usize], sized: &[MilliCpu], sizes: Vec<usize>) -> Vec<usize> {
    let held: Vec<usize> = shares.iter().map(|idx| sizes[*idx]).collect();
    let wants: Vec<MilliCpu> = shares.iter().map(|idx| sized[*idx]).collect();
    let isolated = sizes.iter().sum::<usize>() - held.iter().sum::<usize>();
    let mut grown = sizes;
    let share_sizes = expand(n_cpus.saturating_sub(isolated), &wants, &held);
    for (idx, size) in shares.iter().zip(share_sizes) {
        grown[*idx] = size;
    }
    grown
}

/// Sizes for pools that share `n_cpus`: their requests rounded up, at least one each; a proportional
/// part where that is too much, the largest giving way first. `None` when there are more pools than
/// CPUs.
///
/// Worked example: 10 CPUs, requests 9000 and 3000. Together 12, so ceil(7.5) = 8 and ceil(2.5) = 3;
/// 11 is one too many and the largest gives it: 7 and 3.
pub fn regulate(n_cpus: usize, asked: &[MilliCpu]) -> Option<Vec<usize>> {
    if asked.len() > n_cpus {
        return None;
    }
    let exact: Vec<usize> = asked.iter().map(|asked| whole(asked.0).max(1)).collect();
    if exact.iter().fold(0, |sum: usize, size| sum.saturating_add(*size)) <= n_cpus {
        return Some(exact);
    }
    let total: u128 = asked.iter().map(|asked| u128::from(asked.0)).sum();
    let part = |asked: &MilliCpu| {
        let part = (u128::from(asked.0) * n_cpus as u128).div_ceil(total.max(1));
        usize::try_from(part).unwrap_or(n_cpus).max(1)
    };
    let mut sizes: Vec<usize> = asked.iter().map(part).collect();
    while sizes.iter().sum::<usize>() > n_cpus {
        let largest = sizes.iter().copied().max().unwrap_or(0);
        let idx = sizes.iter().position(|size| *size == largest)?;
        sizes[idx] -= 1;
    }
    Some(sizes)
}

/// Lets pools grow into `n_cpus` in proportion to their requests (alike when nobody asks); none
/// shrinks.
pub(super) fn expand(n_cpus: usize, asked: &[MilliCpu], sizes: &[usize]) -> Vec<usize> {
    let held: usize = sizes.iter().sum();
    let extra = n_cpus.saturating_sub(held);
    let nobody = asked.iter().all(|asked| asked.0 == 0);
    let weight = |asked: &MilliCpu| if nobody { 1 } else { u128::from(asked.0) };
    let total: u128 = asked.iter().map(weight).sum::<u128>().max(1);
    let part = |asked| usize::try_from(extra as u128 * weight(asked) / total).unwrap_or(0);
    let mut grown: Vec<usize> = asked.iter().zip(sizes).map(|(a, s)| s + part(a)).collect();
    let rest = n_cpus.saturating_sub(grown.iter().sum::<usize>());
    if extra > 0
        && let Some(heaviest) = largest_first(asked).first()
    {
        grown[*heaviest] += rest;
    }
    grown
}

/// How many CPUs of each pool reclaimed work overlaps, `need` together: ceil of the proportional part
/// from the largest pool on, until nothing is missing.
///
/// Worked example: pools of 9, 8 and 7, need 8. ceil(8*9/24) = 3, ceil(8*8/24) = 3, then 2 are
/// missing, of which the last gives min(ceil(8*7/24) = 3, 2) = 2.
pub fn overlap_sizes(need: usize, pools: &[usize]) -> Result<Vec<usize>, OverlapError> {
    let total: usize = pools.iter().sum();
    if need > total {
        return Err(OverlapError { need, total });
    }
    let mut overlaps = vec![0; pools.len()];
    let mut missing = need;
    let sizes: Vec<MilliCpu> = pools.iter().map(|size| MilliCpu(*size as u64)).collect();
    for idx in largest_first(&sizes) {
        let part = (need * pools[idx]).div_ceil(total.max(1));
        overlaps[idx] = part.min(missing);
        missing -= overlaps[idx];
    }
    Ok(overlaps)
}

fn largest_first(sizes: &[MilliCpu]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|idx| std::cmp::Reverse(sizes[*idx]));
    order
}

fn whole(milli: u64) -> usize {
    usize::try_from(MilliCpu(milli).ceil_cpus()).unwrap_or(usize::MAX)
}
