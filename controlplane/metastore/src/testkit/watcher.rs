//! A client with a stream of watches that writes down every answer. Owns when it reads and when it asks how far it is; what must be so of
//! the answers is `watch_rules`'.

use std::time::Duration;

use proto::etcd::etcdserverpb::watch_client::WatchClient;
use proto::etcd::etcdserverpb::watch_request::RequestUnion;
use proto::etcd::etcdserverpb::{
    WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::watch_rules::Recorded;
use crate::mvcc::Revision;

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
pub struct Habit {
    /// Between two answers that are read, as long as there is no goal.
    pub pause: Duration,
    /// Between two questions how far it is.
    pub ask_every: Duration,
}

/// Records until the stream ends, or a word of progress reaches the goal, when there is one that a watch of it does not begin behind.
/// Watches get ids from 1 on.
pub async fn record(
    channel: Channel,
    requests: Vec<WatchCreateRequest>,
    habit: Habit,
    mut goal: watch::Receiver<Option<Revision>>,
) -> Vec<Recorded> {
    let (asking, asked) = mpsc::channel(64);
    let mut recorded = Vec::new();
    for (watch_id, request) in (1..).zip(requests) {
        let request = WatchCreateRequest { watch_id, ..request };
        ask(&asking, RequestUnion::CreateRequest(request.clone()));
        recorded.push(Recorded { request, responses: Vec::new() });
    }
    let stream = WatchClient::new(channel).watch(ReceiverStream::new(asked)).await;
    let Ok(mut responses) = stream.map(tonic::Response::into_inner) else { return recorded };
    let mut tick = tokio::time::interval(habit.ask_every);
    loop {
        tokio::select! {
            response = responses.message() => {
                let Ok(Some(response)) = response else { return recorded };
                let is_progress = response.watch_id == -1 && !response.canceled;
                let revision = response.header.as_ref().map_or(0, |header| header.revision);
                note(&mut recorded, response);
                let goal = *goal.borrow();
                if is_progress && goal.is_some_and(|goal| revision >= goal) {
                    return recorded;
                }
                if goal.is_none() && !habit.pause.is_zero() {
                    tokio::time::sleep(habit.pause).await;
                }
            }
            _ = tick.tick() => {
                // Nobody is told how far he is while one of his watches begins later, as in etcd.
                let begins_later = |goal| recorded.iter().any(|one| one.request.start_revision > goal);
                if goal.borrow().is_some_and(begins_later) {
                    return recorded;
                }
                ask(&asking, RequestUnion::ProgressRequest(WatchProgressRequest {}));
            }
            // A goal that nobody sets any more does not change.
            Ok(()) = goal.changed() => {}
        }
    }
}

/// What does not fit is asked again with the next tick.
fn ask(asking: &mpsc::Sender<WatchRequest>, request: RequestUnion) {
    let _ = asking.try_send(WatchRequest { request_union: Some(request) });
}

fn note(recorded: &mut [Recorded], response: WatchResponse) {
    let is_for = |id: i64| response.watch_id == -1 || response.watch_id == id;
    let is_over = |one: &Recorded| one.responses.last().is_some_and(|last| last.canceled);
    let for_whom = recorded.iter_mut();
    let for_whom = for_whom.filter(|one| is_for(one.request.watch_id) && !is_over(one));
    for_whom.for_each(|one| one.responses.push(response.clone()));
}
