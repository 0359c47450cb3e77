//! The text of sysfs files as values. Pure.

use model::{Bytes, CpuId, CpuSet};

use crate::parse::{ParseError, number};

/// `N cpulist` files, in the kernel's list format.
pub fn cpu_list(text: &str) -> Result<CpuSet, ParseError> {
    text.parse().map_err(|_error| ParseError::new(text, "a CPU list of CPUs below 1024"))
}

/// The mask format, which is all that kernels before 2.6.32 have: groups of up to eight hex
/// digits, most significant first, 32 CPUs each (`00000000,000000ff`).
pub fn cpu_mask(text: &str) -> Result<CpuSet, ParseError> {
    let malformed = || ParseError::new(text, "a mask of CPUs below 1024 (`0000,0000003f`)");
    let mut set = CpuSet::EMPTY;
    for (place, group) in text.trim().rsplit(',').enumerate() {
        let digits = group.len() <= 8 && group.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bits = match digits {
            true => u32::from_str_radix(group, 16).map_err(|_empty| malformed())?,
            false => return Err(malformed()),
        };
        for bit in (0..32).filter(|bit| bits & (1 << bit) != 0) {
            let cpu = u16::try_from(place * 32 + bit).map_err(|_far| malformed())?;
            if !set.insert(CpuId(cpu)) {
                return Err(malformed());
            }
        }
    }
    Ok(set)
}

/// `physical_package_id`; `None` is the -1 of firmware that does not say.
pub fn package_id(text: &str) -> Result<Option<u64>, ParseError> {
    match text.trim() {
        "-1" => Ok(None),
        id => number(id).map(Some),
    }
}

/// One row of the ACPI SLIT.
pub fn distances(text: &str) -> Result<Vec<u32>, ParseError> {
    let distance = |text: &str| {
        u32::try_from(number(text)?).map_err(|_big| ParseError::new(text, "a NUMA distance"))
    };
    text.split_ascii_whitespace().map(distance).collect()
}

/// `MemTotal` of `/proc/meminfo` or of a node's `meminfo` (`Node 0 MemTotal: 16 kB`).
pub fn mem_total(text: &str) -> Result<Option<Bytes>, ParseError> {
    for line in text.lines() {
        let Some((_node, value)) = line.split_once("MemTotal:") else { continue };
        return kilobytes(value).map(Some);
    }
    Ok(None)
}

/// What a node's `meminfo` says of its use; `None` where a line is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeMeminfo {
    pub total: Option<Bytes>,
    pub free: Option<Bytes>,
    pub inactive_file: Option<Bytes>,
}

/// `nodeN/meminfo`, whose lines begin with `Node N`.
pub fn node_meminfo(text: &str) -> Result<NodeMeminfo, ParseError> {
    let mut memory = NodeMeminfo::default();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.rsplit_once(' ').map_or(name, |(_node, name)| name) {
            "MemTotal" => memory.total = Some(kilobytes(value)?),
            "MemFree" => memory.free = Some(kilobytes(value)?),
            "Inactive(file)" => memory.inactive_file = Some(kilobytes(value)?),
            _ => {}
        }
    }
    Ok(memory)
}

/// `16 kB`: the kernel means 1024 bytes.
pub fn kilobytes(text: &str) -> Result<Bytes, ParseError> {
    let malformed = || ParseError::new(text, "a number of kB");
    let kilobytes = number(text.trim().strip_suffix(" kB").ok_or_else(malformed)?.trim())?;
    kilobytes.checked_mul(1024).map(Bytes).ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn masks_count_from_the_right() {
        let rows = [
            ("0000003f\n", Some("0-5")),
            ("0000,0000003f", Some("0-5")),
            ("1,00000000", Some("32")),
            ("80000000,00000000,00000001", Some("0,95")),
            ("0", Some("")),
            ("", None),
            ("0,,1", None),
            ("000000001", None),
            ("g", None),
            ("-1", None),
        ];
        for (text, expected) in rows {
            let found = cpu_mask(text).ok().map(|set| set.to_string());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
        let far = "1,".to_owned() + &["00000000"; 32].join(",");
        assert!(cpu_mask(&far).is_err(), "CPU 1024 cannot be represented");
    }

    #[test]
    fn small_files() {
        assert_eq!(package_id("-1\n"), Ok(None));
        assert_eq!(package_id("36\n"), Ok(Some(36)));
        assert_eq!(package_id("-2").ok(), None);
        assert_eq!(distances("10 21\n"), Ok(vec![10, 21]));
        assert_eq!(distances("10 x").ok(), None);
        let node = "\nNode 0 MemTotal:       16772456 kB\nNode 0 MemFree: 1 kB\n";
        assert_eq!(mem_total(node), Ok(Some(Bytes(16_772_456 << 10))));
        let whole = NodeMeminfo {
            total: Some(Bytes(16_772_456 << 10)),
            free: Some(Bytes(1024)),
            inactive_file: Some(Bytes(2048)),
        };
        assert_eq!(node_meminfo(&format!("{node}Node 0 Inactive(file): 2 kB")), Ok(whole));
        assert_eq!(node_meminfo(""), Ok(NodeMeminfo::default()));
        assert_eq!(node_meminfo("Node 0 MemFree: x kB").ok(), None);
        assert_eq!(mem_total("MemFree: 1 kB"), Ok(None));
        assert_eq!(mem_total("MemTotal: 1 MB").ok(), None);
        assert_eq!(mem_total("MemTotal: 18446744073709551615 kB").ok(), None);
    }

    proptest! {
        #[test]
        fn a_mask_and_a_list_of_the_same_cpus_are_the_same_set(
            cpus in prop::collection::btree_set(0u16..1024, 0..40),
        ) {
            let list = cpus.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
            let word = |group: u16| {
                cpus.iter().filter(|cpu| **cpu / 32 == group).map(|cpu| 1u32 << (cpu % 32)).sum::<u32>()
            };
            let mask = (0..32).rev().map(|g| format!("{:08x}", word(g))).collect::<Vec<_>>().join(",");
            prop_assert_eq!(cpu_list(&list), cpu_mask(&mask));
        }

        #[test]
        fn no_text_panics(text in crate::parse::tests::arb_text()) {
            let _ = (cpu_list(&text), cpu_mask(&text), package_id(&text));
            let _ = (distances(&text), mem_total(&text), kilobytes(&text));
            let _ = node_meminfo(&text);
        }
    }
}
