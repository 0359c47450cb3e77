//! The virtual machine of a node under QEMU: its shape, its command line, how far it has come, its saved state. Knows of the kubelet
//! only that it is told when to start.

pub(super) mod saved;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};

use super::address::PORTS;
use super::{Settings, Start};
use crate::process::{self, Process};
use crate::ready::eventually;

/// CPUs and memory, split evenly over NUMA nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub cpus: u32,
    pub numa_nodes: u32,
    pub memory_mib: u32,
}

impl Default for Shape {
    fn default() -> Self {
        Self { cpus: 4, numa_nodes: 1, memory_mib: 2048 }
    }
}

impl Shape {
    /// For tests in which it matters where memory and CPUs are.
    pub const NUMA: Shape = Shape { cpus: 8, numa_nodes: 2, memory_mib: 4096 };
}

#[derive(Debug)]
pub(super) struct Machine {
    process: Process,
    folder: PathBuf,
    /// What is written there QEMU takes as orders.
    monitor: File,
}

/// What a machine's memory is at its start.
#[derive(Clone, Copy, Debug)]
enum Memory<'a> {
    Empty,
    /// Empty, and what the machine writes stays in files of this folder.
    KeptIn(&'a Path),
    /// What such files say; what the machine writes goes with it. Only pages that it touches cost anything.
    CopyOf(&'a Path),
}

/// A boot takes 3 to 5 s.
const BOOT_LIMIT: Duration = Duration::from_secs(180);
/// Between two orders to start.
const SAY_AGAIN: Duration = Duration::from_millis(100);
const KUBELET_LIMIT: Duration = Duration::from_secs(90);

impl Machine {
    /// Boots a new one, reachable at `address`.
    pub(super) fn boot(
        folder: &Path,
        image: &Path,
        settings: &Settings,
        address: &str,
        configuration: &Path,
    ) -> anyhow::Result<Machine> {
        let disk = throw_away(&image.join("disk"));
        let (shape, memory) = (&settings.shape, Memory::Empty);
        let mut line = arguments(image, shape, &disk, memory, configuration, Some(address))?;
        if settings.start == Start::BootedBySystemd {
            name_systemd(&mut line);
        }
        Self::spawn(folder, line)
    }

    /// Goes on from a saved state of the same shape. It has said "ready" there.
    pub(super) fn restore(
        folder: &Path,
        image: &Path,
        shape: &Shape,
        address: &str,
        configuration: &Path,
        state: &Path,
    ) -> anyhow::Result<Machine> {
        let disk = throw_away(&state.join("disk"));
        let memory = Memory::CopyOf(state);
        let mut line = arguments(image, shape, &disk, memory, configuration, Some(address))?;
        line.extend(words("-incoming defer"));
        let mut machine = Self::spawn(folder, line)?;
        machine.order(&saved::orders_to_go_on(state))?;
        Ok(machine)
    }

    fn spawn(folder: &Path, mut arguments: Vec<String>) -> anyhow::Result<Machine> {
        let monitor = monitor(folder)?;
        arguments.extend(words("-chardev pipe,id=monitor,path=monitor -mon chardev=monitor"));
        let program = Path::new("qemu-system-x86_64");
        let process = Process::start_in(folder, program, arguments)?;
        Ok(Machine { process, folder: folder.to_owned(), monitor })
    }

    /// Lines for QEMU's monitor. It reads them when it is up.
    fn order(&mut self, lines: &str) -> anyhow::Result<()> {
        self.monitor.write_all(lines.as_bytes()).context("give QEMU an order")
    }

    /// Waits until it has booted: containerd listens.
    pub(super) async fn wait_until_booted(&mut self) -> anyhow::Result<()> {
        self.wait_for("ready", 1).await
    }

    /// Tells the node the time and to give its kubelet the configuration, which is so long.
    pub(super) async fn configure(&mut self, kib: u64) -> anyhow::Result<()> {
        // While a saved state is read, the serial line loses what is written to it, half a word even.
        let began = Instant::now();
        while self.count_of("configured")? == 0 {
            ensure!(
                began.elapsed() < KUBELET_LIMIT,
                "not configured after {KUBELET_LIMIT:?}\n{}",
                self.end_of_logs()
            );
            self.check_runs()?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).context("read the clock")?;
            self.process.say(&format!("\nstart {} {kib}", now.as_secs()))?;
            tokio::time::sleep(SAY_AGAIN).await;
        }
        Ok(())
    }

    /// Waits until the node has said `mark` so many times.
    pub(super) async fn wait_for(&mut self, mark: &str, count: usize) -> anyhow::Result<()> {
        let limit = if mark == "ready" { BOOT_LIMIT } else { KUBELET_LIMIT };
        let what = format!("the node to say {mark:?}");
        let said = eventually(&what, limit, async || {
            self.check_runs()?;
            Ok((self.count_of(mark)? >= count).then_some(()))
        });
        let said = said.await;
        said.with_context(|| self.end_of_logs())
    }

    /// How often the node has said `mark`.
    pub(super) fn count_of(&self, mark: &str) -> anyhow::Result<usize> {
        let said = fs::read_to_string(self.process.log()).context("read what the node said")?;
        if let Some(failure) = said.lines().find(|line| line.starts_with("failed ")) {
            bail!("the node says: {failure}");
        }
        Ok(said.lines().filter(|line| *line == mark).count())
    }

    /// Fails when QEMU has ended.
    pub(super) fn check_runs(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.process.ended()? {
            bail!("QEMU ended with {status}\n{}", self.process.end_of_log());
        }
        Ok(())
    }

    pub(super) fn memory_kib(&self) -> Option<u64> {
        self.process.memory_kib()
    }

    fn logs(&self) -> [PathBuf; 3] {
        ["console", "containerd.log", "kubelet.log"].map(|name| self.folder.join(name))
    }

    /// The ends of all that the node wrote, for somebody who wants to know why it is not ready.
    pub(super) fn end_of_logs(&self) -> String {
        let ends = self.logs().map(|log| process::ending(&log));
        self.process.end_of_log() + "\n" + &ends.join("\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking() {
            self.logs().iter().for_each(|log| process::show(log));
        }
    }
}

/// What the initramfs starts instead of busybox, and what that is to do: it has no journal to write to.
const SYSTEMD: &str = " init=/lib/systemd/systemd systemd.unit=node.target systemd.log_target=kmsg systemd.show_status=0";

fn name_systemd(line: &mut [String]) {
    let mut words = line.iter_mut().skip_while(|word| *word != "-append");
    if let Some(parameters) = words.nth(1) {
        parameters.push_str(SYSTEMD);
    }
}

/// `address`: where the host reaches the node; without it nobody does.
fn arguments(
    image: &Path,
    shape: &Shape,
    disk: &str,
    memory: Memory<'_>,
    configuration: &Path,
    address: Option<&str>,
) -> anyhow::Result<Vec<String>> {
    ensure!(
        shape.numa_nodes > 0 && shape.cpus > 0 && shape.cpus.is_multiple_of(shape.numa_nodes),
        "{} CPUs cannot be split evenly over {} NUMA nodes",
        shape.cpus,
        shape.numa_nodes
    );
    let parameters = image.join("parameters");
    let parameters = fs::read_to_string(&parameters)
        .with_context(|| format!("read the kernel's parameters in {}", parameters.display()))?;
    let network: String = address
        .into_iter()
        .flat_map(|address| PORTS.map(|port| format!(",hostfwd=tcp:{address}:{port}-:{port}")))
        .collect();
    let configuration = escaped(configuration);
    let mut line = words("-machine q35 -accel tcg,thread=multi,tb-size=512 -cpu Nehalem-v1");
    line.extend(words("-nodefaults -no-user-config -display none -no-reboot"));
    line.extend(numa(shape, memory));
    line.extend(["-kernel".to_owned(), image.join("vmlinuz").display().to_string()]);
    line.extend(["-initrd".to_owned(), image.join("initramfs").display().to_string()]);
    line.extend(["-append".to_owned(), parameters]);
    line.extend(["-drive".to_owned(), format!("{disk},if=none,id=disk,cache=unsafe")]);
    line.extend([
        "-drive".to_owned(),
        format!("file={configuration},if=none,id=configuration,format=raw,readonly=on"),
    ]);
    line.extend(words(
        "-device virtio-blk-pci,drive=disk -device virtio-blk-pci,drive=configuration",
    ));
    line.extend(["-netdev".to_owned(), format!("user,id=net{network}")]);
    line.extend(words("-device virtio-net-pci,netdev=net -serial file:console"));
    line.extend(words("-chardev stdio,id=marks,signal=off -serial chardev:marks"));
    line.extend(words("-device virtio-serial-pci"));
    for log in ["kubelet", "containerd"] {
        line.extend(words(&format!("-chardev file,id={log},path={log}.log")));
        line.extend(words(&format!("-device virtserialport,chardev={log},name={log}")));
    }
    Ok(line)
}

fn numa(shape: &Shape, memory: Memory<'_>) -> Vec<String> {
    let cores = shape.cpus / shape.numa_nodes;
    let mib = shape.memory_mib / shape.numa_nodes;
    let total = mib * shape.numa_nodes;
    let mut line = words(&format!(
        "-smp {},sockets={},cores={cores} -m {total}",
        shape.cpus, shape.numa_nodes
    ));
    for node in 0..shape.numa_nodes {
        let (first, last) = (node * cores, (node + 1) * cores - 1);
        line.extend(["-object".to_owned(), backend(memory, node, mib)]);
        line.extend(words(&format!("-numa node,nodeid={node},cpus={first}-{last},memdev=m{node}")));
    }
    line
}

fn backend(memory: Memory<'_>, node: u32, mib: u32) -> String {
    let (folder, share) = match memory {
        Memory::Empty => return format!("memory-backend-ram,id=m{node},size={mib}M"),
        Memory::KeptIn(folder) => (folder, "on"),
        Memory::CopyOf(folder) => (folder, "off"),
    };
    let file = escaped(&folder.join(format!("memory{node}")));
    format!("memory-backend-file,id=m{node},size={mib}M,mem-path={file},share={share}")
}

/// QEMU reads orders from NAME.in and answers in NAME.out. Opened for both, so that nobody waits for the other.
fn monitor(folder: &Path) -> anyhow::Result<File> {
    let ends = ["monitor.in", "monitor.out"].map(|name| folder.join(name));
    for end in ends.iter().filter(|end| end.exists()) {
        fs::remove_file(end).with_context(|| format!("remove {}", end.display()))?;
    }
    let made = Command::new("mkfifo").args(&ends).status().context("run mkfifo")?;
    ensure!(made.success(), "mkfifo ended with {made}");
    let orders = File::options().read(true).write(true).open(&ends[0]);
    orders.with_context(|| format!("open {}", ends[0].display()))
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// A disk that many machines read; what one writes goes with it.
fn throw_away(disk: &Path) -> String {
    format!("file={},format=raw,snapshot=on", escaped(disk))
}

/// QEMU takes a comma in a path when it is doubled.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Memory, Shape, arguments};

    /// What the image says is read, the rest is only named.
    fn image() -> PathBuf {
        let image = std::env::temp_dir().join(format!("testkit-image-{}", std::process::id()));
        std::fs::create_dir_all(&image).unwrap();
        std::fs::write(image.join("parameters"), "quiet psi=1").unwrap();
        image
    }

    #[track_caller]
    fn check(image: &Path, (cpus, numa_nodes): (u32, u32), expected: Option<&str>) {
        let shape = Shape { cpus, numa_nodes, memory_mib: 1024 };
        let memory = Memory::CopyOf(Path::new("/s"));
        let address = Some("127.0.0.2");
        let line = arguments(image, &shape, "file=d", memory, Path::new("/c,d"), address);
        match expected {
            Some(part) => assert!(line.unwrap().join(" ").contains(part)),
            None => drop(line.unwrap_err()),
        }
    }

    #[test]
    fn rows() {
        let image = image();
        check(&image, (8, 2), Some("-smp 8,sockets=2,cores=4 -m 1024"));
        check(&image, (8, 2), Some("-numa node,nodeid=1,cpus=4-7,memdev=m1"));
        let memory = "memory-backend-file,id=m1,size=512M,mem-path=/s/memory1,share=off";
        check(&image, (8, 2), Some(memory));
        check(&image, (1, 1), Some("hostfwd=tcp:127.0.0.2:10250-:10250"));
        check(&image, (1, 1), Some("file=/c,,d"));
        check(&image, (1, 1), Some("-append quiet psi=1 -drive"));
        check(&image, (7, 2), None);
        check(&image, (0, 1), None);
        check(&image, (4, 0), None);
        std::fs::remove_dir_all(image).unwrap();
    }
}
