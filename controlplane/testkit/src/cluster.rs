//! A whole control plane of one test: a store, apiserver, controller manager, scheduler. For tests in which pods come to run.

use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};

use crate::apiserver::Apiserver;
use crate::bench::Bench;
use crate::controllers::{Controllers, Scheduler};
use crate::node::{Node, Settings};
use crate::ready::eventually;
use crate::store::Store;

/// It ends from the last field to the first one's store when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    scheduler: Scheduler,
    controllers: Controllers,
    apiserver: Apiserver,
    store: Option<Store>,
}

/// The controller that makes accounts starts within seconds.
const ACCOUNT_LIMIT: Duration = Duration::from_secs(60);

impl Cluster {
    /// On a store of its own. Returns when pods of the namespace `default` are let in.
    pub async fn start(bench: &Bench) -> anyhow::Result<Cluster> {
        let store = Store::start(bench).await?;
        let endpoint = store.endpoint().to_owned();
        Self::build(bench, Some(store), &endpoint).await
    }

    /// On a store that somebody else keeps.
    pub async fn on_store(bench: &Bench, endpoint: &str) -> anyhow::Result<Cluster> {
        Self::build(bench, None, endpoint).await
    }

    async fn build(bench: &Bench, store: Option<Store>, endpoint: &str) -> anyhow::Result<Cluster> {
        let apiserver = Apiserver::start(bench, endpoint).await?;
        // Both at once: each takes a second or two.
        let (controllers, scheduler) = tokio::try_join!(
            Controllers::start(bench, &apiserver),
            Scheduler::start(bench, &apiserver)
        )?;
        wait_for_account(&apiserver.client().await?).await?;
        Ok(Cluster { scheduler, controllers, apiserver, store })
    }

    /// One more node.
    pub async fn add_node(&self, bench: &Bench, settings: &Settings) -> anyhow::Result<Node> {
        Node::start(bench, &self.apiserver, settings).await
    }

    pub fn apiserver(&self) -> &Apiserver {
        &self.apiserver
    }

    /// Of a user who may do everything.
    pub async fn client(&self) -> anyhow::Result<Client> {
        self.apiserver.client().await
    }

    /// Resident memory of each component in KiB, by its name.
    pub fn memory_kib(&self) -> Vec<(&'static str, u64)> {
        let all = [
            self.store.as_ref().map_or(("store", None), Store::memory_kib),
            ("kube-apiserver", self.apiserver.memory_kib()),
            ("kube-controller-manager", self.controllers.memory_kib()),
            ("kube-scheduler", self.scheduler.memory_kib()),
        ];
        all.into_iter().filter_map(|(name, kib)| Some((name, kib?))).collect()
    }
}

/// Until it is there, admission refuses every pod.
async fn wait_for_account(client: &Client) -> anyhow::Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let made = eventually("the default service account", ACCOUNT_LIMIT, async || {
        Ok(accounts.get_opt("default").await?.map(drop))
    });
    made.await.context("ask for the account that pods run under")
}
