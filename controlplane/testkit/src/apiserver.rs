//! One kube-apiserver on a store of the caller's choice, with certificates of its own.

use std::path::PathBuf;

use anyhow::Context as _;
use kube::Client;

use crate::audit::Audit;
use crate::bench::Bench;
use crate::kubeconfig::Kubeconfig;
use crate::pki::{HOST_OF_GUESTS, Pki, TokenKeys};
use crate::process::Process;
use crate::{port, ready};

/// Of the addresses that services get.
pub(crate) const SERVICE_RANGE: &str = "10.96.0.0/16";

/// A running apiserver.
#[derive(Debug)]
pub struct Apiserver {
    process: Process,
    folder: PathBuf,
    port: u16,
    url: String,
    pki: Pki,
    token_keys: TokenKeys,
    audit: Audit,
    admin: Kubeconfig,
}

impl Apiserver {
    /// `store` is an endpoint that speaks etcd's protocol. Returns when `/readyz` says yes, so the roles of RBAC exist.
    pub async fn start(bench: &Bench, store: &str) -> anyhow::Result<Apiserver> {
        let folder = bench.own_folder("kube-apiserver")?;
        let pki = Pki::create(&folder)?;
        let token_keys = pki.token_keys()?;
        let port = port::reserve().context("reserve a port for kube-apiserver")?;
        let url = format!("https://127.0.0.1:{port}");
        let who = pki.client("admin", "admin", Some("system:masters"))?;
        let admin = Kubeconfig::write(&folder.join("admin.kubeconfig"), &url, &pki, &who)?;
        let (audit, audited) = Audit::in_folder(&folder)?;
        let arguments = [
            vec!["kube-apiserver".to_owned(), format!("--etcd-servers={store}")],
            addresses(port),
            certificates(&pki, &token_keys)?,
            audited,
        ];
        let program = bench.programs().path("kube")?;
        let mut process = Process::start(&folder, &program, arguments.concat())?;
        let client = admin.client().await?;
        ready::wait(&mut process, &client, "/readyz").await?;
        Ok(Apiserver { process, folder, port, url, pki, token_keys, audit, admin })
    }

    /// Of a user who may do everything.
    pub fn kubeconfig(&self) -> &Kubeconfig {
        &self.admin
    }

    /// Of a user who may do everything.
    pub async fn client(&self) -> anyhow::Result<Client> {
        self.admin.client().await
    }

    /// Of any other user, for tests of rights and for components.
    pub fn kubeconfig_of(&self, user: &str, group: Option<&str>) -> anyhow::Result<Kubeconfig> {
        let file = user.replace([':', '/'], "-");
        let who = self.pki.client(&file, user, group)?;
        Kubeconfig::write(&self.folder.join(file + ".kubeconfig"), &self.url, &self.pki, &who)
    }

    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// Takes connections and answers nobody until `go_on`: what a client finds hardest to tell from a slow one.
    pub fn hang(&self) -> anyhow::Result<()> {
        self.process.signal("STOP")
    }

    pub fn go_on(&self) -> anyhow::Result<()> {
        self.process.signal("CONT")
    }

    /// At `HOST_OF_GUESTS` for nodes.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A patch of the agent's DaemonSet (of any kind that kubectl takes), by which it finds this apiserver from a node.
    pub fn patch_of_agent(&self) -> String {
        include_str!("agent_patch.yaml").replace("%PORT%", &self.port.to_string())
    }

    /// Every write of a service account (`system:serviceaccount:..`) until now, also those that were refused: verb, path and answer.
    pub fn writes_of(&self, account: &str) -> anyhow::Result<Vec<String>> {
        self.audit.writes_of(account)
    }

    /// Resident memory in KiB; `None` when it has ended.
    pub fn memory_kib(&self) -> Option<u64> {
        self.process.memory_kib()
    }

    pub(crate) fn token_keys(&self) -> &TokenKeys {
        &self.token_keys
    }
}

fn addresses(port: u16) -> Vec<String> {
    vec![
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        // The loopback address is refused here. Nobody but a guest ever goes there.
        format!("--advertise-address={HOST_OF_GUESTS}"),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
    ]
}

fn certificates(pki: &Pki, tokens: &TokenKeys) -> anyhow::Result<Vec<String>> {
    let server = pki.server("apiserver")?;
    // A kubelet lets in whom the authority calls a master.
    let to_kubelet = pki.client("apiserver-to-kubelet", "apiserver", Some("system:masters"))?;
    Ok(vec![
        format!("--tls-cert-file={}", server.certificate().display()),
        format!("--tls-private-key-file={}", server.key().display()),
        format!("--client-ca-file={}", pki.authority().display()),
        format!("--kubelet-certificate-authority={}", pki.authority().display()),
        format!("--kubelet-client-certificate={}", to_kubelet.certificate().display()),
        format!("--kubelet-client-key={}", to_kubelet.key().display()),
        // Names of test nodes are addresses that this host can reach.
        "--kubelet-preferred-address-types=Hostname".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", tokens.public.display()),
        format!("--service-account-signing-key-file={}", tokens.private.display()),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--allow-privileged=true".to_owned(),
    ])
}
