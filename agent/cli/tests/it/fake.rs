//! An agent that gives fixed answers, and a runner for the real binary.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use proto::v1::agent_server::{Agent, AgentServer};
use proto::v1::*;
use tokio::net::UnixListener;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status};

use crate::fixture;

/// The last mode that was asked for.
type Asked = Arc<Mutex<Option<Mode>>>;

struct Fake {
    asked: Asked,
    doctor: DoctorReport,
    has_headroom: bool,
}

type Replies<T> = ReceiverStream<Result<T, Status>>;

fn replies<T: Send + 'static>(all: Vec<T>) -> Replies<T> {
    let (sender, receiver) = tokio::sync::mpsc::channel(all.len().max(1));
    for reply in all {
        sender.try_send(Ok(reply)).expect("room for all");
    }
    ReceiverStream::new(receiver)
}

#[tonic::async_trait]
impl Agent for Fake {
    type WatchSnapshotsStream = Replies<Snapshot>;
    type WatchDecisionsStream = Replies<Decisions>;

    async fn get_snapshot(
        &self,
        _: Request<GetSnapshotRequest>,
    ) -> Result<Response<Snapshot>, Status> {
        Ok(Response::new(fixture::snapshot()))
    }

    async fn watch_snapshots(
        &self,
        _: Request<WatchSnapshotsRequest>,
    ) -> Result<Response<Replies<Snapshot>>, Status> {
        Ok(Response::new(replies(vec![fixture::snapshot()])))
    }

    async fn get_topology(
        &self,
        _: Request<GetTopologyRequest>,
    ) -> Result<Response<Topology>, Status> {
        Ok(Response::new(fixture::topology()))
    }

    async fn list_decisions(
        &self,
        request: Request<ListDecisionsRequest>,
    ) -> Result<Response<Decisions>, Status> {
        let mut reply = fixture::decisions();
        // 0 is all
        if let limit @ 1.. = request.get_ref().limit {
            let n_over = reply.decisions.len().saturating_sub(limit as usize);
            reply.decisions.drain(..n_over);
        }
        Ok(Response::new(reply))
    }

    async fn watch_decisions(
        &self,
        _: Request<WatchDecisionsRequest>,
    ) -> Result<Response<Replies<Decisions>>, Status> {
        let (first, mut second) = (fixture::decisions(), fixture::decisions());
        second.decisions.truncate(1);
        second.decisions[0].sequence = 43;
        Ok(Response::new(replies(vec![first, second])))
    }

    async fn why_slow(
        &self,
        request: Request<WhySlowRequest>,
    ) -> Result<Response<WhySlowReport>, Status> {
        match request.get_ref().workload.as_str() {
            "web" => Ok(Response::new(fixture::why_slow())),
            "batch/two" => {
                Err(Status::failed_precondition("run-queue waits are not known: no BTF"))
            }
            _ => Err(Status::not_found("no such workload")),
        }
    }

    async fn get_plan(&self, _: Request<GetPlanRequest>) -> Result<Response<Plan>, Status> {
        Ok(Response::new(fixture::plan()))
    }

    async fn doctor(&self, _: Request<DoctorRequest>) -> Result<Response<DoctorReport>, Status> {
        Ok(Response::new(self.doctor.clone()))
    }

    async fn explain(
        &self,
        request: Request<ExplainRequest>,
    ) -> Result<Response<Explanation>, Status> {
        match request.get_ref().name.as_str() {
            "web" => Ok(Response::new(fixture::explanation())),
            _ => Err(Status::not_found("nothing has this name")),
        }
    }

    async fn get_policy(&self, _: Request<GetPolicyRequest>) -> Result<Response<Policy>, Status> {
        Ok(Response::new(fixture::policy()))
    }

    async fn get_headroom(
        &self,
        _: Request<GetHeadroomRequest>,
    ) -> Result<Response<Headroom>, Status> {
        match self.has_headroom {
            true => Ok(Response::new(fixture::headroom())),
            false => Err(Status::unimplemented("unsupported: this agent does not work it out")),
        }
    }

    async fn get_recorded_snapshot(
        &self,
        _: Request<GetRecordedSnapshotRequest>,
    ) -> Result<Response<RecordedSnapshot>, Status> {
        let json = r#"{"kind":"snapshot","schema":1,"body":{}}"#.to_owned();
        Ok(Response::new(RecordedSnapshot { json }))
    }

    async fn set_mode(
        &self,
        request: Request<SetModeRequest>,
    ) -> Result<Response<SetModeReply>, Status> {
        let mode = request.get_ref().mode();
        *self.asked.lock().expect("not poisoned") = Some(mode);
        match mode {
            Mode::Enforce => Err(Status::failed_precondition("highest_mode is observe")),
            _ => Ok(Response::new(SetModeReply {
                mode: mode.into(),
                previous: Mode::Enforce.into(),
            })),
        }
    }
}

/// A served fake and its directory.
pub(crate) struct Node {
    pub(crate) socket: PathBuf,
    pub(crate) asked: Asked,
    _dir: tempfile::TempDir,
}

pub(crate) fn node() -> Node {
    node_with(fixture::doctor())
}

pub(crate) fn node_without_headroom() -> Node {
    served(fixture::doctor(), false)
}

pub(crate) fn node_with(doctor: DoctorReport) -> Node {
    served(doctor, true)
}

/// Serves on a thread of its own that lives as long as the test process.
fn served(doctor: DoctorReport, has_headroom: bool) -> Node {
    let dir = tempfile::tempdir().expect("temp dir");
    let socket = dir.path().join("agent.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    listener.set_nonblocking(true).expect("non-blocking");
    let asked = Asked::default();
    let fake = Fake { asked: Arc::clone(&asked), doctor, has_headroom };
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("runtime").block_on(async {
            let listener = UnixListener::from_std(listener).expect("listener");
            tonic::transport::Server::builder()
                .serve_with_incoming(AgentServer::new(fake), UnixListenerStream::new(listener))
                .await
        })
    });
    Node { socket, asked, _dir: dir }
}

/// What the binary did.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn berth(socket: &std::path::Path, line: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
    command.env("BERTH_SOCKET", socket).env_remove("NO_COLOR").stdin(Stdio::null());
    command.args(line.split_whitespace());
    ran(command.output().expect("berth starts"))
}

pub(crate) fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().expect("not killed"),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}
