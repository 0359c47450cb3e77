//! A container runtime as far as an NRI plugin sees one: takes the agent in, tells it of pods and containers, does what
//! it asks for. Has no containers, only their cgroups, so that five hundred pods fit into a guest. Owns its bytes, which
//! it shares with nobody: frames of ttrpc behind the headers of NRI's two connections (PROTOCOL.md of containerd/ttrpc,
//! pkg/net/multiplex of containerd/nri). No tests here.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use std::{fs, thread};

use prost::Message;
use proto::nri::{
    ConfigureRequest, ConfigureResponse, Container, ContainerUpdate, Empty, Event, PodSandbox,
    SynchronizeRequest, SynchronizeResponse, UpdateContainersRequest, UpdateContainersResponse,
};
use proto::ttrpc::{Request, Response};

/// The runtime's own patience (`plugin_request_timeout` of containerd) and a half more.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
const PLUGIN: &str = "nri.pkg.api.v1alpha1.Plugin";
/// On the first connection the runtime calls, on the second the plugin.
const CALLS: u32 = 1;
const REQUESTS: u32 = 2;
const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;

/// Where the cgroup of each container is, by its id.
pub(crate) type Groups = Arc<Mutex<BTreeMap<String, PathBuf>>>;

/// Calls and answers go out from two threads.
type Writer = Arc<Mutex<UnixStream>>;

/// A runtime with one plugin.
pub(crate) struct NriRuntime {
    writer: Writer,
    answers: mpsc::Receiver<(u32, Response)>,
    last_stream: u32,
}

impl NriRuntime {
    /// Waits for the plugin on `listener`, takes it in and asks what it wants to hear.
    #[track_caller]
    pub(crate) fn accept(listener: &UnixListener, groups: &Groups) -> NriRuntime {
        let (stream, _) = listener.accept().expect("a plugin");
        let (answered, answers) = mpsc::channel();
        let (registered, is_registered) = mpsc::channel();
        let writer = Arc::new(Mutex::new(stream.try_clone().expect("the stream again")));
        let mut plugin = PluginSide {
            stream,
            writer: Arc::clone(&writer),
            groups: Arc::clone(groups),
            answered,
            registered,
        };
        thread::spawn(move || while plugin.hear().is_ok() {});
        is_registered.recv_timeout(Duration::from_secs(30)).expect("the plugin registers");
        let mut runtime = NriRuntime { writer, answers, last_stream: 0 };
        let hello = ConfigureRequest {
            runtime_name: "containerd".to_owned(),
            runtime_version: "v2.4.2".to_owned(),
            nri_version: "0.12.3".to_owned(),
            ..ConfigureRequest::default()
        };
        let (payload, _) = runtime.call("Configure", &hello);
        let wanted = ConfigureResponse::decode(&*payload).expect("its answer").events;
        let validation = 1 << (Event::ValidateContainerAdjustment as i32 - 1);
        assert!(wanted & validation != 0, "asked for by who hears that it is known: {wanted:#b}");
        runtime
    }

    /// All that is here, `at_once` pods in each message: the time of all of them.
    #[track_caller]
    pub(crate) fn synchronize(
        &mut self,
        (pods, containers): (&[PodSandbox], &[Container]),
        at_once: usize,
    ) -> Duration {
        let began = Instant::now();
        let per_pod = containers.len() / pods.len();
        let n_messages = pods.len().div_ceil(at_once);
        let parts = pods.chunks(at_once).zip(containers.chunks(at_once * per_pod));
        for (nth, (pods, containers)) in parts.enumerate() {
            let more = nth + 1 < n_messages;
            let list =
                SynchronizeRequest { pods: pods.to_vec(), containers: containers.to_vec(), more };
            let (payload, _) = self.call("Synchronize", &list);
            let answer = SynchronizeResponse::decode(&*payload).expect("its answer");
            assert_eq!((answer.more, answer.update), (more, Vec::new()), "updates come later");
        }
        began.elapsed()
    }

    /// The plugin's answer and how long it took.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, message: &impl Message) -> (Vec<u8>, Duration) {
        let request = Request {
            service: PLUGIN.to_owned(),
            method: method.to_owned(),
            payload: message.encode_to_vec(),
            timeout_nano: 0,
        };
        self.last_stream += if self.last_stream == 0 { 1 } else { 2 };
        let bytes = framed(CALLS, (self.last_stream, REQUEST), &request.encode_to_vec());
        let began = Instant::now();
        write_all(&self.writer, &bytes).expect("the plugin reads");
        let (stream, answer) = self.answers.recv_timeout(ANSWER_LIMIT).expect("an answer in time");
        let took = began.elapsed();
        assert_eq!((stream, &answer.status), (self.last_stream, &None), "{method}");
        (answer.payload, took)
    }
}

/// What comes from the plugin.
struct PluginSide {
    stream: UnixStream,
    writer: Writer,
    groups: Groups,
    answered: mpsc::Sender<(u32, Response)>,
    registered: mpsc::Sender<()>,
}

impl PluginSide {
    /// One frame. The agent's are one to a chunk.
    fn hear(&mut self) -> io::Result<()> {
        let mut header = [0; 8 + 10];
        self.stream.read_exact(&mut header)?;
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("four"));
        let (connection, length, stream, kind) = (number(0), number(8), number(12), header[16]);
        assert_eq!(number(4), length + 10, "a chunk is a frame");
        let mut data = vec![0; length as usize];
        self.stream.read_exact(&mut data)?;
        match (connection, kind) {
            (CALLS, RESPONSE) => {
                let response = Response::decode(&*data).expect("an answer");
                self.answered.send((stream, response)).map_err(io::Error::other)
            }
            (REQUESTS, REQUEST) => self.answer(stream, &Request::decode(&*data).expect("a call")),
            other => panic!("connection and kind {other:?}"),
        }
    }

    fn answer(&mut self, stream: u32, request: &Request) -> io::Result<()> {
        let payload = match request.method.as_str() {
            "RegisterPlugin" => {
                self.registered.send(()).map_err(io::Error::other)?;
                Empty {}.encode_to_vec()
            }
            "UpdateContainers" => {
                let asked = UpdateContainersRequest::decode(&*request.payload).expect("updates");
                let failed = asked.update.into_iter().filter(|one| !self.update(one)).collect();
                UpdateContainersResponse { failed }.encode_to_vec()
            }
            other => panic!("the plugin calls {other}"),
        };
        let response = Response { status: None, payload };
        let bytes = framed(REQUESTS, (stream, RESPONSE), &response.encode_to_vec());
        write_all(&self.writer, &bytes)
    }

    /// Whether the files have what is asked for; only cpusets are.
    fn update(&self, update: &ContainerUpdate) -> bool {
        let groups = self.groups.lock().expect("no panic");
        let Some(group) = groups.get(&update.container_id) else { return false };
        let resources = update.linux.as_ref().and_then(|linux| linux.resources.as_ref());
        let Some(cpu) = resources.and_then(|resources| resources.cpu.as_ref()) else { return true };
        [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)]
            .iter()
            .all(|(file, text)| text.is_empty() || write(group, file, text))
    }
}

fn write_all(writer: &Writer, bytes: &[u8]) -> io::Result<()> {
    writer.lock().expect("no panic").write_all(bytes)
}

fn write(group: &Path, file: &str, text: &str) -> bool {
    fs::write(group.join(file), text).is_ok()
}

fn framed(connection: u32, (stream, kind): (u32, u8), data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("a short message");
    let mut bytes = Vec::new();
    for number in [connection, length + 10, length, stream] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend([kind, 0]);
    bytes.extend(data);
    bytes
}
