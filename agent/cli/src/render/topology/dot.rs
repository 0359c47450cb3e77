//! The machine as a graph for graphviz: a cluster per level, an edge per distance between nodes.

use std::fmt::Write;

use proto::v1::{Cpu, Pool, Topology};

use super::{Group, Machine, NodeView, node_facts};

pub(crate) fn dot(topology: &Topology, pools: &[Pool]) -> String {
    let machine = Machine::new(topology, pools);
    let mut text = String::from(
        "graph topology {\n  compound=true;\n  node [shape=box, style=filled, fillcolor=white];\n",
    );
    for (socket, nodes) in &machine.sockets {
        // writing to a String cannot fail
        let _ = writeln!(text, "  subgraph cluster_socket{socket} {{");
        let _ = writeln!(text, "    label={};", quoted(&format!("socket {socket}")));
        for node in nodes {
            node_cluster(&mut text, &machine, node);
        }
        text.push_str("  }\n");
    }
    for node in &machine.bare {
        let label = quoted(&format!("node {}\n{}", node.numa_node, node_facts(Some(node))));
        let _ = writeln!(text, "  node{} [label={label}, shape=folder];", node.numa_node);
    }
    distances(&mut text, topology);
    text.push_str("}\n");
    text
}

fn node_cluster(text: &mut String, machine: &Machine<'_>, node: &NodeView<'_>) {
    let id = node.id;
    let label = quoted(&format!("node {id}\n{}", node_facts(node.node)));
    let _ = writeln!(text, "    subgraph cluster_node{id} {{\n      label={label};");
    // What the edges of distances end at.
    let _ =
        writeln!(text, "      node{id} [label={}, shape=folder];", quoted(&format!("node {id}")));
    for (llc, cores) in &node.groups {
        let name = llc.map_or_else(|| "none".to_owned(), |llc| llc.to_string());
        let _ = writeln!(text, "      subgraph cluster_node{id}_llc_{name} {{");
        let _ = writeln!(text, "        label={};", quoted(&format!("LLC {name}")));
        group(text, machine, cores);
        text.push_str("      }\n");
    }
    text.push_str("    }\n");
}

fn group(text: &mut String, machine: &Machine<'_>, cores: &Group<'_>) {
    for (core, cpus) in cores {
        for cpu in cpus {
            let _ = writeln!(text, "        cpu{} [{}];", cpu.cpu, attributes(machine, *core, cpu));
        }
        // Threads of one core hang together.
        for pair in cpus.windows(2) {
            let _ = writeln!(text, "        cpu{} -- cpu{};", pair[0].cpu, pair[1].cpu);
        }
    }
}

fn attributes(machine: &Machine<'_>, core: u32, cpu: &Cpu) -> String {
    let pools = machine.pools_of(cpu);
    let pool = match (cpu.online, pools.is_empty()) {
        (false, _) => "offline".to_owned(),
        (true, true) => "no pool".to_owned(),
        (true, false) => pools.join("+"),
    };
    let label = quoted(&format!("cpu {}\ncore {core}\n{pool}", cpu.cpu));
    match cpu.online {
        true => format!("label={label}, fillcolor={}", quoted(machine.colour(&pools))),
        false => format!("label={label}, style=dashed"),
    }
}

fn distances(text: &mut String, topology: &Topology) {
    let is_known = |id: u32| {
        topology.nodes.iter().any(|node| node.numa_node == id)
            || topology.cpus.iter().any(|cpu| cpu.numa_node == id)
    };
    for node in &topology.nodes {
        let farther = node.distances.iter().filter(|to| to.to_numa_node > node.numa_node);
        for to in farther.filter(|to| is_known(to.to_numa_node)) {
            let _ = writeln!(
                text,
                "  node{} -- node{} [label=\"{}\", style=dotted];",
                node.numa_node, to.to_numa_node, to.distance
            );
        }
    }
}

/// A quoted string of the language: only `"` and `\` are special, and `\n` breaks the line.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}
