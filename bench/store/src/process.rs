//! A server's process: its start on one CPU, its end, and what /proc says of it. Knows nothing of what it serves.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use bench::procfs;

/// Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// `cpus` as taskset takes them; where none are named it runs everywhere. taskset and setpriv execute the program in their own
    /// place, so that the pid is the server's. The signal comes when the thread that calls this ends.
    pub(crate) fn start(
        program: &Path,
        arguments: &[String],
        cpus: Option<&str>,
        log: &Path,
    ) -> anyhow::Result<Process> {
        let mut command = Command::new(if cpus.is_some() { "taskset" } else { "setpriv" });
        if let Some(cpus) = cpus {
            command.args(["--cpu-list", cpus, "setpriv"]);
        }
        let out = File::options().create(true).append(true).open(log);
        let out = out.with_context(|| format!("create {}", log.display()))?;
        let errors = out.try_clone().with_context(|| format!("open {} twice", log.display()))?;
        command.args(["--pdeathsig", "KILL"]).arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(out).stderr(errors);
        let child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        Ok(Process { child, log: log.to_owned() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails with the end of its log when it has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait().context("ask whether the server runs")? else {
            return Ok(());
        };
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let tail = text.char_indices().rev().nth(LOG_TAIL).map_or(0, |(start, _)| start);
        anyhow::bail!(
            "the server has ended with {status}; {} ends with\n{}",
            self.log.display(),
            &text[tail..]
        )
    }

    /// As a power cut would, as far as a process can feel one.
    pub(crate) fn kill(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Characters of a log that an error shows.
const LOG_TAIL: usize = 3000;

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// CPU time of a process, all its threads, and its children.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let mut total = Duration::from_micros(procfs::process_cpu(pid)?.0);
    for child in children(pid) {
        // It may end between the listing and the reading.
        total += cpu(child).unwrap_or_default();
    }
    Ok(total)
}

/// The same of this process without its children, which are the servers.
pub(crate) fn cpu_of_self() -> anyhow::Result<Duration> {
    Ok(Duration::from_micros(procfs::process_cpu(std::process::id())?.0))
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = threads.filter_map(|it| fs::read_to_string(it.ok()?.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace().filter_map(|it| it.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

pub(crate) fn rss_bytes(pid: u32) -> anyhow::Result<f64> {
    Ok(procfs::process_rss(pid)?.0 as f64)
}

/// The most it was since the start or since `forget_peak`.
pub(crate) fn peak_bytes(pid: u32) -> anyhow::Result<f64> {
    Ok(procfs::process_peak(pid)?.0 as f64)
}

/// The peak begins anew at what is resident now (proc(5), `clear_refs`).
pub(crate) fn forget_peak(pid: u32) -> anyhow::Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    fs::write(&path, "5").with_context(|| format!("write 5 to {path}"))
}

/// Bytes of the pages of the cache that the process made dirty (proc(5), `write_bytes`).
pub(crate) fn written_bytes(pid: u32) -> anyhow::Result<f64> {
    Ok(procfs::process_written(pid)?.0 as f64)
}

/// What the files below a folder take on the disk.
pub(crate) fn disk_bytes(folder: &Path) -> anyhow::Result<f64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut total = 0.0;
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let entry = entry?;
        let kind = entry.metadata()?;
        // Blocks are of 512 bytes, whatever the file system's are (stat(2)).
        total +=
            if kind.is_dir() { disk_bytes(&entry.path())? } else { kind.blocks() as f64 * 512.0 };
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Process, cpu, disk_bytes};

    #[test]
    fn a_server_that_ends_is_told_of_with_its_log() {
        let log = std::env::temp_dir().join(format!("store-bench-{}.log", std::process::id()));
        let arguments = ["-c".to_owned(), "echo no space; exit 3".to_owned()];
        let mut process = Process::start(Path::new("/bin/sh"), &arguments, None, &log).unwrap();
        let said = loop {
            match process.check() {
                Ok(()) => std::thread::yield_now(),
                Err(error) => break error.to_string(),
            }
        };
        assert!(said.contains("exit status: 3") && said.contains("no space"), "{said}");
        std::fs::remove_file(&log).unwrap();
    }

    #[test]
    fn time_of_a_process_and_the_blocks_of_a_folder() {
        cpu(std::process::id()).unwrap();
        assert!(disk_bytes(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap() > 1e4);
        assert!(disk_bytes(Path::new("/nowhere")).unwrap_err().to_string().contains("/nowhere"));
    }
}
