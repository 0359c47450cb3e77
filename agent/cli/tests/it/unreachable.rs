//! No agent: every reason has its own words, and all have exit code 3.

use std::io::Write;
use std::path::Path;

use crate::fake::berth;

#[track_caller]
fn check(socket: &Path, texts: &[&str]) {
    for command in ["qos", "doctor", "why-slow web", "top --once", "decisions --follow"] {
        let ran = berth(socket, command);
        assert_eq!(ran.code, 3, "{command}: {}", ran.err);
        assert_eq!(ran.out, "", "{command}");
        assert!(ran.err.contains(&socket.display().to_string()), "{}", ran.err);
        for text in texts {
            assert!(ran.err.contains(text), "{command}: no {text:?} in {}", ran.err);
        }
    }
}

#[test]
fn no_socket() {
    let dir = tempfile::tempdir().expect("temp dir");
    let texts = ["there is no such socket", "probably not running", "BERTH_SOCKET"];
    check(&dir.path().join("agent.sock"), &texts);
}

#[test]
fn a_dead_agents_socket() {
    let dir = tempfile::tempdir().expect("temp dir");
    let socket = dir.path().join("agent.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("bound"));
    check(&socket, &["nobody listens", "has died"]);
}

#[test]
fn something_else_listens() {
    let dir = tempfile::tempdir().expect("temp dir");
    let socket = dir.path().join("agent.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("accepted");
            // the peer may be gone before it reads this
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
        }
    });
    let ran = berth(&socket, "qos");
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains(&socket.display().to_string()), "{}", ran.err);
}
