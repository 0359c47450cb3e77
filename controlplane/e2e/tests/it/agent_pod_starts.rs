//! What the agent costs a pod that starts: the same pods with it and without it, in turn.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use testkit::{Bench, Cluster, Node, Settings, Shape, eventually};

use crate::node::{POD_LIMIT, phase};
use crate::node_agent::{Agent, SOON, dedicated, files};

/// One round is with the agent and without it.
const ROUNDS: usize = 8;

/// Until an emulated node has come to rest.
const CALM: Duration = Duration::from_secs(8);

#[tokio::test]
async fn soak_agent_costs_a_pod_that_starts_little() {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let settings = Settings { shape: Shape::NUMA, files: files("enforce"), ..Settings::default() };
    let node = cluster.add_node(&bench, &settings).await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await.unwrap());
    let agent = Agent { node: &node };
    // What is read for the first time is slow with and without it.
    start_one(&pods, "warm").await;
    let (mut with, mut without, mut handled) = (Vec::new(), Vec::new(), Handled::default());
    for round in 0..ROUNDS {
        agent.sh("rm -f /run/berth-bin/log").await;
        agent.spawn().await;
        agent.until_logged("The container runtime is heard").await;
        // Its own start takes a CPU of the node for a while.
        tokio::time::sleep(CALM).await;
        with.push(start_one(&pods, &format!("with-{round}")).await);
        handled.add(&agent.sh(METRICS).await);
        agent.sh("kill $(cat /run/berth-bin/pid)").await;
        until_gone(&node).await;
        tokio::time::sleep(CALM).await;
        without.push(start_one(&pods, &format!("without-{round}")).await);
    }
    let (with, without) = (median(&mut with), median(&mut without));
    bench.note(&format!(
        "a dedicated pod starts in {with:.2} s with the agent and in {without:.2} s without it (medians of {ROUNDS}, in turn)"
    ))
    .unwrap();
    bench.note(&handled.line()).unwrap();
}

const METRICS: &str =
    "wget -qO- http://127.0.0.1:9910/metrics | grep berth_agent_runtime_call_duration_seconds";

/// Answers to the runtime, over all rounds.
#[derive(Debug, Default)]
struct Handled {
    n_calls: f64,
    seconds: f64,
    /// Answers within each bound, the bounds in order.
    within: Vec<(f64, f64)>,
}

impl Handled {
    fn add(&mut self, page: &str) {
        for line in page.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let value: f64 = value.parse().unwrap_or_default();
            if name.contains("_sum") {
                self.seconds += value;
            } else if name.contains("_count") {
                self.n_calls += value;
            } else if let Some(bound) = name.split("le=\"").nth(1) {
                let bound = bound.split('"').next().unwrap_or_default();
                let bound = bound.parse().unwrap_or(f64::INFINITY);
                match self.within.iter_mut().find(|(known, _)| *known == bound) {
                    Some((_, n)) => *n += value,
                    None => self.within.push((bound, value)),
                }
            }
        }
    }

    fn line(&self) -> String {
        let p99 = self.within.iter().find(|(_, n)| *n >= 0.99 * self.n_calls);
        format!(
            "{} answers to the runtime took {:.2} ms on average, p99 within {:.1} ms; for each pod {:.1} ms in all (emulated)",
            self.n_calls,
            self.seconds / self.n_calls * 1e3,
            p99.map_or(f64::NAN, |(bound, _)| bound * 1e3),
            self.seconds / ROUNDS as f64 * 1e3,
        )
    }
}

/// Seconds from its creation until it runs; it is gone afterwards.
async fn start_one(pods: &Api<Pod>, name: &str) -> f64 {
    let began = Instant::now();
    pods.create(&PostParams::default(), &dedicated(name, "2")).await.unwrap();
    let running = async || Ok((phase(&pods.get(name).await?) == Some("Running")).then_some(()));
    eventually(&format!("{name} to run"), POD_LIMIT, running).await.unwrap();
    let seconds = began.elapsed().as_secs_f64();
    let now = DeleteParams::default().grace_period(0);
    pods.delete(name, &now).await.unwrap();
    let gone = async || Ok(pods.get_opt(name).await?.is_none().then_some(()));
    eventually(&format!("{name} to be gone"), POD_LIMIT, gone).await.unwrap();
    seconds
}

async fn until_gone(node: &Node) {
    let ended = async || {
        let pids = node.shell().run("pidof berth-agent").await?.stdout;
        Ok(pids.trim().is_empty().then_some(()))
    };
    eventually("the agent to end", SOON, ended).await.unwrap();
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
