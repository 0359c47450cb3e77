//! The apiserver that tests share when they change nothing but objects of their own namespace. `cargo xtask test` starts it
//! before the tier; a test that is run alone starts one for its process.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Context as _;
use kube::Client;
use tokio::sync::OnceCell;

use crate::apiserver::Apiserver;
use crate::bench::{Bench, LOGS};
use crate::kubeconfig::Kubeconfig;
use crate::process;
use crate::store::Store;

/// Names the administrator's kubeconfig of a server that somebody else has started.
const KUBECONFIG: &str = "BERTH_E2E_KUBECONFIG";

/// A test's share. Shows the ends of the server's logs when the test fails.
#[derive(Debug)]
pub struct Shared {
    kubeconfig: Kubeconfig,
    logs: PathBuf,
}

/// The shared apiserver, ready.
pub async fn shared() -> anyhow::Result<Shared> {
    if let Some(path) = env::var_os(KUBECONFIG).map(PathBuf::from) {
        let logs = env::var_os(LOGS).map_or_else(PathBuf::new, PathBuf::from).join("shared");
        return Ok(Shared { kubeconfig: Kubeconfig::at(&path), logs });
    }
    // Never dropped: the kernel ends the servers together with this process.
    static OWN: OnceCell<(Bench, Store, Apiserver)> = OnceCell::const_new();
    let (bench, _, apiserver) = OWN.get_or_try_init(start).await?;
    Ok(Shared { kubeconfig: apiserver.kubeconfig().clone(), logs: bench.folder().to_owned() })
}

async fn start() -> anyhow::Result<(Bench, Store, Apiserver)> {
    let bench = Bench::of_test()?;
    let store = Store::start(&bench).await?;
    let apiserver = Apiserver::start(&bench, store.endpoint()).await?;
    Ok((bench, store, apiserver))
}

impl Shared {
    pub fn kubeconfig(&self) -> &Kubeconfig {
        &self.kubeconfig
    }

    pub async fn client(&self) -> anyhow::Result<Client> {
        self.kubeconfig.client().await.context("of the shared apiserver")
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if thread::panicking() {
            logs_in(&self.logs).iter().for_each(|log| process::show(log));
        }
    }
}

fn logs_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect()
}
