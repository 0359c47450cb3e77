//! `CpuSet`: a fixed-size bitset of up to 1024 CPUs with set algebra and the kernel's list format
//! (Documentation/admin-guide/kernel-parameters.rst, "cpu lists": `0-3,8`, with strides `0-10:1/2`).
//! Does not know which CPUs exist; that is `Topology`.

use std::fmt;
use std::str::FromStr;

use crate::units::CpuId;

/// CPUs a set can hold. Debian's kernels are built with NR_CPUS 8192, but machines over 1024
/// logical CPUs do not run Kubernetes nodes; a bigger id is a parse error, never a silent loss.
pub const MAX_CPUS: usize = 1024;
const WORDS: usize = MAX_CPUS / 64;

/// A set of logical CPUs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuSet {
    words: [u64; WORDS],
}

/// Why a list is not a CPU list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseCpuListError {
    /// A piece between commas is not `N`, `N-M` or `N-M:USED/GROUP`.
    Malformed { piece: String },
    /// A CPU number is 1024 or more.
    OutOfRange { piece: String },
    /// A range runs backwards or a stride is empty or larger than its group.
    Inverted { piece: String },
}

impl fmt::Display for ParseCpuListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { piece } => {
                write!(f, "{piece:?} is not a CPU, a range N-M or a stride N-M:USED/GROUP")
            }
            Self::OutOfRange { piece } => {
                write!(f, "{piece:?} names a CPU outside 0..{MAX_CPUS}")
            }
            Self::Inverted { piece } => {
                write!(f, "{piece:?} runs backwards or has an impossible stride")
            }
        }
    }
}

impl std::error::Error for ParseCpuListError {}

impl CpuSet {
    pub const EMPTY: CpuSet = CpuSet { words: [0; WORDS] };

    /// The set of `first..=last`.
    pub fn range(first: CpuId, last: CpuId) -> CpuSet {
        (first.0..=last.0).map(CpuId).collect()
    }

    pub fn single(cpu: CpuId) -> CpuSet {
        std::iter::once(cpu).collect()
    }

    pub fn contains(&self, cpu: CpuId) -> bool {
        let idx = usize::from(cpu.0);
        idx < MAX_CPUS && self.words[idx / 64] & (1 << (idx % 64)) != 0
    }

    /// Adds a CPU; one that cannot be represented (1024 or more) is refused with `false`.
    pub fn insert(&mut self, cpu: CpuId) -> bool {
        let idx = usize::from(cpu.0);
        if idx >= MAX_CPUS {
            return false;
        }
        self.words[idx / 64] |= 1 << (idx % 64);
        true
    }

    pub fn remove(&mut self, cpu: CpuId) {
        let idx = usize::from(cpu.0);
        if idx < MAX_CPUS {
            self.words[idx / 64] &= !(1 << (idx % 64));
        }
    }

    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub fn first(&self) -> Option<CpuId> {
        self.iter().next()
    }

    pub fn last(&self) -> Option<CpuId> {
        let word_idx = self.words.iter().rposition(|word| *word != 0)?;
        let bit = 63 - self.words[word_idx].leading_zeros() as usize;
        u16::try_from(word_idx * 64 + bit).ok().map(CpuId)
    }

    /// CPUs in ascending order, a word at a time: planning walks sets of hundreds of CPUs.
    pub fn iter(&self) -> Iter {
        Iter { words: self.words }
    }

    pub fn union(&self, other: &CpuSet) -> CpuSet {
        self.zip(other, |a, b| a | b)
    }

    pub fn intersection(&self, other: &CpuSet) -> CpuSet {
        self.zip(other, |a, b| a & b)
    }

    pub fn difference(&self, other: &CpuSet) -> CpuSet {
        self.zip(other, |a, b| a & !b)
    }

    pub fn is_subset(&self, other: &CpuSet) -> bool {
        self.difference(other).is_empty()
    }

    pub fn is_disjoint(&self, other: &CpuSet) -> bool {
        self.intersection(other).is_empty()
    }

    fn zip(&self, other: &CpuSet, op: impl Fn(u64, u64) -> u64) -> CpuSet {
        let mut words = [0; WORDS];
        for (idx, word) in words.iter_mut().enumerate() {
            *word = op(self.words[idx], other.words[idx]);
        }
        CpuSet { words }
    }
}

/// CPUs of a set in ascending order, or descending from the back. Holds what is left.
#[derive(Clone, Debug)]
pub struct Iter {
    words: [u64; WORDS],
}

impl Iter {
    fn take(&mut self, word_idx: usize, bit: u32) -> Option<CpuId> {
        self.words[word_idx] &= !(1 << bit);
        u16::try_from(word_idx * 64 + bit as usize).ok().map(CpuId)
    }
}

impl Iterator for Iter {
    type Item = CpuId;

    fn next(&mut self) -> Option<CpuId> {
        let word_idx = self.words.iter().position(|word| *word != 0)?;
        self.take(word_idx, self.words[word_idx].trailing_zeros())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.words.iter().map(|word| word.count_ones() as usize).sum();
        (left, Some(left))
    }
}

impl DoubleEndedIterator for Iter {
    fn next_back(&mut self) -> Option<CpuId> {
        let word_idx = self.words.iter().rposition(|word| *word != 0)?;
        self.take(word_idx, 63 - self.words[word_idx].leading_zeros())
    }
}

impl Default for CpuSet {
    fn default() -> Self {
        CpuSet::EMPTY
    }
}

impl FromIterator<CpuId> for CpuSet {
    /// Collects CPUs; those that cannot be represented are left out.
    fn from_iter<I: IntoIterator<Item = CpuId>>(cpus: I) -> CpuSet {
        let mut set = CpuSet::EMPTY;
        for cpu in cpus {
            set.insert(cpu);
        }
        set
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while let Some(next) = cpus.next_if(|cpu| cpu.0 == last.0 + 1) {
                last = next;
            }
            match first == last {
                true => write!(f, "{separator}{first}")?,
                false => write!(f, "{separator}{first}-{last}")?,
            }
            separator = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuSet({self})")
    }
}

impl FromStr for CpuSet {
    type Err = ParseCpuListError;

    /// Reads the kernel's list format; surrounding white space is allowed, an empty list is the
    /// empty set.
    fn from_str(text: &str) -> Result<CpuSet, ParseCpuListError> {
        let mut set = CpuSet::EMPTY;
        let text = text.trim();
        if text.is_empty() {
            return Ok(set);
        }
        for piece in text.split(',') {
            insert_piece(&mut set, piece.trim())?;
        }
        Ok(set)
    }
}

fn insert_piece(set: &mut CpuSet, piece: &str) -> Result<(), ParseCpuListError> {
    let (range, stride) = match piece.split_once(':') {
        Some((range, stride)) => (range, Some(stride)),
        None => (piece, None),
    };
    let (first, last) = match range.split_once('-') {
        Some((first, last)) => (number(first, piece)?, number(last, piece)?),
        None => (number(range, piece)?, number(range, piece)?),
    };
    let (used, group) = match stride {
        None => (1, 1),
        Some(stride) => {
            let (used, group) = stride
                .split_once('/')
                .ok_or_else(|| ParseCpuListError::Malformed { piece: piece.to_owned() })?;
            (number(used, piece)?, number(group, piece)?)
        }
    };
    if first > last || used == 0 || used > group {
        return Err(ParseCpuListError::Inverted { piece: piece.to_owned() });
    }
    if usize::from(last) >= MAX_CPUS {
        return Err(ParseCpuListError::OutOfRange { piece: piece.to_owned() });
    }
    for cpu in first..=last {
        if (cpu - first) % group < used {
            set.insert(CpuId(cpu));
        }
    }
    Ok(())
}

fn number(text: &str, piece: &str) -> Result<u16, ParseCpuListError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        return Err(ParseCpuListError::Malformed { piece: piece.to_owned() });
    }
    let out_of_range = |_| ParseCpuListError::OutOfRange { piece: piece.to_owned() };
    text.parse().map_err(out_of_range)
}

#[cfg(test)]
mod tests;
