//! From cgroup paths to workloads: which pod or which rule a path belongs to and what the workload is
//! called. Pure; the walk is `workloads`'.

use std::collections::{BTreeMap, BTreeSet};

use hostfs::cgroup::glob::glob_matches;
use model::CgroupId;
use model::qos::{CgroupPath, WorkloadName};
use model::sample::{PodOnNode, WorkloadSpec};

/// One rule: every cgroup that matches is a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub cgroup: String,
    pub name: String,
    pub spec: WorkloadSpec,
}

/// A matched cgroup and every group below it, its own first: tasks of all of them are its tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    pub cgroup: CgroupPath,
    pub ids: Vec<CgroupId>,
    pub spec: WorkloadSpec,
    /// Those of a pod that have a cgroup; `None` for what a rule found.
    pub containers: Option<Vec<(CgroupPath, CgroupId)>>,
}

/// What the rules make of a walk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matches {
    pub workloads: BTreeMap<WorkloadName, Match>,
    pub unmatched: Vec<String>,
}

/// Finds pods and applies the rules to the cgroups of a walk, which come parents first. A pod wins over
/// every rule, the first rule that matches a path over the others; a group inside a workload belongs to
/// the outermost one.
pub fn match_rules(rules: &[Rule], pods: &[PodOnNode], walk: &[(CgroupPath, CgroupId)]) -> Matches {
    let mut matches = Matches::default();
    let mut used = vec![false; rules.len()];
    let mut owners: BTreeMap<CgroupPath, WorkloadName> = BTreeMap::new();
    let containers: BTreeSet<&CgroupPath> = pods.iter().flat_map(|pod| &pod.containers).collect();
    let pods: BTreeMap<&CgroupPath, &PodOnNode> =
        pods.iter().map(|pod| (&pod.cgroup, pod)).collect();
    for (path, id) in walk {
        if let Some(owner) = owner_of(path, &owners) {
            if let Some(found) = matches.workloads.get_mut(&owner) {
                found.ids.push(*id);
                let of_pod = found.containers.as_mut().filter(|_| containers.contains(path));
                of_pod.into_iter().for_each(|all| all.push((path.clone(), *id)));
            }
            continue;
        }
        if let Some(pod) = pods.get(path) {
            let (ids, spec) = (vec![*id], pod.spec.clone());
            let found = Match { cgroup: path.clone(), ids, spec, containers: Some(Vec::new()) };
            owners.insert(path.clone(), pod.name.clone());
            matches.workloads.insert(pod.name.clone(), found);
            continue;
        }
        let hit = rules.iter().position(|rule| glob_matches(&rule.cgroup, path.as_str()));
        let Some(idx) = hit else {
            continue;
        };
        used[idx] = true;
        let rule = &rules[idx];
        let name = unique(name_of(rule, path), path, &matches);
        let (ids, spec) = (vec![*id], rule.spec.clone());
        let found = Match { cgroup: path.clone(), ids, spec, containers: None };
        owners.insert(path.clone(), name.clone());
        matches.workloads.insert(name, found);
    }
    matches.unmatched = rules
        .iter()
        .zip(used)
        .filter(|(_, used)| !used)
        .map(|(rule, _)| rule.cgroup.clone())
        .collect();
    matches
}

fn owner_of(
    path: &CgroupPath,
    owners: &BTreeMap<CgroupPath, WorkloadName>,
) -> Option<WorkloadName> {
    let mut above = path.as_str();
    while let Some((parent, _)) = above.rsplit_once('/') {
        if let Some(owner) = owners.get(parent) {
            return Some(owner.clone());
        }
        above = parent;
    }
    None
}

fn name_of(rule: &Rule, path: &CgroupPath) -> String {
    let is_glob = rule.cgroup.contains('*') || rule.cgroup.contains('?');
    match path.as_str().rsplit_once('/') {
        Some((_, last)) if is_glob => format!("{}/{last}", rule.name),
        _ => rule.name.clone(),
    }
}

/// Two cgroups may end in the same word (`/a/*/main`); the second is called by its whole path.
fn unique(name: String, path: &CgroupPath, matches: &Matches) -> WorkloadName {
    match matches.workloads.contains_key(name.as_str()) {
        true => WorkloadName::new(format!("{name}@{path}")),
        false => WorkloadName::new(name),
    }
}

#[cfg(test)]
mod tests {
    use model::MilliCpu;
    use model::qos::{PodUid, QosLevel};

    use super::*;

    fn rule(cgroup: &str, name: &str) -> Rule {
        let spec = WorkloadSpec::plain(QosLevel::SharedCores, MilliCpu(0));
        Rule { cgroup: cgroup.to_owned(), name: name.to_owned(), spec }
    }

    #[track_caller]
    fn check(rules: &[Rule], walk: &[&str], expect: &[&str], unmatched: &[&str]) {
        let walk: Vec<(CgroupPath, CgroupId)> = walk
            .iter()
            .enumerate()
            .map(|(idx, path)| (CgroupPath::from(*path), CgroupId(idx as u64)))
            .collect();
        let matches = match_rules(rules, &[], &walk);
        let text: Vec<String> = matches
            .workloads
            .iter()
            .map(|(name, found)| {
                let ids: Vec<String> = found.ids.iter().map(ToString::to_string).collect();
                format!("{name} {} {}", found.cgroup, ids.join("+"))
            })
            .collect();
        assert_eq!(text, expect);
        assert_eq!(matches.unmatched, unmatched);
    }

    #[test]
    fn paths_become_workloads_with_all_their_groups() {
        check(&[], &["/", "/a"], &[], &[]);
        check(&[rule("/a", "api")], &["/", "/a", "/a/c1", "/a/c1/x"], &["api /a 1+2+3"], &[]);
        check(
            &[rule("/batch/*", "b")],
            &["/", "/batch", "/batch/p1", "/batch/p2", "/batch/p2/c"],
            &["b/p1 /batch/p1 2", "b/p2 /batch/p2 3+4"],
            &[],
        );
        check(&[rule("/nothing/*", "n")], &["/", "/a"], &[], &["/nothing/*"]);
    }

    #[test]
    fn the_first_rule_and_the_outermost_group_win() {
        check(
            &[rule("/a", "one"), rule("/*", "two"), rule("/a/*", "three")],
            &["/a", "/a/x", "/b"],
            &["one /a 0+1", "two/b /b 2"],
            &["/a/*"],
        );
    }

    #[test]
    fn pods_come_before_rules_and_have_their_containers() {
        let pod = PodOnNode {
            uid: PodUid::from("7"),
            name: WorkloadName::from("shop/db-0"),
            cgroup: CgroupPath::from("/burstable/pod7"),
            containers: ["/burstable/pod7/c1", "/burstable/pod7/not-started"]
                .map(Into::into)
                .to_vec(),
            spec: WorkloadSpec::plain(QosLevel::DedicatedCores, MilliCpu(2000)),
        };
        let paths = [
            "/burstable",
            "/burstable/pod7",
            "/burstable/pod7/c1",
            "/burstable/pod7/c1/x",
            "/burstable/pod8",
        ];
        let walk: Vec<(CgroupPath, CgroupId)> = paths
            .iter()
            .zip(0..)
            .map(|(path, id)| (CgroupPath::from(*path), CgroupId(id)))
            .collect();
        let found = match_rules(&[rule("/burstable/*", "rest")], std::slice::from_ref(&pod), &walk);
        let names: Vec<&str> = found.workloads.keys().map(WorkloadName::as_str).collect();
        assert_eq!(names, ["rest/pod8", "shop/db-0"]);
        let db = &found.workloads["shop/db-0"];
        assert_eq!((&db.spec, db.ids.as_slice()), (&pod.spec, [1, 2, 3].map(CgroupId).as_slice()));
        assert_eq!(
            db.containers,
            Some(vec![(CgroupPath::from("/burstable/pod7/c1"), CgroupId(2))])
        );
        assert_eq!(found.workloads["rest/pod8"].containers, None);
    }

    #[test]
    fn equal_names_are_told_apart() {
        check(
            &[rule("/a/*/main", "w")],
            &["/a/x/main", "/a/y/main"],
            &["w/main /a/x/main 0", "w/main@/a/y/main /a/y/main 1"],
            &[],
        );
    }
}
