//! `MemoryLimit`: what a `memory.*` limit file holds, and which amounts come back as written.

use std::fmt;
use std::str::FromStr;

use crate::units::Bytes;

/// A memory limit file: a number of bytes or `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryLimit {
    Bytes(Bytes),
    Max,
}

impl MemoryLimit {
    /// The kernel keeps whole pages and rounds down; 64 KiB is the largest page of a Linux that
    /// runs Berth (arm64, ppc64), so multiples of it read back as written everywhere.
    pub const GRAIN: Bytes = Bytes(64 << 10);

    /// The limit that every kernel keeps as it is: `bytes` rounded down to the grain, `Max` beyond
    /// what the kernel counts (mm/page_counter.c, `page_counter_memparse`).
    pub const fn at_most(bytes: Bytes) -> MemoryLimit {
        if bytes.0 >= i64::MAX as u64 {
            return MemoryLimit::Max;
        }
        MemoryLimit::Bytes(Bytes(bytes.0 - bytes.0 % MemoryLimit::GRAIN.0))
    }

    /// This limit as every kernel keeps it.
    #[must_use]
    pub const fn kept(self) -> MemoryLimit {
        match self {
            MemoryLimit::Bytes(bytes) => MemoryLimit::at_most(bytes),
            MemoryLimit::Max => MemoryLimit::Max,
        }
    }
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemoryLimit::Bytes(bytes) => write!(f, "{bytes}"),
            MemoryLimit::Max => f.write_str("max"),
        }
    }
}

impl FromStr for MemoryLimit {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<MemoryLimit, Self::Err> {
        match text {
            "max" => Ok(MemoryLimit::Max),
            bytes => bytes.parse().map(|bytes| MemoryLimit::Bytes(Bytes(bytes))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: u64, expect: &str) {
        let limit = MemoryLimit::at_most(Bytes(bytes));
        assert_eq!(limit.to_string(), expect);
        assert_eq!(limit.kept(), limit);
        assert_eq!(expect.parse(), Ok(limit));
    }

    #[test]
    fn a_limit_is_one_that_every_page_size_keeps() {
        check(0, "0");
        check(65_535, "0");
        check(65_536, "65536");
        check(10_000_000, "9961472");
        check(i64::MAX as u64, "max");
        check(u64::MAX, "max");
        // 0.95 of 184 GiB
        let odd = MemoryLimit::Bytes(Bytes(187_690_070_835));
        assert_eq!(odd.kept().to_string(), "187690057728");
    }
}
