//! The calls. Each is a look at the published state or one request to the loop.

use std::sync::Arc;
use std::time::Duration;

use model::policy::Mode;
use proto::v1;
use tokio::sync::oneshot;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Response, Status};

use super::{ServeDeps, convert, explain, headroom, streams, why_slow};
use crate::node_state::{self, NodeState};

/// The loop answers between two turns; a turn is under 5 ms, a second means it is stuck.
const LOOP_DEADLINE: Duration = Duration::from_secs(1);
/// Checks read a handful of files; more than this is a hung mount.
const DOCTOR_DEADLINE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) deps: ServeDeps,
}

impl Service {
    fn state(&self) -> Arc<NodeState> {
        Arc::clone(&self.deps.state.borrow())
    }

    async fn ask_for_mode(&self, mode: Mode) -> Result<Mode, Status> {
        let (reply, answer) = oneshot::channel();
        // What was asked for stays in the loop's queue.
        let stuck = || {
            let why = "the agent's loop does not answer in time; it may still do what was asked";
            Status::unavailable(why)
        };
        let ask = async {
            let request = node_state::Request::SetMode { mode, reply };
            self.deps.requests.send(request).await.ok()?;
            answer.await.ok()
        };
        match tokio::time::timeout(LOOP_DEADLINE, ask).await {
            Ok(Some(answer)) => answer.map_err(|refusal| Status::failed_precondition(refusal.0)),
            Ok(None) | Err(_) => Err(stuck()),
        }
    }
}

#[tonic::async_trait]
impl v1::agent_server::Agent for Service {
    type WatchSnapshotsStream = streams::Replies<v1::Snapshot>;
    type WatchDecisionsStream = streams::Replies<v1::Decisions>;

    async fn get_snapshot(
        &self,
        _request: Request<v1::GetSnapshotRequest>,
    ) -> Result<Response<v1::Snapshot>, Status> {
        Ok(Response::new(convert::snapshot(&self.state(), (self.deps.clock)())))
    }

    async fn watch_snapshots(
        &self,
        request: Request<v1::WatchSnapshotsRequest>,
    ) -> Result<Response<Self::WatchSnapshotsStream>, Status> {
        let min_interval = Duration::from_millis(request.get_ref().min_interval_ms.into());
        let (state, clock) = (self.deps.state.clone(), self.deps.clock);
        Ok(Response::new(streams::snapshots(state, clock, min_interval)))
    }

    async fn get_topology(
        &self,
        _request: Request<v1::GetTopologyRequest>,
    ) -> Result<Response<v1::Topology>, Status> {
        Ok(Response::new(convert::topology(&self.state().snapshot.topology)))
    }

    async fn list_decisions(
        &self,
        request: Request<v1::ListDecisionsRequest>,
    ) -> Result<Response<v1::Decisions>, Status> {
        let state = self.state();
        let after = match request.get_ref().limit {
            0 => 0,
            limit => state.decisions.newest().saturating_sub(limit.into()),
        };
        let now = (self.deps.clock)();
        Ok(Response::new(convert::decisions_after(&state.decisions, after, now)))
    }

    async fn watch_decisions(
        &self,
        request: Request<v1::WatchDecisionsRequest>,
    ) -> Result<Response<Self::WatchDecisionsStream>, Status> {
        let (state, clock) = (self.deps.state.clone(), self.deps.clock);
        Ok(Response::new(streams::decisions(state, clock, request.get_ref().backlog)))
    }

    async fn why_slow(
        &self,
        request: Request<v1::WhySlowRequest>,
    ) -> Result<Response<v1::WhySlowReport>, Status> {
        let state = self.state();
        why_slow::report(&state, &request.get_ref().workload, (self.deps.clock)())
            .map(Response::new)
    }

    async fn get_plan(
        &self,
        _request: Request<v1::GetPlanRequest>,
    ) -> Result<Response<v1::Plan>, Status> {
        Ok(Response::new(convert::plan(&self.state().plan, (self.deps.clock)())))
    }

    async fn doctor(
        &self,
        _request: Request<v1::DoctorRequest>,
    ) -> Result<Response<v1::DoctorReport>, Status> {
        let doctor = Arc::clone(&self.deps.doctor);
        let examine = tokio::task::spawn_blocking(move || doctor());
        match tokio::time::timeout(DOCTOR_DEADLINE, examine).await {
            Ok(Ok(checks)) => Ok(Response::new(convert::doctor_report(checks))),
            Ok(Err(_)) => Err(Status::internal("a check of the agent panicked; see its log")),
            Err(_) => Err(Status::deadline_exceeded("the checks hang, probably on a mount")),
        }
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::Explanation>, Status> {
        let (state, now) = (self.state(), (self.deps.clock)());
        explain::explain(&state, &request.get_ref().name, now).map(Response::new)
    }

    async fn get_policy(
        &self,
        _request: Request<v1::GetPolicyRequest>,
    ) -> Result<Response<v1::Policy>, Status> {
        Ok(Response::new(convert::policy(&self.deps.policy, &self.state())))
    }

    async fn get_headroom(
        &self,
        _request: Request<v1::GetHeadroomRequest>,
    ) -> Result<Response<v1::Headroom>, Status> {
        let state = self.state();
        match &state.plan.advice.headroom {
            Some(told) => Ok(Response::new(headroom::headroom(told, (self.deps.clock)()))),
            None => Err(Status::unavailable("no Plan was made yet")),
        }
    }

    async fn get_recorded_snapshot(
        &self,
        _request: Request<v1::GetRecordedSnapshotRequest>,
    ) -> Result<Response<v1::RecordedSnapshot>, Status> {
        let snapshot = model::wire::Snapshot::from(&*self.state().snapshot);
        match model::wire::to_json(&snapshot) {
            Ok(json) => Ok(Response::new(v1::RecordedSnapshot { json })),
            Err(_) => Err(Status::internal("the Snapshot cannot be written as JSON")),
        }
    }

    async fn set_mode(
        &self,
        request: Request<v1::SetModeRequest>,
    ) -> Result<Response<v1::SetModeReply>, Status> {
        may_change(peer_uid(&request))?;
        let mode = match request.get_ref().mode() {
            v1::Mode::Observe => Mode::Observe,
            v1::Mode::Enforce => Mode::Enforce,
            v1::Mode::Unspecified => {
                return Err(Status::invalid_argument("mode must be observe or enforce"));
            }
        };
        let previous = self.ask_for_mode(mode).await?;
        Ok(Response::new(v1::SetModeReply {
            mode: convert::mode(mode).into(),
            previous: convert::mode(previous).into(),
        }))
    }
}

fn peer_uid<T>(request: &Request<T>) -> Option<u32> {
    let peer = request.extensions().get::<UdsConnectInfo>()?;
    peer.peer_cred.as_ref().map(|credentials| credentials.uid())
}

/// Reading is for all who may open the socket, changing is for root alone.
fn may_change(uid: Option<u32>) -> Result<(), Status> {
    match uid {
        Some(0) => Ok(()),
        Some(uid) => Err(Status::permission_denied(format!(
            "only root may change the agent's mode; this call came from uid {uid}"
        ))),
        None => Err(Status::permission_denied("the kernel did not say who calls")),
    }
}

#[cfg(test)]
mod tests {
    use super::may_change;

    #[track_caller]
    fn check(uid: Option<u32>, expect: Result<(), &str>) {
        let got = may_change(uid);
        assert_eq!(got.as_ref().map_err(|status| status.message()).copied(), expect);
        if let Err(status) = got {
            assert_eq!(status.code(), tonic::Code::PermissionDenied);
        }
    }

    #[test]
    fn only_root_changes_things() {
        check(Some(0), Ok(()));
        let refused = "only root may change the agent's mode; this call came from uid 1000";
        check(Some(1000), Err(refused));
        check(None, Err("the kernel did not say who calls"));
    }
}
