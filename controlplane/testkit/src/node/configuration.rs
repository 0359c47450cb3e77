//! What a node is told: the kubelet's configuration, its certificates, the files of a test. It goes into the node as a tar archive
//! that is its second disk, so that no image has to be made anew.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tar::{Builder, Header};

use super::{Settings, Start};
use crate::apiserver::Apiserver;
use crate::kubeconfig::Kubeconfig;
use crate::pki::HOST_OF_GUESTS;

/// The disk's size is part of a saved state, so it is always the same. Sparse.
const DISK_BYTES: u64 = 256 << 20;
/// Where the node unpacks it.
const FOLDER: &str = "/run/config";

/// The disk of a node's configuration.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) path: PathBuf,
    /// From its start to the end of the archive, in KiB. Busybox' tar reads a disk to its end otherwise, which takes seconds.
    pub(super) used_kib: u64,
}

/// Writes the disk.
pub(super) fn write(
    folder: &Path,
    apiserver: &Apiserver,
    name: &str,
    settings: &Settings,
) -> anyhow::Result<Disk> {
    let pki = apiserver.pki();
    let client =
        pki.client(&format!("node-{name}"), &format!("system:node:{name}"), Some("system:nodes"))?;
    let server = pki.server_at(&format!("kubelet-{name}"), name)?;
    let port = apiserver.port();
    let kubeconfig = Kubeconfig::text(
        &format!("https://{HOST_OF_GUESTS}:{port}"),
        &format!("{FOLDER}/ca.crt"),
        &format!("{FOLDER}/client.crt"),
        &format!("{FOLDER}/client.key"),
    );
    let configuration = kubelet(settings);
    let mut archive = Builder::new(Vec::new());
    let mut add = |path: &str, mode, content: &[u8]| add(&mut archive, path, mode, content);
    add("name", 0o644, name.as_bytes())?;
    add("kubeconfig", 0o600, kubeconfig.as_bytes())?;
    add("kubelet.json", 0o644, configuration.to_string().as_bytes())?;
    for (path, from) in [
        ("ca.crt", pki.authority().as_path()),
        ("client.crt", client.certificate()),
        ("client.key", client.key()),
        ("server.crt", server.certificate()),
        ("server.key", server.key()),
    ] {
        add(path, 0o600, &fs::read(from).with_context(|| format!("read {}", from.display()))?)?;
    }
    for file in &settings.files {
        add(&format!("files{}", file.path), file.mode, &file.content)?;
    }
    save(&folder.join("configuration.tar"), &archive.into_inner().context("close the archive")?)
}

fn add(
    archive: &mut Builder<Vec<u8>>,
    path: &str,
    mode: u32,
    content: &[u8],
) -> anyhow::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content).with_context(|| format!("add {path}"))
}

pub(super) fn save(path: &Path, archive: &[u8]) -> anyhow::Result<Disk> {
    ensure!(
        archive.len() as u64 <= DISK_BYTES,
        "the files of a node are {} bytes, and its disk for them has {DISK_BYTES}",
        archive.len()
    );
    fs::write(path, archive).with_context(|| format!("write {}", path.display()))?;
    let disk = File::options().write(true).open(path);
    disk.and_then(|disk| disk.set_len(DISK_BYTES))
        .with_context(|| format!("size {}", path.display()))?;
    Ok(Disk { path: path.to_owned(), used_kib: archive.len().div_ceil(1024) as u64 })
}

/// The bench's configuration with the test's keys over it.
fn kubelet(settings: &Settings) -> Value {
    let mut all = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": if settings.start == Start::BootedBySystemd { "systemd" } else { "cgroupfs" },
        // Given, so that the guest makes no key of its own, which takes it seconds.
        "tlsCertFile": format!("{FOLDER}/server.crt"),
        "tlsPrivateKeyFile": format!("{FOLDER}/server.key"),
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": format!("{FOLDER}/ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "failSwapOn": false,
        // The guest's kernel has no netfilter.
        "makeIPTablesUtilChains": false,
        "evictionHard": { "memory.available": "50Mi" },
        // The images came with the disk; nobody could bring them again.
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "5s",
    });
    if let (Some(all), Some(own)) = (all.as_object_mut(), settings.kubelet.as_object()) {
        all.extend(own.clone());
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{DISK_BYTES, Settings, kubelet, save};

    #[test]
    fn files_that_do_not_fit_are_refused_before_anything_is_written() {
        let path = std::env::temp_dir().join(format!("testkit-disk-{}", std::process::id()));
        let too_much = vec![0; usize::try_from(DISK_BYTES).unwrap() + 1];
        let said = save(&path, &too_much).unwrap_err().to_string();
        assert!(said.contains(&DISK_BYTES.to_string()), "{said}");
        assert!(!path.exists());
    }

    #[test]
    fn a_test_may_set_and_replace_keys() {
        let own = json!({ "cpuManagerPolicy": "static", "failSwapOn": true });
        let all = kubelet(&Settings { kubelet: own, ..Settings::default() });
        assert_eq!(all["cpuManagerPolicy"], "static");
        assert_eq!(all["failSwapOn"], true);
        assert_eq!(all["cgroupDriver"], "cgroupfs");
    }
}
