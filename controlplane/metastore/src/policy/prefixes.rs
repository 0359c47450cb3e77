//! Which of some prefixes a key begins with: one binary search, and a step for each prefix that begins with another one. Pure.

/// Prefixes by their place in the list that they were made of.
#[derive(Clone, Debug, Default)]
pub struct Prefixes {
    sorted: Vec<Prefix>,
}

#[derive(Clone, Debug)]
struct Prefix {
    text: Vec<u8>,
    nth: usize,
    /// The longest other one that this one begins with.
    outer: Option<usize>,
}

impl Prefixes {
    /// All different.
    pub fn new<P: AsRef<[u8]>>(prefixes: &[P]) -> Prefixes {
        let all = prefixes.iter().enumerate();
        let all = all.map(|(nth, text)| Prefix { text: text.as_ref().to_vec(), nth, outer: None });
        let mut sorted: Vec<Prefix> = all.collect();
        sorted.sort_by(|one, other| one.text.cmp(&other.text));
        for place in 0..sorted.len() {
            let text = sorted[place].text.clone();
            sorted[place].outer =
                (0..place).rev().find(|before| text.starts_with(&sorted[*before].text));
        }
        Prefixes { sorted }
    }

    /// Those that a key begins with, the longest first.
    pub fn of<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        let behind = self.sorted.partition_point(|prefix| prefix.text.as_slice() <= key);
        // Whatever lies between a key and its longest prefix begins with that prefix, so it is on the way outwards.
        let mut at = behind.checked_sub(1);
        std::iter::from_fn(move || {
            loop {
                let prefix = self.sorted.get(at?)?;
                at = prefix.outer;
                if key.starts_with(&prefix.text) {
                    return Some(prefix.nth);
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(prefixes: &[&str], key: &str, expected: &[usize]) {
        let found: Vec<usize> = Prefixes::new(prefixes).of(key.as_bytes()).collect();
        assert_eq!(found, expected, "{key} in {prefixes:?}");
    }

    #[test]
    fn the_longest_is_first() {
        let some = ["/registry/", "/registry/events/", "/registry/pods/", "/registry/pods/a/"];
        check(&[], "a", &[]);
        check(&[""], "", &[0]);
        check(&some, "/registry/events/x", &[1, 0]);
        check(&some, "/registry/pods/a/b", &[3, 2, 0]);
        check(&some, "/registry/pods/b", &[2, 0]);
        check(&some, "/registry/zzz", &[0]);
        check(&some, "/registr", &[]);
        check(&some, "/zzz", &[]);
    }

    proptest! {
        #[test]
        fn as_if_each_were_tried(
            prefixes in prop::collection::btree_set("[ab]{0,3}", 0..8),
            key in "[ab]{0,5}",
        ) {
            let prefixes: Vec<String> = prefixes.into_iter().collect();
            let mut expected: Vec<usize> =
                (0..prefixes.len()).filter(|nth| key.starts_with(&prefixes[*nth])).collect();
            expected.sort_by_key(|nth| std::cmp::Reverse(prefixes[*nth].len()));
            let found: Vec<usize> = Prefixes::new(&prefixes).of(key.as_bytes()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
