//! What the agent keeps across its own death: the lock, the originals of every file it changed,
//! the checkpoint of its last Plan, the decision log and, where asked for, a recording. Owns these files
//! only; never touches a cgroup and decides nothing.
//!
//! The runtime directory is on tmpfs (`/run/berth`): it lives as long as the cgroups it speaks
//! of. A host crash takes both, so nothing here is flushed to a disk.

pub mod checkpoint;
pub mod decisions;
pub mod line;
pub mod lock;
pub mod originals;
pub mod recording;

pub use checkpoint::{CheckpointError, load_checkpoint, save_checkpoint};
pub use decisions::DecisionLog;
pub use lock::{AgentLock, LockError, Role};
pub use originals::{NOT_MADE_YET, Original, Originals, OriginalsError};
pub use recording::RecordingFile;
