//! Small graphs, one per rule, and the golden file's comparison. The last test guards the real
//! golden file against an edge that the rules refuse.

use expect_test::{Expect, expect};

use super::metadata::{Graph, Kind};
use super::{differences, forbidden, render};

/// `a -> b` is a normal edge, `a -dev-> b` and `a -build-> b` are the others.
fn graph(edges: &[&str]) -> Graph {
    let mut graph = Graph::default();
    let rooms = ["model", "advisor", "sim", "hostfs", "actuator", "probe", "agent", "vmtest"];
    for name in rooms {
        graph.members.insert(name.to_owned(), format!("agent/{name}"));
    }
    for name in ["kit", "gateway", "metastore", "testkit"] {
        graph.members.insert(name.to_owned(), format!("controlplane/{name}"));
    }
    graph.members.insert("proto".to_owned(), "proto".to_owned());
    for edge in edges {
        let words: Vec<&str> = edge.split(' ').collect();
        let kind = match words[1] {
            "-dev->" => Kind::Dev,
            "-build->" => Kind::Build,
            _ => Kind::Normal,
        };
        graph.add(kind, words[0], words[2]);
    }
    graph
}

#[track_caller]
fn check(edges: &[&str], expect: Expect) {
    let found: Vec<String> =
        forbidden(&graph(edges)).iter().map(|line| format!("{line}\n")).collect();
    expect.assert_eq(&found.concat());
}

#[test]
fn allowed_edges_are_silent() {
    check(
        &[
            "advisor -> model",
            "hostfs -> model",
            "hostfs -> rustix",
            "actuator -> hostfs",
            "agent -> advisor",
            "agent -> kit",
            "agent -> proto",
            "gateway -> kit",
            "gateway -dev-> testkit",
            "advisor -dev-> tempfile",
            "tempfile -> rustix",
        ],
        expect![""],
    );
}

#[test]
fn forbidden_edges_name_the_reason() {
    check(
        &["advisor -> hostfs"],
        expect![[r#"
            forbidden edge advisor -> hostfs (normal): a deciding crate never sees the host; see "Who may know whom" in ARCHITECTURE.md
        "#]],
    );
    check(
        &["model -dev-> probe"],
        expect![[r#"
            forbidden edge model -> probe (dev): a deciding crate never sees the host; see "Who may know whom" in ARCHITECTURE.md
        "#]],
    );
    check(
        &["hostfs -> advisor"],
        expect![[r#"
            forbidden edge hostfs -> advisor (normal): a host crate carries out, it never decides; see "Who may know whom" in ARCHITECTURE.md
        "#]],
    );
    check(
        &["proto -> model"],
        expect![[r#"
            forbidden edge proto -> model (normal): messages know no inner type, conversions live at the edge; see "Who may know whom" in ARCHITECTURE.md
        "#]],
    );
    check(
        &["kit -> model"],
        expect![[r#"
            forbidden edge kit -> model (normal): the process shell knows no domain type; see "Who may know whom" in ARCHITECTURE.md
        "#]],
    );
    check(
        &["gateway -> metastore"],
        expect![[r#"
            forbidden edge gateway -> metastore (normal): services meet in proto or in the Kubernetes API; see "Who may know whom" in ARCHITECTURE.md
        "#]],
    );
    check(
        &["agent -> gateway"],
        expect![[r#"
            forbidden edge agent -> gateway (normal): the agent runs without a control plane; see "Who may know whom" in ARCHITECTURE.md
        "#]],
    );
    check(
        &["agent -> vmtest"],
        expect![[r#"
            forbidden edge agent -> vmtest (normal): the product does not stand on its tools; see "Who may know whom" in ARCHITECTURE.md
        "#]],
    );
}

#[test]
fn a_pure_crate_that_gains_a_runtime_is_told_the_way() {
    check(
        &["sim -> advisor", "advisor -> handy", "handy -> tower", "tower -> tokio"],
        expect![[r#"
            advisor reaches tokio (advisor -> handy -> tower -> tokio): advisor decides only; see "Who may know whom" in ARCHITECTURE.md
            sim reaches tokio (sim -> advisor -> handy -> tower -> tokio): sim decides only; see "Who may know whom" in ARCHITECTURE.md
        "#]],
    );
}

#[test]
fn the_golden_file_is_compared_by_section() {
    let golden = render(&graph(&["advisor -> model", "sim -> advisor"]));
    assert_eq!(differences(&golden, &golden), Vec::<String>::new());
    let actual = render(&graph(&["advisor -> model", "sim -dev-> advisor", "model -> serde"]));
    let found: Vec<String> =
        differences(&golden, &actual).iter().map(|line| format!("{line}\n")).collect();
    expect![[r#"
        [dev edges] `sim -> advisor` is not in xtask/deps.golden: avoid it, or allow it with --bless; see "Who may know whom" in ARCHITECTURE.md
        [libraries of the deciding crates] `advisor: serde` is not in xtask/deps.golden: avoid it, or allow it with --bless; see "Who may know whom" in ARCHITECTURE.md
        [libraries of the deciding crates] `model: serde` is not in xtask/deps.golden: avoid it, or allow it with --bless; see "Who may know whom" in ARCHITECTURE.md
        [normal edges] `sim -> advisor` stands in xtask/deps.golden but not in the workspace: --bless drops it
    "#]]
    .assert_eq(&found.concat());
}

#[test]
fn the_golden_file_of_the_tree_holds_no_forbidden_edge() {
    let golden = std::fs::read_to_string(crate::place::repo().join(super::GOLDEN)).unwrap();
    let edges: Vec<&str> = golden.lines().filter(|line| line.contains(" -> ")).collect();
    assert!(edges.contains(&"advisor -> model"), "{golden}");
    assert_eq!(forbidden(&graph(&edges)), Vec::<String>::new());
}
