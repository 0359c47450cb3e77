//! Files of ours read back, cut and spoilt.

use proptest::prelude::*;

use super::super::bolt;
use super::super::tree::{Layout, Tree};
use super::*;

fn file(n_keys: u32, value_bytes: usize) -> Vec<u8> {
    let mut pages = Vec::new();
    let mut out = |page: &[u8]| {
        pages.extend_from_slice(page);
        Ok::<(), BoltError>(())
    };
    let mut layout = Layout::with_values(3, &mut out);
    let mut tree = Tree::default();
    for nth in 0..n_keys {
        let value = vec![nth as u8; value_bytes];
        tree.add(&mut layout, &nth.to_be_bytes(), value_bytes, || Ok(value)).unwrap();
    }
    let keys = tree.finish(&mut layout).unwrap();
    let mut root = Tree::default();
    let few = bolt::small_bucket(&[("one", b"1".to_vec()), ("two", b"2".to_vec())]);
    root.add_bucket(&mut layout, b"few", &few).unwrap();
    root.add_bucket(&mut layout, b"many", &bolt::bucket(keys)).unwrap();
    let root = root.finish(&mut layout).unwrap();
    let n_pages = layout.next_page();
    [bolt::first_pages(root, n_pages), pages].concat()
}

/// How many entries the buckets of a file have.
fn count(bytes: &[u8]) -> Result<[usize; 2], BoltError> {
    let file = BoltFile::open(bytes, bytes.len() as u64)?;
    let count = |name| file.bucket(name)?.try_fold(0, |sum, entry| entry.map(|_| sum + 1));
    Ok([count("few")?, count("many")?])
}

#[test]
fn what_is_written_is_read() {
    for (n_keys, value_bytes) in
        [(0, 0), (1, 0), (1, 5000), (300, 10), (300, 4000), (100_000, 7), (3, 1 << 20)]
    {
        let bytes = file(n_keys, value_bytes);
        assert_eq!(count(&bytes).unwrap(), [2, n_keys as usize], "{n_keys} of {value_bytes}");
        let opened = BoltFile::open(&bytes[..], bytes.len() as u64).unwrap();
        for (nth, entry) in (0..).zip(opened.bucket("many").unwrap()) {
            let BoltEntry { key, value, .. } = entry.unwrap();
            assert_eq!(key[..], u32::to_be_bytes(nth));
            assert_eq!(value[..], vec![nth as u8; value_bytes]);
        }
    }
}

#[test]
fn refusals_say_what_is_wrong() {
    let good = file(300, 100);
    let changed = |at: usize, with: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    let (leaf, header) = (3 * 4096, 16);
    for (bytes, said) in [
        (Vec::new(), "this is no bbolt file"),
        (vec![0; 8192], "this is no bbolt file"),
        (good[..good.len() - 1].to_vec(), "is cut off"),
        (changed(leaf, &[9]), "page 3: says that it is another page"),
        (changed(leaf + 8, &[7]), "page 3: is neither a leaf nor a branch"),
        (changed(leaf + 10, &[255, 255]), "page 3: has more entries than fit"),
        (changed(leaf + 12, &[255]), "page 3: is longer than the file"),
        (changed(leaf + header + 8, &[255, 255]), "page 3: has an entry that ends behind it"),
        (changed(leaf + header + 16 + 8, &[0]), "page 3: has a key that is not in order"),
    ] {
        let error = count(&bytes).unwrap_err().to_string();
        assert!(error.contains(said), "{error}, not {said}");
    }
    // One of the two first pages is enough.
    assert_eq!(count(&changed(20, &[9])).unwrap(), [2, 300]);
    assert_eq!(count(&changed(4096 + 20, &[9])).unwrap(), [2, 300]);
}

#[test]
fn a_page_above_itself_ends_the_walk() {
    let mut bytes = file(300, 100);
    // The branch over the leaves becomes its own first child.
    let opened = BoltFile::open(&bytes[..], bytes.len() as u64).unwrap();
    let page = opened.n_pages - 2;
    let at = page as usize * 4096 + 16 + 8;
    bytes[at..at + 8].copy_from_slice(&page.to_le_bytes());
    let error = count(&bytes).unwrap_err().to_string();
    assert!(error.contains("is reached in more than one way"), "{error}");
}

proptest! {
    #[test]
    fn no_change_makes_it_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = file(200, 60);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = count(&bytes);
    }

    /// Mostly where the numbers are.
    #[test]
    fn no_change_of_a_header_makes_it_panic(
        changes in prop::collection::vec((0_usize..9, 0_usize..64, any::<u8>()), 1..8),
    ) {
        let mut bytes = file(200, 60);
        for (page, at, byte) in changes {
            let at = page * 4096 + at;
            if at < bytes.len() {
                bytes[at] = byte;
            }
        }
        let _ = count(&bytes);
    }
}
