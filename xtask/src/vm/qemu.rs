//! Starts QEMU for one guest, follows its serial ports and ends it at the deadline. Knows nothing of what
//! the guest is for.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::{GRACE, Guest, Session, Stream};

/// How often the files behind the serial ports are looked at. Short against a guest's boot, long against the
/// cost of three reads.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Enough for a kernel's stack trace.
const CONSOLE_LINES: usize = 50;

/// What the guest said on its status port.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) ready: bool,
    pub(super) exit: Option<i32>,
    pub(super) done: bool,
}

/// The folder of one running guest and the names in it.
#[derive(Debug)]
pub(super) struct Workplace {
    pub(super) folder: PathBuf,
}

impl Workplace {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Boots, streams the command's output to `sink`, waits for the end of QEMU.
pub(super) fn run(
    guest: &Guest,
    kernel: &Path,
    place: &Workplace,
    sink: &mut dyn FnMut(Stream, &[u8]),
) -> anyhow::Result<Marks> {
    let mut command = command_line(guest, kernel, place);
    let stdin = if guest.session == Session::Batch { Stdio::null() } else { Stdio::inherit() };
    // QEMU started from a script would otherwise hold the caller's pipe open.
    let stdout = if guest.session == Session::Batch { Stdio::null() } else { Stdio::inherit() };
    let complaints = File::create(place.path("qemu.log")).context("create qemu.log")?;
    let mut child = command
        .stdin(stdin)
        .stdout(stdout)
        .stderr(complaints)
        .spawn()
        .context("start qemu-system-x86_64")?;
    let marks = follow(guest, place, &mut child, sink);
    if !matches!(child.try_wait(), Ok(Some(_))) {
        child.kill().context("end QEMU")?;
        child.wait().context("wait for QEMU")?;
    }
    marks
}

fn follow(
    guest: &Guest,
    place: &Workplace,
    child: &mut Child,
    sink: &mut dyn FnMut(Stream, &[u8]),
) -> anyhow::Result<Marks> {
    let began = Instant::now();
    let mut output = Tail::new(place.path("stdout"));
    let mut errors = Tail::new(place.path("stderr"));
    loop {
        // Asked before the last look, so that nothing written before the end is missed.
        let ended = child.try_wait().context("look at QEMU")?;
        output.pass_on(|bytes| sink(Stream::Stdout, bytes))?;
        errors.pass_on(|bytes| sink(Stream::Stderr, bytes))?;
        let marks = read_marks(&fs::read_to_string(place.path("status")).unwrap_or_default());
        if let Some(status) = ended {
            if marks.exit.is_some() {
                return Ok(marks);
            }
            let complaint = fs::read_to_string(place.path("qemu.log")).unwrap_or_default();
            bail!(
                "the guest ended ({status}) before its command did\n{complaint}{}",
                last_lines(place)
            );
        }
        let limit = if marks.exit.is_some() { guest.timeout + GRACE } else { guest.timeout };
        if began.elapsed() > limit {
            let what =
                if marks.ready { "the command did not end" } else { "the guest did not boot" };
            bail!("{what} within {} s\n{}", guest.timeout.as_secs(), last_lines(place));
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Reads what was appended to a file since the last look.
struct Tail {
    path: PathBuf,
    seen: u64,
}

impl Tail {
    fn new(path: PathBuf) -> Self {
        Self { path, seen: 0 }
    }

    fn pass_on(&mut self, mut to: impl FnMut(&[u8])) -> anyhow::Result<()> {
        let Ok(mut file) = File::open(&self.path) else { return Ok(()) };
        file.seek(SeekFrom::Start(self.seen))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).with_context(|| format!("read {}", self.path.display()))?;
        self.seen += bytes.len() as u64;
        if !bytes.is_empty() {
            to(&bytes);
        }
        Ok(())
    }
}

fn read_marks(text: &str) -> Marks {
    let mut marks = Marks::default();
    for line in text.lines() {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("ready", _) => marks.ready = true,
            ("exit", code) => marks.exit = code.trim().parse().ok(),
            ("done", _) => marks.done = true,
            _ => {}
        }
    }
    marks
}

fn last_lines(place: &Workplace) -> String {
    let console = fs::read(place.path("console")).unwrap_or_default();
    let console = String::from_utf8_lossy(&console);
    let lines: Vec<_> = console.lines().collect();
    let last = &lines[lines.len().saturating_sub(CONSOLE_LINES)..];
    format!("--- the guest's console, last {} lines\n{}", last.len(), last.join("\n"))
}

/// Words with which the kernel reports a defect of its own. It goes on after these; an oops is made a panic.
const COMPLAINTS: [&str; 5] =
    ["WARNING:", "BUG:", "INFO: task", "self-detected stall", "Call Trace"];

/// Lines of the console that say something went wrong inside the guest's kernel.
pub(super) fn complaints(place: &Workplace) -> Vec<String> {
    let console = fs::read(place.path("console")).unwrap_or_default();
    let console = String::from_utf8_lossy(&console);
    let found = console.lines().filter(|line| COMPLAINTS.iter().any(|word| line.contains(word)));
    found.map(str::to_owned).collect()
}

/// Kernel parameters: fast to boot under emulation, warnings and worse on the console, pressure files on.
const KERNEL_LINE: &str = "console=ttyS0 loglevel=5 panic=-1 oops=panic mitigations=off nokaslr cryptomgr.notests no_timer_check \
    rcupdate.rcu_expedited=1 nowatchdog apparmor=0 audit=0 numa_balancing=disable psi=1";

fn command_line(guest: &Guest, kernel: &Path, place: &Workplace) -> Command {
    let mut qemu = Command::new("qemu-system-x86_64");
    // Nehalem, not max: emulating AVX and XSAVE doubles the time of everything.
    qemu.args(["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "Nehalem-v1", "-machine", "q35"]);
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    add_shape(&mut qemu, guest);
    qemu.arg("-kernel").arg(kernel.join("vmlinuz")).arg("-initrd").arg(place.path("initrd"));
    qemu.args(["-append", KERNEL_LINE]);
    add_serial(&mut qemu, &format!("file:{}", place.path("console").display()));
    match guest.session {
        Session::Batch => {
            add_serial(&mut qemu, &format!("file:{}", place.path("stdout").display()))
        }
        Session::Terminal { .. } => add_serial(&mut qemu, "stdio"),
    }
    add_serial(&mut qemu, &format!("file:{}", place.path("stderr").display()));
    add_serial(&mut qemu, &format!("file:{}", place.path("status").display()));
    let disk = place.path("out.tar");
    qemu.arg("-drive")
        .arg(format!("file={},if=none,id=out,format=raw,cache=unsafe", disk.display()));
    qemu.args(["-device", "virtio-blk-pci,drive=out"]);
    qemu
}

fn add_serial(qemu: &mut Command, to: &str) {
    qemu.args(["-serial", to]);
}

fn add_shape(qemu: &mut Command, guest: &Guest) {
    let cores = guest.cpus / guest.nodes;
    let mib = guest.memory_mib / guest.nodes;
    qemu.args(["-smp", &format!("{},sockets={},cores={cores}", guest.cpus, guest.nodes)]);
    qemu.args(["-m", &format!("{}M", mib * guest.nodes)]);
    for node in 0..guest.nodes {
        let (first, last) = (node * cores, node * cores + cores - 1);
        qemu.args(["-object", &format!("memory-backend-ram,id=m{node},size={mib}M")]);
        qemu.args(["-numa", &format!("node,nodeid={node},cpus={first}-{last},memdev=m{node}")]);
    }
}

#[cfg(test)]
mod tests {
    use super::{Marks, read_marks};

    #[track_caller]
    fn check(text: &str, ready: bool, exit: Option<i32>, done: bool) {
        assert_eq!(read_marks(text), Marks { ready, exit, done }, "{text:?}");
    }

    #[test]
    fn status_rows() {
        check("", false, None, false);
        check("ready 1.93\n", true, None, false);
        check("ready 1.93\nexit 7\n", true, Some(7), false);
        check("ready 1.93\nexit 0\ndone\n", true, Some(0), true);
        check("ready 1.93\nexit \n", true, None, false);
        check("junk\n", false, None, false);
    }
}
