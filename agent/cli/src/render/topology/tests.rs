//! All formats on small machines as text; large ones by their properties.

use expect_test::{Expect, expect, expect_file};
use model::Bytes;
use model::topology::Shape;
use proto::v1::{NumaDistance, NumaNode};

use super::*;
use crate::fixture;
use crate::render::{Detail, Paint};

const LOOK: Look = Look { detail: Detail::Table, paint: Paint::Plain };

fn pool(name: &str, cpus: &str) -> Pool {
    Pool { name: name.into(), cpus: cpus.into(), ..Pool::default() }
}

/// A regular machine as the agent tells it.
fn machine(shape: [u16; 5]) -> Topology {
    let [sockets, nodes_per_socket, llcs_per_node, cores_per_llc, threads_per_core] = shape;
    let inner = model::Topology::synthetic(Shape {
        sockets,
        nodes_per_socket,
        llcs_per_node,
        cores_per_llc,
        threads_per_core,
        memory_per_node: Bytes(64 << 30),
    });
    let cpu = |cpu: &model::topology::Cpu| Cpu {
        cpu: cpu.id.0.into(),
        online: cpu.online,
        core: cpu.core.0.into(),
        socket: cpu.socket.0.into(),
        numa_node: cpu.node.0.into(),
        llc: cpu.llc.map(|llc| llc.0.into()),
    };
    let to = |(id, distance): (&model::NumaNodeId, &u32)| NumaDistance {
        to_numa_node: id.0.into(),
        distance: *distance,
    };
    let node = |node: &model::topology::NumaNode| NumaNode {
        numa_node: node.id.0.into(),
        cpus: node.cpus.to_string(),
        memory_bytes: node.memory.map(|bytes| bytes.0),
        distances: node.distances.iter().map(to).collect(),
    };
    Topology {
        cpus: inner.cpus.values().map(cpu).collect(),
        nodes: inner.nodes.values().map(node).collect(),
        ..Topology::default()
    }
}

/// Two sockets, an offline CPU, one without a cache, one of an efficiency core, a node of memory.
fn odd() -> Topology {
    let mut odd = machine([2, 1, 1, 2, 2]);
    odd.cpus[3].online = false;
    odd.cpus[1].llc = None;
    odd.offline_cpus = "3,8-9".into();
    odd.efficiency_cpus = "1,5".into();
    odd.nodes[1].memory_bytes = None;
    odd.nodes.push(NumaNode {
        numa_node: 7,
        memory_bytes: Some(32 << 30),
        distances: vec![NumaDistance { to_numa_node: 0, distance: 30 }],
        ..NumaNode::default()
    });
    odd
}

fn pools() -> Vec<Pool> {
    vec![
        pool("reclaim", "4-6"),
        pool("reserve", "0"),
        pool("share", "1-2,4-5"),
        pool("a\"<b&", "7"),
    ]
}

#[track_caller]
fn check(topology: &Topology, pools: &[Pool], expect: Expect) {
    expect.assert_eq(&tree(topology, pools, LOOK));
}

#[test]
fn trees() {
    check(
        &odd(),
        &pools(),
        expect![[r#"
            socket 0
              node 0   memory 64 GiB   distances 10 21
                LLC -   1 core, 1 CPU
                  core 1    1 share (E)
                LLC 0   2 cores, 3 CPUs
                  core 0    0 reserve   4 reclaim+share
                  core 1    5 reclaim+share (E)
            socket 1
              node 1   memory -   distances 21 10
                LLC 2   2 cores, 4 CPUs
                  core 2    2 share   6 reclaim
                  core 3    3 offline   7 a"<b&
            node 7   memory 32 GiB   distances 30   no CPUs
            offline, place unknown: 8-9
        "#]],
    );
    check(
        &machine([1, 1, 1, 1, 1]),
        &[],
        expect![[r#"
            socket 0
              node 0   memory 64 GiB   distances 10
                LLC 0   1 core, 1 CPU
                  core 0    0 no pool
        "#]],
    );
    check(
        &Topology::default(),
        &pools(),
        expect![[r#"
        no topology: the agent could not read the machine's CPUs
    "#]],
    );
}

#[test]
fn a_graph_is_well_formed() {
    expect_file!["snapshots/odd.dot"].assert_eq(&dot(&odd(), &pools()));
    for graph in
        [dot(&odd(), &pools()), dot(&Topology::default(), &[]), dot(&fixture::topology(), &[])]
    {
        let outside = outside_of_strings(&graph);
        let count = |c: char| outside.matches(c).count();
        assert_eq!(count('{'), count('}'), "{graph}");
        assert!(outside.starts_with("graph topology {") && outside.trim_end().ends_with('}'));
    }
}

/// The text without quoted strings; panics when one does not end.
#[track_caller]
fn outside_of_strings(text: &str) -> String {
    let (mut outside, mut chars, mut quoted) = (String::new(), text.chars(), false);
    while let Some(c) = chars.next() {
        match (c, quoted) {
            ('"', _) => quoted = !quoted,
            ('\\', true) => drop(chars.next()),
            (_, true) => {}
            (c, false) => outside.push(c),
        }
    }
    assert!(!quoted, "an open string in {text}");
    outside
}

#[test]
fn pictures() {
    expect_file!["snapshots/odd.svg"].assert_eq(&svg(&odd(), &pools()));
    for shape in [
        [1, 1, 1, 1, 1],
        [1, 2, 1, 2, 2],
        [2, 1, 2, 4, 2],
        [2, 4, 4, 8, 1],
        [2, 1, 1, 64, 2],
        [2, 4, 4, 8, 2],
        [1, 1, 1, 512, 1],
    ] {
        let machine = machine(shape);
        let picture = svg(&machine, &[pool("share", "0-511")]);
        check_picture(&picture, machine.cpus.len());
    }
    check_picture(&svg(&Topology::default(), &[]), 0);
}

/// Every CPU has its cell, no two cells meet, all lie on the page, and the page is not too wide.
#[track_caller]
fn check_picture(picture: &str, n_cpus: usize) {
    let number = |line: &str, key: &str| -> usize {
        let rest = line.split_once(&format!(" {key}=\"")).expect(line).1;
        rest.split('"').next().and_then(|n| n.parse().ok()).expect(line)
    };
    let head = picture.lines().next().expect("a first line");
    let (w, h) = (number(head, "width"), number(head, "height"));
    assert!(w <= 1560, "{w} pixels wide");
    let cells = picture.lines().filter(|line| line.starts_with("<rect class=\"cell\" x="));
    let cells: Vec<[usize; 4]> =
        cells.map(|line| ["x", "y", "width", "height"].map(|key| number(line, key))).collect();
    assert_eq!(cells.len(), n_cpus);
    for (idx, [x, y, cw, ch]) in cells.iter().copied().enumerate() {
        assert!(x + cw <= w && y + ch <= h, "cell {idx} is not on the page");
        let meets = |other: &[usize; 4]| {
            x < other[0] + other[2]
                && other[0] < x + cw
                && y < other[1] + other[3]
                && other[1] < y + ch
        };
        assert!(!cells[..idx].iter().any(meets), "cell {idx} covers another");
    }
    assert!(!picture.contains("NaN"), "{picture}");
}
