//! Limits with what is used of them, kept up by every write so that a check costs the same however much there is. Pure; the index that they
//! are counted from at first is handed in.

use thiserror::Error;

use super::bucket::Bucket;
use super::growth::{self, Growth};
use super::{PrefixLimit, Prefixes};
use crate::happening::Happening;
use crate::index::KeyRange;
use crate::lease::Nanos;
use crate::mvcc::View;

/// Limits that are kept.
#[derive(Clone, Debug)]
pub struct Enforced {
    limits: Vec<PrefixLimit>,
    prefixes: Prefixes,
    used: Vec<Used>,
    buckets: Vec<Option<Bucket>>,
}

/// What lies under one prefix now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    pub bytes: i64,
    pub keys: i64,
}

/// A write that would go beyond a limit. Nothing of it is done.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Exceeded {
    #[error("etcdserver: prefix {prefix} would have {would} bytes, and its max_bytes is {limit}")]
    Bytes { prefix: String, would: i64, limit: u64 },
    #[error("etcdserver: prefix {prefix} would have {would} keys, and its max_keys is {limit}")]
    Keys { prefix: String, would: i64, limit: u64 },
    #[error("etcdserver: too many requests: prefix {prefix} has {per_second} writes_per_second")]
    Rate { prefix: String, per_second: f64 },
}

impl Exceeded {
    /// For the series of refusals.
    pub fn reason(&self) -> &'static str {
        match self {
            Exceeded::Bytes { .. } => "prefix_bytes",
            Exceeded::Keys { .. } => "prefix_keys",
            Exceeded::Rate { .. } => "prefix_rate",
        }
    }
}

impl Enforced {
    /// With nothing used yet.
    pub fn new(limits: Vec<PrefixLimit>, now: Nanos) -> Enforced {
        let names: Vec<&str> = limits.iter().map(|limit| limit.prefix.as_str()).collect();
        let prefixes = Prefixes::new(&names);
        let used = vec![Used::default(); limits.len()];
        let full = |limit: &PrefixLimit| limit.rate.map(|rate| Bucket::full(rate, now));
        let buckets = limits.iter().map(full).collect();
        Enforced { limits, prefixes, used, buckets }
    }

    pub fn prefixes(&self) -> &Prefixes {
        &self.prefixes
    }

    /// Prefixes with what is used, in the order of the policy.
    pub fn used(&self) -> impl Iterator<Item = (&str, Used)> {
        let names = self.limits.iter().map(|limit| limit.prefix.as_str());
        names.zip(self.used.iter().copied())
    }

    /// What keys have that were there before anything was noted.
    pub fn count(prefixes: &Prefixes, n_prefixes: usize, view: &View<'_>) -> Vec<Used> {
        let mut used = vec![Used::default(); n_prefixes];
        for (key, version) in view.range(&KeyRange::all()) {
            for nth in prefixes.of(&key) {
                used[nth].bytes += growth::bytes_of(&key, version);
                used[nth].keys += 1;
            }
        }
        used
    }

    pub fn add(&mut self, counted: &[Used]) {
        for (used, more) in self.used.iter_mut().zip(counted) {
            used.bytes += more.bytes;
            used.keys += more.keys;
        }
    }

    /// What was written, whoever did it.
    pub fn note(&mut self, happening: &Happening) {
        for event in &happening.events {
            let is_there = !event.version.is_deletion();
            let before = event.previous.map_or(0, |version| growth::bytes_of(&event.key, &version));
            let after = if is_there { growth::bytes_of(&event.key, &event.version) } else { 0 };
            let keys = i64::from(is_there) - i64::from(event.previous.is_some());
            for nth in self.prefixes.of(&event.key) {
                self.used[nth].bytes += after - before;
                self.used[nth].keys += keys;
            }
        }
    }

    /// Takes the tokens of a write that is within all limits, and of no other one.
    pub fn admit(&mut self, growths: &[(usize, Growth)], now: Nanos) -> Result<(), Exceeded> {
        for (nth, growth) in growths {
            self.check_size(*nth, growth)?;
        }
        let mut taken = Vec::new();
        for (nth, growth) in growths.iter().filter(|(_, growth)| growth.writes > 0) {
            let limit = &self.limits[*nth];
            let (Some(rate), Some(bucket)) = (limit.rate, self.buckets[*nth]) else { continue };
            let Some(left) = bucket.take(rate, now, growth.writes) else {
                let (prefix, per_second) = (limit.prefix.clone(), rate.per_second);
                return Err(Exceeded::Rate { prefix, per_second });
            };
            taken.push((*nth, left));
        }
        for (nth, left) in taken {
            self.buckets[nth] = Some(left);
        }
        Ok(())
    }

    /// What does not grow is let through: a limit may have become smaller than what is there.
    fn check_size(&self, nth: usize, growth: &Growth) -> Result<(), Exceeded> {
        let (limit, used) = (&self.limits[nth], self.used[nth]);
        let beyond = |used: i64, more: i64, limit: Option<u64>| {
            let limit = limit.filter(|_| more > 0)?;
            let would = used + more;
            (u64::try_from(would).unwrap_or(0) > limit).then_some((would, limit))
        };
        let prefix = || limit.prefix.clone();
        if let Some((would, limit)) = beyond(used.bytes, growth.bytes, limit.max_bytes) {
            return Err(Exceeded::Bytes { prefix: prefix(), would, limit });
        }
        if let Some((would, limit)) = beyond(used.keys, growth.keys, limit.max_keys) {
            return Err(Exceeded::Keys { prefix: prefix(), would, limit });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rate;
    use super::*;

    fn enforced() -> Enforced {
        let rate = Some(Rate { per_second: 1.0, burst: 2.0 });
        let limit = |prefix: &str, max_bytes, max_keys, rate| PrefixLimit {
            prefix: prefix.to_owned(),
            max_bytes,
            max_keys,
            rate,
        };
        let limits = vec![
            limit("/a/", Some(100), None, None),
            limit("/a/b/", None, Some(2), rate),
            limit("/c/", None, None, rate),
        ];
        let mut enforced = Enforced::new(limits, 0);
        enforced.add(&[Used { bytes: 90, keys: 9 }, Used { bytes: 5, keys: 3 }, Used::default()]);
        enforced
    }

    #[track_caller]
    fn check(growths: &[(usize, (i64, i64, u64))], expected: &str) {
        let of = |(nth, (bytes, keys, writes)): &(usize, (i64, i64, u64))| {
            (*nth, Growth { bytes: *bytes, keys: *keys, writes: *writes })
        };
        let growths: Vec<_> = growths.iter().map(of).collect();
        let told = enforced().admit(&growths, 0).err().map(|exceeded| exceeded.to_string());
        assert_eq!(told.unwrap_or_default(), expected, "{growths:?}");
    }

    #[test]
    fn a_write_is_within_all_limits_or_refused() {
        check(&[], "");
        check(&[(0, (10, 1, 1))], "");
        let told = "etcdserver: prefix /a/ would have 101 bytes, and its max_bytes is 100";
        check(&[(0, (11, 1, 1))], told);
        // More keys than allowed are there already; one less, and one that stays, may be written.
        check(&[(1, (-3, -1, 1)), (0, (-3, -1, 1))], "");
        check(&[(1, (4, 0, 1)), (0, (4, 0, 1))], "");
        let told = "etcdserver: prefix /a/b/ would have 4 keys, and its max_keys is 2";
        check(&[(1, (4, 1, 1)), (0, (4, 1, 1))], told);
        check(&[(2, (1 << 40, 1 << 40, 99))], "");
    }

    #[test]
    fn a_refused_write_takes_no_tokens() {
        let mut enforced = enforced();
        let writes = |n| Growth { writes: n, ..Growth::default() };
        enforced.admit(&[(2, writes(2))], 0).expect("within the limit");
        let both = [(1, writes(1)), (2, writes(1))];
        let told = enforced.admit(&both, 0).unwrap_err();
        assert_eq!(told.reason(), "prefix_rate");
        let said = "etcdserver: too many requests: prefix /c/ has 1 writes_per_second";
        assert_eq!(told.to_string(), said);
        for _ in 0..2 {
            assert!(enforced.admit(&[(1, writes(1))], 0).is_ok(), "nothing was taken before");
        }
        assert!(enforced.admit(&[(1, writes(1))], 0).is_err());
        enforced.admit(&both, 1_000_000_000).expect("within the limit");
    }
}
