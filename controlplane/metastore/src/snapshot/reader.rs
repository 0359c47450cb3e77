//! A bbolt file read back: buckets and what lies in them, in the order of keys. Owns what is believed of a file that anybody may have
//! made: every number is compared with what there is before it is used, no page is read twice, and a page at a time is in memory.

use std::fs::File;
use std::io;

use bytes::Bytes;
use thiserror::Error;

use super::bolt::{
    BRANCH, ELEMENT_BYTES, IS_BUCKET, LEAF, MAGIC, META, META_BYTES, PAGE_HEADER_BYTES, VERSION,
    checksum,
};

/// Where a file's bytes come from.
pub trait ReadAt {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }
}

impl ReadAt for &[u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = start.checked_add(buffer.len()).and_then(|end| self.get(start..end));
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A file that is not what it should be.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BoltError {
    #[error("reading {length} bytes at byte {offset} failed")]
    Io { offset: u64, length: usize, source: io::Error },
    #[error(
        "this is no bbolt file of version {VERSION}: neither of its two first pages has the right mark, version and checksum"
    )]
    NotBolt,
    #[error("pages of {found} bytes; a power of two from 512 to 65536 is allowed")]
    PageBytes { found: u32 },
    #[error("the file has {found} bytes and should have {expected}: it is cut off")]
    Short { found: u64, expected: u64 },
    #[error("page {number}: {what}")]
    Page { number: u64, what: &'static str },
    #[error("there is no bucket {name:?}")]
    NoBucket { name: String },
}

/// A file that is open.
#[derive(Debug)]
pub struct BoltFile<R> {
    bytes: R,
    page_bytes: u64,
    n_pages: u64,
    root: u64,
}

/// Where the entries of a bucket are.
#[derive(Clone, Debug)]
enum Root {
    Page(u64),
    /// In the value of the bucket.
    Inline(Bytes),
}

/// A key of a bucket and what lies under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoltEntry {
    pub key: Bytes,
    pub value: Bytes,
    is_bucket: bool,
}

impl<R: ReadAt> BoltFile<R> {
    /// `length` is how many bytes there are.
    pub fn open(bytes: R, length: u64) -> Result<BoltFile<R>, BoltError> {
        let first = meta_at(&bytes, length, 0)?;
        // The second page begins where the first says, or at a usual place if the first is spoilt.
        let places: Vec<u64> = match &first {
            Some(meta) => vec![meta.page_bytes],
            None => (9..=16).map(|shift| 1 << shift).collect(),
        };
        let mut newest = first;
        for place in places {
            if let Some(meta) = meta_at(&bytes, length, place)?
                && newest.as_ref().is_none_or(|first| meta.transaction > first.transaction)
            {
                newest = Some(meta);
            }
        }
        let Meta { page_bytes, root, n_pages, .. } = newest.ok_or(BoltError::NotBolt)?;
        let expected = n_pages.saturating_mul(page_bytes);
        // A file may have more: free pages at its end, and a checksum.
        if length < expected {
            return Err(BoltError::Short { found: length, expected });
        }
        Ok(BoltFile { bytes, page_bytes, n_pages, root })
    }

    /// The entries of a bucket of the file.
    pub fn bucket(&self, name: &str) -> Result<Entries<'_, R>, BoltError> {
        let no_bucket = || BoltError::NoBucket { name: name.to_owned() };
        for entry in self.entries(Root::Page(self.root))? {
            let entry = entry?;
            if entry.key == name.as_bytes() && entry.is_bucket {
                let root = entry.value.get(..8).and_then(|bytes| bytes.try_into().ok());
                let root = u64::from_le_bytes(root.ok_or_else(no_bucket)?);
                return self.entries(match root {
                    0 => Root::Inline(entry.value.slice(16.min(entry.value.len())..)),
                    root => Root::Page(root),
                });
            }
        }
        Err(no_bucket())
    }

    fn entries(&self, root: Root) -> Result<Entries<'_, R>, BoltError> {
        let mut entries = Entries {
            file: self,
            above: Vec::new(),
            n_left: self.n_pages,
            last: None,
            is_over: false,
        };
        let page = match root {
            Root::Page(number) => entries.page(number)?,
            Root::Inline(bytes) => Page::parse(0, bytes)?,
        };
        entries.above.push((page, 0));
        Ok(entries)
    }

    fn read(&self, offset: u64, length: usize) -> Result<Bytes, BoltError> {
        read(&self.bytes, offset, length)
    }
}

fn read(bytes: &impl ReadAt, offset: u64, length: usize) -> Result<Bytes, BoltError> {
    let mut buffer = vec![0; length];
    let read = bytes.read_exact_at(&mut buffer, offset);
    read.map_err(|source| BoltError::Io { offset, length, source })?;
    Ok(buffer.into())
}

#[derive(Clone, Copy, Debug)]
struct Meta {
    page_bytes: u64,
    root: u64,
    n_pages: u64,
    transaction: u64,
}

/// `None` where there is none that can be believed.
fn meta_at(bytes: &impl ReadAt, length: u64, offset: u64) -> Result<Option<Meta>, BoltError> {
    if length < offset + (PAGE_HEADER_BYTES + META_BYTES) as u64 {
        return Ok(None);
    }
    let page = read(bytes, offset, PAGE_HEADER_BYTES + META_BYTES)?;
    let (head, meta) = page.split_at(PAGE_HEADER_BYTES);
    let is_meta = short(head, 8) & META != 0
        && word(meta, 0) == MAGIC
        && word(meta, 4) == VERSION
        && long(meta, 56) == checksum(&meta[..56]);
    if !is_meta {
        return Ok(None);
    }
    let found = word(meta, 8);
    if !found.is_power_of_two() || !(512..=65536).contains(&found) {
        return Err(BoltError::PageBytes { found });
    }
    Ok(Some(Meta {
        page_bytes: found.into(),
        root: long(meta, 16),
        n_pages: long(meta, 40),
        transaction: long(meta, 48),
    }))
}

/// A page with those behind it that belong to it.
#[derive(Clone, Debug)]
struct Page {
    number: u64,
    bytes: Bytes,
    count: usize,
    is_branch: bool,
}

impl Page {
    fn parse(number: u64, bytes: Bytes) -> Result<Page, BoltError> {
        let error = |what| BoltError::Page { number, what };
        if bytes.len() < PAGE_HEADER_BYTES {
            return Err(error("is shorter than its header"));
        }
        if long(&bytes, 0) != number {
            return Err(error("says that it is another page"));
        }
        let is_branch = match short(&bytes, 8) {
            BRANCH => true,
            LEAF => false,
            _ => return Err(error("is neither a leaf nor a branch")),
        };
        let count = usize::from(short(&bytes, 10));
        if PAGE_HEADER_BYTES + count * ELEMENT_BYTES > bytes.len() {
            return Err(error("has more entries than fit"));
        }
        Ok(Page { number, bytes, count, is_branch })
    }

    fn child(&self, nth: usize) -> u64 {
        long(&self.bytes, PAGE_HEADER_BYTES + nth * ELEMENT_BYTES + 8)
    }

    fn entry(&self, nth: usize) -> Result<BoltEntry, BoltError> {
        let at = PAGE_HEADER_BYTES + nth * ELEMENT_BYTES;
        let number = |offset| word(&self.bytes, at + offset);
        let [flags, place, key, value] = [0, 4, 8, 12].map(number);
        // Four numbers of 32 bits: no sum of them is too large.
        let key_at = at + place as usize;
        let value_at = key_at + key as usize;
        let end = value_at + value as usize;
        if end > self.bytes.len() {
            let what = "has an entry that ends behind it";
            return Err(BoltError::Page { number: self.number, what });
        }
        Ok(BoltEntry {
            key: self.bytes.slice(key_at..value_at),
            value: self.bytes.slice(value_at..end),
            is_bucket: flags & IS_BUCKET != 0,
        })
    }
}

/// The entries of a bucket, ascending.
#[derive(Debug)]
pub struct Entries<'a, R> {
    file: &'a BoltFile<R>,
    /// From the root down, each with its next entry.
    above: Vec<(Page, usize)>,
    /// So many pages there can still be.
    n_left: u64,
    last: Option<Bytes>,
    is_over: bool,
}

impl<R: ReadAt> Entries<'_, R> {
    fn page(&mut self, number: u64) -> Result<Page, BoltError> {
        let error = |what| BoltError::Page { number, what };
        let file = self.file;
        if number < 2 || number >= file.n_pages {
            return Err(error("is none of the file"));
        }
        let offset = number * file.page_bytes;
        let head = file.read(offset, PAGE_HEADER_BYTES)?;
        let n_pages = 1 + u64::from(word(&head, 12));
        if n_pages > file.n_pages - number {
            return Err(error("is longer than the file"));
        }
        if n_pages > self.n_left {
            return Err(error("is reached in more than one way"));
        }
        self.n_left -= n_pages;
        let length = usize::try_from(n_pages * file.page_bytes).unwrap_or(usize::MAX);
        Page::parse(number, file.read(offset, length)?)
    }

    fn step(&mut self) -> Result<Option<BoltEntry>, BoltError> {
        loop {
            let Some((page, nth)) = self.above.last_mut() else { return Ok(None) };
            if *nth == page.count {
                self.above.pop();
                continue;
            }
            let this = *nth;
            *nth += 1;
            if page.is_branch {
                let child = page.child(this);
                let child = self.page(child)?;
                self.above.push((child, 0));
                continue;
            }
            let (number, entry) = (page.number, page.entry(this)?);
            if self.last.as_ref().is_some_and(|last| *last >= entry.key) {
                return Err(BoltError::Page { number, what: "has a key that is not in order" });
            }
            self.last = Some(entry.key.clone());
            return Ok(Some(entry));
        }
    }
}

impl<R: ReadAt> Iterator for Entries<'_, R> {
    type Item = Result<BoltEntry, BoltError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let step = self.step().transpose();
        self.is_over = !matches!(step, Some(Ok(_)));
        step
    }
}

/// Numbers of a piece whose length was looked at.
fn long(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn short(bytes: &[u8], at: usize) -> u16 {
    bytes[at..].first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests;
