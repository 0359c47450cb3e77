//! A connection to the runtime's NRI socket: registers, hands each call to the plugin and its answer back, sends updates in between. Owns
//! one conversation and when it is over; what is said is the plugin's, when to try again `keep`'s.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::nri::ContainerUpdate;
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::call::{Answer, Call};
use super::wire::{self, Received, Refusal, Wire, WireError};
use crate::ttrpc::FrameError;

/// Under which name and at which place among the plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub name: String,
    /// 0 to 99; runtimes call plugins in this order.
    pub index: u8,
}

impl Identity {
    /// How a runtime calls the plugin when it speaks of several.
    pub fn in_order(&self) -> String {
        format!("{:02}-{}", self.index, self.name)
    }
}

/// How a conversation ended. Pods go on without the plugin until the next one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Ended {
    /// Nobody listens there: no runtime, one without NRI, or one that is being restarted.
    #[error("connect to {}: {source}", path.display())]
    Connect { path: PathBuf, source: io::Error },
    #[error("the runtime refuses the plugin: {0}")]
    Refused(Refusal),
    #[error("the runtime did not register the plugin within {} s", within.as_secs())]
    NotRegistered { within: Duration },
    #[error("the runtime reads nothing for {} s", within.as_secs())]
    Stuck { within: Duration },
    #[error("talk to the runtime: {0}")]
    Socket(#[source] io::Error),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the runtime closed the connection")]
    Closed,
    #[error("the runtime wants the plugin to end")]
    Shutdown,
    /// We did, to hear everything anew.
    #[error("the plugin ended the conversation: {0}")]
    HungUp(String),
}

impl From<FrameError> for Ended {
    fn from(error: FrameError) -> Ended {
        Ended::Wire(WireError::Frame(error))
    }
}

/// Why an update is not known to be done.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UpdateError {
    #[error("the runtime refuses the update: {0}")]
    Refused(#[from] Refusal),
    #[error("no runtime is connected")]
    Disconnected,
    #[error("the runtime did not answer within {} s", within.as_secs())]
    NoAnswer { within: Duration },
    #[error("as many updates wait as there is room for")]
    Full,
}

/// Asks the runtime for other resources of containers, whenever a conversation is on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Runtime {
    pushes: mpsc::Sender<Push>,
}

/// The other end, which a conversation reads.
#[derive(Debug)]
pub struct Pushes(mpsc::Receiver<Push>);

impl Pushes {
    /// Tells all who ask that nobody is there, for as long as it is polled.
    pub(super) async fn refuse(&mut self) -> Infallible {
        while let Some(push) = self.0.recv().await {
            push.refuse();
        }
        pending().await
    }
}

#[derive(Debug)]
enum Push {
    Update { update: Vec<ContainerUpdate>, answer: Waiting },
    HangUp { why: String },
}

type Waiting = oneshot::Sender<Result<Vec<ContainerUpdate>, UpdateError>>;

impl Push {
    fn refuse(self) {
        // Who gave up waiting does not care, and a conversation that is not on is over already.
        if let Push::Update { answer, .. } = self {
            let _ = answer.send(Err(UpdateError::Disconnected));
        }
    }
}

/// Updates that wait at a time. A caller sends one for many containers.
const ROOM: usize = 16;

pub fn runtime() -> (Runtime, Pushes) {
    let (pushes, receiver) = mpsc::channel(ROOM);
    (Runtime { pushes }, Pushes(receiver))
}

/// Longer than a runtime takes that restarts under load.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

impl Runtime {
    /// Returns the updates that failed.
    pub async fn update(
        &self,
        update: Vec<ContainerUpdate>,
    ) -> Result<Vec<ContainerUpdate>, UpdateError> {
        let (answer, answered) = oneshot::channel();
        self.pushes.try_send(Push::Update { update, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => UpdateError::Full,
            mpsc::error::TrySendError::Closed(_) => UpdateError::Disconnected,
        })?;
        timeout(ANSWER_LIMIT, answered)
            .await
            .map_err(|_elapsed| UpdateError::NoAnswer { within: ANSWER_LIMIT })?
            .unwrap_or(Err(UpdateError::Disconnected))
    }

    /// Ends the conversation that is on, so that the next one begins with a whole list. A runtime may have stopped telling a plugin
    /// anything without a word (containerd#13901).
    pub fn hang_up(&self, why: String) {
        // A full queue is one that the runtime does not empty: the conversation ends by itself.
        let _ = self.pushes.try_send(Push::HangUp { why });
    }
}

/// A runtime drops a plugin that is not registered after five seconds; a busy one says so later.
const REGISTRATION_LIMIT: Duration = Duration::from_secs(60);
/// The socket's buffer holds many answers: a runtime that reads none for so long hangs.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// One conversation, from connecting to its end. `plugin` answers from memory: while it thinks, a pod waits.
pub async fn serve(
    socket: &Path,
    identity: &Identity,
    pushes: &mut Pushes,
    plugin: impl FnMut(&Call) -> Answer,
) -> Ended {
    let stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(source) => return Ended::Connect { path: socket.to_owned(), source },
    };
    let mut conversation = Conversation {
        stream,
        wire: Wire::default(),
        plugin,
        waiting: BTreeMap::new(),
        is_registered: false,
    };
    let Err(ended) = conversation.hold(identity, pushes).await;
    ended
}

struct Conversation<P> {
    stream: UnixStream,
    wire: Wire,
    plugin: P,
    /// Who waits for the answer on a stream.
    waiting: BTreeMap<u32, Waiting>,
    is_registered: bool,
}

/// There is no good end: it lasts as long as both sides do.
enum Never {}

impl<P: FnMut(&Call) -> Answer> Conversation<P> {
    async fn hold(&mut self, identity: &Identity, pushes: &mut Pushes) -> Result<Never, Ended> {
        let hello = self.wire.register(&identity.name, identity.index)?;
        self.write(&hello).await?;
        let deadline = Instant::now() + REGISTRATION_LIMIT;
        let mut buffer = vec![0; 64 << 10];
        loop {
            tokio::select! {
                read = self.stream.read(&mut buffer) => match read.map_err(Ended::Socket)? {
                    0 => return Err(Ended::Closed),
                    length => self.heard(buffer.get(..length).unwrap_or_default()).await?,
                },
                Some(push) = pushes.0.recv() => match push {
                    push if !self.is_registered => push.refuse(),
                    Push::Update { update, answer } => self.push(update, answer).await?,
                    Push::HangUp { why } => return Err(Ended::HungUp(why)),
                },
                () = sleep_until(deadline), if !self.is_registered => {
                    return Err(Ended::NotRegistered { within: REGISTRATION_LIMIT });
                }
            }
        }
    }

    async fn heard(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        let received = self.wire.receive(bytes);
        let refusals = std::mem::take(&mut self.wire.outgoing);
        self.write(&refusals).await?;
        for received in received? {
            match received {
                Received::Registered(result) => {
                    result.map_err(Ended::Refused)?;
                    self.is_registered = true;
                }
                Received::Updated { stream, failed } => {
                    if let Some(answer) = self.waiting.remove(&stream) {
                        // Who gave up waiting does not care.
                        let _ = answer.send(failed.map_err(UpdateError::Refused));
                    }
                }
                Received::Call { stream, call } => self.called(stream, &call).await?,
            }
        }
        Ok(())
    }

    async fn called(&mut self, stream: u32, call: &Call) -> Result<(), Ended> {
        let answer = (self.plugin)(call);
        self.write(&wire::answer(stream, call, answer)?).await?;
        if *call == Call::Shutdown { Err(Ended::Shutdown) } else { Ok(()) }
    }

    async fn push(&mut self, update: Vec<ContainerUpdate>, answer: Waiting) -> Result<(), Ended> {
        let gone: Vec<_> = self.waiting.iter().filter(|(_, answer)| answer.is_closed()).collect();
        for stream in gone.into_iter().map(|(stream, _)| *stream).collect::<Vec<_>>() {
            self.waiting.remove(&stream);
            self.wire.forget(stream);
        }
        let (stream, bytes) = self.wire.update(update)?;
        self.waiting.insert(stream, answer);
        self.write(&bytes).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        match timeout(WRITE_LIMIT, self.stream.write_all(bytes)).await {
            Ok(written) => written.map_err(Ended::Socket),
            Err(_) => Err(Ended::Stuck { within: WRITE_LIMIT }),
        }
    }
}

#[cfg(test)]
mod tests;
