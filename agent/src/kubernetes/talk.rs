//! The thread that hears the container runtime and the kubelet, for as long as the agent lives. Owns when each is asked; what is answered
//! is the plugin's.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use cluster::kubelet::Kubelet;
use cluster::pods::PodsHeard;
use model::plan::{Finding, Severity};
use model::qos::{PodUid, QosRules};
use model::sample::PodOnNode;
use runtime::nri::{self, Call, Ended, Identity, Runtime};
use runtime::pods::PodTable;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::sleep;
use tracing::warn;

use super::deaf::Deafness;
use super::intruders::Intruders;
use super::plugin::Plugin;
use crate::config::KubernetesConfig;
use crate::metrics::RuntimeMetrics;
use crate::node_state::Request;

/// A place among the plugins of a runtime: behind those that make devices, before those that only look.
const INDEX: u8 = 50;

/// The uid of the agent's own pod; the manifest sets it.
const OWN_POD: &str = "POD_UID";

/// Between two questions to the kubelet while nobody comes; after somebody came it is asked at once, and not oftener than it likes.
const ASK_EVERY: Duration = Duration::from_secs(30);
const ASK_AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// From the first news to the telling. Little beside the quarter of a tick after which the cgroups may be read again.
const TELL_AFTER: Duration = Duration::from_millis(10);

/// Between two looks whether the runtime still tells everything.
const LISTEN_EVERY: Duration = Duration::from_secs(5);

/// What others hold of the conversation.
#[derive(Debug)]
pub struct Conversation {
    pub runtime: Runtime,
    /// Of its thread.
    pub handle: Handle,
    pub pods: watch::Receiver<Arc<Vec<PodOnNode>>>,
    pub told: watch::Receiver<Arc<Vec<Finding>>>,
}

/// Starts it. `declared` is what the apiserver says of the same pods.
pub fn start(
    config: &KubernetesConfig,
    managed: &str,
    requests: mpsc::Sender<Request>,
    (declared, metrics): (watch::Receiver<PodsHeard>, RuntimeMetrics),
) -> io::Result<Conversation> {
    let reactor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (runtime, mut pushes) = nri::runtime();
    let (pods, pods_seen) = watch::channel(Arc::default());
    let (told, told_seen) = watch::channel(Arc::default());
    let own = std::env::var(OWN_POD).ok().map(PodUid::new);
    let plugin = Plugin {
        table: PodTable::new(QosRules::default(), managed).without(own),
        managed: managed.to_owned(),
        on_unplaceable: config.on_unplaceable,
        pods,
        told,
        troubles: Default::default(),
        requests,
        metrics: metrics.clone(),
        identity: Identity { name: "berth".to_owned(), index: INDEX },
        intruders: Intruders::default(),
        news: Arc::new(Notify::new()),
    };
    let (nri, kubelet) = (config.nri_socket.clone(), config.kubelet_socket.clone());
    let handle = reactor.handle().clone();
    let talk_to = runtime.clone();
    let thread = thread::Builder::new().name("berth-nri".to_owned());
    thread.spawn(move || {
        let identity = plugin.identity.clone();
        let plugin = RefCell::new(plugin);
        let ended = |ended: &Ended, pause: Duration| {
            let error = kit::chain(ended).to_string();
            warn!(%error, pause_ms = pause.as_millis() as u64, "The container runtime is not heard");
            plugin.borrow_mut().trouble(not_heard(&error));
            metrics.lost();
        };
        let answer = |call: &Call| {
            let began = Instant::now();
            let answer = plugin.borrow_mut().answer(call);
            metrics.heard(call, began);
            answer
        };
        let talk = nri::keep(&nri, &identity, &mut pushes, answer, ended);
        let all = async {
            tokio::join!(
                talk,
                tell(&plugin),
                declare(&plugin, declared.clone()),
                ask(&plugin, &kubelet),
                listen(&plugin, declared, &talk_to),
            )
        };
        match reactor.block_on(all).0 {}
    })?;
    Ok(Conversation { runtime, handle, pods: pods_seen, told: told_seen })
}

/// Hands on what is known. A pod that starts is four calls in a few milliseconds, which become one.
async fn tell(plugin: &RefCell<Plugin>) -> Infallible {
    let news = Arc::clone(&plugin.borrow().news);
    loop {
        news.notified().await;
        sleep(TELL_AFTER).await;
        plugin.borrow_mut().tell();
    }
}

/// Hands on what the apiserver says.
async fn declare(plugin: &RefCell<Plugin>, mut declared: watch::Receiver<PodsHeard>) -> Infallible {
    while declared.changed().await.is_ok() {
        let heard = declared.borrow_and_update().pods.clone();
        plugin.borrow_mut().declare(heard);
    }
    // Nobody asks an apiserver.
    std::future::pending().await
}

/// Asks the kubelet which CPUs it has given away: when somebody new is here, and now and then.
async fn ask(plugin: &RefCell<Plugin>, socket: &Path) -> Infallible {
    let mut kubelet = None;
    loop {
        let mark = plugin.borrow().table.mark();
        let given = async {
            let kubelet = match &mut kubelet {
                Some(kubelet) => kubelet,
                none => none.insert(Kubelet::at(socket)?),
            };
            kubelet.given().await
        };
        match given.await {
            Ok(given) => plugin.borrow_mut().give(mark, given),
            Err(error) => {
                let error = kit::chain(&error).to_string();
                plugin.borrow_mut().trouble(kubelet_not_heard(&error));
            }
        }
        let mut waited = Duration::ZERO;
        while waited < ASK_EVERY && (waited.is_zero() || plugin.borrow().table.mark() == mark) {
            sleep(ASK_AT_MOST_EVERY).await;
            waited += ASK_AT_MOST_EVERY;
        }
    }
}

/// Hangs up on a runtime that has stopped telling of containers that run.
async fn listen(
    plugin: &RefCell<Plugin>,
    declared: watch::Receiver<PodsHeard>,
    runtime: &Runtime,
) -> Infallible {
    let mut deafness = Deafness::default();
    loop {
        sleep(LISTEN_EVERY).await;
        let now = collector::clock::now();
        plugin.borrow_mut().forget(now);
        // Who is not heard cannot say who runs.
        let known = declared.borrow().fault.is_none();
        let missed = {
            let plugin = plugin.borrow();
            let untold = plugin.table.untold().filter(|_| known);
            deafness.look(now, untold)
        };
        match missed.finding() {
            Some(finding) => plugin.borrow_mut().trouble(finding),
            None => plugin.borrow_mut().is_well("runtime-deaf"),
        }
        if let Some(why) = missed.hang_up {
            warn!(%why, "The runtime is asked anew");
            runtime.hang_up(why);
        }
    }
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

fn kubelet_not_heard(error: &str) -> Finding {
    Finding {
        severity: Severity::Note,
        rule: "kubelet-not-heard",
        subject: "node".to_owned(),
        message: format!(
            "CPUs that the kubelet gives away are known from what it asks the runtime for: {error}"
        ),
    }
}
