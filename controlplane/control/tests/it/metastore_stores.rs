//! Several stores in one process: nothing of one is seen or felt in another, also when one of them is damaged, full or comes and goes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use proto::etcd::etcdserverpb::{LeaseGrantRequest, PutRequest, StatusRequest};
use tonic::Code;

use crate::store::{PROGRAM, Running, Server, free_url};

/// As long as anything here may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

struct Process {
    folder: tempfile::TempDir,
    running: Running,
}

impl Process {
    fn begin(stores: &str) -> Process {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("stores.yaml"), stores).unwrap();
        let running = start(folder.path());
        Process { folder, running }
    }

    fn again(&mut self) {
        self.running = start(self.folder.path());
    }

    fn write(&self, stores: &str) {
        fs::write(self.folder.path().join("stores.yaml"), stores).unwrap();
    }

    fn folder_of(&self, store: &str) -> PathBuf {
        self.folder.path().join("data").join(store)
    }
}

fn start(folder: &Path) -> Running {
    let mut command = Command::new(PROGRAM);
    command.arg("metastore").arg("--stores-file").arg(folder.join("stores.yaml"));
    command.arg("--data-dir").arg(folder.join("data"));
    Running::begin(command.stderr(Stdio::null()))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

async fn put(server: &Server, key: &str, value: &str) -> Result<i64, tonic::Status> {
    let (key, value) = (key.to_owned().into(), value.to_owned().into());
    let answer = server.kv().put(PutRequest { key, value, ..PutRequest::default() }).await?;
    Ok(answer.into_inner().header.unwrap().revision)
}

async fn values(server: &Server) -> Vec<String> {
    let (_, kvs) = server.range(0).await;
    kvs.iter().map(|kv| String::from_utf8_lossy(&kv.value).into_owned()).collect()
}

async fn is_there(url: &str) -> bool {
    let Ok(endpoint) = tonic::transport::Endpoint::from_shared(url.to_owned()) else {
        return false;
    };
    let Ok(channel) = endpoint.connect().await else { return false };
    let mut client = proto::etcd::etcdserverpb::maintenance_client::MaintenanceClient::new(channel);
    client.status(StatusRequest {}).await.is_ok()
}

async fn until_gone(url: &str) {
    let began = Instant::now();
    while is_there(url).await {
        assert!(began.elapsed() < LIMIT, "{url} is there");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn stores_of_one_process_know_nothing_of_each_other() {
    let [first, second] = [free_url(), free_url()];
    let mut process = Process::begin(&format!(
        "'*': {{segment-bytes: 1048576}}\n\
         first: {{listen-client-urls: {first}, quota-backend-bytes: 2000}}\n\
         second: {{listen-client-urls: {second}}}\n"
    ));
    runtime().block_on(async {
        let [one, other] = [Server::at(&first).await, Server::at(&second).await];
        assert_eq!(put(&one, "key", "first").await.unwrap(), 2);
        assert_eq!((other.revision().await, values(&other).await.len()), (1, 0));
        assert_eq!(put(&other, "key", "second").await.unwrap(), 2, "revisions of its own");
        for nth in 3..9 {
            assert_eq!(put(&other, "key", &format!("second {nth}")).await.unwrap(), nth);
        }
        let mut leases =
            proto::etcd::etcdserverpb::lease_client::LeaseClient::new(one.channel.clone());
        leases.lease_grant(LeaseGrantRequest { id: 7, ttl: 3600 }).await.unwrap();
        assert_eq!((one.leases().await.len(), other.leases().await.len()), (1, 0));
        for nth in 3..6 {
            put(&one, "key", &format!("first {nth}")).await.unwrap();
        }
        one.compact(5).await;
        assert_eq!(other.happened(2).await.len(), 7, "all of its history");
        // The quota and its alarm.
        let full = put(&one, "large", &"v".repeat(4000)).await.unwrap_err();
        assert_eq!(full.code(), Code::ResourceExhausted, "{full}");
        put(&other, "large", &"v".repeat(4000)).await.unwrap();
        assert!(put(&one, "small", "v").await.is_err(), "the alarm is raised");
        put(&other, "small", "v").await.unwrap();
    });
    process.running.end("-KILL");
    process.again();
    runtime().block_on(async {
        let [one, other] = [Server::at(&first).await, Server::at(&second).await];
        assert_eq!(values(&one).await, ["first 5"]);
        assert_eq!(values(&other).await, ["second 8".to_owned(), "v".repeat(4000), "v".to_owned()]);
        assert_eq!((one.revision().await, other.revision().await), (5, 10));
        assert_eq!((one.leases().await.len(), other.leases().await.len()), (1, 0));
    });
    process.running.end("-TERM");
}

#[test]
fn a_damaged_store_leaves_the_others_alone_and_comes_back_when_it_is_mended() {
    let [first, second] = [free_url(), free_url()];
    let mut process = Process::begin(&format!(
        "first: {{listen-client-urls: {first}}}\nsecond: {{listen-client-urls: {second}}}\n"
    ));
    runtime().block_on(async {
        for url in [&first, &second] {
            let server = Server::at(url).await;
            for nth in 0..5 {
                put(&server, &format!("key {nth}"), "value").await.unwrap();
            }
        }
    });
    process.running.end("-TERM");
    let log = process.folder_of("first").join(format!("{:020}.log", 0));
    let whole = fs::read(&log).unwrap();
    let mut damaged = whole.clone();
    damaged[100] ^= 1;
    fs::write(&log, &damaged).unwrap();
    process.again();
    runtime().block_on(async {
        let other = Server::at(&second).await;
        assert_eq!(values(&other).await.len(), 5);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!is_there(&first).await, "it is damaged");
        put(&other, "key 5", "value").await.unwrap();
        fs::write(&log, &whole).unwrap();
        assert_eq!(values(&Server::at(&first).await).await.len(), 5, "it was tried again");
        assert_eq!(values(&other).await.len(), 6);
    });
    assert!(process.running.0.try_wait().unwrap().is_none(), "the process goes on");
}

#[test]
fn stores_come_and_go_with_their_file() {
    let [first, second, third] = [free_url(), free_url(), free_url()];
    let store = |name: &str, url: &str| format!("{name}: {{listen-client-urls: {url}}}\n");
    let process = Process::begin(&(store("first", &first) + &store("second", &second)));
    runtime().block_on(async {
        let stays = Server::at(&second).await;
        put(&Server::at(&first).await, "key", "of the first").await.unwrap();
        let epoch = stays.range(0).await.0;
        // What cannot be used changes nothing.
        process.write("first: {listen-client-urls: nowhere");
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(is_there(&first).await && is_there(&second).await);

        process.write(&(store("second", &second) + &store("third", &third)));
        put(&Server::at(&third).await, "key", "of the third").await.unwrap();
        until_gone(&first).await;
        assert!(process.folder_of("first").is_dir(), "its folder stays");
        // The same folder at another port.
        process.write(&(store("second", &second) + &store("first", &third)));
        let began = Instant::now();
        while !is_there(&third).await || values(&Server::at(&third).await).await != ["of the first"]
        {
            assert!(began.elapsed() < LIMIT, "the first is not at the port of the third");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(stays.range(0).await.0, epoch, "nobody has touched it");
    });
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let check = |stores: &str, more: &[&str], told: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stores.yaml");
        fs::write(&file, stores).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("metastore").arg("--stores-file").arg(&file).args(more);
        let output = command.current_dir(folder.path()).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(told), "{stores}: {said}");
        assert_eq!(output.status.code(), Some(64), "{stores}: {said}");
    };
    check("a: {}", &[], "a: it has no listen-client-urls of its own");
    check("", &[], "stores.yaml");
    check("a: {port: 1}", &["--max-txn-ops", "5"], "--max-txn-ops beside --stores-file");
    check("a: {port: 1}", &["--listen-client-urls", "http://127.0.0.1:1"], "--listen-client-urls");
}
