//! A tree of pages that is made from keys in ascending order, a page at a time: a full page is handed over, and its first key goes to the
//! page above. Owns how full pages are and which numbers they have; what keys and values are is the caller's.

use super::bolt::{
    BRANCH, ELEMENT_BYTES, IS_BUCKET, LEAF, PAGE_BYTES, PAGE_HEADER_BYTES, Size, header,
    leaf_elements, pad, short,
};

/// Takes a page, or says why it does not.
type Outlet<'a, E> = &'a mut dyn FnMut(&[u8]) -> Result<(), E>;

/// Where pages go. Without an outlet only their numbers are made.
pub struct Layout<'a, E> {
    next_page: u64,
    out: Option<Outlet<'a, E>>,
}

impl<E> std::fmt::Debug for Layout<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layout").field("next_page", &self.next_page).finish_non_exhaustive()
    }
}

impl<'a, E> Layout<'a, E> {
    pub fn lengths_only(next_page: u64) -> Layout<'a, E> {
        Layout { next_page, out: None }
    }

    pub fn with_values(next_page: u64, out: Outlet<'a, E>) -> Layout<'a, E> {
        Layout { next_page, out: Some(out) }
    }

    pub fn next_page(&self) -> u64 {
        self.next_page
    }

    /// A page of so many bytes, whose rest `fill` puts behind the header.
    fn page(
        &mut self,
        (kind, count, length): (u16, usize, usize),
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Result<u64, E> {
        let number = self.next_page;
        let n_pages = length.div_ceil(PAGE_BYTES);
        self.next_page += n_pages as u64;
        if let Some(out) = &mut self.out {
            let mut page = Vec::with_capacity(n_pages * PAGE_BYTES);
            let overflow = u32::try_from(n_pages - 1).unwrap_or(u32::MAX);
            header(&mut page, number, kind, u16::try_from(count).unwrap_or(u16::MAX), overflow);
            fill(&mut page);
            pad(&mut page);
            out(&page)?;
        }
        Ok(number)
    }
}

/// A bucket in the making.
#[derive(Debug, Default)]
pub struct Tree {
    leaf: Leaf,
    has_leaf: bool,
    /// The lowest first.
    branches: Vec<Branch>,
}

#[derive(Debug, Default)]
struct Leaf {
    sizes: Vec<Size>,
    first: Vec<u8>,
    /// Keys and values.
    body: Vec<u8>,
    length: usize,
}

#[derive(Debug, Default)]
struct Branch {
    /// First key and page.
    children: Vec<(Vec<u8>, u64)>,
    length: usize,
    /// Whether a page of this level was handed over.
    has_page: bool,
}

impl Tree {
    /// Keys ascend. `value` is asked only where pages are handed over.
    pub fn add<E>(
        &mut self,
        layout: &mut Layout<'_, E>,
        key: &[u8],
        value_bytes: usize,
        value: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        self.put(layout, key, (0, value_bytes), value)
    }

    /// The same for a bucket in this one.
    pub fn add_bucket<E>(
        &mut self,
        layout: &mut Layout<'_, E>,
        name: &[u8],
        bucket: &[u8],
    ) -> Result<(), E> {
        self.put(layout, name, (IS_BUCKET, bucket.len()), || Ok(bucket.to_vec()))
    }

    /// Returns the page of the root.
    pub fn finish<E>(mut self, layout: &mut Layout<'_, E>) -> Result<u64, E> {
        if !self.leaf.sizes.is_empty() || !self.has_leaf {
            self.close_leaf(layout)?;
        }
        let mut level = 0;
        loop {
            let branch = &self.branches[level];
            if let [(_, page)] = branch.children[..]
                && !branch.has_page
            {
                return Ok(page);
            }
            self.close_branch(layout, level)?;
            level += 1;
        }
    }

    fn put<E>(
        &mut self,
        layout: &mut Layout<'_, E>,
        key: &[u8],
        (flags, value_bytes): (u32, usize),
        value: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        let bytes = ELEMENT_BYTES + key.len() + value_bytes;
        let is_full = PAGE_HEADER_BYTES + self.leaf.length + bytes > PAGE_BYTES;
        if is_full && !self.leaf.sizes.is_empty() {
            self.close_leaf(layout)?;
        }
        if self.leaf.sizes.is_empty() {
            self.leaf.first = key.to_vec();
        }
        self.leaf.length += bytes;
        self.leaf.sizes.push(Size { flags, key: key.len(), value: value_bytes });
        if layout.out.is_some() {
            self.leaf.body.extend_from_slice(key);
            let mut value = value()?;
            // The lengths of the file were told before.
            value.resize(value_bytes, 0);
            self.leaf.body.extend(value);
        }
        Ok(())
    }

    fn close_leaf<E>(&mut self, layout: &mut Layout<'_, E>) -> Result<(), E> {
        let Leaf { sizes, first, body, length } = std::mem::take(&mut self.leaf);
        self.has_leaf = true;
        let shape = (LEAF, sizes.len(), PAGE_HEADER_BYTES + length);
        let page = layout.page(shape, |page| {
            leaf_elements(page, &sizes);
            page.extend_from_slice(&body);
        })?;
        self.hang(layout, 0, first, page)
    }

    /// Puts a page below the branch of a level.
    fn hang<E>(
        &mut self,
        layout: &mut Layout<'_, E>,
        level: usize,
        first: Vec<u8>,
        page: u64,
    ) -> Result<(), E> {
        if self.branches.len() == level {
            self.branches.push(Branch::default());
        }
        let bytes = ELEMENT_BYTES + first.len();
        if PAGE_HEADER_BYTES + self.branches[level].length + bytes > PAGE_BYTES {
            self.close_branch(layout, level)?;
        }
        let branch = &mut self.branches[level];
        branch.length += bytes;
        branch.children.push((first, page));
        Ok(())
    }

    fn close_branch<E>(&mut self, layout: &mut Layout<'_, E>, level: usize) -> Result<(), E> {
        let branch = &mut self.branches[level];
        let children = std::mem::take(&mut branch.children);
        let length = std::mem::take(&mut branch.length);
        branch.has_page = true;
        let shape = (BRANCH, children.len(), PAGE_HEADER_BYTES + length);
        let page = layout.page(shape, |page| {
            let mut place = children.len() * ELEMENT_BYTES;
            for (first, child) in &children {
                page.extend(short(place));
                page.extend(short(first.len()));
                page.extend(child.to_le_bytes());
                place = place - ELEMENT_BYTES + first.len();
            }
            children.iter().for_each(|(first, _)| page.extend_from_slice(first));
        })?;
        let first = children.into_iter().next().map(|(first, _)| first);
        self.hang(layout, level + 1, first.unwrap_or_default(), page)
    }
}
