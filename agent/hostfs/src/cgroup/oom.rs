//! `oom_score_adj` of a cgroup's processes. A file per process under the injected `/proc`, so this
//! is where "the cgroup" becomes a list of processes that come and go meanwhile: one that is gone is
//! fine, one that was born meanwhile has its parent's value. Which value, and when, is the Plan's.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use model::knob::OomScoreAdj;
use model::qos::CgroupPath;
use rustix::fs::{CWD, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::cgroup::dir::Cgroup;
use crate::cgroup::parse;
use crate::error::{ReadError, WriteError};
use crate::file;

/// A process forked by one that was not yet written has the old value: the list is read again, so
/// often. Whoever forks faster than a pass is told as busy and tried again.
const PASSES: usize = 8;

/// Groups below a workload: a pod has a handful, one with more is no pod.
const MAX_GROUPS: usize = 1000;

impl Cgroup {
    /// What this group's own processes have; `None` where there is none.
    pub fn oom_scores(&self) -> Result<Option<OomScoreAdj>, ReadError> {
        let mut all: Option<OomScoreAdj> = None;
        for pid in self.own_procs()? {
            if let Some(score) = self.score_of(pid)? {
                all = Some(all.map_or(score, |all| all.with(score)));
            }
        }
        Ok(all)
    }

    /// What the first process of this group has: the value that is kept as the original of all, for
    /// they are its children or were started beside it by the same runtime.
    pub fn first_oom_score(&self) -> Result<Option<OomScoreAdj>, ReadError> {
        for pid in self.own_procs()? {
            if let Some(score) = self.score_of(pid)? {
                return Ok(Some(score));
            }
        }
        Ok(None)
    }

    /// The first process of each group from here down. Cheap enough to look at seldom; what every
    /// process has is looked at where it is written.
    pub(crate) fn leading_oom_scores(&self) -> Result<OomScoreAdj, ReadError> {
        let mut all: Option<OomScoreAdj> = None;
        self.each_group(&mut |group| {
            if let Some(score) = group.first_oom_score()? {
                all = Some(all.map_or(score, |all| all.with(score)));
            }
            Ok(())
        })?;
        all.ok_or_else(|| ReadError::Hidden {
            path: self.shown().join("cgroup.procs"),
            value: String::new(),
            why: "no process is in it",
        })
    }

    /// The groups from here down that have processes of their own.
    pub fn groups_with_processes(&self) -> Result<Vec<CgroupPath>, ReadError> {
        let mut found = Vec::new();
        self.each_group(&mut |group| {
            if !group.own_procs()?.is_empty() {
                found.push(group.path().clone());
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Whether the first process from here down could be written to; true where there is none. The
    /// files belong to the processes' users: root needs CAP_DAC_OVERRIDE for those of others.
    pub fn may_write_oom_scores(&self) -> Result<bool, ReadError> {
        let mut may = true;
        self.each_group(&mut |group| {
            let first = group.own_procs()?.into_iter().find(|pid| *pid != 0);
            if let (Some(proc), Some(pid)) = (group.proc(), first) {
                let flags = OFlags::WRONLY | OFlags::CLOEXEC;
                let opened = rustix::fs::openat(CWD, score_path(proc, pid), flags, Mode::empty());
                may &= !matches!(opened, Err(Errno::ACCESS | Errno::PERM | Errno::ROFS));
            }
            Ok(())
        })?;
        Ok(may)
    }

    /// Writes to every process of this group, and to none below it.
    pub(crate) fn write_oom_score(&self, text: &str) -> Result<(), WriteError> {
        if text.parse::<OomScoreAdj>().ok().and_then(OomScoreAdj::single).is_none() {
            return Err(self.impossible(text, "it is not one score of -1000 to 1000"));
        }
        let Some(proc) = self.proc() else {
            let path = self.shown().join("oom_score_adj");
            return Err(WriteError::Unsupported { path, value: text.to_owned() });
        };
        let mut written = BTreeSet::new();
        for _pass in 0..PASSES {
            let pids = self.own_procs().map_err(|error| unlisted(error, text))?;
            let n_before = written.len();
            for pid in pids.into_iter().filter(|pid| !written.contains(pid)).collect::<Vec<_>>() {
                if pid == 0 {
                    return Err(self.impossible(text, "a process is outside of our pid namespace"));
                }
                write_one(&score_path(proc, pid), text)?;
                written.insert(pid);
            }
            if written.len() == n_before {
                return Ok(());
            }
        }
        Err(refused(self.shown().join("cgroup.procs"), text, Errno::AGAIN))
    }

    fn impossible(&self, text: &str, why: &'static str) -> WriteError {
        let path = self.shown().join("oom_score_adj");
        WriteError::Malformed { path, value: text.to_owned(), why }
    }

    /// The processes of a threaded group are those of the domain above it.
    fn own_procs(&self) -> Result<Vec<u32>, ReadError> {
        match self.procs() {
            Err(ReadError::Unsupported { .. }) => Ok(Vec::new()),
            procs => procs,
        }
    }

    /// `None` for a process that is gone.
    fn score_of(&self, pid: u32) -> Result<Option<OomScoreAdj>, ReadError> {
        let unsupported = || ReadError::Unsupported { path: self.shown().join("oom_score_adj") };
        let path = score_path(self.proc().ok_or_else(unsupported)?, pid);
        match file::read_path(&path, parse::oom_score_adj) {
            Ok(score) => Ok(Some(score)),
            Err(ReadError::Absent { .. }) => Ok(None),
            Err(error) if error.errno() == Some(Errno::SRCH.raw_os_error()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// This group and all below, parents first. A group that goes away meanwhile is left out.
    fn each_group(
        &self,
        visit: &mut dyn FnMut(&Cgroup) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        visit(self)?;
        let mut waiting = children(self)?;
        let mut n_seen = 0;
        while let Some((shown, path)) = waiting.pop() {
            n_seen += 1;
            if n_seen > MAX_GROUPS {
                return Err(ReadError::Malformed {
                    path: self.shown().to_path_buf(),
                    value: format!("over {MAX_GROUPS} groups"),
                    expected: "a workload",
                });
            }
            let below = Cgroup::open_dir(shown, path, self.proc().cloned());
            let looked = below.and_then(|group| {
                visit(&group)?;
                waiting.extend(children(&group)?);
                Ok(())
            });
            match looked {
                Err(error) if !error.is_absent() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

fn score_path(proc: &Path, pid: u32) -> PathBuf {
    proc.join(pid.to_string()).join("oom_score_adj")
}

/// A process that is gone needs no score.
fn write_one(path: &Path, text: &str) -> Result<(), WriteError> {
    let opened = rustix::fs::openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    match opened.and_then(|fd| rustix::io::write(&fd, text.as_bytes())) {
        Ok(_) | Err(Errno::NOENT | Errno::SRCH) => Ok(()),
        Err(errno) => Err(refused(path.to_path_buf(), text, errno)),
    }
}

fn refused(path: PathBuf, text: &str, errno: Errno) -> WriteError {
    WriteError::Refused { path, value: text.to_owned(), source: errno.into() }
}

fn unlisted(error: ReadError, text: &str) -> WriteError {
    let (path, value) = (error.path().to_path_buf(), text.to_owned());
    match error {
        ReadError::Refused { source, .. } => WriteError::Refused { path, value, source },
        ReadError::Absent { .. } => WriteError::Absent { path, value },
        _ => WriteError::Malformed { path, value, why: "its processes could not be listed" },
    }
}

/// Directories of a group, with the paths by which the agent calls them.
fn children(group: &Cgroup) -> Result<Vec<(PathBuf, CgroupPath)>, ReadError> {
    let failed = |errno| match errno {
        Errno::NOENT | Errno::NODEV => ReadError::Absent { path: group.shown().to_path_buf() },
        errno => ReadError::refused(group.shown().to_path_buf(), errno),
    };
    let dir = group.open_directory().map_err(failed)?;
    let mut buffer = Vec::with_capacity(8192);
    let mut entries = RawDir::new(dir.as_fd(), buffer.spare_capacity_mut());
    let above = group.path().as_str().trim_end_matches('/');
    let mut found = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if entry.file_type() == FileType::Directory && !matches!(name, "." | "..") {
            found.push((group.shown().join(name), CgroupPath::new(format!("{above}/{name}"))));
        }
    }
    Ok(found)
}
