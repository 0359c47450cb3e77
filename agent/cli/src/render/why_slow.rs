//! `berth why-slow`: one bar per cause, a total that is always 100.0 %, the verdict, what to do.

use std::fmt::Write;

use proto::v1::{Cause, CauseKind, WhySlowReport};

use super::{Hue, Look};
use crate::units::{duration, per_mille};

/// A bar of this many cells is 100 %.
const BAR_CELLS: u64 = 40;
/// Offenders beyond this many share one line; their sum is what counts.
const MAX_OFFENDERS: usize = 12;

pub(crate) fn why_slow(report: &WhySlowReport, look: Look) -> String {
    let mut text = headline(report);
    let rows = rows(&report.causes);
    let shares = per_mille(&rows.iter().map(|row| row.wait_ns).collect::<Vec<_>>());
    let label_cells = rows.iter().map(|row| row.label.chars().count()).max().unwrap_or(0).max(5);
    if !rows.is_empty() {
        text.push('\n');
        for (row, share) in rows.iter().zip(&shares) {
            let n_full = (share * BAR_CELLS).div_ceil(1000) as usize;
            let bar = look.paint.with(row.hue, &"█".repeat(n_full));
            push_row(&mut text, (&row.label, label_cells), *share, row.wait_ns, &bar);
        }
        let (all, waited) = (shares.iter().sum(), rows.iter().map(|row| row.wait_ns).sum());
        push_row(&mut text, ("total", label_cells), all, waited, "");
    }
    // writing to a String cannot fail
    let _ = write!(text, "\n{}\nWhat to do: {}\n", report.verdict, report.advice);
    text
}

fn headline(report: &WhySlowReport) -> String {
    let waited = duration(report.wait_total_ns);
    let mut text = format!("{} ({}) waited {waited} for a CPU", report.workload, report.qos);
    if let (Some(p50), Some(p99)) = (report.wait_p50_ns, report.wait_p99_ns) {
        let _ = write!(text, "; p50 {}, p99 {}", duration(p50), duration(p99));
    }
    if let Some(target_us) = report.target_wait_p99_us {
        let _ = write!(text, ", target {}", duration(target_us.saturating_mul(1000)));
    }
    text.push('\n');
    text
}

fn push_row(text: &mut String, label: (&str, usize), share: u64, wait_ns: u64, bar: &str) {
    let (name, cells) = label;
    let pct = format!("{}.{} %", share / 10, share % 10);
    let line = format!("  {name:<cells$}  {pct:>7}  {:>7}  {bar}", duration(wait_ns));
    text.push_str(line.trim_end());
    text.push('\n');
}

struct Row {
    label: String,
    wait_ns: u64,
    hue: Hue,
}

fn rows(causes: &[Cause]) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut n_offenders = 0;
    let mut rest: (usize, u64) = (0, 0);
    for cause in causes {
        if cause.kind() == CauseKind::Offender {
            n_offenders += 1;
            if n_offenders > MAX_OFFENDERS {
                rest = (rest.0 + 1, rest.1 + cause.wait_ns);
                continue;
            }
        }
        let (label, hue) = label(cause);
        rows.push(Row { label, wait_ns: cause.wait_ns, hue });
    }
    if rest.0 > 0 {
        let label = format!("{} more workloads", rest.0);
        rows.push(Row { label, wait_ns: rest.1, hue: Hue::Red });
    }
    rows
}

fn label(cause: &Cause) -> (String, Hue) {
    let (text, hue) = match cause.kind() {
        CauseKind::Offender => {
            let name = cause.workload.as_deref().unwrap_or("(a workload that is gone)");
            (name, Hue::Red)
        }
        CauseKind::OwnThrottle => ("(own cpu.max)", Hue::Yellow),
        CauseKind::OwnGroup => ("(own threads, pool too small)", Hue::Yellow),
        CauseKind::IdleOrSteal => ("(idle, steal, interrupts)", Hue::Dim),
        CauseKind::Untracked => ("(outside all workloads)", Hue::Yellow),
        CauseKind::Unknown | CauseKind::Unspecified => ("(unknown)", Hue::Dim),
    };
    (text.to_owned(), hue)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::fixture;
    use crate::render::{Detail, Paint};

    #[track_caller]
    fn check(report: &WhySlowReport, expect: Expect) {
        let look = Look { detail: Detail::Table, paint: Paint::Plain };
        expect.assert_eq(&why_slow(report, look));
    }

    #[test]
    fn bars_sum_to_the_whole() {
        check(
            &fixture::why_slow(),
            expect![[r#"
            web (shared_cores) waited 820ms for a CPU; p50 12us, p99 8.4ms, target 5.0ms

              batch/one                       74.4 %    610ms  ██████████████████████████████
              (own threads, pool too small)   18.3 %    150ms  ████████
              (outside all workloads)          4.9 %   40.0ms  ██
              (idle, steal, interrupts)        1.8 %   15.0ms  █
              (unknown)                        0.6 %    5.0ms  █
              total                          100.0 %    820ms

            74 % of its waiting was because batch/one ran on the CPU.
            What to do: Give batch/one a lower QoS level or another pool, or let Berth enforce.
        "#]],
        );
    }

    #[test]
    fn three_equal_thirds_are_still_one_hundred() {
        let mut report = fixture::why_slow();
        for cause in &mut report.causes {
            cause.wait_ns = 7;
        }
        report.causes.truncate(3);
        check(
            &report,
            expect![[r#"
            web (shared_cores) waited 820ms for a CPU; p50 12us, p99 8.4ms, target 5.0ms

              batch/one                       33.4 %      7ns  ██████████████
              (own threads, pool too small)   33.3 %      7ns  ██████████████
              (outside all workloads)         33.3 %      7ns  ██████████████
              total                          100.0 %     21ns

            74 % of its waiting was because batch/one ran on the CPU.
            What to do: Give batch/one a lower QoS level or another pool, or let Berth enforce.
        "#]],
        );
    }

    #[test]
    fn no_wait_has_no_bars() {
        let mut report = fixture::why_slow();
        report.causes.clear();
        (report.wait_total_ns, report.wait_p50_ns, report.target_wait_p99_us) = (0, None, None);
        report.verdict = "It did not wait for a CPU in the last interval.".into();
        check(
            &report,
            expect![[r#"
            web (shared_cores) waited 0ns for a CPU

            It did not wait for a CPU in the last interval.
            What to do: Give batch/one a lower QoS level or another pool, or let Berth enforce.
        "#]],
        );
    }

    #[test]
    fn many_offenders_are_summed() {
        let mut report = fixture::why_slow();
        let hog = report.causes[0].clone();
        report.causes = (0..20)
            .map(|idx| Cause { workload: Some(format!("hog-{idx}")), ..hog.clone() })
            .collect();
        let look = Look { detail: Detail::Table, paint: Paint::Plain };
        let text = why_slow(&report, look);
        assert!(text.contains("8 more workloads   40.0 %"), "{text}");
        assert!(text.contains("100.0 %"), "{text}");
    }
}
