//! A store is copied, restored, taken back to an earlier revision and looked at, as an operator does it. Beside an etcd it is `moving` that
//! tests it.

use std::fs;

use crate::store::{Server, assert_same, refusal, task};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn a_store_is_backed_up_and_restored() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    runtime().block_on(async {
        let old = Server::ours(&folder.path().join("old")).await;
        old.write(0..400).await;
        old.compact(150).await;
        old.write(400..500).await;
        let said = task(&["backup", "--endpoint", &old.url, "--to", &path("file")]);
        assert!(said.contains("has the checksum") || said.contains("and the checksum"), "{said}");
        let error = refusal(&["backup", "--endpoint", &old.url, "--to", &path("file")]);
        assert!(error.contains("is there already"), "{error}");

        task(&["restore", "--from", &path("file"), "--data-dir", &path("new")]);
        let new = Server::ours(&folder.path().join("new")).await;
        assert_same(&old, &new, 150).await;
        let n_in_file = new.range(0).await.1.len();
        // It goes on, and its history can be read by who was away.
        new.write(500..520).await;
        old.write(500..520).await;
        assert_same(&old, &new, 150).await;
        let error = refusal(&["restore", "--from", &path("file"), "--data-dir", &path("new")]);
        assert!(error.contains("is there already"), "{error}");

        let mut bytes = fs::read(path("file")).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(path("spoilt"), &bytes).unwrap();
        let error = refusal(&["restore", "--from", &path("spoilt"), "--data-dir", &path("none")]);
        assert!(error.contains("it is damaged"), "{error}");
        fs::write(path("cut"), &bytes[..bytes.len() - 1000]).unwrap();
        let error = refusal(&["restore", "--from", &path("cut"), "--data-dir", &path("none")]);
        assert!(error.contains("no checksum"), "{error}");
        assert!(!folder.path().join("none").exists());

        task(&[
            "restore",
            "--from",
            &path("file"),
            "--data-dir",
            &path("higher"),
            "--revision-bump",
            "1000000",
        ]);
        let higher = Server::ours(&folder.path().join("higher")).await;
        let (revision, kvs) = higher.range(0).await;
        assert!(revision > 1_000_000, "{revision}");
        assert_eq!(kvs.len(), n_in_file);
    });
}

#[test]
fn a_store_is_taken_back_to_an_earlier_revision() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    runtime().block_on(async {
        let old = Server::ours(&folder.path().join("old")).await;
        old.write(0..300).await;
        let (_, wanted) = old.range(100).await;
        let newest = old.revision().await;
        let from = path("old");
        let arguments = |to: &str, revision: i64| -> Vec<String> {
            [
                "restore",
                "--from-data-dir",
                &from,
                "--revision",
                &revision.to_string(),
                "--data-dir",
                to,
            ]
            .map(str::to_owned)
            .to_vec()
        };
        let call = |arguments: &[String]| -> Vec<String> { arguments.to_vec() };
        let asked = call(&arguments(&path("new"), 100));
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        let error = refusal(&asked);
        assert!(error.contains("is used by another process"), "{error}");
        old.end().await;
        task(&asked);
        let new = Server::ours(&folder.path().join("new")).await;
        let (revision, found) = new.range(0).await;
        assert_eq!(found, wanted);
        assert!(revision > newest, "{revision} after {newest}");

        let asked = arguments(&path("none"), newest + 1);
        let error = refusal(&asked.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(error.contains(&format!("the newest is {newest}")), "{error}");
    });
}

#[test]
fn what_fills_a_store_is_told() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = Server::ours(folder.path()).await;
        store.write(0..200).await;
        let (_, kvs) = store.range(0).await;
        let said = task(&["stats", "--endpoint", &store.url, "--json", "--interval", "10ms"]);
        let stats: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(stats["keys"], kvs.len());
        let bytes: usize = kvs.iter().map(|kv| kv.key.len() + kv.value.len()).sum();
        assert_eq!(stats["bytes"], bytes);
        let pods = kvs.iter().filter(|kv| kv.key.starts_with(b"/registry/pods/")).count();
        let row = stats["prefixes"].as_array().unwrap().iter();
        let row = row.clone().find(|row| row["prefix"] == "/registry/pods/").unwrap();
        assert_eq!(row["keys"], pods);
        let said = task(&["stats", "--endpoint", &store.url, "--interval", "10ms"]);
        assert!(said.contains("/registry/pods/"), "{said}");
    });
}

#[test]
fn what_fills_a_store_is_told_to_who_may_administer_it() {
    let folder = tempfile::tempdir().unwrap();
    let check = |rules: &str, may_read: bool| {
        let policy = folder.path().join("policy.yaml");
        fs::write(&policy, format!("clients:\n- cn: '*'\n  {rules}\n")).unwrap();
        let policy = policy.display().to_string();
        runtime().block_on(async {
            let log = folder.path().join("store");
            let store = Server::ours_with(&log, &["--policy-file", &policy]).await;
            let asked = ["stats", "--endpoint", &store.url, "--interval", "10ms"];
            match may_read {
                true => drop(task(&asked)),
                false => assert!(refusal(&asked).contains("403"), "{rules}"),
            }
        });
    };
    check("read: ['']", false);
    check("write: ['']", false);
    check("admin: true", true);
}
