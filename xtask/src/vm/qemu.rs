//! Starts QEMU for one guest, follows its serial ports and ends it at the deadline. Knows nothing of what
//! the guest is for.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::{Clock, GRACE, Guest, Session, Stood, Stream, hang};
use crate::place;
use crate::setup::{qemu, versions};

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
    /// What set-up left of the kernel that is booted.
    pub(super) kernel: PathBuf,
}

impl Workplace {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// A boot takes 2 to 5 s, four times that on a busy host. With ten times more to do than CPUs, two of some fifty hung
/// just before init (a CPU that idled and was not woken); none of forty did since `tsc=reliable`. It may be rarer
/// and not gone, and the next boot is well.
const BOOT_LIMIT: Duration = Duration::from_secs(60);
const BOOT_ATTEMPTS: u32 = 3;

/// Boots, streams the command's output to `sink`, waits for the end of QEMU. A guest that hangs or panics before its
/// command has begun is booted again, and says so.
pub(super) fn run(
    guest: &Guest,
    place: &Workplace,
    sink: &mut dyn FnMut(Stream, &[u8]),
) -> anyhow::Result<Marks> {
    for attempt in 1..=BOOT_ATTEMPTS {
        let state = match run_once(guest, place, sink)? {
            Followed::Ended(marks) => return Ok(marks),
            Followed::NeverReady { state } => state,
        };
        eprintln!("vm: the guest did not boot, attempt {attempt} of {BOOT_ATTEMPTS}: {state}");
    }
    bail!("the guest did not boot")
}

enum Followed {
    Ended(Marks),
    NeverReady { state: String },
}

fn run_once(
    guest: &Guest,
    place: &Workplace,
    sink: &mut dyn FnMut(Stream, &[u8]),
) -> anyhow::Result<Followed> {
    // What an earlier attempt said is not this one's.
    for name in ["console", "stdout", "stderr", "status"] {
        File::create(place.path(name)).with_context(|| format!("create {name}"))?;
    }
    let mut command = command_line(guest, place)?;
    let is_batch = guest.session == Session::Batch;
    // QEMU's monitor, for a guest that stands; a file, for QEMU would otherwise hold the caller's pipe open.
    let stdin = if is_batch { Stdio::piped() } else { Stdio::inherit() };
    let stdout = if is_batch { hang::monitor_output(place)?.into() } else { Stdio::inherit() };
    let complaints = File::create(place.path("qemu.log")).context("create qemu.log")?;
    let mut child =
        command.stdin(stdin).stdout(stdout).stderr(complaints).spawn().context("start QEMU")?;
    let followed = follow(guest, place, &mut child, sink);
    if !matches!(child.try_wait(), Ok(Some(_))) {
        child.kill().context("end QEMU")?;
        child.wait().context("wait for QEMU")?;
    }
    followed
}

fn follow(
    guest: &Guest,
    place: &Workplace,
    child: &mut Child,
    sink: &mut dyn FnMut(Stream, &[u8]),
) -> anyhow::Result<Followed> {
    let began = Instant::now();
    let mut output = Tail::new(place.path("stdout"));
    let mut errors = Tail::new(place.path("stderr"));
    let mut last_word = began;
    loop {
        // Asked before the last look, so that nothing written before the end is missed.
        let ended = child.try_wait().context("look at QEMU")?;
        let said = output.pass_on(|bytes| sink(Stream::Stdout, bytes))?
            | errors.pass_on(|bytes| sink(Stream::Stderr, bytes))?;
        if said {
            last_word = Instant::now();
        }
        let marks = read_marks(&fs::read_to_string(place.path("status")).unwrap_or_default());
        if let Some(status) = ended {
            if marks.exit.is_some() {
                return Ok(Followed::Ended(marks));
            }
            let complaint = fs::read_to_string(place.path("qemu.log")).unwrap_or_default();
            let what = format!(
                "the guest ended ({status}) before its command did\n{complaint}{}",
                last_lines(place)
            );
            // Without a word of its console QEMU itself refused, and would again.
            if !marks.ready && !read_console(place).is_empty() {
                return Ok(Followed::NeverReady { state: what });
            }
            bail!("{what}");
        }
        if !marks.ready && began.elapsed() > BOOT_LIMIT {
            let late = format!("not within {} s", BOOT_LIMIT.as_secs());
            let state = format!("{late}\n{}", hang::examine(place, child));
            return Ok(Followed::NeverReady { state });
        }
        let limit = if marks.exit.is_some() { guest.timeout + GRACE } else { guest.timeout };
        if began.elapsed() > limit {
            let what = format!("the command did not end within {} s", guest.timeout.as_secs());
            bail!("{what}\n{}", hang::examine(place, child));
        }
        if let Some(silence) = guest.silence.filter(|limit| last_word.elapsed() > *limit) {
            let what = format!("the command has said nothing for {} s", silence.as_secs());
            return Err(Stood(format!("{what}\n{}", hang::examine(place, child))).into());
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

    /// Whether there was anything new.
    fn pass_on(&mut self, mut to: impl FnMut(&[u8])) -> anyhow::Result<bool> {
        let Ok(mut file) = File::open(&self.path) else { return Ok(false) };
        file.seek(SeekFrom::Start(self.seen))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).with_context(|| format!("read {}", self.path.display()))?;
        self.seen += bytes.len() as u64;
        if !bytes.is_empty() {
            to(&bytes);
        }
        Ok(!bytes.is_empty())
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

fn read_console(place: &Workplace) -> String {
    String::from_utf8_lossy(&fs::read(place.path("console")).unwrap_or_default()).into_owned()
}

/// The console's end; after a panic also its beginning, for a list of tasks follows that is longer than that.
pub(super) fn last_lines(place: &Workplace) -> String {
    let console = read_console(place);
    let lines: Vec<_> = console.lines().collect();
    let last = &lines[lines.len().saturating_sub(CONSOLE_LINES)..];
    let end = format!("--- the guest's console, last {} lines\n{}", last.len(), last.join("\n"));
    format!("{}{end}", panic_lines(&lines))
}

/// A kernel's trace stands around its word, on either side.
fn panic_lines(lines: &[&str]) -> String {
    let Some(at) = lines.iter().position(|line| line.contains("Kernel panic")) else {
        return String::new();
    };
    let shown =
        &lines[at.saturating_sub(CONSOLE_LINES / 2)..lines.len().min(at + CONSOLE_LINES / 2)];
    format!("--- its panic\n{}\n", shown.join("\n"))
}

/// Words with which the kernel reports a defect of its own. It goes on after these; an oops is made a panic.
const COMPLAINTS: [&str; 5] =
    ["WARNING:", "BUG:", "INFO: task", "self-detected stall", "Call Trace"];

/// Lines of the console that say something went wrong inside the guest's kernel.
pub(super) fn complaints(place: &Workplace) -> Vec<String> {
    let console = read_console(place);
    let found = console.lines().filter(|line| COMPLAINTS.iter().any(|word| line.contains(word)));
    found.map(str::to_owned).collect()
}

/// Kernel parameters: fast to boot under emulation, warnings and worse on the console, pressure files on.
/// `tsc=reliable`: emulated CPUs share the host's clock, and the check of it misfires when the host is busy, after
/// which every look at the clock would leave the guest. `unknown_nmi_panic panic_print=1`: `hang` ends a guest that
/// stands with an NMI, and then the kernel lists its tasks.
/// Nodes boot with them too.
pub(crate) const KERNEL_LINE: &str = "console=ttyS0 loglevel=5 tsc=reliable panic=-1 oops=panic mitigations=off nokaslr cryptomgr.notests no_timer_check \
    rcupdate.rcu_expedited=1 nowatchdog apparmor=0 audit=0 numa_balancing=disable psi=1 unknown_nmi_panic panic_print=1";

/// Of a parameter given twice the kernel takes the last.
fn kernel_line(guest: &Guest) -> String {
    let known = format!("{KERNEL_LINE} nr_cpus={}", guest.cpus);
    guest.parameters.iter().fold(known, |line, word| line + " " + word)
}

fn command_line(guest: &Guest, place: &Workplace) -> anyhow::Result<Command> {
    let mut qemu = with_clock(guest)?;
    // Nehalem, not max: emulating AVX and XSAVE doubles the time of everything.
    qemu.args(["-cpu", "Nehalem-v1", "-machine", "q35"]);
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    add_shape(&mut qemu, guest);
    qemu.arg("-kernel").arg(place.kernel.join("vmlinuz")).arg("-initrd").arg(place.path("initrd"));
    qemu.arg("-append").arg(kernel_line(guest));
    add_serial(&mut qemu, &format!("file:{}", place.path("console").display()));
    match guest.session {
        Session::Batch => {
            qemu.args(["-monitor", "stdio"]);
            add_serial(&mut qemu, &format!("file:{}", place.path("stdout").display()))
        }
        Session::Terminal { .. } => add_serial(&mut qemu, "stdio"),
    }
    add_serial(&mut qemu, &format!("file:{}", place.path("stderr").display()));
    add_serial(&mut qemu, &format!("file:{}", place.path("status").display()));
    add_disk(&mut qemu, "out", &place.path("out.tar"));
    for (number, disk) in guest.disks.iter().enumerate() {
        add_disk(&mut qemu, &format!("disk{number}"), disk);
    }
    Ok(qemu)
}

fn add_disk(qemu: &mut Command, name: &str, file: &Path) {
    // A comma in a path is doubled for QEMU.
    let file = file.display().to_string().replace(',', ",,");
    let drive = format!("file={file},if=none,id={name},format=raw,cache=unsafe");
    qemu.args(["-drive", &drive, "-device", &format!("virtio-blk-pci,drive={name}")]);
}

/// A virtual clock counts instructions, 2^shift ns each, and jumps to the next timer when all CPUs idle. QEMU lets one
/// CPU run until the next timer or its part of the time to there, so a timer of our own bounds how long the others
/// stand still: that of a network filter with nothing to filter, which the guest does not see.
fn with_clock(guest: &Guest) -> anyhow::Result<Command> {
    Ok(match guest.clock {
        Clock::Host => {
            let mut qemu = Command::new("qemu-system-x86_64");
            qemu.args(["-accel", "tcg,thread=multi,tb-size=512"]);
            qemu
        }
        Clock::Virtual => {
            let mut qemu = qemu::command(&place::cache()?, &versions::pinned()?);
            qemu.args(["-accel", "tcg,thread=single,tb-size=512"]);
            qemu.args(["-icount", "shift=0,align=off,sleep=off"]);
            qemu.args(["-netdev", "hubport,id=turns,hubid=0"]);
            let round_us = TURN_US * guest.cpus;
            let timer = format!("filter-buffer,id=timer,netdev=turns,interval={round_us}");
            qemu.args(["-object", &timer]);
            qemu
        }
    })
}

/// A CPU runs so long at a stretch. Short against what a scheduler does (a tick is 4 ms), long enough to cost little.
const TURN_US: u32 = 50;

fn add_serial(qemu: &mut Command, to: &str) {
    qemu.args(["-serial", to]);
}

fn add_shape(qemu: &mut Command, guest: &Guest) {
    let cores = guest.cpus / guest.nodes;
    let mib = guest.memory_mib / guest.nodes;
    // After each timer QEMU takes part of a turn from whichever CPU it asks last. Under a virtual clock that is a socket
    // that the kernel is told to leave alone; without it two CPUs share the time 62 to 38, with it evenly.
    let n_unused = u32::from(guest.clock == Clock::Virtual);
    let (sockets, cpus) = (guest.nodes + n_unused, guest.cpus + n_unused * cores);
    qemu.args(["-smp", &format!("{cpus},sockets={sockets},cores={cores}")]);
    qemu.args(["-m", &format!("{}M", mib * guest.nodes)]);
    for node in 0..guest.nodes {
        let is_last = node + 1 == guest.nodes;
        let (first, end) = (node * cores, if is_last { cpus } else { (node + 1) * cores });
        let last = end - 1;
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
