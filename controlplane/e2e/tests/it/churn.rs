//! Pods that come and go while something else happens to a node, and whether each of them started.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use testkit::eventually;

use crate::node::{POD_LIMIT, phase, pod};
use crate::node_agent::{LEVEL, annotated};

/// Of each level in turn, a few at a time.
pub(crate) struct Churn {
    pods: Api<Pod>,
    events: Api<Event>,
    living: VecDeque<String>,
    n_started: usize,
    slowest: Duration,
}

/// Two pods that own CPUs fit a node of four CPUs beside the others.
const AT_A_TIME: usize = 4;

impl Churn {
    pub(crate) fn new(client: &Client) -> Churn {
        Churn {
            pods: Api::default_namespaced(client.clone()),
            events: Api::default_namespaced(client.clone()),
            living: VecDeque::new(),
            n_started: 0,
            slowest: Duration::ZERO,
        }
    }

    /// Until `span` is over and at least one pod has started.
    pub(crate) async fn run(&mut self, span: Duration) {
        let began = Instant::now();
        while began.elapsed() < span || self.n_started == 0 {
            self.turn().await;
        }
    }

    /// One pod comes, and the oldest one goes when there are enough.
    async fn turn(&mut self) {
        let began = Instant::now();
        let next = next(self.n_started);
        let name = next.name_any();
        self.pods.create(&PostParams::default(), &next).await.unwrap();
        let runs =
            async || Ok((phase(&self.pods.get(&name).await?) == Some("Running")).then_some(()));
        eventually(&format!("{name} to run"), POD_LIMIT, runs).await.unwrap();
        self.slowest = self.slowest.max(began.elapsed());
        self.n_started += 1;
        self.living.push_back(name);
        if self.living.len() > AT_A_TIME
            && let Some(oldest) = self.living.pop_front()
        {
            let at_once = DeleteParams::default().grace_period(1);
            self.pods.delete(&oldest, &at_once).await.unwrap();
        }
    }

    /// What the kubelet could not start at the first try. An unhealthy container is none: it has run.
    pub(crate) async fn failures(&self) -> Vec<String> {
        let events = self.events.list(&ListParams::default()).await.unwrap().items;
        let failed = ["Failed", "FailedCreatePodSandBox", "BackOff", "FailedKillPod"];
        let is_failure = |event: &&Event| failed.contains(&event.reason.as_deref().unwrap_or(""));
        let said = |event: &Event| {
            format!(
                "{:?}: {}",
                event.involved_object.name,
                event.message.clone().unwrap_or_default()
            )
        };
        events.iter().filter(is_failure).map(said).collect()
    }

    pub(crate) fn figures(&self) -> String {
        let Churn { n_started, slowest, .. } = self;
        format!("{n_started} pods started, the slowest after {:.1} s", slowest.as_secs_f64())
    }
}

/// Burstable ones, so that a kubelet with a static CPU manager gives none of them CPUs itself.
fn next(n: usize) -> Pod {
    let name = format!("churn-{n}");
    let asks = |milli: u32| json!({ "requests": { "cpu": format!("{milli}m") } });
    match n % 4 {
        0 => annotated(&name, json!({ LEVEL: "dedicated_cores" }), asks(1000)),
        1 => pod(&name, asks(100)),
        2 => annotated(&name, json!({ LEVEL: "reclaimed_cores" }), json!({})),
        _ => pod(&name, json!({})),
    }
}
