//! `plan_from`: what documents give, and that no document brings it down.

use expect_test::{Expect, expect};
use model::policy::Policy;
use model::wire::{self, recording};
use proptest::prelude::*;

const SNAPSHOT: &str = include_str!("../../../model/testdata/snapshot.v1.json");

#[track_caller]
fn check(document: &str, expect: Expect) {
    let text = sim::plan_from(document.as_bytes(), &Policy::default()).expect("a plan");
    expect.assert_eq(&text);
}

#[track_caller]
fn refused(document: &str, expect: &str) {
    let error = sim::plan_from(document.as_bytes(), &Policy::default()).expect_err("refused");
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    assert!(text.contains(expect), "{text}");
}

/// The last Sample of a script, and the Plan before it.
fn recorded() -> (wire::Sample, wire::Policy) {
    let script = "node 1x4x1\nworkload web shared 1000 200\nbatch ml 2000\ntick 3\n";
    let lines = sim::record(script).expect("understood").lines;
    let mut decoder = recording::Decoder::default();
    let mut last = None;
    for line in lines {
        if let recording::Read::Entry {
            entry: model::record::Entry::Finish { sample, .. }, ..
        } = decoder.read(&line).expect("readable")
        {
            last = Some(wire::Sample::from(&*sample));
        }
    }
    (last.expect("a tick"), wire::Policy::from(&Policy::default()))
}

#[test]
fn plans() {
    check(
        SNAPSHOT.trim(),
        expect![[r#"
        plan
          pool reclaim    cpus 0                need 0 mCPU
          pool share      cpus 0                need 500 mCPU
          web                      shared_cores     cpus 0
        decisions
          web: in its pool  [admit]
            from level = shared_cores, request = 500 mCPU, free = 1 CPUs, unbound = 1 CPUs, unbound_need = 0 CPUs
          share: 0 CPUs withheld from batch work  [overlap-keep]
            from region = 1 CPUs, need = 500 mCPU, measured = 313 mCPU, late_ticks = 0, lateness = OnTime, before = 0 CPUs, reclaim_before = 0 CPUs, floor = 1 CPUs
        findings
          Note  reclaim: reclaimed and shared work meet on CPUs 0: 1 usable CPUs cannot hold both the share pool and a reclaim floor of 1  [pools-overlap]
        steps
          /web/cpuset.cpus = 0  [pool]
    "#]],
    );
    let (sample, policy) = recorded();
    check(
        &wire::to_json(&sample).expect("JSON"),
        expect![[r#"
        plan
          pool reclaim    cpus 0-3              need 0 mCPU
          pool share      cpus 0-3              need 1000 mCPU
          ml                       reclaimed_cores  cpus 0-3
          web                      shared_cores     cpus 0-3
        decisions
          web: in its pool  [admit]
            from level = shared_cores, request = 1000 mCPU, free = 4 CPUs, unbound = 4 CPUs, unbound_need = 0 CPUs
          ml: in its pool  [admit]
            from level = reclaimed_cores, request = 0 mCPU, free = 4 CPUs, unbound = 4 CPUs, unbound_need = 1 CPUs
          share: 0 CPUs withheld from batch work  [overlap-keep]
            from region = 4 CPUs, need = 1000 mCPU, measured = 0 mCPU, late_ticks = 0, lateness = OnTime, before = 0 CPUs, reclaim_before = 0 CPUs, floor = 1 CPUs
        findings: none
        steps: none
    "#]],
    );
    let turn = wire::Turn { policy: Some(policy), sample: Some(sample), ..Default::default() };
    let text = sim::plan_from(wire::to_json(&turn).expect("JSON").as_bytes(), &Policy::default());
    assert!(text.expect("a plan").contains("web"));
}

#[test]
fn refusals() {
    refused("", "not JSON with kind and schema");
    refused("{}", "not JSON with kind and schema");
    refused(r#"{"kind":"overlay","schema":1,"body":{}}"#, "a document of kind \"overlay\"");
    refused(r#"{"kind":"snapshot","schema":99,"body":{}}"#, "schema 99");
    refused(r#"{"kind":"snapshot","schema":1,"body":{}}"#, "does not have the shape");
    refused(r#"{"kind":"turn","schema":1,"body":{}}"#, "neither");
    refused(r#"{"kind":"turn","schema":1,"body":{"x":1}}"#, "does not have the shape");
    let (sample, _) = recorded();
    let json = wire::to_json(&sample).expect("JSON");
    refused(&json.replace("\"online\":true", "\"online\":false"), "no online CPU");
    refused(&json.replace("shared_cores", "golden_cores"), "qos cannot be \"golden_cores\"");
    let huge = SNAPSHOT.replace("\"request_milli\":500", "\"request_milli\":18446744073709551615");
    refused(&huge, "request_milli cannot be 18446744073709551615: at most 1000000000");
    refused(&"[".repeat(100_000), "not JSON");
}

/// A valid document with one value replaced by one that a hostile writer would choose.
fn hostile() -> impl Strategy<Value = String> {
    let documents = {
        let (sample, policy) = recorded();
        let snapshot = SNAPSHOT.trim().to_owned();
        let json = wire::to_json(&sample).expect("JSON");
        let turn = wire::Turn { policy: Some(policy), sample: Some(sample), ..Default::default() };
        vec![snapshot, json, wire::to_json(&turn).expect("JSON")]
    };
    let values = proptest::sample::select(vec![
        "0",
        "1",
        "-1",
        "65535",
        "4294967295",
        "18446744073709551615",
        "9223372036854775807",
        "1e308",
        "null",
        "\"\"",
        "\"0-65535\"",
        "[]",
        "{}",
        "true",
    ]);
    (proptest::sample::select(documents), any::<prop::sample::Index>(), values).prop_map(
        |(document, at, value)| {
            let mut tree: serde_json::Value = serde_json::from_str(&document).expect("JSON");
            let mut leaves = Vec::new();
            pointers(&tree, String::new(), &mut leaves);
            let pointer = &leaves[at.index(leaves.len())];
            *tree.pointer_mut(pointer).expect("a leaf") =
                serde_json::from_str(value).expect("JSON");
            tree.to_string()
        },
    )
}

fn pointers(value: &serde_json::Value, at: String, leaves: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            let key = key.replace('~', "~0").replace('/', "~1");
            pointers(value, format!("{at}/{key}"), leaves);
        }),
        serde_json::Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(idx, value)| pointers(value, format!("{at}/{idx}"), leaves)),
        _ => leaves.push(at),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_hostile_document_never_panics(document in hostile()) {
        let _ = sim::plan_from(document.as_bytes(), &Policy::default());
    }
}
