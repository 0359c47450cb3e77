//! Exact quantiles by rank. A run has a few thousand requests and keeps them all, so nothing has to
//! be put into buckets, and two managers never tie because they share one.

/// The value that `per_mille` thousandths of all values do not exceed (nearest rank); `None` for
/// no values.
pub fn quantile(mut values: Vec<u64>, per_mille: u32) -> Option<u64> {
    values.sort_unstable();
    of_sorted(&values, per_mille)
}

/// The same over values in ascending order, for callers that want several.
pub fn of_sorted(sorted: &[u64], per_mille: u32) -> Option<u64> {
    let rank = (sorted.len() * per_mille.min(1000) as usize).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[u64], per_mille: u32, expect: Option<u64>) {
        assert_eq!(quantile(values.to_vec(), per_mille), expect);
    }

    #[test]
    fn quantiles_by_rank() {
        check(&[], 990, None);
        check(&[7], 990, Some(7));
        check(&[7], 0, Some(7));
        check(&[4, 1, 3, 2], 500, Some(2));
        check(&[4, 1, 3, 2], 1000, Some(4));
        check(&[4, 1, 3, 2], 5000, Some(4));
        // 100 values, rank 99 is the last of the short ones
        let mut values = vec![5_000];
        values.extend(vec![10; 99]);
        check(&values, 990, Some(10));
        check(&values, 991, Some(5_000));
    }
}
