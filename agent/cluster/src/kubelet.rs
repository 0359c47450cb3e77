//! The kubelet's `podresources` socket: who is on the node by its word, and which CPUs it has given away. Owns the connection.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::cpuset::MAX_CPUS;
use model::qos::WorkloadName;
use model::{CpuId, CpuSet};
use proto::podresources::pod_resources_lister_client::PodResourcesListerClient;
use proto::podresources::{ListPodResourcesRequest, ListPodResourcesResponse};
use thiserror::Error;
use tonic::transport::{Channel, Endpoint};

/// Pods that the kubelet has admitted, with the CPUs that their containers own: with the CPU manager `static` whole ones, else none.
pub type Given = BTreeMap<WorkloadName, CpuSet>;

/// Why the kubelet's word is not known.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KubeletError {
    #[error("{}: no path of a socket", path.display())]
    NoPath { path: PathBuf, source: tonic::transport::Error },
    #[error("list the kubelet's pods at {}: {code}: {message}", path.display())]
    List { path: PathBuf, code: tonic::Code, message: String },
    #[error("list the kubelet's pods: {cpu} of {pod} is no CPU, which are 0 to {}", MAX_CPUS - 1)]
    NoCpu { pod: WorkloadName, cpu: i64 },
}

/// Beside a saturated machine a kubelet may need its turn.
const LIMIT: Duration = Duration::from_secs(10);
/// A pod is some hundred bytes, with devices a few thousand.
const MAX_BYTES: usize = 16 << 20;

/// The socket of a kubelet, connected whenever it is there.
#[derive(Debug)]
pub struct Kubelet {
    path: PathBuf,
    client: PodResourcesListerClient<Channel>,
}

impl Kubelet {
    /// Nothing is connected yet. Needs a reactor.
    pub fn at(path: &Path) -> Result<Kubelet, KubeletError> {
        let endpoint = Endpoint::from_shared(format!("unix://{}", path.display()));
        let failed = |source| KubeletError::NoPath { path: path.to_owned(), source };
        let endpoint = endpoint.map_err(failed)?.connect_timeout(LIMIT).timeout(LIMIT);
        let client = PodResourcesListerClient::new(endpoint.connect_lazy());
        let client = client.max_decoding_message_size(MAX_BYTES);
        Ok(Kubelet { path: path.to_owned(), client })
    }

    /// Right after its start a kubelet may know nobody yet: an empty list says nothing about pods that were there.
    pub async fn given(&mut self) -> Result<Given, KubeletError> {
        let answer = self.client.list(ListPodResourcesRequest {}).await;
        let answer = answer.map_err(|status| KubeletError::List {
            path: self.path.clone(),
            code: status.code(),
            message: status.message().to_owned(),
        })?;
        read(&answer.into_inner())
    }
}

/// Which life of a kubelet made the socket: another one is there, or the same anew, once it has started again. `None` while there is none.
pub(crate) fn life(socket: &Path) -> Option<(u64, i64, i64)> {
    let found = std::fs::metadata(socket).ok()?;
    // A number is used again at once; the time is not.
    Some((found.ino(), found.ctime(), found.ctime_nsec()))
}

fn read(list: &ListPodResourcesResponse) -> Result<Given, KubeletError> {
    let mut given = Given::new();
    for pod in &list.pod_resources {
        let name = WorkloadName::new(format!("{}/{}", pod.namespace, pod.name));
        let ids = pod.containers.iter().flat_map(|one| &one.cpu_ids);
        let cpus = ids.map(|id| match u16::try_from(*id) {
            Ok(cpu) if usize::from(cpu) < MAX_CPUS => Ok(CpuId(cpu)),
            _ => Err(KubeletError::NoCpu { pod: name.clone(), cpu: *id }),
        });
        let cpus: CpuSet = cpus.collect::<Result<_, _>>()?;
        let all = given.entry(name).or_default();
        *all = all.union(&cpus);
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use proto::podresources::{ContainerResources, PodResources};

    use super::*;

    fn pod(name: &str, cpus: &[&[i64]]) -> PodResources {
        let container =
            |ids: &&[i64]| ContainerResources { name: String::new(), cpu_ids: ids.to_vec() };
        PodResources {
            name: name.to_owned(),
            namespace: "shop".to_owned(),
            containers: cpus.iter().map(container).collect(),
        }
    }

    #[track_caller]
    fn check(pods: &[PodResources], expect: &str) {
        let answer = read(&ListPodResourcesResponse { pod_resources: pods.to_vec() });
        let line = match answer {
            Ok(given) => {
                let lines = given.iter().map(|(name, cpus)| format!("{name} [{cpus}]"));
                lines.collect::<Vec<_>>().join(", ")
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(line, expect);
    }

    #[test]
    fn cpus_of_all_containers_of_a_pod() {
        check(&[], "");
        check(&[pod("a", &[])], "shop/a []");
        check(&[pod("a", &[&[1, 2], &[], &[5]]), pod("b", &[&[3]])], "shop/a [1-2,5], shop/b [3]");
        check(
            &[pod("a", &[&[-1]])],
            "list the kubelet's pods: -1 of shop/a is no CPU, which are 0 to 1023",
        );
        check(
            &[pod("a", &[&[1024]])],
            "list the kubelet's pods: 1024 of shop/a is no CPU, which are 0 to 1023",
        );
    }

    /// A kubelet that is not there yet, or no more.
    #[tokio::test]
    async fn without_a_kubelet_the_socket_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kubelet.sock");
        let mut kubelet = Kubelet::at(&path).expect("a path");
        let error = kubelet.given().await.expect_err("nobody listens").to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
}
