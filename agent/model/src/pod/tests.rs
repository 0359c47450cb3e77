//! Whole pods: what they ask for, and why some are refused.

use proptest::prelude::*;

use super::*;

fn container(name: &str, role: ContainerRole, cpu: u64) -> Container {
    let requests = Requests { cpu: MilliCpu(cpu), ..Requests::default() };
    Container { name: name.to_owned(), role, requests }
}

fn pod(annotations: &[(&str, &str)], containers: Vec<Container>) -> Pod {
    let annotations =
        annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Pod {
        uid: PodUid::from("u1"),
        name: WorkloadName::from("default/web"),
        owner: None,
        labels: Keys::new(),
        annotations,
        containers,
        running: false,
    }
}

use ContainerRole::{App, Init, Sidecar};

#[track_caller]
fn check_refused(pod: &Pod, expect: &str) {
    let error = Ask::of(pod, &QosRules::default()).expect_err("refused").to_string();
    assert!(error.contains(expect), "{error}");
}

#[test]
fn a_pod_asks_for_the_sum_of_what_runs() {
    let containers = vec![
        container("setup", Init, 9000),
        container("proxy", Sidecar, 100),
        container("web", App, 1500),
        container("logs", App, 300),
    ];
    let ask = Ask::of(&pod(&[], containers.clone()), &QosRules::default()).expect("a pod");
    // 100 + 1500 + 300; init containers are over before
    assert_eq!((ask.cpu, ask.level), (MilliCpu(1900), QosLevel::SharedCores));
    let names: Vec<&str> = ask.containers.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["web", "logs", "proxy", "setup"]);
    let named = pod(&[(annotation::MAIN_CONTAINER_NAME, "logs")], containers.clone());
    let ask = Ask::of(&named, &QosRules::default()).expect("a pod");
    assert_eq!(ask.containers[0].name, "logs");
    let summed = pod(&[(annotation::AGGREGATED_REQUESTS, r#"{"cpu":"5"}"#)], containers);
    assert_eq!(Ask::of(&summed, &QosRules::default()).expect("a pod").cpu, MilliCpu(5000));
}

#[test]
fn reclaimed_pods_ask_for_reclaimed_resources() {
    let resources = BTreeMap::from([
        (annotation::resource::RECLAIMED_MILLICPU.to_owned(), "2k".to_owned()),
        (annotation::resource::CPU.to_owned(), "100m".to_owned()),
    ]);
    let requests = Requests::read(&resources).expect("requests");
    let one = Container { name: "ml".to_owned(), role: App, requests };
    let reclaimed = pod(&[(annotation::QOS_LEVEL, "reclaimed_cores")], vec![one]);
    let ask = Ask::of(&reclaimed, &QosRules::default()).expect("a pod");
    assert_eq!(ask.cpu, MilliCpu(2000));
}

#[test]
fn refusals_name_key_and_value() {
    let one = || vec![container("web", App, 1000)];
    check_refused(&pod(&[], vec![]), "containers: a pod has at least one");
    check_refused(&pod(&[], vec![container("a", Init, 1)]), "this one has 1");
    let many = (0..1025).map(|n| container(&n.to_string(), App, 1)).collect();
    check_refused(&pod(&[], many), "1025 are more than 1024");
    let thousand = (0..1000).map(|n| container(&n.to_string(), App, 1)).collect();
    let ask = Ask::of(&pod(&[], thousand), &QosRules::default()).expect("a thousand containers");
    assert_eq!(ask.cpu, MilliCpu(1000));
    let twins = vec![container("a", App, 1), container("a", App, 1)];
    check_refused(&pod(&[], twins), "\"a\" is given twice");
    for (key, value) in [
        (annotation::QOS_LEVEL, "foo"),
        (annotation::NUMA_BIND_RESULT, "x"),
        (annotation::NET_CLASS_ID, "-1"),
        (annotation::EVICT_SCORE, "NaN"),
        (annotation::SKIP_QRM_ADMIT, "yes"),
        (annotation::AGGREGATED_REQUESTS, "{"),
        (annotation::MAIN_CONTAINER_NAME, "db"),
    ] {
        check_refused(&pod(&[(key, value)], one()), &format!("{key}: {value:?}"));
    }
    let huge = pod(&[(annotation::AGGREGATED_REQUESTS, r#"{"cpu":"9E"}"#)], one());
    check_refused(&huge, "cpu: \"9E\" is over 65536 CPUs");
}

#[test]
fn a_scheduler_that_bound_nothing_says_minus_one() {
    let read = |text| {
        let annotations = pod(&[(annotation::NUMA_BIND_RESULT, text)], vec![]).annotations;
        Directives::read(&annotations, &Keys::new()).expect(text).numa_bind_result
    };
    assert_eq!((read("-1"), read("1")), (None, NumaSet::parse("1")));
}

use crate::numa::NumaSet;

proptest! {
    #[test]
    fn no_annotation_of_a_pod_panics(key in 0usize..9, value in ".{0,24}") {
        let all = [
            annotation::QOS_LEVEL, annotation::MEMORY_ENHANCEMENT, annotation::NUMA_BIND_RESULT,
            annotation::NET_CLASS_ID, annotation::EVICT_SCORE, annotation::SKIP_QRM_ADMIT,
            annotation::AGGREGATED_REQUESTS, annotation::MAIN_CONTAINER_NAME,
            annotation::RESIZE_RESOURCES,
        ];
        let asked = pod(&[(all[key], value.as_str())], vec![container("web", App, 1000)]);
        let _ = Ask::of(&asked, &QosRules::default());
    }
}
