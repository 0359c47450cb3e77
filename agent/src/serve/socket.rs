//! The socket file: 0660 root:berth from its first visible moment, a dead agent's is replaced, a
//! living one's is left alone.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;
use tracing::warn;

/// Members may read through the socket. The group is optional: without it only root may.
const GROUP: &str = "berth";
const MODE: u32 = 0o660;

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("another agent answers on {path}")]
    InUse { path: PathBuf },
    #[error("{path} exists and is not a socket; it was left alone")]
    NotASocket { path: PathBuf },
    #[error("cannot {operation} {path}")]
    Io {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A listener and the file it listens on.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) listener: UnixListener,
    pub(super) identity: SocketFile,
}

/// The file as it was created, to remove it and no other.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// Removes the file unless another agent has put its own there in the meantime.
    pub(super) fn remove(&self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|now| (now.dev(), now.ino()) == (self.device, self.inode));
        if ours && let Err(error) = fs::remove_file(&self.path) {
            warn!(path = %self.path.display(), %error, "Cannot remove the agent's socket");
        }
    }
}

/// Binds under a second name, sets owner and mode, then renames: nobody ever sees the socket with
/// other rights, and a stale one is replaced in one step. `group_file` is `/etc/group`.
pub(super) fn bind(path: &Path, group_file: &Path) -> Result<Socket, BindError> {
    let failed = |operation: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| BindError::Io { operation, path, source }
    };
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(failed("create directory", dir))?;
    }
    refuse_if_taken(path)?;
    let fresh = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &fresh)(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&fresh).map_err(failed("bind", &fresh))?;
    let rights = fs::Permissions::from_mode(MODE);
    fs::set_permissions(&fresh, rights).map_err(failed("set mode 0660 of", &fresh))?;
    give_to_group(&fresh, group_file);
    let seen = fs::symlink_metadata(&fresh).map_err(failed("look at", &fresh))?;
    fs::rename(&fresh, path).map_err(failed("rename the new socket to", path))?;
    let identity = SocketFile { path: path.to_owned(), device: seen.dev(), inode: seen.ino() };
    Ok(Socket { listener, identity })
}

fn refuse_if_taken(path: &Path) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(BindError::Io { operation: "look at", path: path.to_owned(), source });
        }
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        // a full backlog (EAGAIN) is a living agent too
        Ok(_) => Err(BindError::InUse { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(BindError::InUse { path: path.to_owned() })
        }
        Err(_) => Ok(()),
    }
}

/// Best effort: without the group, or without the right to give files away, the socket stays with
/// its creator's group, which is the narrower choice.
fn give_to_group(path: &Path, group_file: &Path) {
    let gid = fs::read_to_string(group_file).ok().and_then(|text| group_id(&text, GROUP));
    let Some(gid) = gid else { return };
    if let Err(error) = std::os::unix::fs::chown(path, None, Some(gid)) {
        warn!(path = %path.display(), gid, %error, "Cannot give the socket to group berth");
    }
}

/// The id of `name` in the text of `/etc/group` (`name:password:gid:members`).
fn group_id(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_their_whole_name() {
        let text = "root:x:0:\nberthold:x:7:\nberth:x:990:ann,bob\nberth:x:991:\n";
        assert_eq!(group_id(text, "berth"), Some(990));
        assert_eq!(group_id(text, "bert"), None);
        assert_eq!(group_id("berth:x:many:\n", "berth"), None);
        assert_eq!(group_id("berth\n\n", "berth"), None);
    }

    fn bind_in(dir: &Path) -> Result<Socket, BindError> {
        bind(&dir.join("run/agent.sock"), &dir.join("group"))
    }

    #[tokio::test]
    async fn the_socket_has_its_rights_and_goes_away() {
        let dir = tempfile::tempdir().expect("temp dir");
        let socket = bind_in(dir.path()).expect("bound");
        let path = dir.path().join("run/agent.sock");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        assert!(!dir.path().join("run/agent.new").exists());
        socket.identity.remove();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_living_agent_keeps_its_socket_and_a_dead_one_loses_it() {
        let dir = tempfile::tempdir().expect("temp dir");
        let first = bind_in(dir.path()).expect("bound");
        let error = bind_in(dir.path()).expect_err("the first one lives");
        assert!(matches!(error, BindError::InUse { .. }), "{error:?}");
        drop(first.listener);
        let second = bind_in(dir.path()).expect("replaces the stale file");
        // the first agent, late at its own end, must not take the second one's socket away
        first.identity.remove();
        assert!(dir.path().join("run/agent.sock").exists());
        drop(second);
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::create_dir(dir.path().join("run")).expect("dir");
        fs::write(dir.path().join("run/agent.sock"), "precious").expect("file");
        let error = bind_in(dir.path()).expect_err("not a socket");
        assert!(matches!(error, BindError::NotASocket { .. }), "{error:?}");
        let text = fs::read_to_string(dir.path().join("run/agent.sock")).expect("kept");
        assert_eq!(text, "precious");
    }

    #[tokio::test]
    async fn a_refusal_names_operation_and_path() {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::write(dir.path().join("run"), "a file where the directory should be").expect("file");
        let error = bind_in(dir.path()).expect_err("no directory");
        let expect = format!("cannot create directory {}", dir.path().join("run").display());
        assert_eq!(error.to_string(), expect);
    }
}
