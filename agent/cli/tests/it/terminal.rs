//! `berth top` on a real pseudo-terminal: it draws, it takes keys, and on every way out the
//! terminal is as it was.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::fake::{Node, node};

const DEADLINE: Duration = Duration::from_secs(10);
const ENTER_SCREEN: &str = "\u{1b}[?1049h";
const LEAVE_SCREEN: &str = "\u{1b}[?1049l";

struct Screen {
    keyboard: File,
    drawn: mpsc::Receiver<Vec<u8>>,
    seen: String,
    child: Child,
    terminal: File,
    before: Termios,
    _node: Node,
}

fn top() -> Screen {
    let node = node();
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
    grantpt(&master).expect("granted");
    unlockpt(&master).expect("unlocked");
    let path = ptsname(&master, Vec::new()).expect("named").into_string().expect("ASCII");
    let terminal = File::options().read(true).write(true).open(path).expect("opened");
    let size = Winsize { ws_row: 24, ws_col: 110, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).expect("sized");
    let before = tcgetattr(&terminal).expect("a terminal");
    let stdio = || OwnedFd::from(terminal.try_clone().expect("cloned"));
    let child = Command::new(env!("CARGO_BIN_EXE_berth"))
        .args(["top", "--socket"])
        .arg(&node.socket)
        .env("TERM", "xterm-256color")
        .stdin(stdio())
        .stdout(stdio())
        .spawn()
        .expect("berth starts");
    let keyboard = File::from(master);
    let drawn = read_all(keyboard.try_clone().expect("cloned"));
    let seen = String::new();
    Screen { keyboard, drawn, seen, child, terminal, before, _node: node }
}

fn read_all(mut from: File) -> mpsc::Receiver<Vec<u8>> {
    let (sender, drawn) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n_bytes) = from.read(&mut buffer) {
            if n_bytes == 0 || sender.send(buffer[..n_bytes].to_vec()).is_err() {
                return;
            }
        }
    });
    drawn
}

impl Screen {
    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        let started = Instant::now();
        while !self.seen.contains(text) {
            let left = DEADLINE.checked_sub(started.elapsed());
            let bytes = left.and_then(|left| self.drawn.recv_timeout(left).ok());
            let Some(bytes) = bytes else { panic!("no {text:?} in {:?}", self.seen) };
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    #[track_caller]
    fn ended(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(started.elapsed() < DEADLINE, "berth top does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[track_caller]
    fn check_restored(mut self) {
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{status}");
        self.wait_for(LEAVE_SCREEN);
        let after = tcgetattr(&self.terminal).expect("a terminal");
        assert_eq!(after.local_modes, self.before.local_modes);
        assert_eq!(after.input_modes, self.before.input_modes);
        assert_eq!(after.output_modes, self.before.output_modes);
    }

    fn type_keys(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).expect("typed");
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // already gone unless the test failed
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A screen that shows the fake node in raw mode.
#[track_caller]
fn running() -> Screen {
    let mut screen = top();
    screen.wait_for(ENTER_SCREEN);
    screen.wait_for("batch/one");
    let during = tcgetattr(&screen.terminal).expect("a terminal");
    assert_ne!(during.local_modes, screen.before.local_modes, "raw mode");
    screen
}

#[test]
fn q_leaves() {
    let mut screen = running();
    screen.type_keys(b"?");
    // only cells that change are written, so look for one that no other screen has
    screen.wait_for("┌");
    screen.type_keys(b"xq");
    screen.check_restored();
}

#[test]
fn control_c_leaves() {
    let mut screen = running();
    screen.type_keys(b"\x03");
    screen.check_restored();
}

#[test]
fn a_signal_leaves() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let screen = running();
        kill_process(Pid::from_child(&screen.child), signal).expect("sent");
        screen.check_restored();
    }
}
