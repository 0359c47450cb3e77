//! The pods of one node as the apiserver has them, followed for as long as the agent lives. Owns the watch and what is known when it breaks:
//! the last that was heard. What a pod object means is read in `pods::read`.

mod read;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use model::pod::{Declared, DeclaredPod};
use model::qos::PodUid;
use tokio::sync::watch;

use crate::watching;

/// What the apiserver told.
#[derive(Clone, Debug, Default)]
pub struct PodsHeard {
    /// Everybody on the node; as of the last word when there is a fault. `None` before the first.
    pub pods: Option<Arc<Declared>>,
    /// One sentence, while the apiserver is not heard.
    pub fault: Option<String>,
}

/// Keeps `tell` at what the apiserver says about the pods of `node`, for as long as it is polled.
pub async fn follow(client: Client, node: &str, tell: &watch::Sender<PodsHeard>) -> Infallible {
    let pods: Api<Pod> = Api::all(client);
    // A list as a stream of pods, so that a node of 500 pods does not arrive as ten megabytes in one piece (KEP-3157).
    let here = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
    let streamed = here.clone().streaming_lists();
    // As kubelets ask: from the apiserver's memory, not from its store.
    let listed = here.any_semantic();
    loop {
        let stream = watcher(pods.clone(), streamed.clone()).default_backoff();
        listen(stream, tell, watching::has_no_streams).await;
        let stream = watcher(pods.clone(), listed.clone()).default_backoff();
        listen(stream, tell, |_| false).await;
    }
}

/// Returns at an error that `is_over` says is final.
async fn listen(
    stream: impl Stream<Item = Result<watcher::Event<Pod>, watcher::Error>>,
    tell: &watch::Sender<PodsHeard>,
    is_over: fn(&watcher::Error) -> bool,
) {
    let mut stream = std::pin::pin!(stream);
    let mut list = Followed::default();
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => {
                if let Some(pods) = list.hear(event) {
                    tell.send_replace(PodsHeard { pods: Some(Arc::new(pods)), fault: None });
                }
            }
            Err(error) if is_over(&error) => return,
            Err(error) => tell.send_modify(|heard| heard.fault = Some(watching::fault(&error))),
        }
    }
}

/// A list, and the changes to it. A list that is being told takes the place of the old one when it is whole.
#[derive(Debug, Default)]
struct Followed {
    pods: Declared,
    incoming: Option<Declared>,
}

impl Followed {
    /// All pods, when something is different.
    fn hear(&mut self, event: watcher::Event<Pod>) -> Option<Declared> {
        match event {
            watcher::Event::Init => {
                self.incoming = Some(BTreeMap::new());
                None
            }
            watcher::Event::InitApply(pod) => {
                let (uid, pod) = read::pod(&pod)?;
                // One that is as it was stays the same for those who compare.
                let known = self.pods.get(&uid).filter(|known| ***known == pod).cloned();
                let pod = known.unwrap_or_else(|| Arc::new(pod));
                self.incoming.get_or_insert_default().insert(uid, pod);
                None
            }
            watcher::Event::InitDone => {
                self.pods = self.incoming.take().unwrap_or_default();
                Some(self.pods.clone())
            }
            watcher::Event::Apply(pod) => {
                let (uid, pod) = read::pod(&pod)?;
                self.put(uid, Some(pod))
            }
            watcher::Event::Delete(pod) => self.put(read::pod(&pod)?.0, None),
        }
    }

    fn put(&mut self, uid: PodUid, pod: Option<DeclaredPod>) -> Option<Declared> {
        if self.pods.get(&uid).map(|known| &**known) == pod.as_ref() {
            return None;
        }
        match pod {
            Some(pod) => self.pods.insert(uid, Arc::new(pod)),
            None => self.pods.remove(&uid),
        };
        Some(self.pods.clone())
    }
}

#[cfg(test)]
mod tests;
