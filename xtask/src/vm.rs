//! `cargo xtask vm`: boots a small machine with a real kernel under QEMU, runs one command in it and
//! brings its exit code, output and files back. Owns the description of a guest; the parts are below.

mod cpio;
mod hang;
pub(crate) mod initrd;
pub(crate) mod libs;
pub(crate) mod qemu;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitCode};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum;

use crate::kube::playground::{self, Shape};
use crate::place;
use crate::setup::kubernetes::Choice;
use crate::setup::{self, kernel, shell, versions};

/// How long a guest may take after its command ended: to pack /out and power off.
const GRACE: Duration = Duration::from_secs(60);
/// The disk /out is packed onto: a tar file of at most this length. Sparse, so it costs what is written.
const OUT_BYTES: u64 = 256 << 20;

/// Which kernel a guest boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kernel {
    #[value(name = "6.1")]
    V6_1,
    #[value(name = "6.12")]
    V6_12,
}

impl Kernel {
    pub(crate) fn series(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        }
    }
}

/// Whose the command's standard streams are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Session {
    /// Nobody types; output and errors are passed on separately.
    Batch,
    /// The caller's terminal is the guest's.
    Terminal { rows: u16, columns: u16 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// What a guest's clock follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Clock {
    /// The host's clock: the guest is slower where emulating is slow and while the host is busy
    Host,
    /// The guest's own instructions, a nanosecond each: the same on every host; its CPUs take turns
    Virtual,
}

impl Clock {
    /// For what is recorded of a run.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Host => "the host's",
            Self::Virtual => "virtual, 1 ns per instruction",
        }
    }
}

/// A machine to boot and the one command it runs.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    pub(crate) kernel: Kernel,
    pub(crate) clock: Clock,
    pub(crate) cpus: u32,
    /// NUMA nodes; CPUs and memory are split evenly, one socket each.
    pub(crate) nodes: u32,
    pub(crate) memory_mib: u32,
    /// Host file or folder, and where it lies in the guest. Programs bring their shared libraries.
    pub(crate) files: Vec<(PathBuf, String)>,
    /// Files that the guest has as its disks behind the first one: /dev/vdb and so on. It writes into them.
    pub(crate) disks: Vec<PathBuf>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) command: Vec<String>,
    pub(crate) session: Session,
    /// Kernel parameters beside the usual ones; of two with one name this one counts.
    pub(crate) parameters: Vec<String>,
    /// From the start of QEMU to the end of the command.
    pub(crate) timeout: Duration,
    /// A command that says nothing for so long hangs; the guest is examined and ended.
    pub(crate) silence: Option<Duration>,
    /// Where the guest's /out is put; it is made when it does not exist.
    pub(crate) out: Option<PathBuf>,
}

impl Guest {
    /// Eight CPUs on two nodes under 6.1, for tests of function.
    pub(crate) fn new(command: &[&str]) -> Self {
        Self {
            kernel: Kernel::V6_1,
            clock: Clock::Host,
            cpus: 8,
            nodes: 2,
            memory_mib: 2048,
            files: Vec::new(),
            disks: Vec::new(),
            environment: Vec::new(),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            session: Session::Batch,
            parameters: Vec::new(),
            timeout: Duration::from_secs(300),
            silence: None,
            out: None,
        }
    }
}

/// What became of the guest's command.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) exit_code: i32,
    pub(crate) wall: Duration,
}

/// A guest whose command says nothing any more, and what could be learnt of it.
#[derive(Debug)]
pub(crate) struct Stood(String);

impl fmt::Display for Stood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Stood {}

/// Boots the guest, streams its command's output to `sink` and waits for it to power off.
pub(crate) fn boot(guest: &Guest, sink: &mut dyn FnMut(Stream, &[u8])) -> anyhow::Result<Ended> {
    ensure!(
        guest.nodes > 0 && guest.cpus.is_multiple_of(guest.nodes) && guest.cpus > 0,
        "{} CPUs cannot be split evenly over {} nodes",
        guest.cpus,
        guest.nodes
    );
    let cache = place::cache()?;
    let began = Instant::now();
    let versions = versions::pinned()?;
    let kernel = kernel::folder(&cache, guest.kernel.series(), &versions);
    let busybox = kernel::busybox(&cache, &versions);
    let scratch = Scratch::new(kernel)?;
    fs::write(scratch.0.path("initrd"), initrd::build(guest, &busybox, &scratch.0)?)
        .context("write the initramfs")?;
    let disk = File::create(scratch.0.path("out.tar")).context("create the out disk")?;
    disk.set_len(OUT_BYTES).context("size the out disk")?;
    let marks = qemu::run(guest, &scratch.0, sink)?;
    let exit_code = marks.exit.context("the guest gave no exit code")?;
    for line in qemu::complaints(&scratch.0) {
        eprintln!("vm: the guest's kernel says: {line}");
    }
    if let Some(out) = &guest.out {
        ensure!(marks.done, "the guest could not pack /out (more than {} MiB?)", OUT_BYTES >> 20);
        bring_back(&scratch.0.path("out.tar"), out)?;
    }
    Ok(Ended { exit_code, wall: began.elapsed() })
}

fn bring_back(tar: &Path, out: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
    shell::quiet(Command::new("tar").arg("-xf").arg(tar).arg("-C").arg(out).arg("--no-same-owner"))
}

/// A folder for one boot, gone with it.
struct Scratch(qemu::Workplace);

impl Scratch {
    fn new(kernel: PathBuf) -> anyhow::Result<Self> {
        static BOOTS: AtomicU32 = AtomicU32::new(0);
        let number = BOOTS.fetch_add(1, Ordering::Relaxed);
        let folder = place::target().join("vm").join(format!("{}-{number}", process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        Ok(Self(qemu::Workplace { folder, kernel }))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind is found and removed by cargo clean.
        drop(fs::remove_dir_all(&self.0.folder));
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Guest kernel
    #[arg(long, default_value = "6.1")]
    kernel: Kernel,
    /// What the guest's clock follows
    #[arg(long, default_value = "host")]
    clock: Clock,
    #[arg(long, default_value_t = 8)]
    cpus: u32,
    /// NUMA nodes, one socket each
    #[arg(long, default_value_t = 2)]
    nodes: u32,
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    memory: u32,
    /// HOST:GUEST, a file or folder to put into the guest (repeatable)
    #[arg(long = "file", value_name = "HOST:GUEST")]
    files: Vec<String>,
    /// KEY=VALUE for the command (repeatable)
    #[arg(long = "env", value_name = "KEY=VALUE")]
    environment: Vec<String>,
    /// A kernel parameter, such as psi=0 (repeatable)
    #[arg(long = "parameter", value_name = "WORD")]
    parameters: Vec<String>,
    /// Seconds until the guest is ended
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
    /// Where the guest's /out is put afterwards
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A Kubernetes node instead, with containerd and kubelet, on a control plane of its own
    #[arg(long, conflicts_with_all = ["files", "environment", "parameters", "out"])]
    kubelet: bool,
    /// A shell on this terminal instead of a command
    #[arg(long, conflicts_with = "command")]
    shell: bool,
    /// The command to run in the guest
    #[arg(last = true)]
    command: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.kubelet {
        return run_in_node(args);
    }
    setup::ensure(setup::Group::Agent)?;
    let guest = guest_of(args)?;
    let ended = boot(&guest, &mut pass_through)?;
    let seen = u8::try_from(ended.exit_code).unwrap_or(u8::MAX);
    eprintln!("vm: exit {} after {:.1} s", ended.exit_code, ended.wall.as_secs_f64());
    Ok(ExitCode::from(seen))
}

fn run_in_node(args: &Args) -> anyhow::Result<ExitCode> {
    let shell = ["sh".to_owned(), "-l".to_owned()];
    let command = if args.shell { &shell[..] } else { &args.command[..] };
    ensure!(!command.is_empty(), "nothing to run: give `-- COMMAND ...` or --shell");
    let shape = Shape {
        nodes: 1,
        cpus: args.cpus,
        numa_nodes: args.nodes,
        memory: args.memory,
        store: None,
        kubernetes: Choice::default(),
    };
    playground::one_command(&shape, command)
}

fn guest_of(args: &Args) -> anyhow::Result<Guest> {
    let (session, command) = match (args.shell, args.command.is_empty()) {
        (true, _) => (terminal(), vec!["sh".to_owned(), "-l".to_owned()]),
        (false, false) => (Session::Batch, args.command.clone()),
        (false, true) => bail!("nothing to run: give `-- COMMAND ...` or --shell"),
    };
    Ok(Guest {
        kernel: args.kernel,
        clock: args.clock,
        cpus: args.cpus,
        nodes: args.nodes,
        memory_mib: args.memory,
        files: args
            .files
            .iter()
            .map(|pair| split(pair, ':').map(|(h, g)| (h.into(), g)))
            .collect::<Result<_, _>>()?,
        disks: Vec::new(),
        environment: args
            .environment
            .iter()
            .map(|pair| split(pair, '='))
            .collect::<Result<_, _>>()?,
        command,
        session,
        parameters: args.parameters.clone(),
        timeout: Duration::from_secs(args.timeout),
        silence: None,
        out: args.out.clone(),
    })
}

fn split(pair: &str, at: char) -> anyhow::Result<(String, String)> {
    let (left, right) = pair.split_once(at).with_context(|| format!("{pair:?} has no {at:?}"))?;
    Ok((left.to_owned(), right.to_owned()))
}

/// The size of the caller's terminal, which a serial line cannot tell by itself.
pub(crate) fn terminal() -> Session {
    let size = shell::output(Command::new("stty").arg("size").stdin(process::Stdio::inherit()))
        .unwrap_or_default();
    // A terminal that does not know its size says 0.
    let mut numbers =
        size.split_whitespace().map_while(|word| word.parse().ok().filter(|&number| number > 0));
    Session::Terminal { rows: numbers.next().unwrap_or(24), columns: numbers.next().unwrap_or(80) }
}

/// A sink that gives the guest's output to this process' own.
pub(crate) fn pass_through(stream: Stream, bytes: &[u8]) {
    // A reader that went away (a closed pipe) ends nothing here; the exit code still tells.
    let _ignored = match stream {
        Stream::Stdout => io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()),
        Stream::Stderr => io::stderr().write_all(bytes),
    };
}
