//! A node with five hundred pods whose objects are ten megabytes, and what hearing them costs.

use std::fs;
use std::time::{Duration, Instant};

use cluster::pods::PodsHeard;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use testkit::{Bench, Namespace, shared};
use tokio::sync::watch;
use tokio::time::timeout;

const N_PODS: usize = 500;
/// Of annotations; an apiserver takes 256 KiB of them.
const BYTES: usize = 20 << 10;
const NODE: &str = "node-of-huge-pods";
const LIMIT: Duration = Duration::from_secs(180);

#[tokio::test]
async fn five_hundred_pods_of_ten_megabytes_are_heard_one_by_one() {
    let bench = Bench::of_test().unwrap();
    let shared = shared().await.unwrap();
    let client = shared.client().await.unwrap();
    let namespace = Namespace::create(&client, "huge").await.unwrap();
    create_all(&Api::namespaced(client.clone(), namespace.name())).await;

    let (pods, mut heard) = watch::channel(PodsHeard::default());
    let (before, began) = (rss_kib(), Instant::now());
    let all = heard.wait_for(|heard| heard.pods.is_some());
    tokio::select! {
        all = timeout(LIMIT, all) => drop(all.expect("heard in time")),
        never = cluster::pods::follow(client.clone(), NODE, &pods) => match never {},
    }
    let took = began.elapsed();
    let heard = heard.borrow().pods.clone().unwrap();
    assert_eq!(heard.len(), N_PODS);
    let kept: usize = heard
        .values()
        .map(|one| one.pod.annotations.values().map(String::len).sum::<usize>())
        .sum();
    let grown = rss_kib().saturating_sub(before);
    bench
        .note(&format!(
            "{N_PODS} pods of {} MiB are heard in {:.2} s; annotations of {} KiB are kept, and the process grew by {:.1} MiB",
            (N_PODS * BYTES) >> 20, took.as_secs_f64(), kept >> 10, grown as f64 / 1024.0
        ))
        .unwrap();
    // What nobody on the node reads is not kept.
    assert!(kept < N_PODS * 1024, "{kept} bytes of annotations are kept");
    assert!(grown < 20 << 10, "{grown} KiB");
}

async fn create_all(pods: &Api<Pod>) {
    let huge = "x".repeat(BYTES);
    for n in 0..N_PODS {
        let pod = json!({
            "metadata": { "name": format!("huge-{n}"), "annotations": { "example.org/huge": huge } },
            "spec": { "nodeName": NODE, "containers": [{ "name": "a", "image": "none" }] },
        });
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    }
}

fn rss_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
