//! Which line of the file each key stands on, for `berth policy`.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// `section.key` -> line, from 1. Keys of `[[workload]]` are many of one name and left out.
pub(super) fn of(text: &str) -> BTreeMap<String, u32> {
    let mut lines = BTreeMap::new();
    // A text that does not parse is refused elsewhere.
    if let Ok(table) = DeTable::parse(text) {
        walk(text, "", table.get_ref(), &mut lines);
    }
    lines
}

fn walk(text: &str, prefix: &str, table: &DeTable<'_>, lines: &mut BTreeMap<String, u32>) {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) => walk(text, &format!("{name}."), inner, lines),
            DeValue::Array(_) => {}
            _ => drop(lines.insert(name, line_of(text, value))),
        }
    }
}

fn line_of(text: &str, value: &Spanned<DeValue<'_>>) -> u32 {
    let before = text.get(..value.span().start).unwrap_or(text);
    let n_before = before.bytes().filter(|byte| *byte == b'\n').count();
    u32::try_from(n_before).unwrap_or(u32::MAX).saturating_add(1)
}
