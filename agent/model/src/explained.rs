//! A number with the arithmetic that made it: terms whose amounts add up to the value, or the reason
//! why there is none. Owns the form and its text; who computes what is the advisor's.

use std::fmt::{self, Write as _};

use crate::units::Nanos;

/// A number that a person may ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    pub unit: Unit,
    /// In the order of the arithmetic. Their sum is the value; without a value they are what was
    /// known.
    pub terms: Vec<Term>,
    pub value: Result<Amount, Absent>,
}

/// An amount in the unit of what it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    MilliCpu,
    Bytes,
}

/// One summand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Stable snake_case name.
    pub name: &'static str,
    /// Negative where it takes away; wider than any amount, so that a sum never overflows.
    pub amount: i128,
    /// Where it came from.
    pub from: String,
}

/// Why there is no number. None of these is zero.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Absent {
    #[error("not measured: {what}")]
    NotMeasured { what: String },
    #[error("the measurement is {} ms old, at most {} ms are allowed", millis(*age), millis(*max))]
    Stale { age: Nanos, max: Nanos },
    #[error("{have} of {want} samples are in the window")]
    Filling { have: usize, want: usize },
}

const fn millis(span: Nanos) -> u64 {
    span.0 / 1_000_000
}

impl Unit {
    pub const fn name(self) -> &'static str {
        match self {
            Unit::MilliCpu => "mCPU",
            Unit::Bytes => "bytes",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Explained {
    pub const fn new(unit: Unit) -> Explained {
        Explained { unit, terms: Vec::new(), value: Ok(Amount(0)) }
    }

    /// A value that is not there.
    pub const fn absent(unit: Unit, reason: Absent) -> Explained {
        Explained { unit, terms: Vec::new(), value: Err(reason) }
    }

    /// Adds a summand that is told even if it is zero.
    pub fn add(&mut self, name: &'static str, amount: i128, from: impl Into<String>) {
        self.terms.push(Term { name, amount, from: from.into() });
        self.settle();
    }

    /// Adds what leads from the sum so far to another value; nothing where that changes nothing.
    pub fn lead_to(&mut self, name: &'static str, value: Amount, from: impl Into<String>) {
        let amount = i128::from(value.0) - self.sum();
        if amount != 0 {
            self.add(name, amount, from);
        }
    }

    /// The terms stay as far as they are known, the value goes.
    pub fn withdraw(&mut self, reason: Absent) {
        self.value = Err(reason);
    }

    pub fn sum(&self) -> i128 {
        self.terms.iter().map(|term| term.amount).sum()
    }

    /// The sum as an amount; a sum below zero is zero, which `settled` tells as a term.
    fn settle(&mut self) {
        if self.value.is_ok() {
            self.value = Ok(Amount(u64::try_from(self.sum().max(0)).unwrap_or(u64::MAX)));
        }
    }

    /// The same with a term for what was missing to zero.
    #[must_use]
    pub fn settled(mut self) -> Explained {
        let below = -self.sum();
        if below > 0 {
            self.add("not_below_zero", below, "more is used than there is");
        }
        self
    }

    /// The lines a person reads: one per term, then the sum or why there is none.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for term in &self.terms {
            // Writing to a String cannot fail.
            let _ =
                writeln!(text, "{:>+22} {}  {}: {}", term.amount, self.unit, term.name, term.from);
        }
        let _ = match &self.value {
            Ok(value) => writeln!(text, "{:>22} {}", format!("= {}", value.0), self.unit),
            Err(reason) => writeln!(text, "{:>22} {}", "= not known:", reason),
        };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_terms_add_up_to_the_printed_result() {
        let mut one = Explained::new(Unit::MilliCpu);
        one.add("pool", 10_000, "CPUs 0-9");
        one.add("busy", -3000, "measured");
        one.lead_to("quota", Amount(5000), "cpu.max of reclaimed work");
        one.lead_to("step", Amount(5000), "changes nothing, is not told");
        let text = one.text();
        let amounts = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let amounts: Vec<Vec<&str>> = amounts.collect();
        let (last, terms) = amounts.split_last().expect("lines");
        let sum: i128 = terms.iter().map(|line| line[0].parse::<i128>().expect("a number")).sum();
        assert_eq!((terms.len(), last[1].parse()), (3, Ok(sum)), "{text}");
        assert_eq!(one.value, Ok(Amount(5000)));
    }

    #[test]
    fn what_is_below_zero_is_told_as_a_term() {
        let mut one = Explained::new(Unit::Bytes);
        one.add("memory", 4, "node 0");
        one.add("used", -9, "pods");
        let one = one.settled();
        assert_eq!((one.value.clone(), one.sum(), one.terms.len()), (Ok(Amount(0)), 0, 3));
    }

    #[test]
    fn a_missing_value_says_why_and_is_not_zero() {
        let reason = Absent::Filling { have: 1, want: 4 };
        let text = Explained::absent(Unit::Bytes, reason).text();
        assert_eq!(text.trim(), "= not known: 1 of 4 samples are in the window");
    }
}
