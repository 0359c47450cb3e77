//! A disk that is really full: a small file system that only the store and this test see. The store refuses in time where it can, waits for
//! room where somebody else was faster, ends where none comes, and has lost nothing that it acknowledged.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use proto::etcd::etcdserverpb::kv_client::KvClient;
use proto::etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcd::etcdserverpb::{PutRequest, StatusRequest};
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::store::{PROGRAM, Running, Server};

/// More than all tries write.
const DISK_BYTES: u64 = 192 << 20;
/// Less than the two segments that a store wants to be free.
const TOO_LITTLE_BYTES: u64 = 1 << 20;
/// Two of them are more than a segment.
const VALUE_BYTES: usize = 700 << 10;
/// The store looks at its disk five times a second, and may do so before it is full for the write.
const MOST_TRIES: usize = 50;
/// A write that has no answer by then waits for room.
const PATIENCE: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(60);
/// EX_UNAVAILABLE of sysexits.
const UNAVAILABLE: i32 = 69;

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let Some(disk) = Disk::mount() else {
        println!(
            "SKIP metastore_full_disk::a_full_disk_loses_nothing_that_was_acknowledged: no file system can be mounted"
        );
        return;
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut kept = Kept::default();
        let server = disk.server().await;
        for _ in 0..10 {
            kept.until_taken(&server).await;
        }

        let filler = disk.fill_but(TOO_LITTLE_BYTES);
        let refusal = kept.refused(&server).await;
        assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
        assert!(refusal.message().contains("database space exceeded"), "{refusal}");
        drop(filler);
        kept.until_taken(&server).await;

        // Room comes back in time: nobody hears that there was none.
        let (waiting, filler) = kept.until_stuck(&disk, &server).await;
        drop(filler);
        let answered = tokio::time::timeout(LIMIT, waiting).await.expect("an answer").unwrap();
        kept.note(answered.unwrap());
        kept.until_taken(&server).await;

        // It does not.
        let (waiting, filler) = kept.until_stuck(&disk, &server).await;
        assert_eq!(server.ended_by_itself(LIMIT).await, Some(UNAVAILABLE));
        waiting.await.unwrap().expect_err("it was not durable");
        drop(filler);
        let server = disk.server().await;
        kept.compare(&server).await;
        kept.until_taken(&server).await;
    });
}

/// What was acknowledged.
#[derive(Default)]
struct Kept {
    values: BTreeMap<String, u8>,
    revision: i64,
    n_tried: usize,
}

/// The key, what its value is made of, and the revision of an acknowledged write.
type Written = (String, u8, i64);

impl Kept {
    fn note(&mut self, (key, of, revision): Written) {
        assert!(revision > self.revision, "{revision} after {}", self.revision);
        self.revision = revision;
        self.values.insert(key, of);
    }

    /// Another value for one of three keys: most of what is written can be forgotten.
    fn write(&mut self, server: &Server) -> JoinHandle<Result<Written, Status>> {
        self.n_tried += 1;
        let (key, of) = (format!("/full/{}", self.n_tried % 3), (self.n_tried % 251) as u8);
        tokio::spawn(put(server.kv(), key, of))
    }

    async fn until_taken(&mut self, server: &Server) {
        let began = Instant::now();
        loop {
            match self.write(server).await.unwrap() {
                Ok(written) => return self.note(written),
                Err(error) => assert!(began.elapsed() < LIMIT, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the store has seen that there is too little room.
    async fn refused(&mut self, server: &Server) -> Status {
        let began = Instant::now();
        let mut client = MaintenanceClient::new(server.channel.clone());
        while client.status(StatusRequest {}).await.unwrap().into_inner().errors.is_empty() {
            assert!(began.elapsed() < LIMIT, "no alarm is raised");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.write(server).await.unwrap().expect_err("there is an alarm")
    }

    /// Fills the disk faster than the store looks at it, until a write is on its way that has no room.
    async fn until_stuck(
        &mut self,
        disk: &Disk,
        server: &Server,
    ) -> (JoinHandle<Result<Written, Status>>, Filler) {
        for _ in 0..MOST_TRIES {
            let filler = disk.fill_but(0);
            loop {
                let mut write = self.write(server);
                match tokio::time::timeout(PATIENCE, &mut write).await {
                    Err(_no_answer) => return (write, filler),
                    Ok(answer) => match answer.unwrap() {
                        Ok(written) => self.note(written),
                        Err(refusal) => {
                            assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
                            break;
                        }
                    },
                }
            }
            drop(filler);
            self.until_taken(server).await;
        }
        panic!("the store saw {MOST_TRIES} times in time that the disk was full");
    }

    /// A write without an answer may be there.
    async fn compare(&self, server: &Server) {
        let (revision, found) = server.range(0).await;
        assert!(revision >= self.revision, "{revision} of {}", self.revision);
        for (key, of) in &self.values {
            let kv = found.iter().find(|kv| kv.key == key.as_bytes()).expect("it was acknowledged");
            if kv.mod_revision <= self.revision {
                assert!(kv.value == vec![*of; VALUE_BYTES], "{key}");
            }
        }
    }
}

async fn put(mut kv: KvClient<Channel>, key: String, of: u8) -> Result<Written, Status> {
    let value = vec![of; VALUE_BYTES].into();
    let request = PutRequest { key: key.clone().into(), value, ..PutRequest::default() };
    let answer = kv.put(request).await?.into_inner();
    Ok((key, of, answer.header.unwrap().revision))
}

/// A file system in memory, in a namespace of mounts of its own, which a process holds.
struct Disk {
    folder: tempfile::TempDir,
    holder: Running,
}

impl Disk {
    /// `None` where nobody may make a namespace.
    fn mount() -> Option<Disk> {
        let folder = tempfile::tempdir().unwrap();
        let line = format!(
            "mount -t tmpfs -o size={DISK_BYTES} none \"$0\" && echo mounted && exec sleep 600"
        );
        let mut holder = Command::new("unshare");
        holder.args(["--user", "--map-root-user", "--mount", "sh", "-c", &line]).arg(folder.path());
        let mut holder = Running::begin(holder.stdout(Stdio::piped()));
        let mut said = String::new();
        let _ = BufReader::new(holder.0.stdout.take()?).read_line(&mut said);
        let disk = Disk { folder, holder };
        (said == "mounted\n").then_some(disk)
    }

    /// As this process reaches it.
    fn path(&self) -> PathBuf {
        let below = self.folder.path().strip_prefix("/").unwrap();
        PathBuf::from(format!("/proc/{}/root", self.holder.0.id())).join(below)
    }

    async fn server(&self) -> Server {
        let mut command = Command::new("nsenter");
        command.args(["--user", "--preserve-credentials", "--mount", "--target"]);
        command.arg(self.holder.0.id().to_string()).arg(PROGRAM);
        Server::ours_by(command, &self.folder.path().join("data"), &[]).await
    }

    /// Takes all room but so much.
    fn fill_but(&self, left_bytes: u64) -> Filler {
        let path = self.path().join("filler");
        let mut file = File::create(&path).unwrap();
        // The kernel's pages are the smallest that can be taken.
        let chunk = vec![1; 4096];
        let error = loop {
            if let Err(error) = file.write_all(&chunk) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(left_bytes)).unwrap();
        Filler(path)
    }
}

/// Its room is free again when it is dropped.
struct Filler(PathBuf);

impl Drop for Filler {
    fn drop(&mut self) {
        // The file system may have gone.
        let _ = fs::remove_file(&self.0);
    }
}
