//! Arbitrary text as a document of `simulate`: one line of JSON a step, an error exactly where it is
//! not ok, the same bytes again, and no panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sim::simulate;

fuzz_target!(|text: &str| {
    let run = || simulate(text, &|tree| Err(format!("no tree {tree} here")));
    let said = run();
    for line in said.lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(line["ok"].as_bool(), Some(line["error"].is_null()), "{line}");
        assert!(line["ok"] == true || line["result"].is_null(), "{line}");
    }
    assert_eq!(run(), said);
});
