//! Runtimes that break off in the middle, that say nothing and that are not there.

use std::sync::{Arc, Mutex};

use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::*;
use crate::nri::keep;

/// Far more than any of this takes.
const LIMIT: Duration = Duration::from_secs(20);

/// The agent's end of conversations, one after the other, and how each of them ended.
struct Kept {
    runtime: Runtime,
    ended: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Kept {
    fn begin(socket: &Path) -> Kept {
        let (runtime, mut pushes) = runtime();
        let ended = Arc::new(Mutex::new(Vec::new()));
        let (socket, log) = (socket.to_owned(), Arc::clone(&ended));
        let task = tokio::spawn(async move {
            let identity = Identity { name: "berth".to_owned(), index: 50 };
            let told = |why: &Ended, _| log.lock().expect("no panic").push(why.to_string());
            match keep(&socket, &identity, &mut pushes, |_| Answer::Done, told).await {}
        });
        Kept { runtime, ended, task }
    }

    /// An update is refused at once, so that its file is written by ourselves.
    async fn is_refused(&self) {
        let told = timeout(LIMIT, self.runtime.update(Vec::new())).await.expect("an answer");
        assert!(matches!(told, Err(UpdateError::Disconnected)), "{told:?}");
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn a_runtime_cut_off_in_a_frame_is_left_and_tried_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("nri.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let kept = Kept::begin(&socket);
    let cuts: [(&[u8], &str); 5] = [
        (b"", "closed"),
        (b"\0\0\0\x01", "closed"),
        (b"\0\0\0\x01\0\0\0\x50\0\0", "closed"),
        // The half of a frame that announces more.
        (b"\0\0\0\x02\0\0\0\x0b\0\0\x40\0\0\0\0\x01\x02", "closed"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff", ""),
    ];
    for (n, (cut, why)) in cuts.into_iter().enumerate() {
        let accepted = timeout(LIMIT, listener.accept()).await.expect("it comes again");
        let (mut stream, _) = accepted.expect("a connection");
        // What it says is taken first: a closed socket with unread bytes is a reset one.
        let mut hello = vec![0; 1024];
        assert!(stream.read(&mut hello).await.expect("bytes") > 0);
        stream.write_all(cut).await.expect("written");
        drop(stream);
        let told = async {
            while kept.ended.lock().expect("no panic").len() <= n {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, told).await.expect("it ends at once");
        let ended = kept.ended.lock().expect("no panic").last().cloned();
        assert!(ended.as_ref().is_some_and(|said| said.contains(why)), "{cut:?}: {ended:?}");
    }
    kept.is_refused().await;
}

/// One that does not exist, and one that accepts and then does not register the plugin.
#[tokio::test]
async fn updates_without_a_runtime_are_refused_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = Kept::begin(&folder.path().join("nobody.sock"));
    kept.is_refused().await;
    let socket = folder.path().join("hangs.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let kept = Kept::begin(&socket);
    let _silent = timeout(LIMIT, listener.accept()).await.expect("it connects");
    kept.is_refused().await;
}
