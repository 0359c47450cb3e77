//! A store as one file in the format of etcd's own snapshots, so that etcd's tools and an etcd can take it over, and the way back. Owns how
//! the parts of the file follow each other; pages are `bolt`'s and `tree`'s, what lies in them is `etcd`'s. Pure but for values, which are
//! read while the file is made.
//!
//! Approach: a file begins with where its roots are and how long it is, and those are known at the end only. So everything is laid out
//! twice: first with the lengths alone, which the index has, then with the values, page by page. Nothing of the file is in memory but the
//! page that is being filled on each level.

pub mod bolt;
pub mod etcd;
pub mod intake;
pub mod reader;
pub mod tree;

use bytes::Bytes;

use self::bolt::{FREELIST_PAGE, PAGE_BYTES};
use self::tree::{Layout, Tree};
use crate::chronology::{Chronology, Kept};
use crate::mvcc::Revision;

/// What a file is made of.
#[derive(Debug)]
pub struct Source<'a> {
    pub chronology: Chronology<'a>,
    pub revision: Revision,
    pub compacted: Revision,
    /// Id and seconds, by id.
    pub leases: &'a [(i64, i64)],
    /// Of the writer.
    pub term: u64,
}

/// How long the file is and where its roots are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    keys_root: u64,
    leases_root: u64,
    root: u64,
    n_pages: u64,
    /// Versions, for whoever wants to know how far it is.
    pub n_versions: u64,
}

impl Plan {
    pub fn bytes(&self) -> u64 {
        self.n_pages * PAGE_BYTES as u64
    }

    pub fn of(source: &Source<'_>) -> Plan {
        let planned = lay_out(source, &mut Layout::lengths_only(FREELIST_PAGE + 1), &|_| {
            Ok::<Bytes, std::convert::Infallible>(Bytes::new())
        });
        match planned {
            Ok(plan) => plan,
            Err(never) => match never {},
        }
    }
}

/// Hands over the file, some pages at a time. `value` reads the value of a version.
pub fn write<E>(
    source: &Source<'_>,
    plan: &Plan,
    value: &impl Fn(&Kept) -> Result<Bytes, E>,
    out: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    out(&bolt::first_pages(plan.root, plan.n_pages))?;
    let mut layout = Layout::with_values(FREELIST_PAGE + 1, out);
    lay_out(source, &mut layout, value).map(drop)
}

fn lay_out<E>(
    source: &Source<'_>,
    layout: &mut Layout<'_, E>,
    value: &impl Fn(&Kept) -> Result<Bytes, E>,
) -> Result<Plan, E> {
    let mut n_versions = 0;
    let mut keys = Tree::default();
    for kept in source.chronology.iter() {
        n_versions += 1;
        let length = etcd::key_value_bytes(&kept.key, &kept.version);
        let name = etcd::revision_key(&kept.version);
        keys.add(layout, &name, length, || Ok(etcd::key_value(&kept, value(&kept)?)))?;
    }
    let keys_root = keys.finish(layout)?;
    let mut leases = Tree::default();
    for (id, ttl_s) in source.leases {
        let lease = etcd::lease(*id, *ttl_s);
        leases.add(layout, &id.to_be_bytes(), lease.len(), || Ok(lease))?;
    }
    let leases_root = leases.finish(layout)?;
    let mut root = Tree::default();
    for (name, bucket) in etcd::buckets(source, keys_root, leases_root) {
        root.add_bucket(layout, name.as_bytes(), &bucket)?;
    }
    let root = root.finish(layout)?;
    Ok(Plan { keys_root, leases_root, root, n_pages: layout.next_page(), n_versions })
}

#[cfg(test)]
mod tests;
