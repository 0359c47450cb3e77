//! The journal of originals: what stood in a file before Berth's first write to it. Appended
//! before that write, so that whoever comes after a crash can put it back. Does not write cgroups.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use model::CgroupId;
use model::knob::{Knob, Lane};
use model::qos::CgroupPath;
use serde::{Deserialize, Serialize};

use crate::line;

/// Cgroups come and go; over this size the journal is rewritten without those that are gone.
const COMPACT_BYTES: u64 = 4 << 20;
/// A journal over this size is not ours.
const MAX_BYTES: u64 = 64 << 20;

/// What one file held before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    pub cgroup: CgroupPath,
    /// A cgroup made anew under the same path is another one: its files are not ours to restore.
    /// `NOT_MADE_YET` for a container's, whose path no other one will ever have.
    pub cgroup_id: CgroupId,
    pub knob: Knob,
    /// The bytes of the file, without the newline; empty is a value ("inherit") for cpusets.
    pub text: String,
}

/// The kernel gives no cgroup this id.
pub const NOT_MADE_YET: CgroupId = CgroupId(0);

/// Why the journal could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum OriginalsError {
    #[error("cannot read the journal of originals {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot append the original of {subject} to {path}")]
    Append {
        path: PathBuf,
        subject: String,
        #[source]
        source: io::Error,
    },
    #[error("journal of originals {path} has {size} bytes, more than {MAX_BYTES}")]
    TooLarge { path: PathBuf, size: u64 },
}

/// The open journal with everything it holds.
#[derive(Debug)]
pub struct Originals {
    path: PathBuf,
    file: File,
    entries: BTreeMap<Key, Original>,
    /// Lines that could not be read at open: torn by a crash, or altered.
    pub damaged_lines: usize,
}

type Key = (CgroupPath, CgroupId, Knob);

#[derive(Serialize, Deserialize)]
struct WireOriginal {
    cgroup: String,
    id: u64,
    file: String,
    text: String,
}

impl Originals {
    /// Opens the journal of one lane, reading what an earlier agent left. Each lane has its own
    /// file (`originals-fast.log`, `originals-slow.log`), so that no two threads share one.
    pub fn open(runtime_dir: &Path, lane: Lane) -> Result<Originals, OriginalsError> {
        let path = runtime_dir.join(match lane {
            Lane::Fast => "originals-fast.log",
            Lane::Slow => "originals-slow.log",
        });
        let read = |source| OriginalsError::Read { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(read)?;
        let size = file.metadata().map_err(read)?.len();
        if size > MAX_BYTES {
            return Err(OriginalsError::TooLarge { path, size });
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(read)?;
        let (entries, damaged_lines) = parse(&String::from_utf8_lossy(&bytes));
        if !bytes.is_empty() && !bytes.ends_with(b"\n") {
            // A torn last line must not swallow the next record.
            file.write_all(b"\n").map_err(read)?;
        }
        Ok(Originals { path, file, entries, damaged_lines })
    }

    pub fn iter(&self) -> impl Iterator<Item = &Original> {
        self.entries.values()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the cgroup's original is here, perhaps from before the cgroup was made.
    pub fn contains(&self, cgroup: &CgroupPath, cgroup_id: CgroupId, knob: Knob) -> bool {
        [cgroup_id, NOT_MADE_YET]
            .iter()
            .any(|id| self.entries.contains_key(&(cgroup.clone(), *id, knob)))
    }

    /// Records an original unless one is there: the first value seen is the original, later ones
    /// are Berth's own.
    pub fn record(&mut self, original: Original) -> Result<(), OriginalsError> {
        let key = key(&original);
        if self.entries.contains_key(&key) {
            return Ok(());
        }
        let failed = |source, path: &Path| OriginalsError::Append {
            path: path.to_owned(),
            subject: format!("{}/{}", original.cgroup, original.knob.file()),
            source,
        };
        self.file
            .write_all(encode(&original).as_bytes())
            .map_err(|source| failed(source, &self.path))?;
        self.entries.insert(key, original);
        Ok(())
    }

    /// Forgets cgroups that are gone, and rewrites the file when it has grown large.
    pub fn forget(&mut self, gone: &BTreeSet<CgroupPath>) -> Result<(), OriginalsError> {
        self.entries.retain(|(path, ..), _| !gone.contains(path));
        let size = self.file.metadata().map(|metadata| metadata.len()).unwrap_or(0);
        if size < COMPACT_BYTES {
            return Ok(());
        }
        self.rewrite()
    }

    /// Some files of a cgroup were restored: whoever writes them next finds another original.
    pub fn settle(&mut self, cgroup: &CgroupPath, knobs: &[Knob]) -> Result<(), OriginalsError> {
        self.entries.retain(|(path, _, knob), _| path != cgroup || !knobs.contains(knob));
        self.rewrite()
    }

    /// Everything was restored: the journal is empty again.
    pub fn clear(&mut self) -> Result<(), OriginalsError> {
        self.entries.clear();
        self.rewrite()
    }

    fn rewrite(&mut self) -> Result<(), OriginalsError> {
        let beside = self.path.with_extension("new");
        let text: String = self.entries.values().map(encode).collect();
        let failed = |source| OriginalsError::Append {
            path: self.path.clone(),
            subject: "the rewritten journal".to_owned(),
            source,
        };
        fs::write(&beside, text).map_err(failed)?;
        fs::rename(&beside, &self.path).map_err(failed)?;
        self.file = OpenOptions::new().append(true).open(&self.path).map_err(failed)?;
        Ok(())
    }
}

fn key(original: &Original) -> Key {
    (original.cgroup.clone(), original.cgroup_id, original.knob)
}

fn encode(original: &Original) -> String {
    let wire = WireOriginal {
        cgroup: original.cgroup.to_string(),
        id: original.cgroup_id.0,
        file: original.knob.file().to_owned(),
        text: original.text.clone(),
    };
    line::seal(&serde_json::to_string(&wire).expect("invariant: strings and a number are JSON"))
}

fn parse(text: &str) -> (BTreeMap<Key, Original>, usize) {
    let mut entries = BTreeMap::new();
    let mut damaged = 0;
    for line in text.lines().filter(|line| !line.is_empty()) {
        match decode(line) {
            Some(original) => {
                entries.entry(key(&original)).or_insert(original);
            }
            None => damaged += 1,
        }
    }
    (entries, damaged)
}

fn decode(line: &str) -> Option<Original> {
    let wire: WireOriginal = serde_json::from_str(line::open(line)?).ok()?;
    Some(Original {
        cgroup: CgroupPath::new(wire.cgroup),
        cgroup_id: CgroupId(wire.id),
        knob: Knob::from_file(&wire.file)?,
        text: wire.text,
    })
}

#[cfg(test)]
mod tests;
