//! The thread that talks to the container runtime, for as long as the agent lives.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use model::plan::{Finding, Severity};
use model::qos::QosRules;
use model::sample::PodOnNode;
use runtime::nri::{self, Call, Ended, Identity, Runtime};
use runtime::pods::PodTable;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::plugin::Plugin;
use crate::config::KubernetesConfig;
use crate::metrics::RuntimeMetrics;
use crate::node_state::Request;

/// A place among the plugins of a runtime: behind those that make devices, before those that only look.
const INDEX: u8 = 50;

/// The uid of the agent's own pod; the manifest sets it.
const OWN_POD: &str = "POD_UID";

/// What others hold of the conversation.
#[derive(Debug)]
pub struct Conversation {
    pub runtime: Runtime,
    /// Of its thread.
    pub handle: Handle,
    pub pods: watch::Receiver<Arc<Vec<PodOnNode>>>,
    pub told: watch::Receiver<Arc<Vec<Finding>>>,
}

/// Starts it.
pub fn start(
    config: &KubernetesConfig,
    managed: &str,
    requests: mpsc::Sender<Request>,
    metrics: RuntimeMetrics,
) -> io::Result<Conversation> {
    let reactor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (runtime, mut pushes) = nri::runtime();
    let (pods, pods_seen) = watch::channel(Arc::default());
    let (told, told_seen) = watch::channel(Arc::default());
    let mut plugin = Plugin {
        table: PodTable::without(std::env::var(OWN_POD).ok()),
        rules: QosRules::default(),
        managed: managed.to_owned(),
        on_unplaceable: config.on_unplaceable,
        pods,
        told: told.clone(),
        requests,
        metrics: metrics.clone(),
    };
    let socket = config.nri_socket.clone();
    let handle = reactor.handle().clone();
    let thread = thread::Builder::new().name("berth-nri".to_owned());
    thread.spawn(move || {
        let identity = Identity { name: "berth".to_owned(), index: INDEX };
        let ended = |ended: &Ended, pause: Duration| {
            let error = kit::chain(ended).to_string();
            warn!(%error, pause_ms = pause.as_millis() as u64, "The container runtime is not heard");
            told.send_replace(Arc::new(vec![not_heard(&error)]));
            metrics.lost();
        };
        let answer = |call: &Call| {
            let began = Instant::now();
            let answer = plugin.answer(call);
            metrics.heard(call, began);
            answer
        };
        let talk = nri::keep(&socket, &identity, &mut pushes, answer, ended);
        match reactor.block_on(talk) {}
    })?;
    Ok(Conversation { runtime, handle, pods: pods_seen, told: told_seen })
}

fn not_heard(error: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        rule: "runtime-not-heard",
        subject: "node".to_owned(),
        message: format!(
            "pods start without us until the container runtime is heard again: {error}"
        ),
    }
}
