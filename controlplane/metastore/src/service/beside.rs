//! What runs beside the clients for the operator: a look at the room of the disk, the policy file read again when it changes, compaction by
//! time or number. Owns when; what follows is decided by `alarm`, `policy` and `auto_compaction`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::task::JoinHandle;
use tracing::{Instrument as _, info, warn};

use super::{Config, EngineUrl};
use crate::auto_compaction::{Look, Mode, Past};
use crate::policy::file::{self, PolicyError};
use crate::refusal::Refusal;
use crate::store::Store;

/// What an operator allows.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    /// So much of the disk stays free, and never less than two files of the log take.
    pub min_free_bytes: u64,
    pub policy_file: Option<PathBuf>,
    /// Clients may touch no key that is not below.
    pub key_prefix: Option<String>,
    /// Transactions that touch nothing else are answered before they are durable.
    pub async_commit_prefixes: Vec<String>,
    pub auto_compaction: Mode,
}

/// A disk takes some hundred megabytes in a second, and the room that is kept free is more than it takes in this time.
const LOOK_AT_DISK_EVERY: Duration = Duration::from_millis(200);
/// Of the policy file.
const LOOK_AT_FILE_EVERY: Duration = Duration::from_secs(2);

/// Sets what is in force before the first client comes. A policy file that is wrong then is not passed over.
pub(super) fn prepare(store: &Store, config: &Config) -> Result<(), PolicyError> {
    let allowed = &config.allowed;
    let least_free_bytes = allowed.min_free_bytes.max(2 * config.segment_bytes);
    store.set_room(config.settings.quota_bytes, least_free_bytes);
    let deferred = allowed.async_commit_prefixes.iter();
    store.set_deferred_prefixes(deferred.cloned().map(Into::into).collect());
    if let Some(prefix) = &allowed.key_prefix {
        store.policy.set_key_prefix(prefix.clone());
    }
    if let Some(path) = &allowed.policy_file {
        let policy = file::load(path)?;
        info!(file = %path.display(), n_prefixes = policy.prefixes.len(), "The policy is in force");
        store.set_policy(policy);
    }
    store.look_at_room(free_bytes(&config.engine));
    Ok(())
}

/// To be ended with the service.
pub(super) fn start(store: &Arc<Store>, config: &Config) -> Vec<JoinHandle<()>> {
    let mut tasks = vec![tokio::spawn(
        look_at_room(Arc::clone(store), config.engine.clone()).in_current_span(),
    )];
    let allowed = config.allowed.clone();
    if let Some(path) = allowed.policy_file {
        tasks.push(tokio::spawn(reload(Arc::clone(store), path).in_current_span()));
    }
    if let Some(every) = allowed.auto_compaction.look_every() {
        let compacting = compact(Arc::clone(store), allowed.auto_compaction, every);
        tasks.push(tokio::spawn(compacting.in_current_span()));
    }
    tasks
}

async fn look_at_room(store: Arc<Store>, engine: EngineUrl) {
    loop {
        tokio::time::sleep(LOOK_AT_DISK_EVERY).await;
        store.look_at_room(free_bytes(&engine));
    }
}

/// `None` where it cannot be known: nothing is refused for that.
fn free_bytes(engine: &EngineUrl) -> Option<u64> {
    let EngineUrl::Log { folder } = engine else { return None };
    let room = rustix::fs::statvfs(folder).ok()?;
    Some(room.f_bavail.saturating_mul(room.f_frsize))
}

async fn reload(store: Arc<Store>, path: PathBuf) {
    let mut seen = changed(&path);
    loop {
        tokio::time::sleep(LOOK_AT_FILE_EVERY).await;
        let now = changed(&path);
        if now == seen && !store.policy.has_failed() {
            continue;
        }
        let is_news = now != seen;
        seen = now;
        let (reloading, file) = (Arc::clone(&store), path.clone());
        // A file of many prefixes is counted over all keys.
        let done = tokio::task::spawn_blocking(move || read_again(&reloading, &file, is_news));
        if done.await.is_err() {
            warn!(file = %path.display(), "The policy is read no more");
            return;
        }
    }
}

/// The policy before stays where the new one cannot be used; that is said once for each change of the file.
fn read_again(store: &Store, path: &Path, is_news: bool) {
    match file::load(path) {
        Ok(policy) => {
            store.set_policy(policy);
            info!(file = %path.display(), "The policy was changed");
        }
        Err(error) => {
            store.policy.failed();
            if is_news {
                let why = cause(&error);
                warn!(%error, why, "The policy file cannot be used, the policy before stays");
            }
        }
    }
}

fn cause(error: &PolicyError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

/// Size and time: a file that is put in place by a link changes both or the inode behind it.
fn changed(path: &Path) -> Option<(SystemTime, u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let file = std::fs::metadata(path).ok()?;
    Some((file.modified().ok()?, file.len(), file.ino()))
}

async fn compact(store: Arc<Store>, mode: Mode, every: Duration) {
    let (began, mut past) = (Instant::now(), Past::default());
    loop {
        let (newest, compacted) = {
            let committed = store.committed();
            (committed.revision, committed.compacted)
        };
        let look = Look { now: began.elapsed(), newest, compacted };
        if let Some(revision) = past.look(mode, look) {
            match store.compact(revision).await {
                Ok(_) => info!(revision, ?mode, "Old revisions are forgotten"),
                // A client was faster.
                Err(Refusal::Compacted) => {}
                Err(refusal) => warn!(%refusal, revision, "Old revisions are not forgotten"),
            }
        }
        tokio::time::sleep(every).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::memory::MemoryEngine;
    use crate::reserve::Boot;
    use crate::store::{Identity, Options};

    /// A file that is wrong changes nothing and is told of; one that is right again is in force.
    #[test]
    fn a_bad_policy_file_keeps_the_one_before() {
        let identity = Identity { cluster: 1, member: 1 };
        let options = Options { identity, recent_bytes: 1, boot: Boot::UNKNOWN };
        let store = Store::open(Arc::new(MemoryEngine::new()), &options).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.yaml");
        let prefixes = |store: &Store| {
            let used = store.used_of_prefixes().into_iter();
            used.map(|(prefix, ..)| prefix).collect::<Vec<_>>()
        };
        for (text, expected, failed) in [
            ("prefixes: [{prefix: /a/, max_keys: 1}]", "/a/", false),
            ("prefixes: [{prefix: /b/}]", "/a/", true),
            ("]", "/a/", true),
            ("prefixes: [{prefix: /c/, max_keys: 1}]", "/c/", false),
        ] {
            let before = changed(&path);
            std::fs::write(&path, text).unwrap();
            assert_ne!(changed(&path), before);
            read_again(&store, &path, true);
            assert_eq!(prefixes(&store), [expected], "{text}");
            assert_eq!(store.policy.has_failed(), failed, "{text}");
        }
        std::fs::remove_file(&path).unwrap();
        read_again(&store, &path, true);
        assert!(store.policy.has_failed());
        let page = crate::metrics::page(&store);
        let line = "berth_metastore_policy_reload_failed 1";
        assert!(page.lines().any(|one| one == line), "{page}");
        let line = "berth_metastore_prefix_bytes{prefix=\"/c/\"} 0";
        assert!(page.lines().any(|one| one == line), "{page}");
    }
}
