//! The file that tells a client where a server is and who it is itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig as Text};
use kube::{Client, Config};
use serde_json::json;

use crate::pki::{Identity, Pki};
use crate::programs::Programs;

/// A kubeconfig on disk. kubectl takes it, and so do our own programs.
#[derive(Clone, Debug)]
pub struct Kubeconfig {
    path: PathBuf,
}

impl Kubeconfig {
    pub fn write(path: &Path, url: &str, pki: &Pki, who: &Identity) -> anyhow::Result<Kubeconfig> {
        let text = Self::text(
            url,
            &pki.authority().display().to_string(),
            &who.certificate().display().to_string(),
            &who.key().display().to_string(),
        );
        fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(Kubeconfig { path: path.to_owned() })
    }

    /// The text of one whose files lie where they are named, which may be in a node.
    pub(crate) fn text(url: &str, authority: &str, certificate: &str, key: &str) -> String {
        // JSON is YAML.
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "bench",
            "clusters": [{
                "name": "bench",
                "cluster": { "server": url, "certificate-authority": authority },
            }],
            "users": [{
                "name": "bench",
                "user": { "client-certificate": certificate, "client-key": key },
            }],
            "contexts": [{ "name": "bench", "context": { "cluster": "bench", "user": "bench" } }],
        });
        text.to_string()
    }

    /// One that somebody else has written.
    pub fn at(path: &Path) -> Kubeconfig {
        Kubeconfig { path: path.to_owned() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// kubectl as this user, without arguments yet.
    pub fn kubectl(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(Programs::find()?.path("kube")?);
        command.arg("kubectl").env("KUBECONFIG", &self.path).stdin(Stdio::null());
        Ok(command)
    }

    /// A client of its own: one belongs to the async runtime that made it, so tests cannot share it.
    pub async fn client(&self) -> anyhow::Result<Client> {
        let text =
            Text::read_from(&self.path).with_context(|| format!("read {}", self.path.display()))?;
        let config = Config::from_custom_kubeconfig(text, &KubeConfigOptions::default()).await;
        let config = config.with_context(|| format!("take {}", self.path.display()))?;
        Client::try_from(config).context("make a client")
    }
}
