//! The allowed crate edges: reads them from `cargo metadata`, compares them with
//! xtask/deps.golden, and refuses the edges that no golden file can allow. Owns the rules of who
//! may know whom; the reasons are told in ARCHITECTURE.md.

mod metadata;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use metadata::{Graph, Kind};

const GOLDEN: &str = "xtask/deps.golden";
const WHY: &str = "see \"Who may know whom\" in ARCHITECTURE.md";

/// Deciding crates: no I/O, no clock, so that a decision can be replayed.
const PURE: [&str; 3] = ["model", "advisor", "sim"];
/// Crates that touch the host or the cluster.
const HOST: [&str; 9] =
    ["hostfs", "probe", "gpu", "runtime", "cluster", "state", "collector", "actuator", "watchdog"];
/// What would give a pure crate a way to the outside.
const IMPURE: [&str; 6] = ["tokio", "aya", "rustix", "tonic", "kube", "hyper"];
/// Rooms of the control plane that are no service.
const NOT_SERVICES: [&str; 5] = ["kit", "apimachinery", "control", "testkit", "e2e"];

/// Tools that stand on tools.
const TOOLS: [&str; 2] = ["xtask", "store-bench"];

/// Compares with the golden file; `Ok` carries the counts for the progress line.
pub(crate) fn run(root: &Path) -> anyhow::Result<String> {
    let graph = Graph::read(root)?;
    let golden = std::fs::read_to_string(root.join(GOLDEN))
        .with_context(|| format!("failed to read {GOLDEN}"))?;
    let mut faults = forbidden(&graph);
    faults.extend(differences(&golden, &render(&graph)));
    for fault in &faults {
        println!("{fault}");
    }
    ensure!(faults.is_empty(), "{} faults in the crate graph", faults.len());
    Ok(format!(", {} edges between {} crates", graph.edges.len(), graph.members.len()))
}

/// Writes the golden file, unless the graph holds an edge that may never be allowed.
pub(crate) fn bless(root: &Path) -> anyhow::Result<String> {
    let graph = Graph::read(root)?;
    let faults = forbidden(&graph);
    if !faults.is_empty() {
        bail!("not written, these can not be allowed:\n{}", faults.join("\n"));
    }
    std::fs::write(root.join(GOLDEN), render(&graph))
        .with_context(|| format!("failed to write {GOLDEN}"))?;
    Ok(format!(", {GOLDEN} written"))
}

/// Edges that break the design, whatever the golden file says.
fn forbidden(graph: &Graph) -> Vec<String> {
    let mut faults = Vec::new();
    for edge in &graph.edges {
        if let Some(why) = refusal(graph, &edge.from, &edge.to) {
            faults.push(format!("forbidden edge {edge}: {why}; {WHY}"));
        }
    }
    for name in PURE {
        let reached = graph.external_of(name);
        for impure in IMPURE.iter().filter(|impure| reached.contains(**impure)) {
            let path = graph.path(name, impure).join(" -> ");
            faults.push(format!("{name} reaches {impure} ({path}): {name} decides only; {WHY}"));
        }
    }
    faults
}

fn refusal(graph: &Graph, from: &str, to: &str) -> Option<&'static str> {
    let is_service =
        |name: &str| graph.is_below(name, "controlplane/") && !NOT_SERVICES.contains(&name);
    match (from, to) {
        (from, to) if PURE.contains(&from) && HOST.contains(&to) => {
            Some("a deciding crate never sees the host")
        }
        (from, "advisor") if HOST.contains(&from) => {
            Some("a host crate carries out, it never decides")
        }
        ("proto", to) if graph.members.contains_key(to) => {
            Some("messages know no inner type, conversions live at the edge")
        }
        ("kit", to) if graph.is_below(to, "agent/") => {
            Some("the process shell knows no domain type")
        }
        (from, to) if is_service(from) && is_service(to) => {
            Some("services meet in proto or in the Kubernetes API")
        }
        (from, to) if graph.is_below(from, "agent/") && is_service(to) => {
            Some("the agent runs without a control plane")
        }
        (from, "xtask" | "bench" | "store-bench" | "vmtest") if !TOOLS.contains(&from) => {
            Some("the product does not stand on its tools")
        }
        _ => None,
    }
}

/// The graph as text: what the golden file holds.
fn render(graph: &Graph) -> String {
    let mut out = String::from(
        "# Allowed edges between the crates of this workspace, and every library the deciding\n\
         # crates reach. Compared by `cargo xtask check --only deps`; rewritten with `--bless`.\n\
         # A new line here is a design decision: ARCHITECTURE.md, \"Who may know whom\".\n",
    );
    for kind in [Kind::Normal, Kind::Dev, Kind::Build] {
        let edges: Vec<_> = graph.edges.iter().filter(|edge| edge.kind == kind).collect();
        if !edges.is_empty() {
            let _ = writeln!(out, "\n[{kind} edges]");
            for edge in edges {
                let _ = writeln!(out, "{} -> {}", edge.from, edge.to);
            }
        }
    }
    let _ = writeln!(out, "\n[libraries of the deciding crates]");
    for name in PURE {
        let reached: Vec<String> = graph.external_of(name).into_iter().collect();
        let _ = writeln!(out, "{name}: {}", reached.join(" "));
    }
    out
}

/// Entries on one side only, each with what to do.
fn differences(golden: &str, actual: &str) -> Vec<String> {
    let (golden, actual) = (sectioned(golden), sectioned(actual));
    let added = actual.difference(&golden).map(|(section, line)| {
        format!("{section} `{line}` is not in {GOLDEN}: avoid it, or allow it with --bless; {WHY}")
    });
    let gone = golden.difference(&actual).map(|(section, line)| {
        format!("{section} `{line}` stands in {GOLDEN} but not in the workspace: --bless drops it")
    });
    added.chain(gone).collect()
}

/// Every edge and every library as an entry of its own, beside the section it stands in.
fn sectioned(text: &str) -> BTreeSet<(String, String)> {
    let mut section = String::new();
    let mut lines = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('[') {
            section = line.to_owned();
        } else if let Some((name, libraries)) = line.split_once(": ") {
            let each = libraries.split_whitespace();
            lines.extend(each.map(|library| (section.clone(), format!("{name}: {library}"))));
        } else {
            lines.insert((section.clone(), line.to_owned()));
        }
    }
    lines
}
