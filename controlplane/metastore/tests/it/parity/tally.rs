//! How many operations of which kind were compared.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How much was compared.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    n_sequences: usize,
    elapsed: Duration,
    /// Answered and refused; for progress, told and not told.
    of: BTreeMap<&'static str, (usize, usize)>,
}

impl Tally {
    pub(super) fn sequence(&mut self, elapsed: Duration) {
        self.n_sequences += 1;
        self.elapsed += elapsed;
    }

    pub(super) fn n_sequences(&self) -> usize {
        self.n_sequences
    }

    pub(super) fn count(&mut self, name: &'static str, is_refused: bool) {
        let (answered, refused) = self.of.entry(name).or_default();
        *(if is_refused { refused } else { answered }) += 1;
    }

    pub(super) fn add(&mut self, other: &Tally) {
        self.n_sequences += other.n_sequences;
        self.elapsed += other.elapsed;
        for (name, (answered, refused)) in &other.of {
            let sum = self.of.entry(name).or_default();
            *sum = (sum.0 + answered, sum.1 + refused);
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_ops: usize = self.of.values().map(|(answered, refused)| answered + refused).sum();
        let ms_each =
            self.elapsed.as_millis() / u128::try_from(self.n_sequences.max(1)).unwrap_or(1);
        writeln!(out, "{} sequences, {n_ops} operations, {ms_each} ms each", self.n_sequences)?;
        for (name, (answered, refused)) in &self.of {
            writeln!(out, "  {name:<16} {answered:>7} answered {refused:>7} refused")?;
        }
        Ok(())
    }
}
