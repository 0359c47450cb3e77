//! The CPU map: one cell per CPU, one letter per pool, a row of load below; NUMA node by NUMA node.

use std::collections::{BTreeMap, BTreeSet};

use model::{CpuId, CpuSet};
use proto::v1::{CpuView, Snapshot};

/// Eighths of a busy CPU.
const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The map, wrapped to a width.
#[derive(Debug, PartialEq)]
pub(crate) struct CpuMap {
    pub(crate) rows: Vec<MapRow>,
    /// The letters that occur.
    pub(crate) letters: BTreeSet<Owner>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct MapRow {
    /// `node0` on a node's first row.
    pub(crate) label: String,
    pub(crate) cells: Vec<MapCell>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MapCell {
    pub(crate) symbol: char,
    pub(crate) owner: Owner,
}

/// Whose CPU it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    Share,
    Reclaim,
    /// Reclaimed work may run on the share pool's idle CPU.
    Both,
    Reserve,
    Other,
    Nobody,
    Offline,
}

impl Owner {
    fn letter(self) -> char {
        match self {
            Owner::Share => 'S',
            Owner::Reclaim => 'R',
            Owner::Both => 'B',
            Owner::Reserve => 'V',
            Owner::Other => 'o',
            Owner::Nobody => '.',
            Owner::Offline => 'x',
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Owner::Share => "share",
            Owner::Reclaim => "reclaim",
            Owner::Both => "share+reclaim",
            Owner::Reserve => "reserve",
            Owner::Other => "other pool",
            Owner::Nobody => "no pool",
            Owner::Offline => "offline",
        }
    }
}

impl MapRow {
    pub(crate) fn text(&self) -> String {
        let text: String = self.cells.iter().map(|cell| cell.symbol).collect();
        text.trim_end().to_owned()
    }
}

impl CpuMap {
    pub(crate) fn legend(&self) -> String {
        let parts: Vec<String> = self
            .letters
            .iter()
            .map(|owner| format!("{} {}", owner.letter(), owner.meaning()))
            .collect();
        parts.join("  ")
    }
}

/// Two rows (pool, load) for every `width` CPUs of a node.
pub(crate) fn map(snapshot: &Snapshot, width: usize) -> CpuMap {
    let pools = Pools::of(snapshot);
    let mut nodes: BTreeMap<u32, Vec<&CpuView>> = BTreeMap::new();
    for cpu in &snapshot.cpus {
        nodes.entry(cpu.numa_node).or_default().push(cpu);
    }
    let mut map = CpuMap { rows: Vec::new(), letters: BTreeSet::new() };
    for (node, cpus) in nodes {
        for (idx, chunk) in cpus.chunks(width.max(1)).enumerate() {
            let owners: Vec<Owner> = chunk.iter().map(|cpu| pools.owner(cpu)).collect();
            map.letters.extend(&owners);
            let pool_cells = owners
                .iter()
                .map(|owner| MapCell { symbol: owner.letter(), owner: *owner })
                .collect();
            let load_cells = chunk
                .iter()
                .zip(&owners)
                .map(|(cpu, owner)| MapCell { symbol: load(cpu), owner: *owner })
                .collect();
            let label = if idx == 0 { format!("node{node}") } else { String::new() };
            map.rows.push(MapRow { label, cells: pool_cells });
            map.rows.push(MapRow { label: String::new(), cells: load_cells });
        }
    }
    map
}

fn load(cpu: &CpuView) -> char {
    match cpu.busy_ratio {
        None => ' ',
        Some(busy) => {
            let eighths = (busy.clamp(0.0, 1.0) * 8.0).round() as usize;
            LEVELS[eighths.min(LEVELS.len() - 1)]
        }
    }
}

/// The pools' CPU sets. A list that cannot be read counts as empty; the agent wrote it.
struct Pools {
    share: CpuSet,
    reclaim: CpuSet,
    reserve: CpuSet,
    other: CpuSet,
}

impl Pools {
    fn of(snapshot: &Snapshot) -> Pools {
        let mut pools = Pools {
            share: CpuSet::EMPTY,
            reclaim: CpuSet::EMPTY,
            reserve: CpuSet::EMPTY,
            other: CpuSet::EMPTY,
        };
        for pool in &snapshot.pools {
            let cpus: CpuSet = pool.cpus.parse().unwrap_or_default();
            let set = match pool.name.as_str() {
                "share" => &mut pools.share,
                "reclaim" => &mut pools.reclaim,
                "reserve" => &mut pools.reserve,
                _ => &mut pools.other,
            };
            *set = set.union(&cpus);
        }
        pools
    }

    fn owner(&self, cpu: &CpuView) -> Owner {
        let id = u16::try_from(cpu.cpu).map(CpuId);
        let within = |set: &CpuSet| id.is_ok_and(|id| set.contains(id));
        match (within(&self.share), within(&self.reclaim)) {
            _ if !cpu.online => Owner::Offline,
            (true, true) => Owner::Both,
            (true, false) => Owner::Share,
            (false, true) => Owner::Reclaim,
            _ if within(&self.reserve) => Owner::Reserve,
            _ if within(&self.other) => Owner::Other,
            _ => Owner::Nobody,
        }
    }
}
