//! Writes a `newc` cpio archive, the form in which the kernel takes an initramfs. Knows names, modes
//! and bytes; what belongs into a guest is decided in `initrd`.

use std::collections::BTreeSet;

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// An archive under construction. Paths are absolute guest paths; parent directories appear by
/// themselves, and a path that was given before is left as it was.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    names: BTreeSet<String>,
}

impl Archive {
    pub(crate) fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY | 0o755, (0, 0), &[]);
    }

    pub(crate) fn file(&mut self, path: &str, permissions: u32, content: &[u8]) {
        self.entry(path, FILE | (permissions & 0o7777), (0, 0), content);
    }

    pub(crate) fn symlink(&mut self, path: &str, target: &str) {
        self.entry(path, SYMLINK | 0o777, (0, 0), target.as_bytes());
    }

    pub(crate) fn character_device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, CHARACTER_DEVICE | 0o600, (major, minor), &[]);
    }

    pub(crate) fn contains(&self, path: &str) -> bool {
        self.names.contains(path.trim_matches('/'))
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.append("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        let name = path.trim_matches('/');
        if name.is_empty() || self.names.contains(name) {
            return;
        }
        if let Some((parent, _)) = name.rsplit_once('/') {
            self.directory(parent);
        }
        self.names.insert(name.to_owned());
        self.append(name, mode, device, content);
    }

    fn append(&mut self, name: &str, mode: u32, (major, minor): (u32, u32), content: &[u8]) {
        let length =
            |n: usize| u32::try_from(n).expect("invariant: an initramfs holds no file of 4 GiB");
        let inode = length(self.names.len());
        let links = if mode & DIRECTORY == DIRECTORY && mode & FILE != FILE { 2 } else { 1 };
        // inode mode uid gid links mtime size device(2) special-device(2) name-size check
        let fields = [
            inode,
            mode,
            0,
            0,
            links,
            0,
            length(content.len()),
            0,
            0,
            major,
            minor,
            length(name.len() + 1),
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests;
