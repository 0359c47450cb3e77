//! The conversation with the NRI of a real containerd: registration, faults, its end and the next one. Containers are in `node`.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proto::nri::{ContainerUpdate, Event, LinuxContainerUpdate, LinuxCpu, LinuxResources};
use runtime::nri::{self, Answer, Call, Ended, Identity, UpdateError};
use testkit::{Bench, Containerd, eventually};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

const LIMIT: Duration = Duration::from_secs(30);

/// One conversation in the background that remembers the names of the calls it heard.
struct Conversation {
    heard: Arc<Mutex<Vec<String>>>,
    runtime: nri::Runtime,
    ended: JoinHandle<Ended>,
}

impl Conversation {
    fn begin(socket: &Path, name: &str, index: u8) -> Conversation {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (runtime, mut pushes) = nri::runtime();
        let (socket, log) = (socket.to_owned(), Arc::clone(&heard));
        let identity = Identity { name: name.to_owned(), index };
        let ended = tokio::spawn(async move {
            let plugin = |call: &Call| {
                let said = match call {
                    Call::Configure(it) => format!("Configure by {}", it.runtime_name),
                    call => call.name().to_owned(),
                };
                log.lock().unwrap().push(said);
                answer(call)
            };
            nri::serve(&socket, &identity, &mut pushes, plugin).await
        });
        Conversation { heard, runtime, ended }
    }

    async fn until_heard(&self, expected: &[&str]) {
        let heard = async || Ok((*self.heard.lock().unwrap() == expected).then_some(()));
        eventually(&format!("the calls {expected:?}"), LIMIT, heard).await.unwrap();
    }

    async fn end(self) -> Ended {
        tokio::time::timeout(LIMIT, self.ended).await.unwrap().unwrap()
    }
}

fn answer(call: &Call) -> Answer {
    match call {
        Call::Configure(_) => Answer::Configured {
            events: nri::mask(&[Event::CreateContainer, Event::UpdateContainer]),
        },
        Call::Synchronize(_) => Answer::Synchronized { update: Vec::new() },
        _ => Answer::Done,
    }
}

#[tokio::test]
async fn a_plugin_is_registered_and_hears_who_the_runtime_is() {
    let bench = Bench::of_test().unwrap();
    let mut containerd = Containerd::start(&bench).await.unwrap();
    let socket = containerd.nri_socket();
    let first = Conversation::begin(&socket, "berth", 10);
    first.until_heard(&["Configure by containerd", "Synchronize"]).await;
    // Names and places need not differ.
    let second = Conversation::begin(&socket, "berth", 10);
    second.until_heard(&["Configure by containerd", "Synchronize"]).await;

    // containerd takes an update of a container that it does not know for one that has ended.
    let failed = first.runtime.update(vec![update("no-such-container")]).await.unwrap();
    assert_eq!(failed, []);

    containerd.kill();
    for conversation in [first, second] {
        let runtime = conversation.runtime.clone();
        let ended = conversation.end().await;
        assert!(matches!(ended, Ended::Closed | Ended::Socket(_)), "{ended}");
        let told = runtime.update(Vec::new()).await;
        assert!(matches!(told, Err(UpdateError::Disconnected)), "{told:?}");
    }
    let ended = Conversation::begin(&socket, "berth", 10).end().await;
    assert!(matches!(ended, Ended::Connect { .. }), "{ended}");

    containerd.start_again().await.unwrap();
    let next = Conversation::begin(&socket, "berth", 10);
    next.until_heard(&["Configure by containerd", "Synchronize"]).await;
}

#[tokio::test]
async fn a_name_that_the_runtime_does_not_take_is_its_refusal() {
    let bench = Bench::of_test().unwrap();
    let containerd = Containerd::start(&bench).await.unwrap();
    for (name, index) in [("", 10), ("be/rth", 10), ("berth", 200)] {
        let ended = Conversation::begin(&containerd.nri_socket(), name, index).end().await;
        let told = ended.to_string();
        assert!(matches!(ended, Ended::Refused(_) | Ended::Closed), "{name:?} {index}: {told}");
    }
}

/// A plugin that dies in the middle of a frame takes nobody with it.
#[tokio::test]
async fn a_plugin_cut_off_in_a_frame_leaves_the_runtime_and_the_others_alone() {
    let bench = Bench::of_test().unwrap();
    let containerd = Containerd::start(&bench).await.unwrap();
    let socket = containerd.nri_socket();
    let other = Conversation::begin(&socket, "other", 20);
    other.until_heard(&["Configure by containerd", "Synchronize"]).await;
    for cut in
        [b"\0\0\0\x02".as_slice(), b"\0\0\0\x02\0\0\0\x50\0\0", b"\xff\xff\xff\xff\xff\xff\xff\xff"]
    {
        let mut stream = UnixStream::connect(&socket).await.unwrap();
        stream.write_all(cut).await.unwrap();
    }
    let next = Conversation::begin(&socket, "berth", 10);
    next.until_heard(&["Configure by containerd", "Synchronize"]).await;
    assert!(other.runtime.update(Vec::new()).await.unwrap().is_empty());
}

fn update(id: &str) -> ContainerUpdate {
    let cpu = LinuxCpu { cpus: "0".to_owned(), ..LinuxCpu::default() };
    let resources = LinuxResources { cpu: Some(cpu), ..LinuxResources::default() };
    ContainerUpdate {
        container_id: id.to_owned(),
        linux: Some(LinuxContainerUpdate { resources: Some(resources) }),
        ignore_failure: false,
    }
}
