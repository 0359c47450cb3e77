//! What other plugins of the runtime do to pods that own CPUs: whether it hurts them, and what is told of it for a while. Owns no
//! connection; what was done is read by `runtime::nri`, and what becomes of it is the plugin's.

use std::collections::BTreeMap;

use model::plan::{Finding, Severity};
use model::qos::WorkloadName;
use model::{CpuSet, Nanos, Timestamp};
use runtime::nri::{CpusetField, ForeignCpuset};

use crate::node_state::Owner;

/// So long after it was last done. A kubelet whose container was refused tries again every few minutes at the latest.
const TOLD_FOR: Nanos = Nanos::from_secs(600);

/// By the pod that is told of, so that a container that is tried again and again is told once.
#[derive(Debug, Default)]
pub(super) struct Intruders(BTreeMap<WorkloadName, (Timestamp, Finding)>);

impl Intruders {
    /// Whether anything new is to be told.
    pub(super) fn note(&mut self, now: Timestamp, finding: Finding) -> bool {
        let name = WorkloadName::new(finding.subject.as_str());
        let before = self.0.insert(name, (now, finding.clone()));
        before.is_none_or(|(_, before)| before != finding)
    }

    /// Whether anything is told no more.
    pub(super) fn forget(&mut self, now: Timestamp) -> bool {
        let n_before = self.0.len();
        self.0.retain(|_, (at, _)| now.since(*at) < TOLD_FOR);
        self.0.len() != n_before
    }

    pub(super) fn findings(&self) -> impl Iterator<Item = Finding> {
        self.0.values().map(|(_, finding)| finding.clone())
    }
}

/// What `foreign` does to somebody who owns CPUs, in one sentence. `pod` is whose container it is; `None` where nobody has told of it.
pub(super) fn harm(
    foreign: &ForeignCpuset,
    pod: Option<&WorkloadName>,
    owners: &[Owner],
) -> Option<String> {
    let ForeignCpuset { container, plugin, field, text } = foreign;
    let whose = pod.map_or_else(|| format!("container {container}"), ToString::to_string);
    let file = field.file();
    if let Some(owner) = owners.iter().find(|owner| Some(&owner.pod) == pod) {
        let promised = match field {
            CpusetField::Cpus => other_than(text, owner.cpus.to_string()),
            CpusetField::Mems if owner.nodes.is_empty() => None,
            CpusetField::Mems => other_than(text, owner.nodes.to_string()),
        };
        return promised.map(|promised| {
            format!("plugin {plugin} sets {file} of {whose} to {text:?}, which has {promised} for itself")
        });
    }
    if *field == CpusetField::Mems {
        return None;
    }
    // What cannot be read is refused by the runtime itself.
    let wanted: CpuSet = text.parse().ok()?;
    let owner = owners.iter().find(|owner| !owner.cpus.is_disjoint(&wanted))?;
    let (taken, whom) = (owner.cpus.intersection(&wanted), &owner.pod);
    Some(format!(
        "plugin {plugin} puts {whose} on CPUs {wanted}, of which {taken} are {whom}'s own"
    ))
}

/// What was promised, where `text` says something else. Nodes are written as CPUs are.
fn other_than(text: &str, promised: String) -> Option<String> {
    let wanted = text.parse::<CpuSet>().map(|wanted| wanted.to_string());
    (wanted.ok().as_ref() != Some(&promised)).then_some(promised)
}

pub(super) fn foreign_cpuset(subject: &str, message: String) -> Finding {
    let subject = subject.to_owned();
    Finding { severity: Severity::Warning, rule: "foreign-cpuset", subject, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn owners() -> Vec<Owner> {
        let owner = |pod, cpus: &str, nodes: &[u16]| Owner {
            pod: WorkloadName::from(pod),
            cpus: cpus.parse().unwrap(),
            nodes: nodes.iter().map(|node| model::NumaNodeId(*node)).collect(),
        };
        vec![owner("shop/db", "2-3", &[0]), owner("shop/cache", "6", &[])]
    }

    /// Whose container, which field and what is wanted -> a part of the sentence; nothing is no harm.
    #[test]
    fn who_owns_cpus_is_hurt_by_whoever_moves_him_or_comes_too_near() {
        use CpusetField::{Cpus, Mems};
        for (pod, field, text, told) in [
            ("shop/web", Cpus, "0-1", ""),
            ("shop/web", Cpus, "1-2", "puts shop/web on CPUs 1-2, of which 2 are shop/db's own"),
            ("shop/web", Cpus, "6,7", "of which 6 are shop/cache's own"),
            ("shop/web", Cpus, "two", ""),
            ("shop/web", Mems, "0", ""),
            ("", Cpus, "3", "puts container c on CPUs 3"),
            ("shop/db", Cpus, "2-3", ""),
            ("shop/db", Cpus, "2,3", ""),
            (
                "shop/db",
                Cpus,
                "2",
                "sets cpuset.cpus of shop/db to \"2\", which has 2-3 for itself",
            ),
            ("shop/db", Cpus, "two", "to \"two\", which has 2-3"),
            ("shop/db", Mems, "0", ""),
            ("shop/db", Mems, "1", "sets cpuset.mems of shop/db to \"1\", which has 0 for itself"),
            ("shop/cache", Mems, "1", ""),
        ] {
            let (container, plugin) = ("c".to_owned(), "10-pin".to_owned());
            let foreign = ForeignCpuset { container, plugin, field, text: text.to_owned() };
            let name = Some(WorkloadName::from(pod)).filter(|name| !name.as_str().is_empty());
            let found = harm(&foreign, name.as_ref(), &owners());
            assert_eq!(found.is_some(), !told.is_empty(), "{pod} {text}: {found:?}");
            assert!(found.is_none_or(|found| found.contains(told)), "{pod} {text}");
        }
    }

    #[test]
    fn what_was_done_is_told_once_and_for_a_while() {
        let mut intruders = Intruders::default();
        let at = |second: u64| Timestamp(second * SECOND);
        let finding = |text: &str| foreign_cpuset("shop/web", text.to_owned());
        assert!(intruders.note(at(0), finding("a")));
        assert!(!intruders.note(at(300), finding("a")), "the same again");
        assert!(intruders.note(at(301), finding("b")));
        assert!(!intruders.forget(at(900)));
        assert_eq!(intruders.findings().collect::<Vec<_>>(), [finding("b")]);
        assert!(intruders.forget(at(901)));
        assert_eq!(intruders.findings().count(), 0);
    }
}
