//! From cgroup paths to workloads: which rule a path matches and what the workload is called.
//! Pure; the walk is `workloads`'.

use std::collections::BTreeMap;

use hostfs::cgroup::glob::glob_matches;
use model::CgroupId;
use model::qos::{CgroupPath, WorkloadName};
use model::sample::WorkloadSpec;

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
}

/// What the rules make of a walk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matches {
    pub workloads: BTreeMap<WorkloadName, Match>,
    pub unmatched: Vec<String>,
}

/// Applies the rules to the cgroups of a walk, which come parents first. The first rule that
/// matches a path wins; a group inside a workload belongs to the outermost one.
pub fn match_rules(rules: &[Rule], walk: &[(CgroupPath, CgroupId)]) -> Matches {
    let mut matches = Matches::default();
    let mut used = vec![false; rules.len()];
    let mut owners: BTreeMap<CgroupPath, WorkloadName> = BTreeMap::new();
    for (path, id) in walk {
        if let Some(owner) = owner_of(path, &owners) {
            if let Some(found) = matches.workloads.get_mut(&owner) {
                found.ids.push(*id);
            }
            continue;
        }
        let hit = rules.iter().position(|rule| glob_matches(&rule.cgroup, path.as_str()));
        let Some(idx) = hit else {
            continue;
        };
        used[idx] = true;
        let rule = &rules[idx];
        let name = unique(name_of(rule, path), path, &matches);
        let found = Match { cgroup: path.clone(), ids: vec![*id], spec: rule.spec.clone() };
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
    use model::qos::QosLevel;

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
        let matches = match_rules(rules, &walk);
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
    fn equal_names_are_told_apart() {
        check(
            &[rule("/a/*/main", "w")],
            &["/a/x/main", "/a/y/main"],
            &["w/main /a/x/main 0", "w/main@/a/y/main /a/y/main 1"],
            &[],
        );
    }
}
