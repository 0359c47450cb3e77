//! Overcommit of a node as its annotations tell it: how many times CPU and memory may be promised,
//! what the machine has and what is claimed instead. Owns the reading into types; a value that cannot
//! be understood names its key. Who multiplies is the control plane.

use std::fmt;

use crate::annotation::overcommit as key;
use crate::qos::Keys;
use crate::quantity::{self, QuantityError};
use crate::units::{Bytes, MilliCpu};

/// Promising a hundredfold is a typing error.
pub const MAX_RATIO: f64 = 100.0;
/// Characters of a value that an error repeats.
const SHOWN: usize = 120;

/// What a node's annotations and labels say about overcommit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeOvercommit {
    /// The pool whose configuration selects this node.
    pub pool: Option<String>,
    pub cpu: Overcommit<MilliCpu>,
    pub memory: Overcommit<Bytes>,
}

/// Of one resource. `None`: not said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overcommit<T> {
    /// What the operator allows.
    pub ratio: Option<f64>,
    /// What the load of the node allows.
    pub realtime_ratio: Option<f64>,
    /// Before multiplication.
    pub original: Claimed<T>,
    /// After it.
    pub overcommitted: Claimed<T>,
}

/// An amount of a node, and the part of it that pods may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claimed<T> {
    pub capacity: Option<T>,
    pub allocatable: Option<T>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OvercommitError {
    #[error("{key}: {value:?} is not allowed; allowed are numbers 0..={MAX_RATIO}")]
    Ratio { key: &'static str, value: String },
    #[error("{key}: {source}")]
    Quantity { key: &'static str, source: QuantityError },
    #[error("{key}: {value} is over {capacity_key}: {capacity}")]
    OverCapacity { key: &'static str, value: String, capacity_key: &'static str, capacity: String },
}

impl NodeOvercommit {
    pub fn read(annotations: &Keys, labels: &Keys) -> Result<NodeOvercommit, OvercommitError> {
        let ratio = |key| read_ratio(annotations, key);
        let cpu = |keys| read_claimed(annotations, keys, quantity::measured_cpu);
        let memory = |keys| read_claimed(annotations, keys, quantity::computed_memory);
        Ok(NodeOvercommit {
            pool: labels.get(key::NODE_POOL).filter(|pool| !pool.is_empty()).cloned(),
            cpu: Overcommit {
                ratio: ratio(key::CPU_RATIO)?,
                realtime_ratio: ratio(key::REALTIME_CPU_RATIO)?,
                original: cpu([key::ORIGINAL_CAPACITY_CPU, key::ORIGINAL_ALLOCATABLE_CPU])?,
                overcommitted: cpu([key::CAPACITY_CPU, key::ALLOCATABLE_CPU])?,
            },
            memory: Overcommit {
                ratio: ratio(key::MEMORY_RATIO)?,
                realtime_ratio: ratio(key::REALTIME_MEMORY_RATIO)?,
                original: memory([
                    key::ORIGINAL_CAPACITY_MEMORY,
                    key::ORIGINAL_ALLOCATABLE_MEMORY,
                ])?,
                overcommitted: memory([key::CAPACITY_MEMORY, key::ALLOCATABLE_MEMORY])?,
            },
        })
    }
}

impl<T> Overcommit<T> {
    /// How many times the resource is promised: what both allow, nothing without the operator, and
    /// never less than the machine has.
    pub fn effective_ratio(&self) -> f64 {
        let Some(ratio) = self.ratio else { return 1.0 };
        self.realtime_ratio.map_or(ratio, |realtime| ratio.min(realtime)).max(1.0)
    }
}

fn read_ratio(annotations: &Keys, key: &'static str) -> Result<Option<f64>, OvercommitError> {
    let Some(value) = annotations.get(key) else { return Ok(None) };
    let number: Option<f64> = value.trim().parse().ok();
    match number.filter(|number| (0.0..=MAX_RATIO).contains(number)) {
        Some(number) => Ok(Some(number)),
        None => Err(OvercommitError::Ratio { key, value: value.chars().take(SHOWN).collect() }),
    }
}

/// Capacity and allocatable, the second within the first.
fn read_claimed<T: Copy + Ord + fmt::Display>(
    annotations: &Keys,
    [capacity_key, key]: [&'static str; 2],
    read: fn(&str) -> Result<T, QuantityError>,
) -> Result<Claimed<T>, OvercommitError> {
    let amount = |key: &'static str| {
        let read = annotations.get(key).map(|text| read(text)).transpose();
        read.map_err(|source| OvercommitError::Quantity { key, source })
    };
    let claimed = Claimed { capacity: amount(capacity_key)?, allocatable: amount(key)? };
    match (claimed.capacity, claimed.allocatable) {
        (Some(capacity), Some(allocatable)) if allocatable > capacity => {
            let text = |key| annotations.get(key).cloned().unwrap_or_default();
            let (value, capacity) = (text(key), text(capacity_key));
            Err(OvercommitError::OverCapacity { key, value, capacity_key, capacity })
        }
        _ => Ok(claimed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(rows: &[(&str, &str)]) -> Keys {
        let prefixed = |key: &str| format!("katalyst.kubewharf.io/{key}");
        rows.iter().map(|(key, value)| (prefixed(key), (*value).to_owned())).collect()
    }

    fn read(rows: &[(&str, &str)]) -> Result<NodeOvercommit, OvercommitError> {
        NodeOvercommit::read(&keys(rows), &Keys::new())
    }

    #[track_caller]
    fn check_ratio(rows: &[(&str, &str)], cpu: f64, memory: f64) {
        let read = read(rows).expect("understood");
        assert_eq!((read.cpu.effective_ratio(), read.memory.effective_ratio()), (cpu, memory));
    }

    #[track_caller]
    fn check_refused(rows: &[(&str, &str)], expect: &str) {
        let error = read(rows).expect_err("refused").to_string();
        assert_eq!(error, format!("katalyst.kubewharf.io/{expect}"));
    }

    #[test]
    fn the_smaller_ratio_counts_and_never_less_than_one() {
        check_ratio(&[], 1.0, 1.0);
        check_ratio(&[("cpu_overcommit_ratio", "2.5")], 2.5, 1.0);
        check_ratio(&[("memory_overcommit_ratio", " 1.93 ")], 1.0, 1.93);
        let both = [("cpu_overcommit_ratio", "2.5"), ("realtime_cpu_overcommit_ratio", "1.51")];
        check_ratio(&both, 1.51, 1.0);
        let above = [("cpu_overcommit_ratio", "2"), ("realtime_cpu_overcommit_ratio", "3")];
        check_ratio(&above, 2.0, 1.0);
        // below one nothing is taken away, and load alone allows nothing
        check_ratio(&[("cpu_overcommit_ratio", "0.5")], 1.0, 1.0);
        check_ratio(&[("realtime_cpu_overcommit_ratio", "3")], 1.0, 1.0);
    }

    #[test]
    fn amounts_before_and_after() {
        let labels = keys(&[("overcommit_node_pool", "demo")]);
        let rows = [
            ("original_capacity_cpu", "8"),
            ("original_allocatable_cpu", "7800m"),
            ("overcommit_capacity_cpu", "12080m"),
            ("overcommit_allocatable_memory", "56468160982220m"),
        ];
        let read = NodeOvercommit::read(&keys(&rows), &labels).expect("understood");
        assert_eq!(read.pool.as_deref(), Some("demo"));
        let original =
            Claimed { capacity: Some(MilliCpu(8000)), allocatable: Some(MilliCpu(7800)) };
        assert_eq!(read.cpu.original, original);
        // absent is not zero
        assert_eq!(read.cpu.overcommitted.capacity, Some(MilliCpu(12_080)));
        assert_eq!(read.cpu.overcommitted.allocatable, None);
        assert_eq!(read.memory.overcommitted.allocatable, Some(Bytes(56_468_160_982)));
        assert_eq!(read.memory.original, Claimed::default());
    }

    #[test]
    fn refusals_name_key_and_value() {
        for value in ["NaN", "inf", "-1", "101", "", "two"] {
            check_refused(
                &[("cpu_overcommit_ratio", value)],
                &format!(
                    "cpu_overcommit_ratio: {value:?} is not allowed; allowed are numbers 0..=100"
                ),
            );
        }
        check_refused(
            &[("realtime_memory_overcommit_ratio", "1e999")],
            "realtime_memory_overcommit_ratio: \"1e999\" is not allowed; allowed are numbers 0..=100",
        );
        check_refused(
            &[("original_capacity_cpu", "-1")],
            "original_capacity_cpu: \"-1\" is negative; allowed are 0 and more",
        );
        check_refused(
            &[("overcommit_capacity_memory", "9E")],
            "overcommit_capacity_memory: \"9E\" is over 1Pi, the most that is accepted for memory",
        );
        check_refused(
            &[("overcommit_capacity_cpu", "8"), ("overcommit_allocatable_cpu", "9")],
            "overcommit_allocatable_cpu: 9 is over katalyst.kubewharf.io/overcommit_capacity_cpu: 8",
        );
    }
}
