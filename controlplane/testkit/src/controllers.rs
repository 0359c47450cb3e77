//! The two programs that act on objects: kube-controller-manager and kube-scheduler. Both are clients of one apiserver.

use std::path::Path;

use anyhow::Context as _;

use crate::apiserver::Apiserver;
use crate::bench::Bench;
use crate::kubeconfig::Kubeconfig;
use crate::pki::Identity;
use crate::process::Process;
use crate::{port, ready};

/// A running kube-controller-manager.
#[derive(Debug)]
pub struct Controllers(Process);

impl Controllers {
    /// Returns when its controllers have been started.
    pub async fn start(bench: &Bench, apiserver: &Apiserver) -> anyhow::Result<Self> {
        let own = [
            format!(
                "--service-account-private-key-file={}",
                apiserver.token_keys().private.display()
            ),
            format!("--root-ca-file={}", apiserver.pki().authority().display()),
            // Kubernetes' own roles belong to the account of each controller, not to the program's user.
            "--use-service-account-credentials=true".to_owned(),
        ];
        start(bench, apiserver, "kube-controller-manager", own).await.map(Self)
    }

    /// Resident memory in KiB; `None` when it has ended.
    pub fn memory_kib(&self) -> Option<u64> {
        self.0.memory_kib()
    }
}

/// A running kube-scheduler.
#[derive(Debug)]
pub struct Scheduler(Process);

impl Scheduler {
    /// Returns when it can schedule.
    pub async fn start(bench: &Bench, apiserver: &Apiserver) -> anyhow::Result<Self> {
        start(bench, apiserver, "kube-scheduler", []).await.map(Self)
    }

    /// Resident memory in KiB; `None` when it has ended.
    pub fn memory_kib(&self) -> Option<u64> {
        self.0.memory_kib()
    }
}

async fn start(
    bench: &Bench,
    apiserver: &Apiserver,
    name: &str,
    own: impl IntoIterator<Item = String>,
) -> anyhow::Result<Process> {
    let folder = bench.own_folder(name)?;
    // The users that Kubernetes' own roles are bound to.
    let user = apiserver.kubeconfig_of(&format!("system:{name}"), None)?;
    let identity = apiserver.pki().server(name)?;
    let port = port::reserve().with_context(|| format!("reserve a port for {name}"))?;
    let mut arguments = vec![name.to_owned()];
    arguments.extend(arguments_of_both(&user, &identity, port));
    arguments.extend(own);
    let program = bench.programs().path("kube")?;
    let mut process = Process::start(&folder, &program, arguments)?;
    ready::wait(&mut process, &asking(&folder, apiserver, port).await?, "/healthz").await?;
    Ok(process)
}

fn arguments_of_both(user: &Kubeconfig, identity: &Identity, port: u16) -> [String; 6] {
    [
        format!("--kubeconfig={}", user.path().display()),
        // There is no other, and an election takes seconds.
        "--leader-elect=false".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", identity.certificate().display()),
        format!("--tls-private-key-file={}", identity.key().display()),
    ]
}

/// A client of the component itself. Whether it is well it tells anybody.
async fn asking(folder: &Path, apiserver: &Apiserver, port: u16) -> anyhow::Result<kube::Client> {
    let who = apiserver.pki().client("anybody", "anybody", None)?;
    let url = format!("https://127.0.0.1:{port}");
    let path = folder.join("ask.kubeconfig");
    Kubeconfig::write(&path, &url, apiserver.pki(), &who)?.client().await
}
