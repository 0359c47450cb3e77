//! A metastore as a process of its own that things are done to, and the clients that do them.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use proto::etcd::etcdserverpb::kv_client::KvClient;
use proto::etcd::etcdserverpb::{CompactionRequest, PutRequest};
use rustix::process::{Pid, Signal, kill_process};
use testkit::built;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

const LIMIT: Duration = Duration::from_secs(180);
/// As a Prometheus waits, made shorter.
const SCRAPE_LIMIT: Duration = Duration::from_secs(3);

/// Ends when it is dropped.
pub(super) struct Store {
    child: Child,
    folder: PathBuf,
    arguments: Vec<String>,
    port: u16,
}

impl Drop for Store {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Store {
    /// In `folder`/`name`, with more arguments.
    pub(super) async fn start(folder: &Path, name: &str, arguments: &[&str]) -> Store {
        Store::start_after(folder, name, arguments, None).await
    }

    /// The same in a mount namespace of its own, after this line of shell in its folder.
    pub(super) async fn start_after(
        folder: &Path,
        name: &str,
        arguments: &[&str],
        line: Option<&str>,
    ) -> Store {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
        let port = free_port();
        let child = spawn(&folder, &arguments, port, line);
        let store = Store { child, folder, arguments, port };
        store.ready().await;
        store
    }

    /// As by an OOM killer, and the same again.
    pub(super) async fn kill_and_start(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.folder, &self.arguments, self.port, None);
        self.ready().await;
    }

    async fn ready(&self) {
        let began = Instant::now();
        while self.scrape().await.is_none() {
            assert!(began.elapsed() < LIMIT, "no answer; it says\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    pub(super) fn pid(&self) -> String {
        self.child.id().to_string()
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it within a sync of its log: to it and its clients that is a disk that takes as long as it stands. Now and then the sync is
    /// over before the signal comes.
    pub(super) async fn stop_in_a_sync(&self) {
        let began = Instant::now();
        while !self.waits_for_the_disk() {
            assert!(began.elapsed() < LIMIT, "it never waits for its disk\n{}", self.log());
            tokio::task::yield_now().await;
        }
        self.signal(Signal::STOP);
    }

    /// Whether a thread of it is in an uninterruptible wait (proc(5), `stat`: the state is behind the name in brackets).
    fn waits_for_the_disk(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        // A thread that has just ended waits for nothing.
        let stats =
            tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
        stats.into_iter().any(|stat| stat.rsplit(')').next().unwrap().starts_with(" D"))
    }

    /// Syncs of the log so far, and those of them that took more than half a second.
    pub(super) async fn syncs(&self) -> (u64, u64) {
        let page = self.scrape().await.unwrap();
        let of = |series: &str| -> u64 {
            let name = format!("etcd_disk_wal_fsync_duration_seconds_{series} ");
            page.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
        };
        let all = of("count");
        (all, all - of("bucket{le=\"0.512\"}"))
    }

    /// The page; `None` where nobody answers in time.
    pub(super) async fn scrape(&self) -> Option<String> {
        let ask = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
            // 1.0: the connection ends with the page.
            stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: x\r\n\r\n").await.ok()?;
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await.ok()?;
            let (head, body) = reply.split_once("\r\n\r\n")?;
            head.contains(" 200 ").then(|| body.to_owned())
        };
        tokio::time::timeout(SCRAPE_LIMIT, ask).await.ok().flatten()
    }

    pub(super) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", self.port)).unwrap();
        endpoint.connect().await.unwrap()
    }

    /// The revision of the last one that was taken, and how many were refused.
    pub(super) async fn put(&self, n: usize, value_bytes: usize) -> (i64, usize) {
        put_through(self.channel().await, n, value_bytes).await
    }

    pub(super) async fn compact(&self, revision: i64) {
        let mut client = KvClient::new(self.channel().await);
        client.compact(CompactionRequest { revision, physical: false }).await.unwrap();
    }
}

/// The same over a connection that is there.
pub(super) async fn put_through(channel: Channel, n: usize, value_bytes: usize) -> (i64, usize) {
    let mut client = KvClient::new(channel);
    let (mut revision, mut n_refused) = (0, 0);
    for nth in 0..n {
        let key = format!("/registry/things/{:04}", nth % 1000).into();
        let value = vec![b'x'; value_bytes].into();
        match client.put(PutRequest { key, value, ..PutRequest::default() }).await {
            Ok(answer) => revision = answer.into_inner().header.unwrap().revision,
            Err(_) => n_refused += 1,
        }
    }
    (revision, n_refused)
}

pub(super) fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

fn spawn(folder: &Path, arguments: &[String], port: u16, line: Option<&str>) -> Child {
    let program = built("berth-control").unwrap();
    let mut command = match line {
        None => Command::new(program),
        // The program takes the shell's place, so the pid is its own; its mounts end with it.
        Some(line) => {
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", &format!("{line} && exec \"$0\" \"$@\"")]);
            command.arg(program);
            command
        }
    };
    let log = File::create(folder.join("log")).unwrap();
    command.args(["metastore", "--data-dir", "store/log"]).args(arguments);
    let url = format!("http://127.0.0.1:{port}");
    let urls = match arguments.iter().any(|argument| argument == "--cert-file") {
        true => format!("{url},https://127.0.0.1:{}", free_port()),
        false => url,
    };
    command.args(["--listen-client-urls", &urls]).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}
