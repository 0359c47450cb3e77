//! `berth decisions`: one line per decision, oldest first.

use std::fmt::Write;

use proto::v1::{Decision, Decisions};

use super::{Detail, Hue, Look};
use crate::units::age;

pub(crate) fn decisions(reply: &Decisions, look: Look) -> String {
    let mut text = String::new();
    if reply.n_lost > 0 {
        let gap = format!("({} decisions before these are forgotten)", reply.n_lost);
        text.push_str(&look.paint.with(Hue::Dim, &gap));
        text.push('\n');
    }
    for decision in &reply.decisions {
        line(&mut text, decision, reply.now_mono_ns, look);
    }
    text
}

fn line(text: &mut String, decision: &Decision, now_mono_ns: u64, look: Look) {
    let ago = format!("{} ago", age(now_mono_ns.saturating_sub(decision.at_mono_ns)));
    let Decision { sequence, rule, subject, result, .. } = decision;
    // writing to a String cannot fail
    let _ = writeln!(text, "{ago:>10}  #{sequence:<5} {subject}: {result}  [{rule}]");
    if look.detail == Detail::Wide {
        for input in &decision.inputs {
            let _ = writeln!(text, "{:>19}{} = {}", "", input.name, input.value);
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::fixture;
    use crate::render::Paint;

    #[track_caller]
    fn check(detail: Detail, n_lost: u64, expect: Expect) {
        let reply = Decisions { n_lost, ..fixture::decisions() };
        expect.assert_eq(&decisions(&reply, Look { detail, paint: Paint::Plain }));
    }

    #[test]
    fn nothing_is_said_of_forgotten_decisions_when_there_are_none() {
        let reply = Decisions { n_lost: 0, ..fixture::decisions() };
        let text = decisions(&reply, Look { detail: Detail::Table, paint: Paint::Plain });
        assert!(text.starts_with(" 2m05s ago") && !text.contains("forgotten"), "{text}");
    }

    #[test]
    fn lines() {
        // With a line before it, the leading blank of the ages is not taken for indentation.
        check(
            Detail::Table,
            3,
            expect![[r#"
            (3 decisions before these are forgotten)
             2m05s ago  #41    share: grew from 2 to 3 CPUs  [share-grow]
              0.5s ago  #42    web: holds reclaimed work at 0.10 CPUs for 1 s  [suppress]
        "#]],
        );
        check(
            Detail::Wide,
            7,
            expect![[r#"
            (7 decisions before these are forgotten)
             2m05s ago  #41    share: grew from 2 to 3 CPUs  [share-grow]
                               need = 2.6 CPUs
                               margin = 1.25
              0.5s ago  #42    web: holds reclaimed work at 0.10 CPUs for 1 s  [suppress]
                               need = 2.6 CPUs
                               margin = 1.25
        "#]],
        );
    }

    #[test]
    fn none_yet() {
        let look = Look { detail: Detail::Table, paint: Paint::Plain };
        assert_eq!(decisions(&Decisions::default(), look), "");
    }
}
