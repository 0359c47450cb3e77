//! `berth doctor`: every check, the fix below each that does not hold, one closing line.

use std::fmt::Write;

use proto::v1::{CheckStatus, DoctorReport};

use super::{Hue, Look};

pub(crate) fn doctor(report: &DoctorReport, look: Look) -> String {
    let cells = report.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for check in &report.checks {
        let (word, hue) = match check.status() {
            CheckStatus::Ok => ("ok  ", Hue::Green),
            CheckStatus::Warn => ("warn", Hue::Yellow),
            CheckStatus::Fail | CheckStatus::Unspecified => ("FAIL", Hue::Red),
        };
        let word = look.paint.with(hue, word);
        // writing to a String cannot fail
        let _ = writeln!(text, "{word}  {:<cells$}  {}", check.name, check.detail);
        if !check.fix.is_empty() {
            let _ = writeln!(text, "      {:<cells$}  fix: {}", "", check.fix);
        }
    }
    let count = |wanted| report.checks.iter().filter(|check| check.status() == wanted).count();
    let (n_warn, n_fail) = (count(CheckStatus::Warn), count(CheckStatus::Fail));
    let n_ok = report.checks.len() - n_warn - n_fail;
    let _ = writeln!(text, "{n_ok} ok, {n_warn} to look at, {n_fail} failed");
    text
}

/// True when a script should care.
pub(crate) fn has_failure(report: &DoctorReport) -> bool {
    let holds = [CheckStatus::Ok, CheckStatus::Warn];
    report.checks.iter().any(|check| !holds.contains(&check.status()))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::fixture;
    use crate::render::{Detail, Paint};

    #[test]
    fn each_problem_has_its_fix_below() {
        let report = fixture::doctor();
        let look = Look { detail: Detail::Table, paint: Paint::Plain };
        expect![[r#"
            ok    btf        /sys/kernel/btf/vmlinux, 5.1 MiB
            warn  psi        /proc/pressure/cpu does not exist
                             fix: boot with psi=1 on the kernel command line
            FAIL  cgroup-v2  /sys/fs/cgroup is a v1 hierarchy; the agent can only observe
                             fix: boot with systemd.unified_cgroup_hierarchy=1
            1 ok, 1 to look at, 1 failed
        "#]]
        .assert_eq(&doctor(&report, look));
        assert!(has_failure(&report));
    }

    #[test]
    fn a_warning_is_no_failure_and_a_status_from_the_future_is() {
        let mut report = fixture::doctor();
        report.checks.retain(|check| check.status() != CheckStatus::Fail);
        assert!(!has_failure(&report));
        report.checks[0].status = 99;
        assert!(has_failure(&report));
    }

    #[test]
    fn colours_only_where_asked() {
        let report = fixture::doctor();
        let ansi = Look { detail: Detail::Table, paint: Paint::Ansi };
        assert!(doctor(&report, ansi).contains("\u{1b}[31mFAIL\u{1b}[0m"));
    }
}
