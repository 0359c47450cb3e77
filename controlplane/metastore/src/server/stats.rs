//! What is in a store, by prefix, and who watches: a page of JSON at [`PATH`], for people who look for what fills it. The walk over the keys
//! is one over a state that nobody changes, and lets others go first after every few thousand keys; writers hear nothing of it.

use std::collections::BTreeMap;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::index::{End, KeyRange};
use crate::mvcc::Entry;
use crate::store::{Committed, Store};
use crate::watch::Watched;

pub(super) const PATH: &str = "/debug/metastore/stats";

/// Between two of them others go first: well under a millisecond.
const KEYS_AT_ONCE: usize = 4096;
/// Prefixes that are counted one by one. A store may have a million, and their names would take more memory than its index.
const MOST_PREFIXES: usize = 10_000;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    /// Parts of a prefix; 0 for no prefixes at all, and no walk.
    depth: usize,
    /// Rows of each table.
    top: usize,
}

/// Of keys with the same beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    keys: u64,
    bytes: u64,
    versions: u64,
    kept_bytes: u64,
}

/// To a client that the policy does not let see everything.
pub(super) fn refusal() -> Response<String> {
    let mut refusal =
        Response::new("a client with `admin` in the policy file may read this\n".to_owned());
    *refusal.status_mut() = StatusCode::FORBIDDEN;
    refusal
}

pub(super) async fn answer(
    store: &Store,
    method: &Method,
    query: Option<&str>,
) -> Response<String> {
    let (status, text, kind) = match asked(query.unwrap_or_default()) {
        _ if *method != Method::GET && *method != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, "this is read with GET\n".to_owned(), "text/plain")
        }
        Ok(asked) => (StatusCode::OK, page(store, asked).await.to_string(), "application/json"),
        Err(why) => (StatusCode::BAD_REQUEST, why, "text/plain"),
    };
    let mut response = Response::new(text);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    *response.status_mut() = status;
    response
}

fn asked(query: &str) -> Result<Asked, String> {
    let mut asked = Asked { depth: 2, top: 20 };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let number = |text: &str, most: usize| {
            let number = text.parse().ok().filter(|number| *number <= most);
            number.ok_or_else(|| format!("{pair}: a number from 0 to {most}\n"))
        };
        match pair.split_once('=') {
            Some(("depth", text)) => asked.depth = number(text, 16)?,
            Some(("top", text)) => asked.top = number(text, 1000)?,
            _ => return Err(format!("{pair}: there is depth and top\n")),
        }
    }
    Ok(asked)
}

async fn page(store: &Store, asked: Asked) -> Value {
    let committed = store.committed();
    let size = store.engine().size();
    let mut page = json!({
        "revision": committed.revision,
        "compacted": committed.compacted,
        "keys": committed.index.weight(),
        "log_bytes_on_disk": size.bytes_on_disk,
        "log_bytes_in_use": size.bytes_in_use,
        "log_head": size.head.0,
        "leases": store.n_leases(),
        "watches": store.hub.n_watchers(),
    });
    if asked.depth == 0 {
        return page;
    }
    let prefixes = prefixes(&committed, asked.depth).await;
    let all = prefixes.values().fold(Sum::default(), |all, sum| all.and(sum));
    page["bytes"] = all.bytes.into();
    page["versions"] = all.versions.into();
    page["kept_bytes"] = all.kept_bytes.into();
    page["prefixes"] = top_prefixes(prefixes, asked.top);
    page["watched"] = top_watched(store.hub.watched(), asked.top);
    page
}

/// By their beginnings; those that are one too many are under `None`.
async fn prefixes(committed: &Committed, depth: usize) -> BTreeMap<Option<Vec<u8>>, Sum> {
    let mut sums: BTreeMap<Option<Vec<u8>>, Sum> = BTreeMap::new();
    let mut rest = KeyRange::all();
    loop {
        let mut last = None;
        for (key, entry) in committed.index.range(&rest).take(KEYS_AT_ONCE) {
            let prefix = prefix(&key, depth);
            let of_key = Sum::of(&key, entry, committed);
            if let Some(sum) = sums.get_mut(&Some(prefix.to_vec())) {
                *sum = sum.and(&of_key);
            } else {
                let name = (sums.len() < MOST_PREFIXES).then(|| prefix.to_vec());
                let sum = sums.entry(name).or_default();
                *sum = sum.and(&of_key);
            }
            last = Some(key.to_vec());
        }
        let Some(last) = last else { return sums };
        rest = rest.after(&last);
        tokio::task::yield_now().await;
    }
}

/// Up to and with the slash behind so many parts; without one, up to the last slash.
fn prefix(key: &[u8], depth: usize) -> &[u8] {
    let slashes = key.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/');
    let ends = slashes.map(|(at, _)| at + 1).take(depth);
    &key[..ends.last().unwrap_or(0)]
}

impl Sum {
    fn of(key: &[u8], entry: &Entry, committed: &Committed) -> Sum {
        let mut sum = Sum::default();
        for version in entry.kept(committed.compacted) {
            sum.versions += 1;
            sum.kept_bytes += key.len() as u64 + u64::from(version.place.length);
        }
        let newest = entry.newest();
        if !newest.is_deletion() {
            sum.keys = 1;
            sum.bytes = key.len() as u64 + u64::from(newest.place.length);
        }
        sum
    }

    fn and(&self, other: &Sum) -> Sum {
        Sum {
            keys: self.keys + other.keys,
            bytes: self.bytes + other.bytes,
            versions: self.versions + other.versions,
            kept_bytes: self.kept_bytes + other.kept_bytes,
        }
    }
}

/// Those with the most bytes, and the others together.
fn top_prefixes(sums: BTreeMap<Option<Vec<u8>>, Sum>, top: usize) -> Value {
    let mut sums: Vec<(Option<Vec<u8>>, Sum)> = sums.into_iter().collect();
    sums.sort_by_key(|(prefix, sum)| (prefix.is_none(), std::cmp::Reverse(sum.kept_bytes)));
    let others = sums.split_off(top.min(sums.len()));
    let row = |prefix: Option<String>, sum: &Sum| {
        json!({
            "prefix": prefix,
            "keys": sum.keys,
            "versions": sum.versions,
            "bytes": sum.bytes,
            "kept_bytes": sum.kept_bytes,
        })
    };
    let named = sums.iter().map(|(prefix, sum)| {
        row(prefix.as_ref().map(|prefix| prefix.escape_ascii().to_string()), sum)
    });
    let mut rows: Vec<Value> = named.collect();
    if !others.is_empty() {
        rows.push(row(None, &others.iter().fold(Sum::default(), |all, (_, sum)| all.and(sum))));
    }
    rows.into()
}

/// Those with the most watches.
fn top_watched(mut watched: Vec<Watched>, top: usize) -> Value {
    watched.sort_by_key(|one| (std::cmp::Reverse(one.n_watches), one.range.start.clone()));
    let row = |one: &Watched| {
        let start = one.range.start.escape_ascii();
        let name = match &one.range.end {
            End::Single => start.to_string(),
            End::Before(end) if is_prefix(&one.range.start, end) => format!("{start}*"),
            End::Before(end) => format!("{start} to {}", end.escape_ascii()),
            End::Unbounded => format!("{start} and everything behind it"),
        };
        json!({
            "watched": name,
            "watches": one.n_watches,
            "behind": one.n_behind,
            "behind_by": one.behind_by,
        })
    };
    watched.iter().take(top).map(row).collect()
}

fn is_prefix(start: &[u8], end: &[u8]) -> bool {
    match (start.split_last(), end.split_last()) {
        (Some((last, before)), Some((end, same))) => {
            before == same && last.checked_add(1) == Some(*end)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_keys() {
        for (key, depth, expected) in [
            ("/registry/pods/default/a", 1, "/registry/"),
            ("/registry/pods/default/a", 2, "/registry/pods/"),
            ("/registry/pods/default/a", 3, "/registry/pods/default/"),
            ("/registry/pods/default/a", 9, "/registry/pods/default/"),
            ("/registry/namespaces/a", 3, "/registry/namespaces/"),
            ("compact_rev_key", 2, ""),
            ("a/b/c", 1, "a/"),
            ("", 2, ""),
            ("/", 2, ""),
        ] {
            assert_eq!(prefix(key.as_bytes(), depth), expected.as_bytes(), "{key} {depth}");
        }
    }

    #[test]
    fn what_is_asked_for() {
        for (query, expected) in [
            ("", Ok(Asked { depth: 2, top: 20 })),
            ("depth=3", Ok(Asked { depth: 3, top: 20 })),
            ("top=5&depth=0", Ok(Asked { depth: 0, top: 5 })),
            ("depth=17", Err("depth=17: a number from 0 to 16\n")),
            ("depth=x", Err("depth=x: a number from 0 to 16\n")),
            ("wide", Err("wide: there is depth and top\n")),
        ] {
            assert_eq!(asked(query), expected.map_err(str::to_owned), "{query}");
        }
    }

    #[test]
    fn the_largest_are_named_and_the_others_summed_up() {
        let sum = |bytes| Sum { keys: 1, bytes, versions: 1, kept_bytes: bytes };
        let named = |name: &str, bytes| (Some(name.as_bytes().to_vec()), sum(bytes));
        let sums = [named("/a/", 5), named("/b/", 9), named("/c/", 7), (None, sum(100))];
        let rows = top_prefixes(sums.into(), 2);
        let short = |row: &Value| format!("{} {} {}", row["prefix"], row["keys"], row["bytes"]);
        let rows: Vec<String> = rows.as_array().unwrap().iter().map(short).collect();
        assert_eq!(rows, [r#""/b/" 1 9"#, r#""/c/" 1 7"#, "null 2 105"]);
    }
}
