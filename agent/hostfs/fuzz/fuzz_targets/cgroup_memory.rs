//! Arbitrary text as memory limits, memory.stat, memory.numa_stat and scores: no panic, no endless loop.

#![no_main]

use hostfs::cgroup::parse::{memory_limit, memory_numa_stat, memory_stat, oom_score_adj};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(limit) = memory_limit(text) {
        let again = memory_limit(&limit.to_string()).ok();
        assert_eq!(again, Some(limit), "what is written is what was read");
    }
    if let Ok(score) = oom_score_adj(text) {
        assert_eq!(oom_score_adj(&score.to_string()).ok(), Some(score), "as it was read");
    }
    let _ = memory_stat(text);
    if let Ok(nodes) = memory_numa_stat(text) {
        assert!(nodes.len() <= 64, "bounded by what a node's id may be");
    }
});
