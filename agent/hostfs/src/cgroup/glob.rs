//! Matching cgroup paths against the patterns of a config file. Pure.
//!
//! `*` is any run of characters inside one component, `?` is one character, a component `**` is
//! any number of components, none included. Everything else stands for itself: systemd writes
//! brackets, `@` and `\x2d` into names. `/kubepods/burstable/*` matches the pods and not their
//! containers; `/kubepods/**` also matches `/kubepods`.

/// Whether `path` is one that `pattern` means. Linear in practice, never exponential.
pub fn glob_matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = components(pattern).collect();
    let path: Vec<&str> = components(path).collect();
    wildcard(&pattern, &path, |part| *part == "**", |part, name| component_matches(part, name))
}

fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}

fn component_matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    wildcard(&pattern, &name, |c| *c == '*', |p, c| *p == '?' || p == c)
}

/// Matches with "any run" items by going back to the last one only, which is enough because an
/// earlier one can never need more than the later one can take.
fn wildcard<P, T>(
    pattern: &[P],
    items: &[T],
    any_run: impl Fn(&P) -> bool,
    one: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut p, mut i) = (0, 0);
    let mut last_run: Option<(usize, usize)> = None;
    while i < items.len() {
        match pattern.get(p) {
            Some(part) if any_run(part) => {
                last_run = Some((p, i));
                p += 1;
            }
            Some(part) if one(part, &items[i]) => {
                p += 1;
                i += 1;
            }
            _ => match last_run {
                Some((run, taken)) => {
                    last_run = Some((run, taken + 1));
                    p = run + 1;
                    i = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(any_run)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pattern: &str, path: &str, expected: bool) {
        assert_eq!(glob_matches(pattern, path), expected, "{pattern} on {path}");
    }

    #[test]
    fn stars_stay_inside_a_component() {
        check("/kubepods/burstable/*", "/kubepods/burstable/pod1", true);
        check("/kubepods/burstable/*", "/kubepods/burstable", false);
        check("/kubepods/burstable/*", "/kubepods/burstable/pod1/c1", false);
        check("/kubepods/*/pod?", "/kubepods/besteffort/pod7", true);
        check("/kubepods/*/pod?", "/kubepods/besteffort/pod77", false);
        check("/batch-*.slice", "/batch-a.slice", true);
        check("/batch-*.slice", "/batch-.slice", true);
        check("/batch-*.slice", "/batch-a.slice/x", false);
        check("/*a*b", "/xaxxaxb", true);
        check("/*a*b", "/xaxxaxbc", false);
    }

    #[test]
    fn double_stars_cross_components() {
        check("/**", "/", true);
        check("/**", "/a/b/c", true);
        check("/a/**", "/a", true);
        check("/a/**/z", "/a/z", true);
        check("/a/**/z", "/a/b/c/z", true);
        check("/a/**/z", "/a/b/c/y", false);
        check("/**/c/**/e", "/a/c/c/d/e", true);
        check("/a**", "/ab", true);
        check("/a**", "/ab/c", false);
    }

    #[test]
    fn everything_else_stands_for_itself() {
        check("/", "/", true);
        check("/", "/a", false);
        check("", "/", true);
        check("/a", "/a/", true);
        check("/A", "/a", false);
        check(r"/dev-disk\x2d1.slice", r"/dev-disk\x2d1.slice", true);
        check("/[ab]", "/a", false);
        check("/[ab]", "/[ab]", true);
        check("/é?", "/éé", true);
    }

    /// Tries every split; shares nothing with the tested code but the meaning.
    fn slow(pattern: &[&str], path: &[&str]) -> bool {
        fn name(p: &[u8], n: &[u8]) -> bool {
            match (p.split_first(), n.split_first()) {
                (None, None) => true,
                (Some((b'*', rest)), _) => (0..=n.len()).any(|taken| name(rest, &n[taken..])),
                (Some((b'?', p)), Some((_, n))) => name(p, n),
                (Some((a, p)), Some((b, n))) => a == b && name(p, n),
                _ => false,
            }
        }
        match (pattern.split_first(), path.split_first()) {
            (None, None) => true,
            (Some((&"**", rest)), _) => (0..=path.len()).any(|taken| slow(rest, &path[taken..])),
            (Some((p, rest)), Some((n, names))) => {
                name(p.as_bytes(), n.as_bytes()) && slow(rest, names)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_trying_every_split(
            pattern in prop::collection::vec("[ab*?]{1,4}", 0..5),
            path in prop::collection::vec("[ab]{1,4}", 0..5),
        ) {
            let fast = glob_matches(&pattern.join("/"), &path.join("/"));
            let pattern: Vec<&str> = pattern.iter().map(String::as_str).collect();
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            prop_assert_eq!(fast, slow(&pattern, &path));
        }

        #[test]
        fn no_text_panics(
            pattern in crate::parse::tests::arb_text(),
            path in crate::parse::tests::arb_text(),
        ) {
            glob_matches(&pattern, &path);
        }
    }

    #[test]
    fn many_stars_end_soon() {
        let pattern = "/**".repeat(200) + "/x" + &"*a".repeat(200);
        check(&pattern, &"/a".repeat(2000), false);
        check(
            &("/".to_owned() + &"*a".repeat(100)),
            &("/".to_owned() + &"a".repeat(5000) + "b"),
            false,
        );
    }
}
