//! A namespace of a test's own, so that tests can share an apiserver.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Namespace as Object, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};

/// It stays when the test ends: emptying one takes a controller, and the server goes away with the run.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// `prefix` tells a person whose it is; the rest of the name makes it unique.
    pub async fn create(client: &Client, prefix: &str) -> anyhow::Result<Namespace> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}-{}-{number}", std::process::id());
        let object = Object { metadata: named(&name), ..Object::default() };
        create(&Api::all(client.clone()), &object).await?;
        // A pod needs it at once; the controller that makes it comes seconds later or does not run at all.
        let account = ServiceAccount { metadata: named("default"), ..ServiceAccount::default() };
        create(&Api::namespaced(client.clone(), &name), &account).await?;
        Ok(Namespace { name })
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

const ALREADY_EXISTS: u16 = 409;

/// Somebody else having made it is as good.
async fn create<K>(api: &Api<K>, object: &K) -> anyhow::Result<()>
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    match api.create(&PostParams::default(), object).await {
        Err(kube::Error::Api(status)) if status.code == ALREADY_EXISTS => Ok(()),
        result => result.map(drop).with_context(|| {
            format!("create {} {:?}", K::kind(&()), object.meta().name.as_deref().unwrap_or(""))
        }),
    }
}
