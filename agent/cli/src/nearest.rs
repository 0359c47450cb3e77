//! "Did you mean": names close to one that does not exist.

/// More suggestions than this are a list, not a hint.
const MAX_SUGGESTIONS: usize = 3;

/// The names nearest to `wanted`, best first: those that contain it, then those within a third of
/// its length in edits.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut ranked: Vec<(usize, &str)> = names
        .filter_map(|name| {
            let n_edits = match !wanted.is_empty() && name.contains(wanted) {
                true => 0,
                false => edits(wanted, name),
            };
            (n_edits <= wanted.chars().count().div_ceil(3)).then_some((n_edits, name))
        })
        .collect();
    ranked.sort();
    ranked.into_iter().take(MAX_SUGGESTIONS).map(|(_, name)| name.to_owned()).collect()
}

/// Edits that turn one into the other; swapping two neighbours is one edit, as it is one slip of
/// the fingers (optimal string alignment).
fn edits(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().collect();
    let to: Vec<char> = to.chars().collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=to.len()).collect()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wanted: &str, names: &[&str], expect: &[&str]) {
        assert_eq!(nearest(wanted, names.iter().copied()), expect);
    }

    #[test]
    fn close_names_are_offered_and_far_ones_are_not() {
        let names = ["web", "web-canary", "batch/one", "batch/two", "db"];
        check("wbe", &names, &["web"]);
        check("wep", &names, &["web"]);
        check("batch", &names, &["batch/one", "batch/two"]);
        check("batch/oen", &names, &["batch/one", "batch/two"]);
        check("WEB", &names, &[]);
        check("", &names, &[]);
        check("web", &[], &[]);
        check("canary", &names, &["web-canary"]);
    }

    #[test]
    fn distances() {
        for (from, to, expect) in
            [("", "", 0), ("a", "", 1), ("", "abc", 3), ("kitten", "sitting", 3), ("ab", "ba", 1)]
        {
            assert_eq!(edits(from, to), expect, "{from} {to}");
            assert_eq!(edits(to, from), expect, "{to} {from}");
        }
    }
}
