//! Reads the text output of hwloc's `lstopo`, which was recorded beside each machine, into the
//! sets that our own reader must find. Shares nothing with it but the numbers.

use std::collections::{BTreeMap, BTreeSet};

/// Sets of CPU numbers, one per object of a kind.
pub(crate) type Partition = BTreeSet<BTreeSet<u16>>;

/// What hwloc says about a machine.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    pub(crate) cpus: BTreeSet<u16>,
    pub(crate) packages: Partition,
    pub(crate) cores: Partition,
    /// Under the outermost cache.
    pub(crate) llcs: Partition,
    /// NUMA nodes by number: their CPUs.
    pub(crate) nodes: BTreeMap<u16, BTreeSet<u16>>,
}

#[derive(Default)]
struct Object {
    indent: usize,
    kind: String,
    number: Option<u16>,
    cpus: BTreeSet<u16>,
    /// NUMA nodes are printed as children of the object whose CPUs they are local to.
    nodes: Vec<u16>,
}

pub(crate) fn read(text: &str) -> Oracle {
    let mut oracle = Oracle::default();
    let mut open: Vec<Object> = Vec::new();
    for line in text.lines().take_while(|line| !line.starts_with("depth")) {
        let object = object(line);
        while open.last().is_some_and(|top| top.indent >= object.indent) {
            close(&mut open, &mut oracle);
        }
        open.push(object);
    }
    while !open.is_empty() {
        close(&mut open, &mut oracle);
    }
    oracle
}

fn object(line: &str) -> Object {
    let trimmed = line.trim_start();
    let kind: String = trimmed.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
    let number = trimmed.split_once("P#").and_then(|(_, rest)| {
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    });
    let mut object =
        Object { indent: line.len() - trimmed.len(), kind, number, ..Object::default() };
    if object.kind == "PU" {
        object.cpus.extend(number);
    }
    object
}

fn close(open: &mut Vec<Object>, oracle: &mut Oracle) {
    let Some(done) = open.pop() else { return };
    let is_cache = |kind: &str| kind.starts_with('L') && kind.ends_with("Cache");
    for node in &done.nodes {
        oracle.nodes.insert(*node, done.cpus.clone());
    }
    match done.kind.as_str() {
        "PU" => oracle.cpus.extend(&done.cpus),
        "Core" => drop(oracle.cores.insert(done.cpus.clone())),
        "Package" => drop(oracle.packages.insert(done.cpus.clone())),
        kind if is_cache(kind) && !open.iter().any(|outer| is_cache(&outer.kind)) => {
            oracle.llcs.insert(done.cpus.clone());
        }
        _ => {}
    }
    if let Some(parent) = open.last_mut() {
        if done.kind == "NUMANode" {
            parent.nodes.extend(done.number);
        }
        parent.cpus.extend(done.cpus);
    }
}

#[test]
fn a_small_machine_is_understood() {
    let oracle = read(
        "Machine (P#0 total=2GiB)\n  Package L#0 (P#0)\n    NUMANode L#0 (P#3 local=2GiB)\n    \
         L2Cache L#0 (size=1KiB)\n      L1dCache L#0 (P#0)\n        Core L#0 (P#0)\n          \
         PU L#0 (P#0)\n          PU L#1 (P#2)\n  Package L#1\n    L2Cache L#1\n      \
         Core L#1 (P#0)\n        PU L#2 (P#1)\ndepth 0: 1 Machine (type #0)\n  PU L#9 (P#9)\n",
    );
    assert_eq!(oracle.cpus, [0, 1, 2].into());
    assert_eq!(oracle.cores, [[0, 2].into(), [1].into()].into());
    assert_eq!(oracle.packages, oracle.cores);
    assert_eq!(oracle.llcs, oracle.cores);
    assert_eq!(oracle.nodes, [(3, [0, 2].into())].into());
}
