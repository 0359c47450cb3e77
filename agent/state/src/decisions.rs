//! The decision log on disk: sealed lines, two files of bounded size, newest last. The ring in
//! memory is the loop's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::line;

/// `decisions.log` is moved to `decisions.log.1` at this size, so both together stay under twice
/// this: about 10,000 decisions of 400 bytes.
const ROTATE_BYTES: u64 = 4 << 20;

/// An open log.
#[derive(Debug)]
pub struct DecisionLog {
    path: PathBuf,
    file: File,
    size: u64,
}

impl DecisionLog {
    pub fn open(runtime_dir: &Path) -> io::Result<DecisionLog> {
        let path = runtime_dir.join("decisions.log");
        let file = open_append(&path)?;
        let size = file.metadata()?.len();
        Ok(DecisionLog { path, file, size })
    }

    /// Appends one decision, given as JSON without newlines.
    pub fn append(&mut self, json: &str) -> io::Result<()> {
        if self.size >= ROTATE_BYTES {
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
            self.file = open_append(&self.path)?;
            self.size = 0;
        }
        let line = line::seal(json);
        self.file.write_all(line.as_bytes())?;
        self.size += line.len() as u64;
        Ok(())
    }

    /// Decisions of both files, oldest first; damaged lines are left out.
    pub fn read_all(runtime_dir: &Path) -> Vec<String> {
        ["decisions.log.1", "decisions.log"]
            .iter()
            .filter_map(|name| fs::read(runtime_dir.join(name)).ok())
            .flat_map(|bytes| {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                text.lines().filter_map(line::open).map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    }
}

fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use super::{DecisionLog, ROTATE_BYTES};

    #[test]
    fn the_log_is_bounded_and_keeps_the_newest() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut log = DecisionLog::open(dir.path()).expect("open");
        let filler = format!("\"{}\"", "x".repeat(64 << 10));
        for n in 0..200 {
            log.append(&filler).expect("append");
            log.append(&n.to_string()).expect("append");
        }
        let on_disk: u64 = ["decisions.log", "decisions.log.1"]
            .iter()
            .map(|name| std::fs::metadata(dir.path().join(name)).expect(name).len())
            .sum();
        assert!(on_disk < 2 * ROTATE_BYTES + (1 << 20), "{on_disk} bytes");
        assert_eq!(DecisionLog::read_all(dir.path()).last().map(String::as_str), Some("199"));
    }
}
