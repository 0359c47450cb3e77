//! The flags of `berth-control metastore`: etcd's and KubeBrain's, as far as there is something behind them, and our own. Owns how they
//! become a configuration; what is accepted and does nothing is named, so that it can be said at the start.

use std::path::PathBuf;
use std::time::Duration;

use metastore::auto_compaction::Mode;
use metastore::grpc::Settings;
use metastore::service::{Allowed, Config, EngineUrl};

use super::values::{Retention, duration, engine_url};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Flags as keys of a YAML file, as etcd has it; what is on the command line wins
    #[arg(long, value_name = "FILE")]
    pub(super) config_file: Option<PathBuf>,
    /// Several stores in this process, each with a port and a folder DATA_DIR/NAME of its own: a YAML file of names, and of flags as keys for
    /// each; what all have is under "*". Stores come and go with the file, which is read again when it changes
    #[arg(long, value_name = "FILE", conflicts_with_all = ["engine", "config_file"])]
    pub(super) stores_file: Option<PathBuf>,
    /// Where the store is kept: log://FOLDER, or memory:// to forget it with the process
    #[arg(long, value_name = "URL", value_parser = engine_url, conflicts_with = "data_dir")]
    engine: Option<EngineUrl>,
    /// The same as --engine log://FOLDER
    #[arg(long, value_name = "FOLDER", default_value = "default.metastore")]
    data_dir: PathBuf,
    /// Where clients are listened to, several with commas between
    #[arg(
        long,
        value_name = "URLS",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:2379"
    )]
    pub(super) listen_client_urls: Vec<String>,
    /// The same as --listen-client-urls at all addresses, with https:// where there is a certificate (KubeBrain)
    #[arg(long, value_name = "PORT", conflicts_with = "listen_client_urls")]
    pub(super) port: Option<u16>,
    /// Where /metrics and /health are served over plain HTTP and nothing else is, several with commas between
    #[arg(long, value_name = "URLS", value_delimiter = ',')]
    pub(super) listen_metrics_urls: Vec<String>,
    /// The same as --listen-metrics-urls at all addresses; 0 for none (KubeBrain)
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(super) info_port: u16,
    /// What clients are told to come back to; the listened ones when left out
    #[arg(long, value_name = "URLS", value_delimiter = ',')]
    advertise_client_urls: Vec<String>,
    /// Certificate of the server, for https:// among the listened URLs; read again when it is renewed
    #[arg(long, value_name = "FILE", requires = "key_file")]
    pub(super) cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    pub(super) key_file: Option<PathBuf>,
    /// Who signs the certificates of clients
    #[arg(long, value_name = "FILE")]
    pub(super) trusted_ca_file: Option<PathBuf>,
    /// Refuse clients without a certificate
    #[arg(long, requires = "trusted_ca_file", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value_t = false, action = clap::ArgAction::Set)]
    pub(super) client_cert_auth: bool,
    /// The name of the member
    #[arg(long, default_value = "default")]
    name: String,
    /// The largest request
    #[arg(long, value_name = "BYTES", default_value_t = 1_572_864)]
    max_request_bytes: usize,
    /// The most operations of one transaction
    #[arg(long, value_name = "N", default_value_t = 128)]
    max_txn_ops: usize,
    /// Alarm NOSPACE is raised when keys and values take more; 0 for no limit but the disk's
    #[arg(long, value_name = "BYTES", default_value_t = 0, allow_hyphen_values = true)]
    quota_backend_bytes: i64,
    /// Alarm NOSPACE is raised when the disk has less; never less than two files of the log
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    min_free_bytes: u64,
    /// Limits of prefixes and rules for clients, as YAML; read again when it changes
    #[arg(long, value_name = "FILE")]
    policy_file: Option<PathBuf>,
    /// Transactions that touch only keys of these prefixes are answered before they are durable; a power cut may take those of the last
    /// second, and then clients list again: /registry/events/, several with commas between
    #[arg(long, value_name = "PREFIXES", value_delimiter = ',', value_parser = deferred_prefix)]
    async_commit_prefix: Vec<String>,
    /// Clients may touch no key but those below, and the compactor's own (KubeBrain)
    #[arg(long, value_name = "KEY", value_parser = key_prefix, default_value = "")]
    key_prefix: String,
    /// What --auto-compaction-retention counts: periodic or revision
    #[arg(long, value_name = "MODE", value_enum, default_value_t = CompactionMode::Periodic)]
    auto_compaction_mode: CompactionMode,
    /// How long (periodic: 30m, or a number of hours) or how many revisions are kept; 0 leaves it to clients
    #[arg(long, value_name = "TIME|N", default_value = "0")]
    auto_compaction_retention: Retention,
    /// How often watchers that ask for it hear how far they are: 500ms, 5s, 10m
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    watch_progress_notify_interval: Duration,
    /// How much of what happened last is kept in memory for watchers
    #[arg(long, value_name = "BYTES", default_value_t = 32 << 20)]
    watch_cache_bytes: usize,
    /// How much may wait for one stream of watches in memory
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 20)]
    watch_stream_bytes: usize,
    /// The room that is reserved for each file of the log
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    segment_bytes: u64,
    /// Threads that serve clients; as many as CPUs when left out
    #[arg(long, value_name = "N")]
    pub(super) worker_threads: Option<usize>,
    #[command(flatten)]
    pub(super) reports: super::reports::Args,
    #[command(flatten)]
    pub(super) without_effect: WithoutEffect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum CompactionMode {
    Periodic,
    Revision,
}

/// KubeBrain's, of things that this store has no need of.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Accepted from KubeBrain, without effect")]
pub(super) struct WithoutEffect {
    /// There is one server, which has no peers
    #[arg(long, value_name = "PORT")]
    peer_port: Option<u16>,
    /// Every key is this store's own
    #[arg(long, value_name = "KEYS", value_delimiter = ',')]
    skip_key_prefix: Vec<String>,
    /// Always so
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    compatible_with_etcd: Option<bool>,
    /// --watch-cache-bytes bounds it by size
    #[arg(long, value_name = "N")]
    watch_cache_size: Option<u64>,
    /// Prometheus knows whom it asks
    #[arg(long)]
    cluster_name: Option<String>,
    /// Plain HTTP is what an http:// among --listen-client-urls says
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    allow_insecure: Option<bool>,
    /// Always so
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enable_storage_metrics: Option<bool>,
    /// As --peer-port
    #[arg(long, value_name = "FILE")]
    peer_cert_file: Option<PathBuf>,
    /// As --peer-port
    #[arg(long, value_name = "FILE")]
    peer_key_file: Option<PathBuf>,
    /// As --peer-port
    #[arg(long, value_name = "FILE")]
    peer_trusted_ca_file: Option<PathBuf>,
    /// As --peer-port
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    peer_client_cert_auth: Option<bool>,
    /// As --peer-port
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    peer_allow_insecure: Option<bool>,
}

impl WithoutEffect {
    /// The flags that were given.
    pub(super) fn given(&self) -> Vec<&'static str> {
        let all = [
            ("--peer-port", self.peer_port.is_some()),
            ("--skip-key-prefix", !self.skip_key_prefix.is_empty()),
            ("--compatible-with-etcd", self.compatible_with_etcd.is_some()),
            ("--watch-cache-size", self.watch_cache_size.is_some()),
            ("--cluster-name", self.cluster_name.is_some()),
            ("--allow-insecure", self.allow_insecure.is_some()),
            ("--enable-storage-metrics", self.enable_storage_metrics.is_some()),
            ("--peer-cert-file", self.peer_cert_file.is_some()),
            ("--peer-key-file", self.peer_key_file.is_some()),
            ("--peer-trusted-ca-file", self.peer_trusted_ca_file.is_some()),
            ("--peer-client-cert-auth", self.peer_client_cert_auth.is_some()),
            ("--peer-allow-insecure", self.peer_allow_insecure.is_some()),
        ];
        all.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
    }

    pub(super) fn allows_insecure(&self) -> bool {
        self.allow_insecure.unwrap_or_default()
    }
}

impl Args {
    /// The URLs that clients are listened to at.
    pub(super) fn client_urls(&self) -> Vec<String> {
        let scheme = if self.cert_file.is_some() { "https" } else { "http" };
        match self.port {
            Some(port) => vec![format!("{scheme}://0.0.0.0:{port}")],
            None => self.listen_client_urls.clone(),
        }
    }

    /// The URLs that only pages are served at.
    pub(super) fn metrics_urls(&self) -> Vec<String> {
        let mut urls = self.listen_metrics_urls.clone();
        if self.info_port != 0 {
            urls.push(format!("http://0.0.0.0:{}", self.info_port));
        }
        urls
    }

    /// Where the folder of each is.
    pub(super) fn folder_of_stores(&self) -> Result<PathBuf, String> {
        std::path::absolute(&self.data_dir)
            .map_err(|error| format!("--data-dir {}: {error}", self.data_dir.display()))
    }

    pub(super) fn config(&self) -> Result<Config, String> {
        let folder = self.data_dir.clone();
        let client_urls = match self.advertise_client_urls.as_slice() {
            [] => self.client_urls(),
            urls => urls.to_vec(),
        };
        Ok(Config {
            engine: self.engine.clone().unwrap_or(EngineUrl::Log { folder }),
            segment_bytes: self.segment_bytes,
            recent_bytes: self.watch_cache_bytes,
            settings: Settings {
                name: self.name.clone(),
                client_urls,
                max_request_bytes: self.max_request_bytes,
                max_txn_ops: self.max_txn_ops,
                // etcd's way to say that there is none is a negative number.
                quota_bytes: u64::try_from(self.quota_backend_bytes).unwrap_or(0),
                progress_every: self.watch_progress_notify_interval,
                stream_bytes: self.watch_stream_bytes,
            },
            allowed: Allowed {
                min_free_bytes: self.min_free_bytes,
                policy_file: self.policy_file.clone(),
                key_prefix: Some(self.key_prefix.clone()).filter(|prefix| !prefix.is_empty()),
                async_commit_prefixes: self.async_commit_prefix.clone(),
                auto_compaction: self.auto_compaction()?,
            },
        })
    }

    fn auto_compaction(&self) -> Result<Mode, String> {
        let retention = &self.auto_compaction_retention;
        let mode = match self.auto_compaction_mode {
            CompactionMode::Periodic => retention.as_period(),
            CompactionMode::Revision => retention.as_revisions(),
        };
        mode.map_err(|why| format!("--auto-compaction-retention {retention}: {why}"))
    }
}

/// An empty one would be every key.
fn deferred_prefix(text: &str) -> Result<String, String> {
    if text.len() < 2 {
        return Err("every key would be under it: /registry/events/".to_owned());
    }
    Ok(text.to_owned())
}

/// As KubeBrain checks it.
fn key_prefix(text: &str) -> Result<String, String> {
    if text.ends_with('/') {
        return Err("a prefix has no slash at its end: /registry".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
