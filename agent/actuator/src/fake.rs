//! A cgroup tree in memory that refuses on command. Only injects failures: what the kernel really
//! does is tested in the VM.

use std::collections::BTreeMap;

use model::knob::{CpuMax, CpuWeight, Knob, KnobValue};
use model::plan::{FailureKind, StepFailure};
use model::qos::CgroupPath;
use model::{Bytes, CgroupId, Micros, NumaSet};

use crate::files::KnobFiles;

#[derive(Debug, Default)]
pub(crate) struct FakeFiles {
    pub(crate) files: BTreeMap<(CgroupPath, Knob), String>,
    pub(crate) ids: BTreeMap<CgroupPath, CgroupId>,
    /// Writes to these answer with the kind and its errno.
    pub(crate) refuse: BTreeMap<(CgroupPath, Knob), (FailureKind, i32)>,
    /// Writes to these succeed and change nothing.
    pub(crate) ignore_writes: bool,
    /// An empty cpuset is ENOSPC, as for a populated group.
    pub(crate) refuse_empty: bool,
    /// `memory.current` of every group.
    pub(crate) in_use: u64,
    /// Groups with processes below a cgroup, beside the cgroup itself.
    pub(crate) below: BTreeMap<CgroupPath, Vec<CgroupPath>>,
    pub(crate) log: Vec<String>,
    /// The "process" dies before this many writes were made.
    pub(crate) die_after_writes: Option<usize>,
}

impl FakeFiles {
    pub(crate) fn with(cgroups: &[&str]) -> FakeFiles {
        let mut fake = FakeFiles::default();
        for (idx, cgroup) in cgroups.iter().enumerate() {
            let cgroup = CgroupPath::from(*cgroup);
            fake.ids.insert(cgroup.clone(), CgroupId(100 + idx as u64));
            for (knob, text) in [
                (Knob::CpuIdle, "0"),
                (Knob::CpuWeight, "100"),
                (Knob::CpuMax, "max 100000"),
                (Knob::CpuMaxBurst, "0"),
                (Knob::CpusetCpus, ""),
                (Knob::CpusetMems, ""),
                (Knob::MemoryMin, "0"),
                (Knob::MemoryLow, "0"),
                (Knob::MemoryHigh, "max"),
                (Knob::MemoryMax, "max"),
                (Knob::OomScoreAdj, "0"),
            ] {
                fake.files.insert((cgroup.clone(), knob), text.to_owned());
            }
        }
        fake
    }

    /// `tg_set_cfs_bandwidth`: a finite quota is never below the burst.
    fn burst_fits(&self, cgroup: &CgroupPath, knob: Knob, text: &str) -> bool {
        let file = |wanted: Knob| match knob == wanted {
            true => text,
            false => self.files.get(&(cgroup.clone(), wanted)).map_or("0", |text| text),
        };
        let quota = file(Knob::CpuMax).split(' ').next().and_then(|quota| quota.parse().ok());
        let burst: u64 = file(Knob::CpuMaxBurst).parse().unwrap_or(0);
        quota.is_none_or(|quota: u64| burst <= quota)
    }

    fn fail(kind: FailureKind, what: &str) -> StepFailure {
        StepFailure { kind, errno: None, message: what.to_owned() }
    }
}

impl KnobFiles for FakeFiles {
    fn id(&mut self, cgroup: &CgroupPath) -> Result<CgroupId, StepFailure> {
        let gone = || Self::fail(FailureKind::Vanished, cgroup.as_str());
        self.ids.get(cgroup).copied().ok_or_else(gone)
    }

    fn text(&mut self, cgroup: &CgroupPath, knob: Knob) -> Result<String, StepFailure> {
        self.id(cgroup)?;
        let absent = || Self::fail(FailureKind::Unsupported, knob.file());
        self.files.get(&(cgroup.clone(), knob)).cloned().ok_or_else(absent)
    }

    fn effective(&mut self, cgroup: &CgroupPath, knob: Knob) -> Result<KnobValue, StepFailure> {
        let text = self.text(cgroup, knob)?;
        Ok(match knob {
            Knob::CpuIdle => KnobValue::CpuIdle(text == "1"),
            Knob::CpuWeight => KnobValue::CpuWeight(
                CpuWeight::new(text.parse().expect("weight")).expect("weight in range"),
            ),
            Knob::CpuMax => {
                let (quota, period) = text.split_once(' ').expect("two words");
                KnobValue::CpuMax(CpuMax {
                    quota: quota.parse().ok().map(Micros),
                    period: Micros(period.parse().expect("period")),
                })
            }
            Knob::CpuMaxBurst => KnobValue::CpuMaxBurst(Micros(text.parse().expect("burst"))),
            Knob::CpusetCpus => KnobValue::CpusetCpus(text.parse().expect("list")),
            Knob::CpusetMems => KnobValue::CpusetMems(NumaSet::parse(&text).expect("nodes")),
            Knob::MemoryMin => KnobValue::MemoryMin(text.parse().expect("limit")),
            Knob::MemoryLow => KnobValue::MemoryLow(text.parse().expect("limit")),
            Knob::MemoryHigh => KnobValue::MemoryHigh(text.parse().expect("limit")),
            Knob::MemoryMax => KnobValue::MemoryMax(text.parse().expect("limit")),
            Knob::OomScoreAdj => KnobValue::OomScoreAdj(text.parse().expect("score")),
        })
    }

    fn write(&mut self, cgroup: &CgroupPath, knob: Knob, text: &str) -> Result<(), StepFailure> {
        self.text(cgroup, knob)?;
        if let Some(left) = &mut self.die_after_writes {
            assert!(*left > 0, "killed");
            *left -= 1;
        }
        if let Some((kind, errno)) = self.refuse.get(&(cgroup.clone(), knob)) {
            return Err(StepFailure { errno: Some(*errno), ..Self::fail(*kind, "refused") });
        }
        if self.refuse_empty && text.is_empty() {
            return Err(Self::fail(FailureKind::NoSpace, "empty"));
        }
        let idle = self.files.get(&(cgroup.clone(), Knob::CpuIdle)).is_some_and(|t| t == "1");
        if knob == Knob::CpuWeight && idle {
            return Err(Self::fail(FailureKind::Invalid, "weight of an idle group"));
        }
        if !self.burst_fits(cgroup, knob, text) {
            return Err(Self::fail(FailureKind::Invalid, "a burst over the quota"));
        }
        self.log.push(format!("{cgroup}/{}={text}", knob.file()));
        if !self.ignore_writes {
            self.files.insert((cgroup.clone(), knob), text.to_owned());
            // Linux 6.1 shows a weight of 0 while the group is idle and 100 afterwards.
            if knob == Knob::CpuIdle {
                let weight = if text == "1" { "0" } else { "100" };
                self.files.insert((cgroup.clone(), Knob::CpuWeight), weight.to_owned());
            }
        }
        Ok(())
    }

    fn parent_effective(
        &mut self,
        _cgroup: &CgroupPath,
        knob: Knob,
    ) -> Result<String, StepFailure> {
        Ok(if knob == Knob::CpusetMems { "0-1" } else { "0-7" }.to_owned())
    }

    fn memory_in_use(&mut self, cgroup: &CgroupPath) -> Result<Bytes, StepFailure> {
        self.id(cgroup)?;
        Ok(Bytes(self.in_use))
    }

    fn groups_with_processes(
        &mut self,
        cgroup: &CgroupPath,
    ) -> Result<Vec<CgroupPath>, StepFailure> {
        self.id(cgroup)?;
        Ok(self.below.get(cgroup).cloned().unwrap_or_else(|| vec![cgroup.clone()]))
    }

    fn forget(&mut self, _cgroup: &CgroupPath) {}
}
