//! The arithmetic of pool sizes: whole CPUs for requests, proportional where they do not fit. All
//! remainders go where they are largest and then to the first, so that equal input gives equal
//! output (Katalyst's generateProportionalPools and its provision assembler, which walk maps).

use model::MilliCpu;

/// More CPUs are to overlap than the pools have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{need} CPUs are to overlap, the pools have {total}")]
pub struct OverlapError {
    pub need: usize,
    pub total: usize,
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
