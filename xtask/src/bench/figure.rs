//! A figure for people: its key without the unit, its value with it, three digits that count.

/// A key's ending, the factor on its value, and the steps of its unit, largest first.
type Unit<'a> = (&'a str, f64, &'a [(f64, &'a str)]);

/// `("p99_ms", 12.543)` is `p99 12.5 ms`. A key without a unit is a plain number.
pub(super) fn shown(key: &str, value: f64) -> String {
    let scaled = |steps: &[(f64, &str)]| {
        let step = steps.iter().find(|(unit, _)| value >= *unit).or_else(|| steps.last());
        let (unit, name) = step.copied().unwrap_or((1.0, ""));
        format!("{} {name}", digits(value / unit))
    };
    let nanoseconds: &[(f64, &str)] = &[(1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns")];
    let units: [Unit<'_>; 6] = [
        ("_ns", 1.0, nanoseconds),
        ("_ms", 1.0, &[(1.0, "ms")]),
        ("_bytes", 1.0, &[(1e6, "MB"), (1e3, "kB"), (1.0, "B")]),
        ("_ratio", 100.0, &[]),
        ("_util", 100.0, &[]),
        ("", 1.0, &[]),
    ];
    let (suffix, factor, steps) =
        units.into_iter().find(|(suffix, ..)| key.ends_with(suffix)).unwrap_or(("", 1.0, &[]));
    let name = key.strip_suffix(suffix).unwrap_or(key).replace('_', " ");
    let text = match steps {
        [] if factor == 1.0 => plain(value),
        [] => format!("{} %", digits(value * factor)),
        steps => scaled(steps),
    };
    format!("{name} {text}").trim_start().to_owned()
}

fn plain(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { digits(value) }
}

fn digits(value: f64) -> String {
    match value.abs() {
        value_abs if value_abs >= 100.0 => format!("{value:.0}"),
        value_abs if value_abs >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[track_caller]
    fn check(key: &str, value: f64, expect: &str) {
        assert_eq!(shown(key, value), expect);
    }

    #[test]
    fn figures() {
        check("p99_ms", 12.543, "p99 12.5 ms");
        check("max_ms", 0.0461, "max 0.05 ms");
        check("median_ns", 697_412.3, "median 697 us");
        check("median_ns", 0.5, "median 0.50 ns");
        check("rss_bytes", 18_600_000.0, "rss 18.6 MB");
        check("guest_cpu_ratio", 0.071, "guest cpu 7.10 %");
        check("node_cpu_util", 0.9963, "node cpu 99.6 %");
        check("events", 251.0, "events 251");
        check("instructions", 1_780_983.4, "instructions 1780983");
        check("seconds", 30.0, "seconds 30");
        check("_ratio", 2.0, "200 %");
    }
}
