//! Who may read and write what, by the name in his certificate. Pure; a range is allowed where it lies in one allowed prefix as a whole.
//!
//! The rules of `*` are everybody's, also of those who have rules of their own and of those who show no certificate.

use std::collections::BTreeMap;

use crate::index::{End, KeyRange};

/// Rules by common name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    named: BTreeMap<String, Rights>,
    everybody: Rights,
}

/// What somebody may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Prefixes; the empty one is all keys.
    pub read: Vec<String>,
    pub write: Vec<String>,
    /// Compaction, alarms, hashes, snapshots.
    pub admin: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Read,
    Write,
}

/// In a policy file: all clients.
pub const EVERYBODY: &str = "*";

impl Clients {
    /// Rules of one name come together.
    pub fn new(rules: impl IntoIterator<Item = (String, Rights)>) -> Clients {
        let mut clients = Clients::default();
        for (name, rights) in rules {
            match name.as_str() {
                EVERYBODY => clients.everybody.extend(&rights),
                _ => clients.named.entry(name).or_default().extend(&rights),
            }
        }
        let everybody = &clients.everybody;
        clients.named.values_mut().for_each(|rights| rights.extend(everybody));
        clients
    }

    /// `None` shows no certificate, or one without a name.
    pub fn rights_of(&self, name: Option<&str>) -> &Rights {
        name.and_then(|name| self.named.get(name)).unwrap_or(&self.everybody)
    }
}

impl Rights {
    pub fn allow(&self, wish: Wish, range: &KeyRange) -> bool {
        let prefixes = match wish {
            Wish::Read => &self.read,
            Wish::Write => &self.write,
        };
        prefixes.iter().any(|prefix| is_inside(range, prefix.as_bytes()))
    }

    /// Whether there is anything that may be done.
    pub fn is_empty(&self) -> bool {
        self.read.is_empty() && self.write.is_empty() && !self.admin
    }

    fn extend(&mut self, other: &Rights) {
        self.read.extend_from_slice(&other.read);
        self.write.extend_from_slice(&other.write);
        self.admin |= other.admin;
    }
}

/// Whether every key of a range begins with a prefix. An empty range has no key, and is judged by where it begins.
pub fn is_inside(range: &KeyRange, prefix: &[u8]) -> bool {
    if !range.start.starts_with(prefix) {
        return false;
    }
    match &range.end {
        End::Single => true,
        End::Before(_) if range.is_empty() => true,
        End::Before(end) => match behind(prefix) {
            Some(behind) => **end <= *behind,
            None => true,
        },
        End::Unbounded => behind(prefix).is_none(),
    }
}

/// The first key after all that begin with a prefix; `None` where there is none.
fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < 0xff)?;
    let mut behind = prefix[..=last].to_vec();
    behind[last] += 1;
    Some(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prefix: &[u8], key: &'static [u8], end: &'static [u8], expected: bool) {
        let range = KeyRange::of_request(key.into(), end.into());
        assert_eq!(is_inside(&range, prefix), expected, "{range:?} in {prefix:?}");
    }

    #[test]
    fn a_range_is_inside_as_a_whole() {
        check(b"/a/", b"/a/", b"", true);
        check(b"/a/", b"/a/b", b"", true);
        check(b"/a/", b"/a", b"", false);
        check(b"/a/", b"/a/", b"/a0", true);
        check(b"/a/", b"/a/b", b"/a/c", true);
        check(b"/a/", b"/a/", b"/a1", false);
        check(b"/a/", b"/a/", b"/a00", false);
        check(b"/a/", b"/a", b"/a0", false);
        check(b"/a/", b"/a/", b"\0", false);
        check(b"/a/", b"\0", b"\0", false);
        check(b"/a/", b"/a/z", b"/a/b", true);
        check(b"", b"\0", b"\0", true);
        check(b"", b"", b"x", true);
        check(b"\xff", b"\xff\x01", b"\0", true);
        check(b"\xff", b"\xfe", b"\0", false);
        check(b"a\xff", b"a\xff", b"b", true);
        check(b"a\xff", b"a\xff", b"b\0", false);
    }

    #[test]
    fn everybodys_rules_are_also_those_of_who_has_his_own() {
        let rights = |read: &[&str], write: &[&str], admin| Rights {
            read: read.iter().map(|&text| text.to_owned()).collect(),
            write: write.iter().map(|&text| text.to_owned()).collect(),
            admin,
        };
        let clients = Clients::new([
            ("api".to_owned(), rights(&["/registry/"], &[], false)),
            ("*".to_owned(), rights(&["/public/"], &[], false)),
            ("api".to_owned(), rights(&[], &["/registry/"], true)),
        ]);
        let of = |name| clients.rights_of(name).clone();
        assert_eq!(of(None), rights(&["/public/"], &[], false));
        assert_eq!(of(Some("other")), rights(&["/public/"], &[], false));
        assert_eq!(of(Some("*")), rights(&["/public/"], &[], false));
        assert_eq!(of(Some("api")), rights(&["/registry/", "/public/"], &["/registry/"], true));
        assert!(Clients::default().rights_of(Some("api")).is_empty());
    }
}
