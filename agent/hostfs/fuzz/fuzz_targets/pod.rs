//! Arbitrary annotations and labels of a pod and a node, one `key=value` a line: what the pod asks for
//! or why it is refused, and no panic.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use model::overcommit::NodeOvercommit;
use model::pod::{Ask, Container, ContainerRole, Pod, Requests};
use model::qos::{Keys, PodUid, QosRules, WorkloadName};

fuzz_target!(|text: &str| {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let keys: Keys = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let container = |role, requests| Container { name: format!("{role:?}"), role, requests };
    let resources: BTreeMap<String, String> = keys.clone();
    let requests = Requests::read(&resources).unwrap_or_default();
    let pod = Pod {
        uid: PodUid::from("u"),
        name: WorkloadName::from("default/p"),
        owner: None,
        labels: keys.clone(),
        annotations: keys.clone(),
        containers: vec![
            container(ContainerRole::App, requests),
            container(ContainerRole::Init, Requests::default()),
        ],
        running: false,
    };
    // The pod's own values as the cluster's defaults: both ways end in the same reader.
    let rules = QosRules { enhancement_defaults: keys.clone(), ..QosRules::default() };
    for rules in [QosRules::default(), rules] {
        match Ask::of(&pod, &rules) {
            Ok(ask) => {
                let wish = &ask.wish;
                assert!((-300..=300).contains(&wish.oom_priority), "{wish:?}");
                assert!(wish.numa_binding || !wish.numa_exclusive, "{wish:?}");
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    if let Ok(read) = NodeOvercommit::read(&keys, &keys) {
        assert!((1.0..=model::overcommit::MAX_RATIO).contains(&read.cpu.effective_ratio()));
        assert!((1.0..=model::overcommit::MAX_RATIO).contains(&read.memory.effective_ratio()));
    }
});
