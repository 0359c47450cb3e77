//! The ring buffer of bursts, apart from the other maps: the loop waits for it while a collector
//! thread reads the counters.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use aya::maps::{MapData, RingBuf};
use model::sample::Burst;

use crate::maps::pod;

/// The reading end of the ring buffer; becomes readable when a burst is there.
pub struct BurstReader {
    ring: RingBuf<MapData>,
}

impl fmt::Debug for BurstReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BurstReader")
    }
}

impl BurstReader {
    pub(crate) fn new(ring: RingBuf<MapData>) -> BurstReader {
        BurstReader { ring }
    }

    /// The bursts since the last call. Never blocks.
    pub fn drain(&mut self) -> Vec<Burst> {
        let mut bursts = Vec::new();
        while let Some(record) = self.ring.next() {
            bursts.extend(pod::burst(&record));
        }
        bursts
    }
}

impl AsFd for BurstReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

impl AsRawFd for BurstReader {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_fd().as_raw_fd()
    }
}
