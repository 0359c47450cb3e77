//! Lets one folder of the agent's made-up cgroups stand for the real cgroup this program is in.

use std::fs;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use model::sample::{Burst, ProbeSample};
use model::{CgroupId, Nanos, SlotId, Timestamp};
use probe::{ProbeSource, ReadError};

/// The root of cgroup v2 has this id on every kernel, mounted or not.
const ROOT_CGROUP: CgroupId = CgroupId(1);

/// Passes everything on, but what it tells BPF to track is the real cgroup for the stand-in and
/// nothing for the others: the numbers of their folders may be those of strangers' cgroups.
struct Victim {
    probe: Box<dyn ProbeSource>,
    stand_in: CgroupId,
    real: CgroupId,
}

/// `folder` stands for the cgroup of this process from now on.
pub(crate) fn standing_in(
    probe: Box<dyn ProbeSource>,
    folder: &Path,
) -> Result<Box<dyn ProbeSource>> {
    let stand_in = fs::metadata(folder).with_context(|| format!("{}", folder.display()))?.ino();
    Ok(Box::new(Victim { probe, stand_in: CgroupId(stand_in), real: own_cgroup()? }))
}

impl ProbeSource for Victim {
    fn read(&mut self, now: Timestamp) -> Result<ProbeSample, ReadError> {
        self.probe.read(now)
    }

    fn track(&mut self, slot: SlotId, cgroups: &[CgroupId]) -> Result<(), ReadError> {
        let real = [self.real];
        let tracked = if cgroups.contains(&self.stand_in) { &real[..] } else { &[] };
        self.probe.track(slot, tracked)
    }

    fn untrack(&mut self, slot: SlotId) -> Result<(), ReadError> {
        self.probe.untrack(slot)
    }

    fn set_threshold(&mut self, slot: SlotId, threshold: Nanos) -> Result<(), ReadError> {
        self.probe.set_threshold(slot, threshold)
    }

    fn bursts(&mut self) -> Vec<Burst> {
        self.probe.bursts()
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.probe.as_fd()
    }
}

/// The cgroup v2 id of this process; read, never changed.
fn own_cgroup() -> Result<CgroupId> {
    let groups = fs::read_to_string("/proc/self/cgroup").context("read the own cgroup")?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mounts").context("read the mount table")?;
    let mut rows = mounts.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let mount = rows.find_map(|row| (row.get(2) == Some(&"cgroup2")).then(|| row[1].to_owned()));
    match mount {
        Some(mount) => {
            let folder = Path::new(&mount).join(path);
            let found = fs::metadata(&folder).with_context(|| format!("{}", folder.display()))?;
            Ok(CgroupId(found.ino()))
        }
        None if path.is_empty() => Ok(ROOT_CGROUP),
        None => anyhow::bail!("cgroup v2 is not mounted, so /{path} has no number to track"),
    }
}
