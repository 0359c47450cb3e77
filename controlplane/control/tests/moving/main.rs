//! Stores and etcds that take each other's keys over, as processes: `etcd`, `etcdctl` and `etcdutl` are the programs beside the one that
//! `BERTH_ETCD` names.

#[path = "../it/store.rs"]
#[allow(dead_code, reason = "each of the two programs of tests uses a part of it")]
mod store;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use proto::etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcd::etcdserverpb::request_op::Request as Op;
use proto::etcd::etcdserverpb::{Compare, PutRequest, RequestOp, TxnRequest};
use proto::etcd::mvccpb::KeyValue;

use store::{PROGRAM, Running, Server, assert_same, free_url, task};

fn etcd() -> PathBuf {
    env::var_os("BERTH_ETCD").expect("BERTH_ETCD names the program of an etcd").into()
}

fn etcdctl() -> PathBuf {
    etcd().with_file_name("etcdctl")
}

fn etcdutl() -> PathBuf {
    etcd().with_file_name("etcdutl")
}

async fn start_etcd(folder: &Path, peers: &str) -> Server {
    let url = free_url();
    let mut command = Command::new(etcd());
    command.arg("--data-dir").arg(folder);
    command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
    command.args(["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]);
    command.arg(format!("--initial-cluster=default={peers}"));
    command.args(["--unsafe-no-fsync", "--log-level=fatal"]);
    Server::of(command, url).await
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// What it says.
fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}{errors}");
    said
}

fn text(path: PathBuf) -> String {
    path.display().to_string()
}

#[test]
fn an_etcd_goes_on_with_a_snapshot_of_ours() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    runtime().block_on(async {
        for compacted in [0, 200] {
            let ours = Server::ours(&at(&format!("ours {compacted}"))).await;
            ours.write(0..500).await;
            if compacted > 0 {
                ours.compact(compacted).await;
            }
            let file = at(&format!("snapshot {compacted}"));
            let saved = ["snapshot", "save", "--endpoints", &ours.url];
            run(Command::new(etcdctl()).args(saved).arg(&file));
            let status = ["snapshot", "status", "-w", "json"];
            let status = run(Command::new(etcdutl()).args(status).arg(&file));
            let status: serde_json::Value = serde_json::from_str(&status).unwrap();
            assert_eq!(status["revision"], ours.revision().await, "{status}");
            let peers = free_url();
            let new = at(&format!("etcd {compacted}"));
            let mut restore = Command::new(etcdutl());
            restore.args(["snapshot", "restore"]).arg(&file).arg("--data-dir").arg(&new);
            restore.args(["--name", "default", "--initial-advertise-peer-urls", &peers]);
            run(restore.arg(format!("--initial-cluster=default={peers}")));
            let theirs = start_etcd(&new, &peers).await;
            assert_same(&theirs, &ours, compacted.max(2)).await;
            theirs.write(500..520).await;
            ours.write(500..520).await;
            assert_same(&theirs, &ours, compacted.max(2)).await;
            check_pages(&file);
        }
    });
}

/// bbolt's own check, where its program is there too.
fn check_pages(file: &Path) {
    if let Some(bbolt) = env::var_os("BERTH_BBOLT") {
        let stripped = file.with_extension("db");
        let bytes = fs::read(file).unwrap();
        fs::write(&stripped, &bytes[..bytes.len() - 32]).unwrap();
        run(Command::new(bbolt).arg("check").arg(stripped));
    }
}

#[test]
fn we_go_on_with_a_snapshot_of_an_etcd() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    runtime().block_on(async {
        for compacted in [0, 200] {
            let theirs = start_etcd(&at(&format!("etcd {compacted}")), &free_url()).await;
            theirs.write(0..500).await;
            if compacted > 0 {
                theirs.compact(compacted).await;
            }
            let (file, new) = (at(&format!("file {compacted}")), at(&format!("ours {compacted}")));
            run(Command::new(etcdctl())
                .args(["snapshot", "save", "--endpoints", &theirs.url])
                .arg(&file));
            task(&["restore", "--from", &text(file), "--data-dir", &text(new.clone())]);
            let ours = Server::ours(&new).await;
            assert_same(&theirs, &ours, compacted.max(2)).await;
            theirs.write(500..520).await;
            ours.write(500..520).await;
            assert_same(&theirs, &ours, compacted.max(2)).await;
            // Our own command writes the same.
            let (file, again) =
                (at(&format!("ours file {compacted}")), at(&format!("again {compacted}")));
            task(&["backup", "--endpoint", &ours.url, "--to", &text(file.clone())]);
            task(&["restore", "--from", &text(file), "--data-dir", &text(again.clone())]);
            let again = Server::ours(&again).await;
            assert_same(&theirs, &again, compacted.max(2)).await;
        }
    });
}

#[test]
fn an_etcd_is_taken_over_while_it_is_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("ours");
    runtime().block_on(async {
        let theirs = Arc::new(start_etcd(&folder.path().join("etcd"), &free_url()).await);
        theirs.write(0..300).await;
        theirs.compact(100).await;
        let (is_over, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(300)));
        let writer = tokio::spawn({
            let (theirs, is_over, rounds) =
                (Arc::clone(&theirs), Arc::clone(&is_over), Arc::clone(&rounds));
            async move {
                while !is_over.load(Ordering::Relaxed) {
                    let round = rounds.fetch_add(10, Ordering::Relaxed);
                    theirs.write(round..round + 10).await;
                }
            }
        });
        let mut command = Command::new(PROGRAM);
        command.args(["metastore", "import", "--from", &theirs.url.replace("http", "etcd")]);
        command.arg("--data-dir").arg(&new).stdout(Stdio::piped());
        let mut importing = Running::begin(&mut command);
        tokio::time::sleep(Duration::from_secs(5)).await;
        // Compaction goes on, and so do the writes; then clients stop, and the store takes what is left.
        theirs.compact(theirs.revision().await - 10).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        is_over.store(true, Ordering::Relaxed);
        writer.await.unwrap();
        let id = importing.0.id().to_string();
        run(Command::new("kill").args(["-TERM", &id]));
        let mut said = String::new();
        let stdout = importing.0.stdout.as_mut().unwrap();
        std::io::Read::read_to_string(stdout, &mut said).unwrap();
        assert!(importing.0.wait().unwrap().success(), "{said}");
        assert!(said.contains("on both"), "{said}");
        let ours = Server::ours(&new).await;
        let compacted = theirs.hash(0).await.1;
        assert_same(&theirs, &ours, compacted).await;
        eprintln!("{} revisions while it was taken over\n{said}", rounds.load(Ordering::Relaxed));
    });
}

#[test]
fn an_etcd_is_taken_over_once_and_mirrored_back() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    runtime().block_on(async {
        let theirs = start_etcd(&at("etcd"), &free_url()).await;
        theirs.write(0..300).await;
        task(&["import", &theirs.url, "--once", "--data-dir", &text(at("ours"))]);
        assert_eq!(checkpoints(&at("ours")), 1, "so that the first start reads no whole log");
        let ours = Server::ours(&at("ours")).await;
        assert_same(&theirs, &ours, 2).await;
        let other = start_etcd(&at("other"), &free_url()).await;
        task(&["export", "--once", "--from", &ours.url, "--to", &other.url]);
        let keys = |kvs: Vec<proto::etcd::mvccpb::KeyValue>| -> Vec<_> {
            kvs.into_iter().map(|kv| (kv.key, kv.value, kv.lease)).collect()
        };
        assert_eq!(keys(other.range(0).await.1), keys(ours.range(0).await.1));
    });
}

fn checkpoints(store: &Path) -> usize {
    let names = fs::read_dir(store).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".checkpoint")).count()
}

/// kine makes no snapshots, counts no versions and knows of leases only how long they are. One of the long tests: setting up a kine takes
/// minutes. `BERTH_KINE` names its program.
#[test]
fn a_kine_is_taken_over_while_it_is_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("ours");
    runtime().block_on(async {
        let theirs = start_kine(folder.path()).await;
        for nth in 0..2500 {
            create(&theirs, nth).await;
        }
        let mut importing = Command::new(PROGRAM);
        importing.args(["metastore", "import", "--from", &theirs.url]).arg("--data-dir").arg(&new);
        let mut importing = Running::begin(&mut importing);
        for nth in 2500..2800 {
            create(&theirs, nth).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let id = importing.0.id().to_string();
        run(Command::new("kill").args(["-TERM", &id]));
        assert!(importing.0.wait().unwrap().success());
        let ours = Server::ours(&new).await;
        let [(revision, mut kvs), (at, found)] = [theirs.range(0).await, ours.range(0).await];
        kvs.retain(|kv| &kv.key[..] != b"compact_rev_key");
        assert_eq!((at, found.len()), (revision, kvs.len()));
        for (one, other) in kvs.iter().zip(&found) {
            let said = |kv: &KeyValue| (kv.key.clone(), kv.value.clone(), kv.mod_revision);
            assert_eq!(said(one), said(other));
        }
    });
}

async fn start_kine(folder: &Path) -> Server {
    let kine = env::var_os("BERTH_KINE").expect("BERTH_KINE names the program of a kine");
    let (url, state) = (free_url(), folder.join("state.db"));
    let mut command = Command::new(kine);
    command.arg(format!("--endpoint=sqlite://{}?_journal=WAL&cache=shared", state.display()));
    command.arg(format!("--listen-address={}", url.replace("http://", "tcp://")));
    command.args(["--metrics-bind-address", "0"]).stdout(Stdio::null());
    Server::of(command, url).await
}

/// As apiservers create things; kine knows no other way.
async fn create(server: &Server, nth: u32) {
    let key: bytes::Bytes = format!("/registry/things/{nth:05}").into();
    let absent = Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: key.clone(),
        target_union: Some(TargetUnion::ModRevision(0)),
        ..Compare::default()
    };
    let put = PutRequest { key, value: format!("value {nth}").into(), ..PutRequest::default() };
    let put = RequestOp { request: Some(Op::RequestPut(put)) };
    let request = TxnRequest { compare: vec![absent], success: vec![put], ..TxnRequest::default() };
    assert!(server.kv().txn(request).await.unwrap().into_inner().succeeded);
}
