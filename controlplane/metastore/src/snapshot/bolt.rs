//! The pages of a bbolt file, version 2: headers, the two pages that say where everything is, and the bytes of a page of keys. Owns the
//! layout in one direction; `reader` owns the other. Source: observed on files of etcd 3.7, and the field order of bbolt 1.5.
//!
//! ```text
//! page header   0 8 number    8 2 kind    10 2 how many    12 4 pages behind it that belong to it
//! meta          0 4 magic     4 4 version 8 4 page size    12 4 0        16 8 root  24 8 0
//!              32 8 freelist 40 8 pages  48 8 transaction  56 8 FNV-1a of everything before
//! leaf element  0 4 is a bucket  4 4 place, from the element on  8 4 length of key  12 4 length of value
//! branch elem.  0 4 place        4 4 length of key               8 8 page
//! bucket        0 8 root, 0 where the one page follows           8 8 0
//! ```

/// What etcd on most machines has.
pub const PAGE_BYTES: usize = 4096;
pub const PAGE_HEADER_BYTES: usize = 16;
pub const ELEMENT_BYTES: usize = 16;
pub const MAGIC: u32 = 0xED0C_DAED;
pub const VERSION: u32 = 2;
pub const META_BYTES: usize = 64;
/// Behind the two with the roots.
pub const FREELIST_PAGE: u64 = 2;

pub const BRANCH: u16 = 0x01;
pub const LEAF: u16 = 0x02;
pub const META: u16 = 0x04;
pub const FREELIST: u16 = 0x10;
/// Of an element of a leaf.
pub const IS_BUCKET: u32 = 1;

/// The pages with the roots, and an empty list of free pages.
pub fn first_pages(root: u64, n_pages: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(3 * PAGE_BYTES);
    for (number, transaction) in [(0, 1), (1, 2)] {
        header(&mut bytes, number, META, 0, 0);
        bytes.extend(meta(root, n_pages, transaction));
        pad(&mut bytes);
    }
    header(&mut bytes, FREELIST_PAGE, FREELIST, 0, 0);
    pad(&mut bytes);
    bytes
}

fn meta(root: u64, n_pages: u64, transaction: u64) -> [u8; META_BYTES] {
    let mut meta = [0; META_BYTES];
    meta[..4].copy_from_slice(&MAGIC.to_le_bytes());
    meta[4..8].copy_from_slice(&VERSION.to_le_bytes());
    meta[8..12].copy_from_slice(&(PAGE_BYTES as u32).to_le_bytes());
    meta[16..24].copy_from_slice(&root.to_le_bytes());
    meta[32..40].copy_from_slice(&FREELIST_PAGE.to_le_bytes());
    meta[40..48].copy_from_slice(&n_pages.to_le_bytes());
    meta[48..56].copy_from_slice(&transaction.to_le_bytes());
    let sum = checksum(&meta[..56]);
    meta[56..].copy_from_slice(&sum.to_le_bytes());
    meta
}

/// FNV-1a of 64 bits.
pub fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

pub fn header(into: &mut Vec<u8>, number: u64, kind: u16, count: u16, overflow: u32) {
    into.extend(number.to_le_bytes());
    into.extend(kind.to_le_bytes());
    into.extend(count.to_le_bytes());
    into.extend(overflow.to_le_bytes());
}

/// Up to the end of its last page.
pub fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(PAGE_BYTES), 0);
}

/// Whose pages are elsewhere.
pub fn bucket(root: u64) -> Vec<u8> {
    [root.to_le_bytes(), [0; 8]].concat()
}

/// Whose one page is in its value. Names ascend.
pub fn small_bucket(elements: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = bucket(0);
    let count = u16::try_from(elements.len()).unwrap_or(u16::MAX);
    header(&mut bytes, 0, LEAF, count, 0);
    let sizes =
        elements.iter().map(|(name, value)| Size { flags: 0, key: name.len(), value: value.len() });
    leaf_elements(&mut bytes, &sizes.collect::<Vec<_>>());
    for (name, value) in elements {
        bytes.extend(name.as_bytes());
        bytes.extend(value);
    }
    bytes
}

/// Lengths of an element of a leaf.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub flags: u32,
    pub key: usize,
    pub value: usize,
}

/// Keys and values follow, one behind the other.
pub fn leaf_elements(into: &mut Vec<u8>, sizes: &[Size]) {
    let mut place = sizes.len() * ELEMENT_BYTES;
    for size in sizes {
        for number in [size.flags as usize, place, size.key, size.value] {
            into.extend(short(number));
        }
        place = place - ELEMENT_BYTES + size.key + size.value;
    }
}

/// A place or a length: a page is far smaller than four gigabytes.
pub fn short(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}
