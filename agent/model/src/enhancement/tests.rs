//! Enhancements row by row: what a flattened map means for a level, and every refusal.

use proptest::prelude::*;

use super::*;
use crate::annotation;
use crate::qos::Keys;

fn keys(rows: &[(&str, &str)]) -> Keys {
    rows.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn read(level: QosLevel, rows: &[(&str, &str)]) -> Result<Enhancements, EnhancementError> {
    Enhancements::read(level, &keys(rows), &QosRules::default())
}

#[track_caller]
fn check_refused(level: QosLevel, rows: &[(&str, &str)], expect: &str) {
    let error = read(level, rows).expect_err("refused").to_string();
    assert!(error.contains(expect), "{error}");
}

use QosLevel::{DedicatedCores, ReclaimedCores, SharedCores, SystemCores};

#[test]
fn three_annotations_become_one_map_and_defaults_fill_the_gaps() {
    let annotations = keys(&[
        (annotation::CPU_ENHANCEMENT, r#"{"cpuset_pool":"batch","numa_share":"false"}"#),
        (annotation::MEMORY_ENHANCEMENT, r#"{"numa_binding":"true"}"#),
        (annotation::NETWORK_ENHANCEMENT, "{}"),
        ("other", "not JSON"),
    ]);
    let rules = QosRules {
        enhancement_defaults: keys(&[("numa_share", "true"), ("numa_exclusive", "true")]),
        ..QosRules::default()
    };
    let flat = flatten(&annotations, &rules).expect("flat");
    let rows: Vec<String> = flat.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(
        rows.join(" "),
        "cpuset_pool=batch numa_binding=true numa_exclusive=true numa_share=false"
    );
}

#[test]
fn json_that_is_not_an_object_of_strings_names_annotation_and_value() {
    #[track_caller]
    fn check(key: &str, text: &str, expect: &str) {
        let error = flatten(&keys(&[(key, text)]), &QosRules::default()).expect_err(text);
        assert_eq!(error.to_string(), expect);
    }
    check(
        annotation::CPU_ENHANCEMENT,
        "[]",
        "katalyst.kubewharf.io/cpu_enhancement: \"[]\" is not a JSON object of strings: \
         the outermost value is not an object",
    );
    check(
        annotation::MEMORY_ENHANCEMENT,
        r#"{"numa_binding": true}"#,
        "katalyst.kubewharf.io/memory_enhancement: \"{\\\"numa_binding\\\": true}\" is not a JSON \
         object of strings: numa_binding is true, which must be in quotes",
    );
    check(
        annotation::MEMORY_ENHANCEMENT,
        "{",
        "katalyst.kubewharf.io/memory_enhancement: \"{\" is not a JSON object of strings: EOF while \
         parsing an object at line 1 column 1",
    );
    let twice = keys(&[
        (annotation::CPU_ENHANCEMENT, r#"{"numa_share":"true"}"#),
        (annotation::MEMORY_ENHANCEMENT, r#"{"numa_share":"false"}"#),
    ]);
    let error = flatten(&twice, &QosRules::default()).expect_err("contradiction");
    assert!(error.to_string().contains("given twice"), "{error}");
}

#[test]
fn absent_keys_have_the_defaults_of_the_level() {
    let shared = read(SharedCores, &[]).expect("nothing asked");
    assert!(shared.numa_share && !shared.numa_binding && shared.cpuset_pool.is_none());
    assert_eq!(shared.burst.policy, BurstPolicy::Default);
    for (level, priority) in
        [(ReclaimedCores, -100), (SharedCores, 0), (DedicatedCores, 100), (SystemCores, 200)]
    {
        assert_eq!(read(level, &[]).expect("nothing asked").oom_priority, priority);
    }
}

#[test]
fn values_are_clamped_where_the_model_says_so() {
    let oom = |level, text| read(level, &[("oom_priority", text)]).expect(text).oom_priority;
    assert_eq!(oom(SharedCores, "150"), 99);
    assert_eq!(oom(SharedCores, "-5"), 0);
    assert_eq!(oom(ReclaimedCores, "7"), -1);
    assert_eq!(oom(DedicatedCores, "120"), 120);
    assert_eq!((oom(SystemCores, "300"), oom(SharedCores, "-300")), (300, -300));
    let burst = |level, rows: &[(&str, &str)]| read(level, rows).expect("burst").burst;
    assert_eq!(burst(SharedCores, &[("cpu_burst_percent", "150")]).percent, Some(100.0));
    let asked = [("cpu_burst_policy", "static")];
    assert_eq!(burst(SharedCores, &asked).policy, BurstPolicy::Static);
    assert_eq!(burst(ReclaimedCores, &asked).policy, BurstPolicy::Closed);
    assert_eq!(burst(ReclaimedCores, &[]).policy, BurstPolicy::Default);
}

#[test]
fn exclusive_means_bound_and_only_dedicated_pods_have_it() {
    let asked = [("numa_exclusive", "true")];
    let dedicated = read(DedicatedCores, &asked).expect("dedicated");
    assert!(dedicated.numa_exclusive && dedicated.numa_binding);
    let shared = read(SharedCores, &asked).expect("shared");
    assert!(!shared.numa_exclusive && !shared.numa_binding);
    check_refused(
        DedicatedCores,
        &[("numa_exclusive", "true"), ("distribute_evenly_across_numa", "true")],
        "numa_exclusive: \"true\" and distribute_evenly_across_numa: \"true\" exclude each other",
    );
    check_refused(
        DedicatedCores,
        &[("numa_exclusive", "true"), ("full_pcpus_pairing", "true")],
        "full_pcpus_pairing",
    );
}

#[test]
fn every_refusal_names_key_and_value() {
    for key in ["suppression_tolerance_rate", "cpu_burst_percent", "rss_overuse_threshold"] {
        for text in ["-1", "NaN", "inf", "-inf", "x", ""] {
            check_refused(ReclaimedCores, &[(key, text)], &format!("{key}: {text:?}"));
        }
    }
    check_refused(SharedCores, &[("rss_overuse_threshold", "0")], "finite numbers over 0");
    check_refused(SharedCores, &[("numa_binding", "True")], "numa_binding: \"True\"");
    check_refused(SharedCores, &[("cpu_burst_policy", "invalid")], "cpu_burst_policy: \"invalid\"");
    check_refused(SharedCores, &[("oom_priority", "high")], "oom_priority: \"high\"");
    check_refused(SharedCores, &[("namespace_type", "mine")], "namespace_type: \"mine\"");
    check_refused(SharedCores, &[("cpuset_pool", "a b")], "cpuset_pool: \"a b\"");
    check_refused(SharedCores, &[("cpuset_pool", "reclaim")], "belongs to a pool of the node");
    check_refused(SharedCores, &[("cpuset_pool", "x-NUMA0")], "belongs to a pool of the node");
    for text in ["0", "65", "-1", "two", ""] {
        check_refused(DedicatedCores, &[(inner::NUMA_NUMBER, text)], "from 1 to 64");
        check_refused(DedicatedCores, &[(inner::NUMA_NUMBER, text)], &format!("{text:?}"));
    }
    for text in ["", "64", "a", "0-"] {
        check_refused(DedicatedCores, &[(inner::NUMA_IDS, text)], &format!("{text:?}"));
    }
}

#[test]
fn a_cluster_may_rename_the_keys_of_numa_nodes() {
    let rules = QosRules { numa_ids_key: "acme.io/nodes".to_owned(), ..QosRules::default() };
    let flat = keys(&[("acme.io/nodes", "1-2"), (inner::NUMA_IDS, "3")]);
    let read = Enhancements::read(DedicatedCores, &flat, &rules).expect("renamed");
    assert_eq!(read.numa_ids, NumaSet::parse("1-2"));
}

proptest! {
    #[test]
    fn no_annotation_panics(text in "[\\[\\]{}\":,a-z0-9.\\- ]{0,40}", any in ".{0,24}") {
        for text in [text, any] {
            let annotations = keys(&[(annotation::CPU_ENHANCEMENT, text.as_str())]);
            if let Ok(flat) = flatten(&annotations, &QosRules::default()) {
                for level in QosLevel::ALL {
                    let _ = Enhancements::read(level, &flat, &QosRules::default());
                }
            }
        }
    }

    #[test]
    fn no_inner_value_panics(key in 0usize..15, value in ".{0,16}") {
        let all = [
            inner::CPUSET_POOL, inner::NUMA_SHARE, inner::SUPPRESSION_TOLERANCE_RATE,
            inner::CPU_BURST_POLICY, inner::CPU_BURST_PERCENT, inner::CPU_BURST_THRESHOLD,
            inner::ALIGN_BY_SOCKET, inner::DISTRIBUTE_EVENLY, inner::FULL_PCPUS_PAIRING,
            inner::NUMA_NUMBER, inner::NUMA_IDS, inner::NUMA_EXCLUSIVE,
            inner::RSS_OVERUSE_THRESHOLD, inner::OOM_PRIORITY, inner::NAMESPACE_TYPE,
        ];
        for level in QosLevel::ALL {
            if let Err(error) = read(level, &[(all[key], value.as_str())]) {
                // The message says what was wrong with what.
                prop_assert!(error.to_string().contains(all[key]), "{}", error);
            }
        }
    }
}
