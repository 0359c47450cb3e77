//! `berth explain NAME`: where it is now and why, then the newest recorded decisions with their inputs.

use std::fmt::Write;

use proto::v1::{ExplainedDecision, Explanation, Finding, NameKind};

use super::{Hue, Look};
use crate::units::age;

/// With at most `n_newest` decisions, or all for 0.
pub(crate) fn explain(reply: &Explanation, n_newest: usize, look: Look) -> String {
    let mut text = String::new();
    heading(&mut text, reply);
    for finding in &reply.findings {
        text += &look.paint.with(Hue::Yellow, &finding_line(finding));
        text.push('\n');
    }
    let n = reply.decisions.len();
    let n_older = if n_newest == 0 { 0 } else { n.saturating_sub(n_newest) };
    // writing to a String cannot fail
    let _ = match (n, n_older) {
        (0, _) => writeln!(text, "\nno decision that the agent remembers concerns it"),
        (_, 0) => writeln!(text, "\n{n} recorded decisions, oldest first:"),
        _ => writeln!(
            text,
            "\nthe newest {n_newest} of {n} recorded decisions (-n 0 shows all), oldest first:"
        ),
    };
    for explained in reply.decisions.iter().skip(n_older) {
        decision(&mut text, explained, reply.now_mono_ns, look);
    }
    text
}

fn heading(text: &mut String, reply: &Explanation) {
    let kind = match reply.kind() {
        NameKind::Workload => "workload",
        NameKind::Pool => "pool",
        NameKind::Rule => "rule",
        NameKind::Unspecified => "name",
    };
    let name = &reply.name;
    let _ = match &reply.placement {
        Some(placement) if placement.cpus.is_empty() => {
            writeln!(text, "{kind} {name}: no CPUs")
        }
        Some(placement) if placement.qos.is_empty() => {
            writeln!(text, "{kind} {name}: CPUs {}", placement.cpus)
        }
        Some(placement) => writeln!(
            text,
            "{kind} {name} ({}): pool {}, CPUs {}",
            placement.qos, placement.pool, placement.cpus
        ),
        None if reply.kind() == NameKind::Workload => {
            writeln!(text, "{kind} {name}: no plan places it")
        }
        None => writeln!(text, "{kind} {name}"),
    };
    for reason in reply.placement.iter().flat_map(|placement| &placement.reasons) {
        let _ = writeln!(text, "  because {reason}");
    }
}

fn finding_line(finding: &Finding) -> String {
    format!("now: {}  [{}]", finding.message, finding.rule)
}

fn decision(text: &mut String, explained: &ExplainedDecision, now_mono_ns: u64, look: Look) {
    let Some(made) = &explained.decision else { return };
    let ago = format!("{} ago", age(now_mono_ns.saturating_sub(made.at_mono_ns)));
    let because = look.paint.with(Hue::Dim, &format!("({})", explained.because));
    let _ = writeln!(text, "\n{ago:>10}  #{}  rule {}  {because}", made.sequence, made.rule);
    let inputs: Vec<String> =
        made.inputs.iter().map(|input| format!("{} = {}", input.name, input.value)).collect();
    for line in inputs.chunks(4) {
        let _ = writeln!(text, "{:>12}{}", "", line.join(", "));
    }
    let _ = writeln!(text, "{:>12}=> {}: {}", "", made.subject, made.result);
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proto::v1::Placement;

    use super::*;
    use crate::fixture;
    use crate::render::{Detail, Paint};

    const LOOK: Look = Look { detail: Detail::Table, paint: Paint::Plain };

    #[track_caller]
    fn check(reply: &Explanation, expect: Expect) {
        expect.assert_eq(&explain(reply, 0, LOOK));
    }

    #[test]
    fn a_workload_with_everything() {
        check(
            &fixture::explanation(),
            expect![[r#"
            workload web (shared_cores): pool share, CPUs 1-3
              because shared_cores work runs in the share pool
              because it asked for 2.00 CPUs and used 2.45 in the last interval
            now: somebody else writes cpu.weight too  [foreign-write]

            2 recorded decisions, oldest first:

             2m05s ago  #41  rule share-grow  (about its pool, share)
                        need = 2.6 CPUs, margin = 1.25
                        => share: grew from 2 to 3 CPUs

              0.5s ago  #42  rule suppress  (about it)
                        need = 2.6 CPUs, margin = 1.25
                        => web: holds reclaimed work at 0.10 CPUs for 1 s
        "#]],
        );
    }

    #[test]
    fn older_decisions_are_counted() {
        let reply = fixture::explanation();
        let text = explain(&reply, 1, LOOK);
        assert!(text.contains("the newest 1 of 2 recorded decisions (-n 0 shows all)"), "{text}");
        assert!(!text.contains("#41") && text.contains("#42"), "{text}");
        assert_eq!(explain(&reply, 2, LOOK), explain(&reply, 0, LOOK));
    }

    #[test]
    fn what_is_missing_is_said() {
        let bare = |kind: NameKind, placement| Explanation {
            name: "x".into(),
            kind: kind.into(),
            placement,
            ..Explanation::default()
        };
        let empty = Placement::default();
        let rows = [
            (bare(NameKind::Workload, None), "workload x: no plan places it\n"),
            (bare(NameKind::Rule, None), "rule x\n"),
            (bare(NameKind::Pool, Some(empty)), "pool x: no CPUs\n"),
        ];
        for (reply, first) in rows {
            let text = explain(&reply, 10, LOOK);
            assert!(text.starts_with(first), "{text}");
            assert!(text.contains("no decision that the agent remembers"), "{text}");
        }
    }
}
