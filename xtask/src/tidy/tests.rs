//! Rows per rule: a file (or a small tree) and the findings it must give, as text.

use expect_test::{Expect, expect};

use super::classify::{Class, classify, only, production_lines};
use super::tree::{SourceFile, Tree};
use super::{Finding, inspect, render};

type FileRule = fn(&SourceFile) -> Vec<Finding>;
type TreeRule = fn(&Tree) -> Vec<Finding>;

#[track_caller]
fn check(rule: FileRule, path: &str, text: &str, expect: Expect) {
    let found: Vec<String> =
        rule(&SourceFile::new(path, text)).iter().map(|one| render(one) + "\n").collect();
    expect.assert_eq(&found.concat());
}

#[track_caller]
fn check_tree(rule: TreeRule, files: &[(&str, &str)], expect: Expect) {
    let found: Vec<String> = rule(&tree(files)).iter().map(|one| render(one) + "\n").collect();
    expect.assert_eq(&found.concat());
}

fn tree(files: &[(&str, &str)]) -> Tree {
    Tree::new(files.iter().map(|(path, text)| SourceFile::new(path, *text)).collect())
}

#[test]
fn module_doc() {
    let check = |path, text, expect| check(super::rust::module_doc, path, text, expect);
    check("a.rs", "//! Owns the tick.\nfn f() {}\n", expect![""]);
    check(
        "a.rs",
        "use a::b;\n//! late\n",
        expect![[r#"
            a.rs:1: [module-doc] open the file with `//!`: what it owns and what it does not
        "#]],
    );
    check(
        "empty.rs",
        "",
        expect![[r#"
            empty.rs:1: [module-doc] open the file with `//!`: what it owns and what it does not
        "#]],
    );
    check(
        "a.rs",
        "//! (laid out, not yet filled)\n",
        expect![[r#"
            a.rs:1: [module-doc] the module is a placeholder: fill it or remove it
        "#]],
    );
    check("gen.rs", "// This file is @generated.\npub mod a {}\n", expect![""]);
    check("a.md", "no Rust", expect![""]);
}

#[test]
fn length_counts_production_lines() {
    let of = |n_production: usize, n_test: usize| {
        let test = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "// row\n".repeat(n_test));
        "// line\n".repeat(n_production) + &test
    };
    let check = |text: String, expect| check(super::rust::length, "a.rs", &text, expect);
    check(of(400, 3000), expect![""]);
    check(
        of(401, 0),
        expect![[r#"
            a.rs:0: warning: [length] 401 production lines; aim for 100-300
        "#]],
    );
    check(
        of(800, 1),
        expect![[r#"
            a.rs:0: warning: [length] 800 production lines; aim for 100-300
        "#]],
    );
    check(
        of(801, 0),
        expect![[r#"
            a.rs:0: [length] 801 production lines; aim for 100-300, never over 800
        "#]],
    );
}

#[test]
fn unfinished() {
    let check = |text, expect| check(super::rust::unfinished, "a.rs", text, expect);
    check("let s = \"todo!()\"; // no dbg!(x) here\nlet methods_todo = 1;\n", expect![""]);
    check(
        "fn f() {\n    todo!()\n}\nfn g() { dbg!(1); unimplemented!(\"x\") }\n",
        expect![[r#"
            a.rs:2: [unfinished] `todo!` does not go in
            a.rs:4: [unfinished] `unimplemented!` does not go in
            a.rs:4: [unfinished] `dbg!` does not go in
        "#]],
    );
    check(
        "let a = 1; // TODO: more\nlet b = \"XXX\";\n",
        expect![[r#"
            a.rs:1: [unfinished] `TODO` in a comment: do it, or say in the docs what is missing
        "#]],
    );
}

#[test]
fn ignored_test() {
    let check = |text, expect| check(super::rust::ignored_test, "a.rs", text, expect);
    check("#[test]\nfn f() { let s = \"#[ignore]\"; }\n", expect![""]);
    check(
        "#[test]\n#[ignore = \"slow\"]\nfn f() {}\n",
        expect![[r#"
            a.rs:2: [ignored-test] `#[ignore]` hides a test; move it to the tier that can run it
        "#]],
    );
}

#[test]
fn names() {
    let file = |path, expect| check(super::rust::file_name, path, "", expect);
    file("agent-ebpf/common/src/lib.rs", expect![""]);
    file("agent/src/information.rs", expect![""]);
    file(
        "agent/utils/src/pod_info.rs",
        expect![[r#"
            agent/utils/src/pod_info.rs:0: [file-name] `utils` says nothing: name it after what it holds
        "#]],
    );
    file(
        "agent/src/common.rs",
        expect![[r#"
            agent/src/common.rs:0: [file-name] `common` says nothing: name it after what it holds
        "#]],
    );
    file(
        "agent/src/a/mod.rs",
        expect![[r#"
            agent/src/a/mod.rs:0: [file-name] use `foo.rs` beside `foo/` instead of `mod.rs`
        "#]],
    );
    check(
        super::rust::type_name,
        "a.rs",
        "struct Pool;\nlet a: FooManager;\npub(crate) struct PoolManager<T>(T);\n",
        expect![[r#"
            a.rs:3: [type-name] `PoolManager` says nothing: see the vocabulary in ARCHITECTURE.md
        "#]],
    );
}

#[test]
fn host_file() {
    let text = "let a = std::fs::read_to_string(p);\nuse hostfs::procfs::read_pressure;\n\
                #[cfg(test)]\nmod tests { fn f() { fs::write(p, b); } }\n";
    let check = |path, expect| check(super::rust::host_file, path, text, expect);
    check("agent/hostfs/src/file.rs", expect![""]);
    check("agent/src/config.rs", expect![""]);
    check("agent/advisor/tests/it/main.rs", expect![""]);
    check("xtask/src/vm.rs", expect![""]);
    check(
        "agent/src/wire.rs",
        expect![[r#"
            agent/src/wire.rs:1: [host-file] `fs::read` outside of hostfs: host files have one door
        "#]],
    );
}

#[test]
fn unwrap_budget() {
    let lines = |n: usize| "// line\n".repeat(n);
    let body = "x.unwrap();\ny.expect(\"why\");\nz.expect(\n  \"invariant: sorted above\");\n";
    let tests = "#[cfg(test)]\nmod tests {\n fn f() { x.unwrap(); }\n}\n";
    let check_at = |n: usize, expect| {
        let text = lines(n) + body + tests;
        let files = [("a/Cargo.toml", ""), ("a/src/lib.rs", &text), ("a/tests/it/main.rs", body)];
        check_tree(super::budget::unwraps, &files, expect);
    };
    // 2 counted; 2 * 1000 < 3 * 667, while 2 * 1000 >= 3 * 666.
    check_at(663, expect![""]);
    check_at(
        662,
        expect![[r#"
            a/Cargo.toml:0: [unwrap-budget] 2 unwraps in 666 production lines, allowed are fewer than 3 per 1000: return an error, or state the reason as expect("invariant: ..")
        "#]],
    );
}

#[test]
fn a_nested_crate_has_its_own_budget() {
    let long = "// line\n".repeat(5000);
    check_tree(
        super::budget::unwraps,
        &[
            ("a/Cargo.toml", ""),
            ("a/src/lib.rs", &long),
            ("a/b/Cargo.toml", ""),
            ("a/b/src/lib.rs", "f().unwrap();\n"),
        ],
        expect![[r#"
            a/b/Cargo.toml:0: [unwrap-budget] 1 unwraps in 1 production lines, allowed are fewer than 3 per 1000: return an error, or state the reason as expect("invariant: ..")
        "#]],
    );
}

/// The folder is put together so that this file passes the rule it tests.
#[test]
fn developer_path() {
    let lines = |text: &str| -> Vec<usize> {
        let found = super::text::developer_path(&SourceFile::new("a.sh", text));
        found.iter().map(|finding| finding.line).collect()
    };
    assert_eq!(lines("cd /opt/berth; ls agent/work/x ${dir}/work/x ./root/x\n"), [0; 0]);
    assert_eq!(lines(concat!("ok\ncd /ho", "me/kim/berth\nx=/ro", "ot/y\n")), [2, 3]);
}

#[test]
fn outside_reference() {
    let check = |text: &str, expect| check(super::text::outside_reference, "a.rs", text, expect);
    check("// an issue with 3 CPUs; the design says\n", expect![""]);
    check(
        concat!("// see DESIGN", " 3\n// tissue 4, Iss", "ue #12\n"),
        expect![[r#"
            a.rs:1: [outside-reference] `DESIGN` is not in the tree: say it here
            a.rs:2: [outside-reference] an issue number means nothing to a reader: say it here
        "#]],
    );
}

#[test]
fn shell_options() {
    let check = |path, text, expect| check(super::text::shell_options, path, text, expect);
    check("run", "#!/usr/bin/env bash\nset -euo pipefail\n", expect![""]);
    check("init", "#!/bin/sh\n# why\nset -eu\n", expect![""]);
    check("init", "#!/bin/sh\n# no set -e: the kernel panics when its init ends\n", expect![""]);
    check("a.py", "#!/usr/bin/env python3\n", expect![""]);
    check(
        "run",
        "#!/bin/bash\nset -e\n",
        expect![[r#"
            run:1: [shell-options] the script lacks `set -euo pipefail`
        "#]],
    );
    check(
        "a.sh",
        "echo\n",
        expect![[r#"
            a.sh:1: [shell-options] the script lacks `set -euo pipefail`
        "#]],
    );
}

#[test]
fn links() {
    let page = "# My page: *one*\n[a](docs/b.md#the-part) [c](docs) [w](https://x.y/z)\n\
                [d](docs/gone.md) ![e](docs/b.md#nope) [f](#my-page-one)\n```\n[g](no)\n```\n";
    check_tree(
        super::links::targets,
        &[("README.md", page), ("docs/b.md", "## The part\n[up](../README.md)\n")],
        expect![[r#"
            README.md:3: [link] `docs/gone.md` leads nowhere: there is no docs/gone.md
            README.md:3: [link] `docs/b.md#nope`: docs/b.md has no heading `nope`
        "#]],
    );
}

/// A small agent and its CLI, as clap and serde see them.
const SOURCES: [(&str, &str); 2] = [
    (
        "agent/src/args.rs",
        "use serde::Deserialize;\n\
         #[derive(clap::Subcommand)]\nenum Command {\n  /// Runs, with commas\n  Run(Run),\n\
           #[command(visible_alias = \"d\")]\n  DryRun { #[arg(long)] dry: bool },\n}\n\
         struct Run {\n  #[arg(long, value_name = \"FILE\")]\n  #[doc = \"x\"]\n  pub(crate) config_file: A,\n\
           #[arg(short, long = \"log-level\", default_value = \"info\")] level: L,\n\
           #[arg(value_name = \"long\")] name: N,\n}\n\
         #[derive(Deserialize)]\nstruct Raw {\n  pub(crate) mode: M,\n  workload: Vec<W>,\n  target_p99_us: u64,\n}\n\
         const PORT: &str = \"127.0.0.1:9910\";\n",
    ),
    (
        "agent/cli/src/args.rs",
        "#[derive(Debug, Subcommand)]\nenum Command { Top, WhySlow(A) }\n\
         struct A { #[arg(long)] json: bool }\n",
    ),
];

#[track_caller]
fn check_named(rule: TreeRule, path: &str, text: &str, expect: Expect) {
    let mut files = SOURCES.to_vec();
    files.push((path, text));
    check_tree(rule, &files, expect);
}

#[test]
fn flags_on_a_page() {
    let page = "`berth top --json` and `sudo berth-agent run --config-file X`, `berth.v1 --not-ours`\n\
        ```console\n$ RUST_LOG=x berth-agent run --log-level=debug \\\n    --speed 3 | grep --color\n\
        berth output --is-not-checked\n$ berth why-slow NAME --deep\n```\n\
        ```\n./target/release/berth-agent walk [--dry] [--config]  # --comment\nberth top -- --passed-on\n```\n\
        ```rust\nberth fly\n```\n`berth --help`, `berth COMMAND`, `berth-agent dry-run`\n";
    check_named(
        super::named::flags,
        "README.md",
        page,
        expect![[r#"
            README.md:3: [flag] `berth-agent` has no flag `--speed` (agent/src/)
            README.md:9: [flag] `berth-agent` has no subcommand `walk` (agent/src/)
            README.md:9: [flag] `berth-agent` has no flag `--config` (agent/src/)
            README.md:6: [flag] `berth` has no flag `--deep` (agent/cli/src/)
        "#]],
    );
    check_named(super::named::flags, "CHANGELOG.md", page, expect![""]);
}

#[test]
fn flags_in_a_unit() {
    let unit = "[Service]\nExecStartPre=/bin/true --fast\nExecStart=/usr/local/bin/berth-agent walk --nope\n";
    check_named(
        super::named::flags,
        "deploy/systemd/a.service",
        unit,
        expect![[r#"
            deploy/systemd/a.service:3: [flag] `berth-agent` has no subcommand `walk` (agent/src/)
            deploy/systemd/a.service:3: [flag] `berth-agent` has no flag `--nope` (agent/src/)
        "#]],
    );
}

#[test]
fn flags_in_a_manifest() {
    let manifest = "containers:\n- command: [\"/usr/bin/berth-agent\", \"run\"]\n  args:\n  - --config-file=/a\n  \
        - --nope\n  ports:\n  - --not-args\n";
    check_named(
        super::named::flags,
        "deploy/daemonset/daemonset.yaml",
        manifest,
        expect![[r#"
            deploy/daemonset/daemonset.yaml:3: [flag] `berth-agent` has no flag `--nope` (agent/src/)
        "#]],
    );
}

#[test]
fn ports() {
    check_named(
        super::named::ports,
        "deploy/a.yaml",
        "- containerPort: 9910\n- containerPort: 9911\n",
        expect![[r#"
            deploy/a.yaml:2: [port] port 9911 is not in agent/src/
        "#]],
    );
    check_named(
        super::named::ports,
        "README.md",
        "curl http://127.0.0.1:9910/metrics and localhost:991/x\n",
        expect![[r#"
            README.md:1: [port] port 991 is not in agent/src/
        "#]],
    );
}

#[test]
fn config_keys() {
    check_named(
        super::named::config_keys,
        "README.md",
        "```toml\nmode = \"observe\"\n[[workload]]\ntarget-p99-us = 5\nnice = 3\n```\n```toml\n= 1\n```\n",
        expect![[r#"
            README.md:5: [config-key] `nice` is no key of the configuration (agent/src/)
            README.md:8: [config-key] not TOML: unquoted keys cannot be empty, expected letters, numbers, `-`, `_`
        "#]],
    );
    check_named(
        super::named::config_keys,
        "deploy/a.yaml",
        "data:\n  agent.toml: |\n    mode = \"observe\"\n    [limits]\n    mode = 1\n\nother: 1\n",
        expect![[r#"
            deploy/a.yaml:4: [config-key] `limits` is no key of the configuration (agent/src/)
        "#]],
    );
}

#[test]
fn dependency_table() {
    let manifest =
        "[workspace.dependencies]\nmodel = { path = \"m\" }\nserde = \"1\"\nnew = \"1\"\n";
    let page = "# A\n`new`\n## Dependencies\n\n| library | why |\n|---|---|\n\
                | `serde`, `gone` | the `new` why |\n## More\n| `new` | x |\n";
    check_tree(
        super::table::dependencies,
        &[("Cargo.toml", manifest), ("ARCHITECTURE.md", page)],
        expect![[r#"
            Cargo.toml:0: [dependency-table] `new` has no row in ARCHITECTURE.md, section Dependencies: say why
            ARCHITECTURE.md:7: [dependency-table] `gone` is not among the dependencies any more
        "#]],
    );
}

#[track_caller]
fn check_code(source: &str, code: &str) {
    let classes = classify(source);
    assert_eq!(only(source, &classes, Class::Code), code, "code of {source:?}");
    assert_eq!(classes.len(), source.len());
}

#[test]
fn code_comments_and_literals_are_told_apart() {
    check_code("a // b\nc", "a     \nc");
    check_code("a /* b /* c */ d */ e", "a                   e");
    check_code(r#"f("a \" // b") + 1"#, "f(           ) + 1");
    check_code(r##"f(r#"a " b"#, br"\", c"x")"##, "f(          , b    , c   )");
    check_code(
        r"let c = '\''; let d = '/'; let e: &'a str;",
        "let c =     ; let d =    ; let e: &'a str;",
    );
    check_code("let r#type = 'ü'; x", "let r#type =     ; x");
    check_code("\"open", "     ");
    check_code("", "");
}

/// Every file of the project is a case: what is left as code must have matching brackets, which a
/// literal or a comment taken for code would break. Cut anywhere, a file must not panic it.
#[test]
fn brackets_match_in_the_code_of_every_file() {
    let tree = Tree::read(crate::place::repo()).expect("the checkout is readable");
    let files: Vec<&SourceFile> = tree.files.iter().filter(|file| file.is_rust()).collect();
    assert!(files.len() > 20, "{} files", files.len());
    for file in files {
        let mut open = Vec::new();
        for byte in file.code.bytes() {
            match byte {
                b'(' | b'[' | b'{' => open.push(byte),
                b')' => assert_eq!(open.pop(), Some(b'('), "{}", file.path),
                b']' => assert_eq!(open.pop(), Some(b'['), "{}", file.path),
                b'}' => assert_eq!(open.pop(), Some(b'{'), "{}", file.path),
                _ => {}
            }
        }
        assert!(open.is_empty(), "{}", file.path);
        for (cut, _) in file.text.char_indices().step_by(199) {
            let part = SourceFile::new(&file.path, &file.text[..cut]);
            assert_eq!(part.code.len(), cut, "{} cut at {cut}", file.path);
        }
    }
}

#[test]
fn items_under_cfg_test_are_no_production() {
    let source = "fn a() {}\n#[cfg(test)]\nmod tests;\nfn b() {}\n#[cfg(all(test, x))]\nfn c(\n  x: [u8; 3],\n) {\n  1\n}\nfn d() {}\n";
    let production: Vec<usize> = production_lines(source)
        .iter()
        .enumerate()
        .filter_map(|(idx, line)| line.then_some(idx + 1))
        .collect();
    assert_eq!(production, [1, 4, 11]);
}

#[test]
fn a_module_declared_for_tests_is_no_production() {
    let declares = "mod real;\n#[cfg(test)]\nmod fake;\n#[cfg(test)]\nmod here { mod x; }\n";
    let found = tree(&[
        ("a/src/lib.rs", declares),
        ("a/src/fake.rs", "fn f() {}\n"),
        ("a/src/fake/part.rs", "fn f() {}\n"),
        ("a/src/fake_not.rs", "fn f() {}\n"),
        ("a/src/real.rs", declares),
        ("a/src/real/fake.rs", "fn f() {}\n"),
    ]);
    let n_lines: Vec<usize> = found.files.iter().map(SourceFile::n_production_lines).collect();
    assert_eq!(n_lines, [1, 0, 0, 1, 1, 0]);
}

#[test]
fn findings_come_sorted_and_from_every_rule() {
    let findings = inspect(&tree(&[("z/utils.rs", "todo!()"), ("a.sh", "")]));
    let rules: Vec<&str> = findings.iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, ["shell-options", "file-name", "module-doc", "unfinished"]);
}

#[test]
fn every_finding_has_an_alert_or_a_reason() {
    let rules = "expr: berth_agent_findings{rule=~\"stuck|step-refused\"} > 0\nexpr: x{rule=\"gone-rule\"}\n";
    let page = "## Findings without an alert\n\n| rule | why |\n|---|---|\n| `cpu-two-owners`, `old-rule` | because |\n";
    let code = "//! Owns.\nFinding {\n    severity: Severity::Warning,\n    rule: \"stuck\",\n}\n\
        Finding {\n    severity: Severity::Note,\n    rule: \"note\",\n}\n\
        finding(Severity::Warning, \"step-refused\")\n\
        Finding { severity, rule: \"inherited\", subject }\n\
        Decision { at, rule: \"share\" }\n";
    let files = [
        ("deploy/monitoring/alerts.yaml", rules),
        ("docs/alerts.md", page),
        ("agent/src/a.rs", code),
        ("agent/advisor/src/lint/knobs.rs", "//! Owns.\nSome((\"mems-empty\", why))\n"),
        ("agent/advisor/src/lint.rs", "//! Owns.\nfatal(\"cpu-two-owners\", name, message)\n"),
    ];
    check_tree(
        super::alerts::findings,
        &files,
        expect![[r#"
            agent/src/a.rs:11: [finding-alert] `inherited` has no alert in deploy/monitoring/alerts.yaml and no reason in docs/alerts.md, section Findings without an alert
            agent/advisor/src/lint/knobs.rs:2: [finding-alert] `mems-empty` has no alert in deploy/monitoring/alerts.yaml and no reason in docs/alerts.md, section Findings without an alert
            deploy/monitoring/alerts.yaml:2: [finding-alert] no code of the agent has a finding `gone-rule`
            docs/alerts.md:5: [finding-alert] no code of the agent has a finding `old-rule`
        "#]],
    );
    check_tree(super::alerts::findings, &files[2..], expect![""]);
}
