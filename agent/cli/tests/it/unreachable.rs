//! No agent: every reason has its own words, and all have exit code 3.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
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
    drop(UnixListener::bind(&socket).expect("bound"));
    check(&socket, &["nobody listens", "has died"]);
}

/// A peer that is not the agent: what it does with a connection.
#[track_caller]
fn check_foreign(serve: fn(UnixStream)) {
    let dir = tempfile::tempdir().expect("temp dir");
    let socket = dir.path().join("agent.sock");
    let listener = UnixListener::bind(&socket).expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.expect("accepted"));
        }
    });
    for command in ["qos", "doctor", "decisions --follow"] {
        let ran = berth(&socket, command);
        assert_eq!(ran.code, 3, "{command}: {}", ran.err);
        assert!(ran.err.contains(&socket.display().to_string()), "{command}: {}", ran.err);
    }
}

const BANNER: &[u8] = b"SSH-2.0-OpenSSH_9.2\r\n";

/// The three ends of a foreign connection reach the client as three different errors, and which
/// one a real peer causes is a race: each must be told as "not the agent", never as a refusal.
#[test]
fn something_else_listens() {
    // speaks first and stays
    check_foreign(|mut stream| {
        // the peer may be gone before it reads this
        let _ = stream.write_all(BANNER);
        std::thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
    });
    // waits for the client's first bytes, answers something else and hangs up
    check_foreign(|mut stream| {
        let _ = stream.read(&mut [0; 24]);
        let _ = stream.write_all(BANNER);
    });
    // hangs up at once
    check_foreign(drop);
}
