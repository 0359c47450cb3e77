//! Quantities as people read them. A value that is not known is `-`, never `0`.

/// What stands for "not known".
pub(crate) const MISSING: &str = "-";

pub(crate) fn or_missing<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| MISSING.to_owned(), text)
}

/// A duration with at most three digits before its unit: `850ns`, `12us`, `2.4ms`, `1.2s`.
pub(crate) fn duration(nanos: u64) -> String {
    match nanos {
        0..1_000 => format!("{nanos}ns"),
        1_000..10_000 => tenths(nanos, 1_000, "us"),
        10_000..1_000_000 => format!("{}us", nanos / 1_000),
        1_000_000..100_000_000 => tenths(nanos, 1_000_000, "ms"),
        100_000_000..1_000_000_000 => format!("{}ms", nanos / 1_000_000),
        _ => tenths(nanos, 1_000_000_000, "s"),
    }
}

fn tenths(value: u64, unit: u64, name: &str) -> String {
    format!("{}.{}{name}", value / unit, value % unit * 10 / unit)
}

/// How long ago: `0.4s`, `12s`, `3m05s`, `2h07m`, `3d04h`.
pub(crate) fn age(nanos: u64) -> String {
    let secs = nanos / 1_000_000_000;
    match secs {
        0..10 => tenths(nanos, 1_000_000_000, "s"),
        10..60 => format!("{secs}s"),
        60..3_600 => format!("{}m{:02}s", secs / 60, secs % 60),
        3_600..86_400 => format!("{}h{:02}m", secs / 3_600, secs % 3_600 / 60),
        _ => format!("{}d{:02}h", secs / 86_400, secs % 86_400 / 3_600),
    }
}

/// CPUs with two decimals: `0.40`, `12.00`.
pub(crate) fn cpus(milli_cpu: u64) -> String {
    format!("{}.{:02}", milli_cpu / 1_000, milli_cpu % 1_000 / 10)
}

/// `512 B`, `20 MiB`, `3.1 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut scaled = bytes as f64 / 1024.0;
    let mut unit_idx = 0;
    while scaled >= 1023.5 && unit_idx + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit_idx += 1;
    }
    match scaled < 10.0 {
        true => format!("{scaled:.1} {}", UNITS[unit_idx]),
        false => format!("{scaled:.0} {}", UNITS[unit_idx]),
    }
}

/// `73 %`, below ten with one decimal: `0.4 %`.
pub(crate) fn percent(pct: f64) -> String {
    match pct.abs() < 9.95 {
        true => format!("{pct:.1} %"),
        false => format!("{pct:.0} %"),
    }
}

/// Shares in tenths of a percent that sum to exactly 1000: each is rounded down, and what is left
/// goes to those that lost most (largest remainder).
pub(crate) fn per_mille(parts: &[u64]) -> Vec<u64> {
    let total: u128 = parts.iter().map(|part| u128::from(*part)).sum();
    if total == 0 {
        return vec![0; parts.len()];
    }
    let scaled = |part: &u64| u128::from(*part) * 1000;
    let mut shares: Vec<u64> = parts.iter().map(|part| (scaled(part) / total) as u64).collect();
    let n_left = 1000 - shares.iter().sum::<u64>();
    let mut by_loss: Vec<usize> = (0..parts.len()).collect();
    by_loss.sort_by_key(|idx| std::cmp::Reverse(scaled(&parts[*idx]) % total));
    for idx in by_loss.into_iter().take(n_left as usize) {
        shares[idx] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantities_read_well() {
        let rows: &[(String, &str)] = &[
            (duration(0), "0ns"),
            (duration(999), "999ns"),
            (duration(1_000), "1.0us"),
            (duration(12_345), "12us"),
            (duration(999_999), "999us"),
            (duration(2_440_000), "2.4ms"),
            (duration(99_999_999), "99.9ms"),
            (duration(123_456_789), "123ms"),
            (duration(61_000_000_000), "61.0s"),
            (age(0), "0.0s"),
            (age(9_990_000_000), "9.9s"),
            (age(59_000_000_000), "59s"),
            (age(185_000_000_000), "3m05s"),
            (age(7_620_000_000_000), "2h07m"),
            (age(273_600_000_000_000), "3d04h"),
            (cpus(0), "0.00"),
            (cpus(405), "0.40"),
            (cpus(12_000), "12.00"),
            (bytes(0), "0 B"),
            (bytes(1_023), "1023 B"),
            (bytes(1_024), "1.0 KiB"),
            (bytes(20 << 20), "20 MiB"),
            (bytes((1 << 30) - 1), "1.0 GiB"),
            (bytes(3 << 30), "3.0 GiB"),
            (bytes(u64::MAX), "16777216 TiB"),
            (percent(0.44), "0.4 %"),
            (percent(9.96), "10 %"),
            (percent(100.0), "100 %"),
            (or_missing(None::<u64>, cpus), "-"),
        ];
        for (got, expect) in rows {
            assert_eq!(got, expect);
        }
    }

    #[test]
    fn remainders_go_to_the_largest_losers() {
        assert_eq!(per_mille(&[1, 1, 1]), [334, 333, 333]);
        assert_eq!(per_mille(&[2, 1]), [667, 333]);
        assert_eq!(per_mille(&[]), [0; 0]);
        assert_eq!(per_mille(&[0, 0]), [0, 0]);
    }

    proptest! {
        #[test]
        fn shares_always_sum_to_the_whole(parts in proptest::collection::vec(any::<u64>(), 1..40)) {
            prop_assume!(parts.iter().any(|part| *part > 0));
            let shares = per_mille(&parts);
            prop_assert_eq!(shares.iter().sum::<u64>(), 1000);
            let total: f64 = parts.iter().map(|part| *part as f64).sum();
            for (share, part) in shares.iter().zip(&parts) {
                prop_assert!((*share as f64 - *part as f64 / total * 1000.0).abs() <= 1.001);
            }
        }
    }
}
