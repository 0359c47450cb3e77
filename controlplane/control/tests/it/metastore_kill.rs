//! `berth-control metastore` is killed while 64 clients write, again and again: nothing acknowledged is lost, no revision is used twice,
//! one order explains all answers, and watches that go on after a start leave nothing out. `BERTH_KILLS` makes it more rounds than usual.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use metastore::mvcc::Revision;
use metastore::testkit::chronicle::{Change, Chronicle};
use metastore::testkit::crowd::{Crowd, PREFIX};
use metastore::testkit::watch_rules::{Recorded, breaches, of_prefix, reached};
use metastore::testkit::watcher::{Habit, record};
use proto::etcd::etcdserverpb::kv_client::KvClient;
use proto::etcd::etcdserverpb::{CompactionRequest, PutRequest, RangeRequest};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

use crate::store::{PROGRAM, Server};

const CLIENTS: usize = 64;
/// Clients share connections, as those of one apiserver do.
const CONNECTIONS: usize = 8;
/// So much of what is known is read again after each start.
const READ_AGAIN: Revision = 200;
/// Kills, for who waits for a thousand of them.
const SAY_EVERY: u64 = 50;
/// For a client that has nobody to wait for.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program, and what is known of it over all its lives.
struct Killed {
    folder: PathBuf,
    port: u16,
    crowd: Arc<Crowd>,
    chronicle: Chronicle,
    compacted: Revision,
    /// Watches until now, looked at as soon as all that happened meanwhile is known.
    recorded: Vec<Recorded>,
    n_watches: usize,
    /// Where each watch that goes on does so.
    next: Vec<Revision>,
    /// Watches that were not told of a kill.
    n_stuck: usize,
}

impl Killed {
    fn new(folder: &Path) -> Killed {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        Killed {
            folder: folder.to_owned(),
            port: free.local_addr().unwrap().port(),
            crowd: Arc::default(),
            chronicle: Chronicle::default(),
            compacted: 0,
            recorded: Vec::new(),
            n_watches: 0,
            next: vec![2; 3],
            n_stuck: 0,
        }
    }

    async fn start(&self) -> (Server, Vec<Channel>) {
        let url = format!("http://127.0.0.1:{}", self.port);
        let mut command = Command::new(PROGRAM);
        command.args(["metastore", "--segment-bytes", "262144", "--watch-cache-bytes", "65536"]);
        command.args(["--watch-stream-bytes", "4096", "--data-dir"]).arg(&self.folder);
        command.args(["--listen-client-urls", &url]).stderr(Stdio::null());
        let server = Server::of(command, url.clone()).await;
        let endpoint = Endpoint::from_shared(url).unwrap();
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(endpoint.connect().await.unwrap());
        }
        (server, channels)
    }

    /// What must be so after a start.
    async fn examine(&mut self, channel: &Channel) {
        let mut kv = KvClient::new(channel.clone());
        let key = RangeRequest { key: "/after".into(), ..RangeRequest::default() };
        let revision = kv.range(key).await.unwrap().into_inner().header.unwrap().revision;
        let known = self.crowd.highest().max(self.chronicle.last());
        assert!(revision >= known, "the store is at {revision}, and {known} was acknowledged");
        let from = (self.chronicle.last() - READ_AGAIN).max(self.compacted).max(2);
        let (set_goal, goal) = watch::channel(Some(revision));
        let habit = Habit { pause: Duration::ZERO, ask_every: Duration::from_millis(10) };
        let all = vec![of_prefix("/", from)];
        let recorded = record(channel.clone(), all, habit, goal).await.remove(0);
        drop(set_goal);
        self.learn(&recorded);
        assert_eq!(self.chronicle.last(), revision, "all that happened can be read");
        self.recorded.push(recorded);
        self.check_watches();
        for (key, at) in self.crowd.acknowledged(60) {
            self.read_at(&mut kv, key, at).await;
        }
        let value = format!("after {revision}").into();
        let put = PutRequest { key: "/after".into(), value, ..PutRequest::default() };
        let next = kv.put(put).await.unwrap().into_inner().header.unwrap().revision;
        assert_eq!(next, revision + 1, "the next revision");
    }

    fn check_watches(&mut self) {
        for recorded in self.recorded.drain(..) {
            let found = breaches(&recorded, &self.chronicle, self.compacted);
            assert!(found.is_empty(), "{:?}: {found:#?}", recorded.request);
            self.n_watches += 1;
        }
    }

    /// Adds what happened, which must not be other than what is known.
    fn learn(&mut self, recorded: &Recorded) {
        let events: Vec<_> = recorded.responses.iter().flat_map(|one| &one.events).collect();
        let revision = |event: &&_| -> Revision {
            let event: &proto::etcd::mvccpb::Event = event;
            event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
        };
        for of_one in events.chunk_by(|one, other| revision(one) == revision(other)) {
            let changes = of_one.iter().map(|event| Change::of_event(event)).collect();
            self.chronicle.add(revision(&of_one[0]), changes).unwrap();
        }
    }

    async fn read_at(&self, kv: &mut KvClient<Channel>, key: bytes::Bytes, at: Revision) {
        if at < self.compacted {
            return;
        }
        let request = RangeRequest { key: key.clone(), revision: at, ..RangeRequest::default() };
        let is = kv.range(request).await.unwrap().into_inner().kvs;
        let should = self.chronicle.key_at(&key, at);
        assert_eq!(is.first(), should, "{key:?} at {at}");
    }

    /// As an apiserver does: only what everybody knows is forgotten.
    async fn compact(&mut self, channel: &Channel) {
        let revision = self.chronicle.last() - 20;
        if revision > self.compacted {
            let request = CompactionRequest { revision, physical: true };
            KvClient::new(channel.clone()).compact(request).await.unwrap();
            self.compacted = revision;
        }
    }

    /// Clients and watches, until the program is killed in the middle of it.
    async fn live(&mut self, (server, channels): (Server, Vec<Channel>), seed: u64) {
        let goes_on = Arc::new(AtomicBool::new(true));
        let (set_goal, goal) = watch::channel(None);
        let watching = self.watch(&channels, &goal);
        let clients: Vec<JoinHandle<()>> = (0..CLIENTS)
            .map(|nth| {
                let (crowd, goes_on) = (Arc::clone(&self.crowd), Arc::clone(&goes_on));
                let door = KvClient::new(channels[nth % CONNECTIONS].clone());
                let seed = seed * 1000 + nth as u64;
                tokio::spawn(async move {
                    crowd.client(door, seed, usize::MAX, || goes_on.load(Ordering::Relaxed)).await;
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(300 + seed * 37 % 400)).await;
        drop(server);
        // Nothing more comes, so whoever is slow reads the rest at once.
        set_goal.send_replace(Some(Revision::MAX));
        goes_on.store(false, Ordering::Relaxed);
        for client in clients {
            client.await.unwrap();
        }
        for (nth, watching) in watching.into_iter().enumerate() {
            let Some(recorded) = ended(watching).await else {
                self.n_stuck += 1;
                continue;
            };
            self.next[nth] = self.next[nth].max(reached(&recorded[0]) + 1);
            self.recorded.extend(recorded);
        }
    }

    /// Those that go on where they were, one of them slow and one that asks how far it is all the time, each beside one from now on.
    fn watch(
        &self,
        channels: &[Channel],
        goal: &watch::Receiver<Option<Revision>>,
    ) -> Vec<JoinHandle<Vec<Recorded>>> {
        let habits = [(0, 50), (20, 50), (0, 2)];
        let one = |(nth, (pause_ms, ask_ms)): (usize, (u64, u64))| {
            let pause = Duration::from_millis(pause_ms);
            let habit = Habit { pause, ask_every: Duration::from_millis(ask_ms) };
            // Behind what was compacted there is nothing to go on from.
            let start = self.next[nth].max(self.compacted);
            let requests = vec![of_prefix(PREFIX, start), of_prefix(PREFIX, 0)];
            tokio::spawn(record(channels[nth].clone(), requests, habit, goal.clone()))
        };
        habits.into_iter().enumerate().map(one).collect()
    }
}

/// `None` for one that waits although there is no connection any more: once in hundreds of kills on a busy machine.
async fn ended<T>(mut task: JoinHandle<T>) -> Option<T> {
    let ended = tokio::time::timeout(PATIENCE, &mut task).await;
    if ended.is_err() {
        task.abort();
    }
    ended.ok().map(Result::unwrap)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_64_clients_write_it_has_all_that_was_acknowledged() {
    let rounds: u64 =
        std::env::var("BERTH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let (folder, began) = (tempfile::tempdir().unwrap(), Instant::now());
    let mut killed = Killed::new(folder.path());
    for round in 0..=rounds {
        let (server, channels) = killed.start().await;
        killed.examine(&channels[0]).await;
        if round % 3 == 2 {
            killed.compact(&channels[0]).await;
        }
        if round < rounds {
            killed.live((server, channels), round).await;
        }
        if round > 0 && round.is_multiple_of(SAY_EVERY) {
            let (last, took) = (killed.chronicle.last(), began.elapsed().as_secs());
            println!("kill {round} of {rounds} ({took} s): revision {last}");
        }
    }
    killed.crowd.check_written(&killed.chronicle).unwrap();
    killed.crowd.check_order(&killed.chronicle).unwrap();
    let most = (rounds as usize / 100).max(1);
    assert!(killed.n_stuck <= most, "{} watches of {rounds} lives heard nothing", killed.n_stuck);
    println!(
        "{rounds} kills, {} operations, {} of them without an answer, revision {}, {} watches, {} more that heard nothing of the end, {:.1} s",
        killed.crowd.n_operations(),
        killed.crowd.n_unknown(),
        killed.chronicle.last(),
        killed.n_watches,
        killed.n_stuck,
        began.elapsed().as_secs_f64()
    );
}
