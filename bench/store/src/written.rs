//! What a server has written: by the kernel's account of its process, and by the counter of the device below its files. They answer two
//! questions. The first counts a page when it becomes dirty, and a page of the cache may be two megabytes of which one block was changed
//! (ext4 has such ones since Linux 6.16), so that it can be far too high. The second is what the disk was given, the file system's own
//! journal and what anybody else wrote meanwhile included; it is what write amplification is of.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;

use crate::entry::Entry;
use crate::process;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    process_bytes: f64,
    /// `None` where the files are on no device of blocks.
    device_bytes: Option<f64>,
}

/// Of `/sys/dev/block/*/stat`, from 0: sectors of 512 bytes written (Documentation/block/stat.rst).
const WRITTEN_SECTORS: usize = 6;
const SECTOR_BYTES: f64 = 512.0;

impl Written {
    /// Since both began to count. What waits in the cache is written first.
    pub(crate) fn now(pid: u32, store: &Path) -> anyhow::Result<Written> {
        let folder = fs::File::open(store).with_context(|| format!("open {}", store.display()))?;
        rustix::fs::syncfs(&folder).with_context(|| format!("sync {}", store.display()))?;
        let device = folder.metadata().with_context(|| format!("look at {}", store.display()))?;
        let (major, minor) = (rustix::fs::major(device.dev()), rustix::fs::minor(device.dev()));
        let stat = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat"));
        let device_bytes = stat.ok().and_then(|stat| sectors(&stat)).map(|n| n * SECTOR_BYTES);
        Ok(Written { process_bytes: process::written_bytes(pid)?, device_bytes })
    }

    /// What came since then, for `value_bytes` bytes of values.
    pub(crate) fn since(self, before: Written, value_bytes: u64, entry: Entry) -> Entry {
        let process_bytes = self.process_bytes - before.process_bytes;
        let entry = entry.with("process_written_bytes", process_bytes);
        let Some((now, then)) = self.device_bytes.zip(before.device_bytes) else { return entry };
        entry
            .with("device_written_bytes", now - then)
            .with("write_amplification", (now - then) / (value_bytes.max(1) as f64))
    }
}

fn sectors(stat: &str) -> Option<f64> {
    stat.split_whitespace().nth(WRITTEN_SECTORS)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_says_what_it_was_given() {
        let stat = " 3435786 145415 129869970 13291464 1343391 861759 245226152 3154990 0 894380\n";
        assert_eq!(sectors(stat), Some(245_226_152.0));
        assert_eq!(sectors("1 2 3"), None);
        let before = Written { process_bytes: 10.0, device_bytes: Some(100.0) };
        let after = Written { process_bytes: 50.0, device_bytes: Some(300.0) };
        let row = after.since(before, 100, Entry::new("load")).of("etcd", 1);
        let names = ["device_written_bytes", "process_written_bytes", "write_amplification"];
        assert_eq!(row.figures.values().copied().collect::<Vec<_>>(), [200.0, 40.0, 2.0]);
        assert_eq!(row.figures.keys().map(String::as_str).collect::<Vec<_>>(), names);
    }
}
