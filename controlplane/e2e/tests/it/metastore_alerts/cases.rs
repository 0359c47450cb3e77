//! What can be wrong with a metastore, provoked: one function for each fault, which does to a real process what happens to one.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use proto::etcd::etcdserverpb::lease_client::LeaseClient;
use proto::etcd::etcdserverpb::watch_client::WatchClient;
use proto::etcd::etcdserverpb::watch_request::RequestUnion;
use proto::etcd::etcdserverpb::{LeaseGrantRequest, WatchCreateRequest, WatchRequest};
use rustix::process::Signal;

use super::store::{Store, put_through, run};

/// How it goes on after two scrapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Steady,
    /// A new process every minute.
    Restarts,
    /// Prometheus does not know of it.
    NeverThere,
}

/// What a Prometheus reads in a minute; `None` where nobody answers.
pub(super) struct Scrapes {
    pub(super) name: &'static str,
    pub(super) fires: &'static [&'static str],
    pub(super) pace: Pace,
    pub(super) first: Option<String>,
    pub(super) second: Option<String>,
}

impl Scrapes {
    fn new(
        name: &'static str,
        fires: &'static [&'static str],
        [first, second]: [Option<String>; 2],
    ) -> Scrapes {
        Scrapes { name, fires, pace: Pace::Steady, first, second }
    }
}

pub(super) async fn all(folder: &Path) -> Vec<Scrapes> {
    vec![
        healthy(folder).await,
        hangs(folder).await,
        Scrapes {
            pace: Pace::NeverThere,
            ..Scrapes::new("nothing is scraped", &["BerthMetastoreAbsent"], [None, None])
        },
        is_killed(folder).await,
        has_an_old_certificate(folder).await,
        has_a_bad_policy(folder).await,
        has_a_slow_disk(folder).await,
        has_a_full_disk(folder).await,
        cannot_write_checkpoints(folder).await,
        is_over_its_quota(folder).await,
        is_not_compacted(folder).await,
        has_a_slow_watcher(folder).await,
        is_left_by_its_clients(folder).await,
    ]
}

/// A minute of an ordinary life: writes, a compaction, a watch that is read.
async fn minute(store: &Store) {
    let (revision, n_refused) = store.put(200, 500).await;
    assert_eq!(n_refused, 0);
    store.compact(revision - 10).await;
}

async fn healthy(folder: &Path) -> Scrapes {
    let store = Store::start(folder, "healthy", &[]).await;
    minute(&store).await;
    let first = store.scrape().await;
    minute(&store).await;
    Scrapes::new("healthy", &[], [first, store.scrape().await])
}

async fn hangs(folder: &Path) -> Scrapes {
    let store = Store::start(folder, "hangs", &[]).await;
    store.signal(Signal::STOP);
    let scrapes = [store.scrape().await, store.scrape().await];
    store.signal(Signal::CONT);
    Scrapes::new("is stopped", &["BerthMetastoreDown"], scrapes)
}

async fn is_killed(folder: &Path) -> Scrapes {
    let mut store = Store::start(folder, "killed", &[]).await;
    minute(&store).await;
    let first = store.scrape().await;
    // The time of a start is told in seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    store.kill_and_start().await;
    minute(&store).await;
    let scrapes = [first, store.scrape().await];
    let name = "is killed again and again";
    Scrapes { pace: Pace::Restarts, ..Scrapes::new(name, &["BerthMetastoreRestarts"], scrapes) }
}

async fn has_an_old_certificate(folder: &Path) -> Scrapes {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(2025, 1, 1);
    let own = folder.join("certificate");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("own.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(own.join("own.key"), key.serialize_pem()).unwrap();
    let arguments = ["--cert-file", "own.crt", "--key-file", "own.key"];
    let store = Store::start(folder, "certificate", &arguments).await;
    let first = store.scrape().await;
    minute(&store).await;
    let fires = &["BerthMetastoreCertificateExpires"];
    Scrapes::new("its certificate is over", fires, [first, store.scrape().await])
}

/// It was right when the store began.
async fn has_a_bad_policy(folder: &Path) -> Scrapes {
    let own = folder.join("policy");
    std::fs::create_dir_all(&own).unwrap();
    let file = own.join("policy.yaml");
    std::fs::write(&file, "prefixes:\n- prefix: /registry/events/\n  max_keys: 10000\n").unwrap();
    let store = Store::start(folder, "policy", &["--policy-file", "policy.yaml"]).await;
    minute(&store).await;
    std::fs::write(&file, "prefixes:\n- prefix: /registry/events/\n  most_keys: 10000\n").unwrap();
    let began = Instant::now();
    let is_told = || store.log().contains("The policy file cannot be used");
    while !is_told() && began.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(is_told(), "{}", store.log());
    let first = store.scrape().await;
    minute(&store).await;
    let fires = &["BerthMetastorePolicyNotLoaded"];
    Scrapes::new("its policy file is wrong", fires, [first, store.scrape().await])
}

/// The process stands still within syncs, until more than one of twenty-five took long, however fast the disk of this machine
/// is.
async fn has_a_slow_disk(folder: &Path) -> Scrapes {
    let store = Store::start(folder, "slow", &[]).await;
    minute(&store).await;
    let first = store.scrape().await;
    let before = store.syncs().await;
    let pauses = async {
        let began = Instant::now();
        loop {
            let now = store.syncs().await;
            let (all, slow) = (now.0 - before.0, now.1 - before.1);
            if slow >= 4 && slow * 25 > all {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{slow} slow syncs of {all}");
            store.stop_in_a_sync().await;
            tokio::time::sleep(Duration::from_millis(1500)).await;
            store.signal(Signal::CONT);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // Large ones, so that the store waits for the disk much of the time.
    tokio::select! {
        () = pauses => {}
        _ = store.put(100_000, 1 << 20) => {}
    }
    Scrapes::new("its disk is slow", &["BerthMetastoreSlowDisk"], [first, store.scrape().await])
}

async fn has_a_full_disk(folder: &Path) -> Scrapes {
    let mount = "mkdir -p store && mount -t tmpfs -o size=48m tmpfs store";
    let segments = ["--segment-bytes", "1048576"];
    let store = Store::start_after(folder, "full", &segments, Some(mount)).await;
    minute(&store).await;
    let first = store.scrape().await;
    let (revision, n_refused) = store.put(88, 512 << 10).await;
    assert_eq!(n_refused, 0, "{}", store.log());
    store.compact(revision).await;
    let fires = &["BerthMetastoreDiskAlmostFull"];
    Scrapes::new("its disk is almost full", fires, [first, store.scrape().await])
}

/// It may open no more files while it wants to write a checkpoint.
async fn cannot_write_checkpoints(folder: &Path) -> Scrapes {
    let segments = ["--segment-bytes", "268435456"];
    let store = Store::start(folder, "checkpoints", &segments).await;
    minute(&store).await;
    let limit = |n: &str| run(Command::new("prlimit").args(["--pid", &store.pid(), n]));
    let has_failed = |times: usize| {
        let said = store.log().matches("cannot be tidied up").count();
        said >= times
    };
    let first = store.scrape().await;
    // Sixty-four MiB of log are worth a checkpoint; the connection is there before the limit is.
    let channel = store.channel().await;
    put_through(channel.clone(), 60, 1 << 20).await;
    limit("--nofile=3:");
    let (revision, _) = put_through(channel, 9, 1 << 20).await;
    let began = Instant::now();
    while !has_failed(1) && began.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    limit("--nofile=1000:");
    assert!(has_failed(1), "{}", store.log());
    store.compact(revision).await;
    let fires = &["BerthMetastoreUpkeepFails"];
    Scrapes::new("it cannot write checkpoints", fires, [first, store.scrape().await])
}

/// In a store with quotas: what is refused for want of room.
async fn is_over_its_quota(folder: &Path) -> Scrapes {
    let store = Store::start(folder, "quota", &["--quota-backend-bytes", "200000"]).await;
    store.put(100, 4000).await;
    let first = store.scrape().await;
    let (_, n_refused) = store.put(100, 4000).await;
    assert!(n_refused > 0, "writes over the quota are refused");
    let fires = &["BerthMetastoreNoSpace", "BerthMetastoreNearQuota", "BerthMetastoreRefuses"];
    Scrapes::new("it is over its quota", fires, [first, store.scrape().await])
}

async fn is_not_compacted(folder: &Path) -> Scrapes {
    let store = Store::start(folder, "compaction", &[]).await;
    store.put(10, 100).await;
    let first = store.scrape().await;
    store.put(500, 100).await;
    let fires = &["BerthMetastoreNotCompacted"];
    Scrapes::new("nobody compacts it", fires, [first, store.scrape().await])
}

async fn has_a_slow_watcher(folder: &Path) -> Scrapes {
    let store = Store::start(folder, "watcher", &["--watch-stream-bytes", "4096"]).await;
    let create = WatchCreateRequest {
        key: "/registry/".into(),
        range_end: "/registry0".into(),
        ..WatchCreateRequest::default()
    };
    let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let (requests, stream) = tokio::sync::mpsc::channel(1);
    requests.send(create).await.unwrap();
    let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
    // The answers are in our hands, and nobody reads them.
    let unread = WatchClient::new(store.channel().await).watch(stream).await.unwrap();
    store.put(20, 100).await;
    let first = store.scrape().await;
    // Nothing is compacted: a watch that waits for what is forgotten ends.
    store.put(100, 200_000).await;
    let second = store.scrape().await;
    drop((unread, requests));
    let fires = &["BerthMetastoreWatchersBehind"];
    Scrapes::new("a client does not read its watch", fires, [first, second])
}

async fn is_left_by_its_clients(folder: &Path) -> Scrapes {
    let store = Store::start(folder, "leases", &[]).await;
    minute(&store).await;
    let first = store.scrape().await;
    let mut client = LeaseClient::new(store.channel().await);
    for _ in 0..60 {
        client.lease_grant(LeaseGrantRequest { ttl: 2, id: 0 }).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    minute(&store).await;
    let fires = &["BerthMetastoreLeasesExpire"];
    Scrapes::new("leases are kept alive no more", fires, [first, store.scrape().await])
}
