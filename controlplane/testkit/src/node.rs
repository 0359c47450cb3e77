//! A node: a virtual machine with a real kernel, containerd and kubelet, which joins one apiserver. Owns its name, its files and
//! when it is ready; the parts are below.

mod address;
mod configuration;
mod machine;
mod shell;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Node as Object;
use kube::api::DeleteParams;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::apiserver::Apiserver;
use crate::bench::Bench;
use crate::kubeconfig::Kubeconfig;
use crate::ready::eventually;
use address::Address;
use configuration::Disk;
pub use machine::Shape;
use machine::{Machine, saved};
pub use shell::{Output, Shell};

/// What a node is to be. `Settings::default()` is four CPUs with the kubelet's own policies.
#[derive(Clone, Debug)]
pub struct Settings {
    pub shape: Shape,
    /// Keys of the kubelet's configuration, over those of the bench.
    pub kubelet: Value,
    /// Files to put into the node before its kubelet starts.
    pub files: Vec<NodeFile>,
    pub start: Start,
}

/// How a node comes to be, and under which init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From a saved state, which saves the boot. The first one of a shape makes it.
    Restored,
    Booted,
    /// Boots with systemd as PID 1. Kubelet and runtime use the driver `systemd` then: it makes the cgroups of pods.
    BootedBySystemd,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            shape: Shape::default(),
            kubelet: json!({}),
            files: Vec::new(),
            start: Start::Restored,
        }
    }
}

/// A file of a test's own in the node.
#[derive(Clone, Debug)]
pub struct NodeFile {
    /// Absolute.
    pub path: String,
    pub mode: u32,
    pub content: Vec<u8>,
}

/// How long it took, from the start of QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// The apiserver calls the node Ready.
    pub ready: Duration,
}

/// A running node. It ends when it is dropped; its object stays in the apiserver, as that of a node which lost power.
#[derive(Debug)]
pub struct Node {
    machine: Machine,
    address: Address,
    shell: Shell,
    admin: Kubeconfig,
    timings: Timings,
    start: Start,
}

/// Four times what a quiet machine takes, and room for a machine that does something else.
const READY_LIMIT: Duration = Duration::from_secs(120);

impl Node {
    /// Returns when the apiserver calls it Ready.
    pub async fn start(
        bench: &Bench,
        apiserver: &Apiserver,
        settings: &Settings,
    ) -> anyhow::Result<Node> {
        let folder = bench.own_folder("node")?;
        let address = Address::reserve()?;
        let name = address.name();
        let files = configuration::write(&folder, apiserver, &name, settings)?;
        let image = bench.programs().folder_with("vmlinuz")?;
        let (mut machine, began) =
            boot(bench, settings, &Place { folder, image, name: &name, files }).await?;
        let client = apiserver.client().await?;
        wait_until_ready(&client, &name, &mut machine).await?;
        let timings = Timings { ready: began.elapsed() };
        let shell = Shell::new(bench.programs(), image, &name)?;
        let admin = apiserver.kubeconfig().clone();
        Ok(Node { machine, address, shell, admin, timings, start: settings.start })
    }

    /// As the apiserver knows it: an address of the loopback network, at which the host reaches the kubelet.
    pub fn name(&self) -> String {
        self.address.name()
    }

    /// Does systemd make the cgroups of pods? The kubelet does otherwise.
    pub fn has_systemd(&self) -> bool {
        self.start == Start::BootedBySystemd
    }

    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// A way into the node that needs neither kubelet nor apiserver.
    pub fn shell(&self) -> &Shell {
        &self.shell
    }

    /// Resident memory of its QEMU in KiB; `None` when it has ended.
    pub fn memory_kib(&self) -> Option<u64> {
        self.machine.memory_kib()
    }

    /// Ends the kubelet with a signal and waits for the next one. Pods run on.
    pub async fn restart_kubelet(&mut self) -> anyhow::Result<()> {
        let before = self.machine.count_of("kubelet")?;
        self.shell.run("kill -9 $(pidof kubelet)").await?.success()?;
        self.machine.wait_for("kubelet", before + 1).await?;
        let client = self.admin.client().await?;
        wait_until_ready(&client, &self.address.name(), &mut self.machine).await
    }

    /// Takes the node's object out of the apiserver, as an administrator does when a node is gone for good.
    pub async fn forget(self) -> anyhow::Result<()> {
        let nodes: Api<Object> = Api::all(self.admin.client().await?);
        let name = self.name();
        nodes
            .delete(&name, &DeleteParams::default())
            .await
            .map(drop)
            .with_context(|| format!("delete node {name}"))
    }
}

/// Where a machine is started, and with what.
struct Place<'a> {
    folder: PathBuf,
    image: &'a Path,
    name: &'a str,
    /// The disk with the node's configuration.
    files: Disk,
}

/// An emulated guest on a busy machine now and then does not come up; a person waits for the next one, so a test does too.
/// It says so among the figures.
const BOOT_ATTEMPTS: u32 = 3;

/// A machine whose kubelet has its configuration, and when the machine was started.
async fn boot(
    bench: &Bench,
    settings: &Settings,
    place: &Place<'_>,
) -> anyhow::Result<(Machine, Instant)> {
    for attempt in 1..BOOT_ATTEMPTS {
        match boot_once(settings, place).await {
            Ok(booted) => return Ok(booted),
            Err(error) => bench.note(&format!(
                "a node did not boot, attempt {attempt} of {BOOT_ATTEMPTS}: {error:#}"
            ))?,
        }
    }
    boot_once(settings, place).await
}

async fn boot_once(settings: &Settings, place: &Place<'_>) -> anyhow::Result<(Machine, Instant)> {
    let Place { folder, image, name, files } = place;
    let shape = &settings.shape;
    if settings.start == Start::Restored {
        let state = saved::ensure(image, shape).await?;
        let began = Instant::now();
        let mut machine = Machine::restore(folder, image, shape, name, &files.path, &state)?;
        machine.configure(files.used_kib).await?;
        return Ok((machine, began));
    }
    let began = Instant::now();
    let mut machine = Machine::boot(folder, image, settings, name, &files.path)?;
    machine.wait_until_booted().await?;
    machine.configure(files.used_kib).await?;
    Ok((machine, began))
}

async fn wait_until_ready(
    client: &Client,
    name: &str,
    machine: &mut Machine,
) -> anyhow::Result<()> {
    let nodes: Api<Object> = Api::all(client.clone());
    let mut last = String::from("it has not registered");
    let what = format!("node {name} to be Ready");
    let outcome = eventually(&what, READY_LIMIT, async || {
        machine.check_runs()?;
        let object = nodes.get_opt(name).await?;
        let Some(state) = object.as_ref().and_then(readiness) else { return Ok(None) };
        last = state.1;
        Ok(state.0.then_some(()))
    });
    outcome.await.with_context(|| format!("{last}\n{}", machine.end_of_logs()))
}

/// Is it Ready, and what the kubelet says about it.
fn readiness(node: &Object) -> Option<(bool, String)> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().find(|it| it.type_ == "Ready")?;
    Some((ready.status == "True", ready.message.clone().unwrap_or_default()))
}
