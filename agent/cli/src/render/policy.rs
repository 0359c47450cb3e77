//! `berth policy`: every value with its source; what differs from the built-in one stands out.

use proto::v1::{Policy, PolicySource, PolicyValue};

use super::{Detail, Hue, Look, columns};

pub(crate) fn policy(policy: &Policy, look: Look) -> String {
    let wide = look.detail == Detail::Wide;
    let mut header = vec!["KEY", "VALUE", "SOURCE"];
    if wide {
        header.push("BUILT-IN");
    }
    let rows = policy.values.iter().filter(|row| wide || !row.value.is_empty());
    let rows = rows.map(|row| {
        let mut cells = vec![row.key.clone(), shown(&row.value), source(row, &policy.file)];
        if wide {
            cells.push(shown(&row.built_in));
        }
        cells
    });
    let mut text = columns(&header, &[], rows.collect());
    if policy.file.is_empty() {
        text += &look.paint.with(Hue::Dim, "the agent runs without a configuration file");
        text.push('\n');
    }
    text
}

fn shown(value: &str) -> String {
    if value.is_empty() { "none".to_owned() } else { value.to_owned() }
}

fn source(row: &PolicyValue, file: &str) -> String {
    match row.source() {
        PolicySource::BuiltIn => "built-in".to_owned(),
        PolicySource::File => match row.line {
            Some(line) => format!("{file}:{line}"),
            None => file.to_owned(),
        },
        PolicySource::Command => format!("berth mode (was {})", row.instead_of),
        PolicySource::Host => {
            format!("this host, see `berth doctor` (asked for {})", row.instead_of)
        }
        PolicySource::Unspecified => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::fixture;
    use crate::render::Paint;

    #[track_caller]
    fn check(detail: Detail, expect: Expect) {
        expect.assert_eq(&policy(&fixture::policy(), Look { detail, paint: Paint::Plain }));
    }

    #[test]
    fn each_source_has_its_words() {
        check(
            Detail::Table,
            expect![[r#"
            KEY                 VALUE    SOURCE
            mode                observe  berth mode (was enforce)
            reclaim.weight      1        built-in
            share.usage_margin  1.5      /etc/berth/agent.toml:12
        "#]],
        );
        check(
            Detail::Wide,
            expect![[r#"
            KEY                 VALUE    SOURCE                    BUILT-IN
            mode                observe  berth mode (was enforce)  observe
            reclaim.weight      1        built-in                  1
            reserve.cpuset      none     built-in                  none
            share.usage_margin  1.5      /etc/berth/agent.toml:12  1.25
        "#]],
        );
    }

    #[test]
    fn no_file() {
        let look = Look { detail: Detail::Table, paint: Paint::Plain };
        let text = policy(&Policy { file: String::new(), values: Vec::new() }, look);
        assert!(text.ends_with("the agent runs without a configuration file\n"), "{text}");
    }
}
