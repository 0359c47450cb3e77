//! `berth pools`: the pools as a table and on the CPU map; `-o wide` adds the machine.

use std::fmt::Write;

use proto::v1::{NumaNode, Snapshot, Topology};

use super::{Detail, Look, columns};
use crate::top::cpu_map;
use crate::units::{bytes, cpus, or_missing};

/// Cells of the map before it wraps; fits an 80-column terminal.
const MAP_CELLS: usize = 64;

pub(crate) fn pools(snapshot: &Snapshot, topology: &Topology, look: Look) -> String {
    if snapshot.pools.is_empty() {
        return "no pools: the agent has not made its first plan yet\n".to_owned();
    }
    let rows = snapshot.pools.iter().map(|pool| {
        vec![
            pool.name.clone(),
            pool.n_cpus.to_string(),
            cpus(pool.need_milli_cpu),
            or_missing(pool.usage_milli_cpu, cpus),
            pool.n_workloads.to_string(),
            if pool.cpus.is_empty() { "none".to_owned() } else { pool.cpus.clone() },
        ]
    });
    let header = ["POOL", "N", "NEED", "USED", "WORKLOADS", "CPUS"];
    let mut text = columns(&header, &["N", "NEED", "USED", "WORKLOADS"], rows.collect());
    text.push('\n');
    let map = cpu_map::map(snapshot, MAP_CELLS);
    for row in &map.rows {
        // writing to a String cannot fail
        let _ = writeln!(text, "{:>6}  {}", row.label, row.text());
    }
    let _ = writeln!(text, "        {}", map.legend());
    if look.detail == Detail::Wide {
        text.push('\n');
        text.push_str(&nodes(topology));
    }
    text
}

fn nodes(topology: &Topology) -> String {
    let row = |node: &NumaNode| {
        let distances: Vec<String> =
            node.distances.iter().map(|to| to.distance.to_string()).collect();
        vec![
            node.numa_node.to_string(),
            or_missing(node.memory_bytes, bytes),
            if node.cpus.is_empty() { "none".to_owned() } else { node.cpus.clone() },
            distances.join(" "),
        ]
    };
    let rows = topology.nodes.iter().map(row).collect();
    columns(&["NUMA NODE", "MEMORY", "CPUS", "DISTANCES"], &["NUMA NODE", "MEMORY"], rows)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::fixture;
    use crate::render::Paint;

    #[track_caller]
    fn check(detail: Detail, expect: Expect) {
        let look = Look { detail, paint: Paint::Plain };
        expect.assert_eq(&pools(&fixture::snapshot(), &fixture::topology(), look));
    }

    #[test]
    fn pools_are_listed_and_drawn() {
        check(
            Detail::Table,
            expect![[r#"
            POOL     N  NEED  USED  WORKLOADS  CPUS
            reclaim  4  0.00  1.90          1  2-3,5-6
            reserve  1  0.50     -          0  0
            share    3  2.60  2.45          1  1-3

             node0  VSBB
                     ▁▃▄
             node1  .RRx
                     ▇██
                    S share  R reclaim  B share+reclaim  V reserve  . no pool  x offline
        "#]],
        );
        check(
            Detail::Wide,
            expect![[r#"
            POOL     N  NEED  USED  WORKLOADS  CPUS
            reclaim  4  0.00  1.90          1  2-3,5-6
            reserve  1  0.50     -          0  0
            share    3  2.60  2.45          1  1-3

             node0  VSBB
                     ▁▃▄
             node1  .RRx
                     ▇██
                    S share  R reclaim  B share+reclaim  V reserve  . no pool  x offline

            NUMA NODE   MEMORY  CPUS  DISTANCES
                    0  4.0 GiB  0-3   10 21
                    1        -  4-7   21 10
        "#]],
        );
    }

    #[test]
    fn before_the_first_plan() {
        let look = Look { detail: Detail::Table, paint: Paint::Plain };
        let text = pools(&Snapshot::default(), &Topology::default(), look);
        assert_eq!(text, "no pools: the agent has not made its first plan yet\n");
    }
}
