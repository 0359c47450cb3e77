//! Creating, filling and removing the demo's cgroups. Not the agent's writer: the baselines must
//! not run through the code they are compared with.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use model::units::{Bytes, Micros};

/// Makes a cgroup and lets its children use the cpu and cpuset controllers.
pub fn create_parent(dir: &Path) -> Result<()> {
    create(dir)?;
    write(dir, "cgroup.subtree_control", "+cpu +cpuset")
}

pub fn create(dir: &Path) -> Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("creating cgroup {}", dir.display()))
        }
        _ => Ok(()),
    }
}

pub fn write(dir: &Path, file: &str, value: &str) -> Result<()> {
    let path = dir.join(file);
    fs::write(&path, value).with_context(|| format!("writing {value:?} to {}", path.display()))
}

/// Moves the calling process.
pub fn join(dir: &Path) -> Result<()> {
    write(dir, "cgroup.procs", "0")
}

/// CPU time all tasks of the cgroup and below have used.
pub fn cpu_usage(dir: &Path) -> Result<Micros> {
    let path = dir.join("cpu.stat");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    usage_of(&text).with_context(|| format!("{} has no usage_usec", path.display()))
}

/// `None` where the memory controller is not on.
pub fn memory_current(dir: &Path) -> Option<Bytes> {
    let text = fs::read_to_string(dir.join("memory.current")).ok()?;
    text.trim().parse().ok().map(Bytes)
}

/// Removes a cgroup and all below it; tasks still in it are killed.
pub fn remove(dir: &Path) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    write(dir, "cgroup.kill", "1")?;
    // A killed task leaves its cgroup when it is reaped; under emulation that takes a while.
    for _ in 0..200 {
        if remove_tree(dir).is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    bail!("cgroup {} still holds tasks 4 s after cgroup.kill", dir.display())
}

fn remove_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(dir)
}

fn usage_of(cpu_stat: &str) -> Option<Micros> {
    let line = cpu_stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    line.trim().parse().ok().map(Micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_found_wherever_it_stands() {
        assert_eq!(usage_of("usage_usec 12\nuser_usec 7\n"), Some(Micros(12)));
        assert_eq!(usage_of("user_usec 7\nusage_usec 12\n"), Some(Micros(12)));
        assert_eq!(usage_of("user_usec 7\n"), None);
    }

    #[test]
    fn a_refused_write_names_file_and_value() {
        let error = write(Path::new("/nonexistent"), "cpu.max", "5 100").expect_err("no such dir");
        assert_eq!(error.to_string(), "writing \"5 100\" to /nonexistent/cpu.max");
    }
}
