//! `berth headroom` and `berth explain headroom`: what reclaimed work may still take, and the sum
//! that gives it. A term that is not known is `-`, and so is a result that needs it.

use std::fmt::Write;

use proto::v1::{Explained, Headroom};

use super::columns;
use crate::units::{MISSING, bytes, cpus};

/// The results alone.
pub(crate) fn headroom(reply: &Headroom) -> String {
    let row = |scope: String, cpu: &Option<Explained>, memory: &Option<Explained>| {
        vec![scope, result(cpu), result(memory)]
    };
    let mut rows = vec![row("node".to_owned(), &reply.cpu, &reply.memory)];
    rows.extend(
        reply.nodes.iter().map(|n| row(format!("NUMA {}", n.numa_node), &n.cpu, &n.memory)),
    );
    let mut text = columns(&["SCOPE", "CPU", "MEMORY"], &["CPU", "MEMORY"], rows);
    for (what, sum) in [("CPU", &reply.cpu), ("memory", &reply.memory)] {
        for missing in sum.iter().filter(|sum| sum.result.is_none()).flat_map(unknown) {
            text += &format!("no {what} is promised: {missing}\n");
        }
    }
    text
}

/// What a sum has no result for.
fn unknown(sum: &Explained) -> impl Iterator<Item = &str> {
    let missing = sum.terms.iter().filter(|term| term.value.is_none());
    missing.map(|term| if term.source.is_empty() { &*term.term } else { &*term.source })
}

/// Every term.
pub(crate) fn explained(reply: &Headroom) -> String {
    let mut text = String::new();
    sum(&mut text, "CPU", reply.cpu.as_ref());
    sum(&mut text, "memory", reply.memory.as_ref());
    for node in &reply.nodes {
        sum(&mut text, &format!("CPU of NUMA node {}", node.numa_node), node.cpu.as_ref());
        sum(&mut text, &format!("memory of NUMA node {}", node.numa_node), node.memory.as_ref());
    }
    text
}

fn sum(text: &mut String, title: &str, explained: Option<&Explained>) {
    let Some(explained) = explained else { return };
    if !text.is_empty() {
        text.push('\n');
    }
    let total = quantity(explained.result, &explained.unit);
    // writing to a String cannot fail
    let _ = writeln!(text, "{title}: {total}");
    // The only NUMA node has the whole of it.
    if explained.terms.is_empty() {
        return;
    }
    let rows = explained.terms.iter().map(|term| {
        vec![format!("  {}", term.term), quantity(term.value, &term.unit), term.source.clone()]
    });
    text.push_str(&columns(&["  TERM", "VALUE", "SOURCE"], &["VALUE"], rows.collect()));
}

fn result(explained: &Option<Explained>) -> String {
    explained.as_ref().map_or_else(|| MISSING.to_owned(), |e| quantity(e.result, &e.unit))
}

fn quantity(value: Option<f64>, unit: &str) -> String {
    let Some(value) = value else { return MISSING.to_owned() };
    let sign = if value < 0.0 { "-" } else { "" };
    match unit {
        "bytes" => format!("{sign}{}", bytes(value.abs() as u64)),
        "mCPU" => format!("{sign}{} CPUs", cpus(value.abs().round() as u64)),
        "" => format!("{value}"),
        unit => format!("{value} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proto::v1::NodeHeadroom;

    use super::*;
    use crate::fixture;

    #[test]
    fn results_and_sums() {
        expect![[r#"
            SCOPE         CPU  MEMORY
            node    3.50 CPUs       -
            NUMA 0  3.50 CPUs       -
            no memory is promised: /proc/zoneinfo
        "#]]
        .assert_eq(&headroom(&fixture::headroom()));
        expect![[r#"
            CPU: 3.50 CPUs
              TERM                     VALUE  SOURCE
              reclaim pool         4.00 CPUs  plan
              used by batch work  -0.50 CPUs  cpu.stat

            memory: -
              TERM  VALUE  SOURCE
              free      -  /proc/zoneinfo

            CPU of NUMA node 0: 3.50 CPUs
              TERM                     VALUE  SOURCE
              reclaim pool         4.00 CPUs  plan
              used by batch work  -0.50 CPUs  cpu.stat
        "#]]
        .assert_eq(&explained(&fixture::headroom()));
    }

    #[test]
    fn what_has_no_terms_has_no_table() {
        let whole =
            Explained { result: Some(1900.0), unit: "mCPU".to_owned(), ..Explained::default() };
        let node = NodeHeadroom { cpu: Some(whole), ..NodeHeadroom::default() };
        let reply = Headroom { nodes: vec![node], ..Headroom::default() };
        assert_eq!(explained(&reply), "CPU of NUMA node 0: 1.90 CPUs\n");
    }

    #[test]
    fn quantities() {
        let rows = [
            (None, "bytes", "-"),
            (Some(-2048.0), "bytes", "-2.0 KiB"),
            (Some(-500.0), "mCPU", "-0.50 CPUs"),
            (Some(0.75), "", "0.75"),
            (Some(3.0), "x", "3 x"),
        ];
        for (value, unit, expect) in rows {
            assert_eq!(quantity(value, unit), expect);
        }
    }
}
