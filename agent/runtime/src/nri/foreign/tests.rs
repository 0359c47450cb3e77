//! Requests as a runtime makes them up from what several plugins said.

use proto::nri::{
    CompoundFieldOwners, Container, ContainerAdjustment, ContainerUpdate, LinuxContainerAdjustment,
    LinuxContainerUpdate, LinuxCpu, OwningPlugins,
};

use super::*;

const OWN: &str = "50-berth";
const PIN: &str = "10-pin";

/// Fields of one container: the cpuset by fields, files by name, and who set which.
#[derive(Default)]
struct Wanted {
    cpus: &'static str,
    mems: &'static str,
    files: &'static [(&'static str, &'static str)],
    by_field: &'static [(Field, &'static str)],
    by_file: &'static [(&'static str, &'static str)],
}

impl Wanted {
    fn resources(&self) -> LinuxResources {
        let (cpus, mems) = (self.cpus.to_owned(), self.mems.to_owned());
        let text = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        LinuxResources {
            cpu: Some(LinuxCpu { cpus, mems, ..LinuxCpu::default() }),
            unified: self.files.iter().map(text).collect(),
            ..LinuxResources::default()
        }
    }

    fn owners(&self) -> FieldOwners {
        let by_field = self.by_field.iter().map(|(field, by)| ((*field).into(), (*by).to_owned()));
        let by_file = self.by_file.iter().map(|(file, by)| ((*file).to_owned(), (*by).to_owned()));
        let files = CompoundFieldOwners { owners: by_file.collect() };
        let compound = [(Field::CgroupsUnified.into(), files)].into();
        FieldOwners { simple: by_field.collect(), compound }
    }
}

/// `new` is made; `old` runs.
fn request(made: &Wanted, changed: &Wanted) -> ValidateContainerAdjustmentRequest {
    let linux = LinuxContainerAdjustment { resources: Some(made.resources()), oom_score_adj: None };
    let update = ContainerUpdate {
        container_id: "old".to_owned(),
        linux: Some(LinuxContainerUpdate { resources: Some(changed.resources()) }),
        ignore_failure: false,
    };
    let owners = [("new".to_owned(), made.owners()), ("old".to_owned(), changed.owners())].into();
    ValidateContainerAdjustmentRequest {
        pod: None,
        container: Some(Container { id: "new".to_owned(), ..Container::default() }),
        adjust: Some(ContainerAdjustment { linux: Some(linux), ..ContainerAdjustment::default() }),
        update: vec![update],
        owners: Some(OwningPlugins { owners }),
    }
}

fn own() -> Identity {
    Identity { name: "berth".to_owned(), index: 50 }
}

#[track_caller]
fn check(request: &ValidateContainerAdjustmentRequest, expected: &[&str]) {
    let found = foreign_cpusets(request, &own());
    let found: Vec<String> = found
        .iter()
        .map(|one| format!("{} {} {}={}", one.plugin, one.container, one.field.file(), one.text))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn what_others_set_is_told_apart_from_what_we_set() {
    const CPUS: Field = Field::CpusetCpus;
    const MEMS: Field = Field::CpusetMems;
    let ours = Wanted {
        cpus: "2-3",
        mems: "0",
        by_field: &[(CPUS, OWN), (MEMS, OWN)],
        ..Wanted::default()
    };
    check(&request(&ours, &Wanted::default()), &[]);
    let theirs = Wanted { by_field: &[(CPUS, PIN), (MEMS, OWN)], ..ours };
    check(&request(&theirs, &Wanted::default()), &["10-pin new cpuset.cpus=2-3"]);
    check(&request(&Wanted::default(), &theirs), &["10-pin old cpuset.cpus=2-3"]);
    let both = Wanted { by_field: &[(CPUS, PIN), (MEMS, PIN)], ..theirs };
    check(&request(&both, &ours), &["10-pin new cpuset.cpus=2-3", "10-pin new cpuset.mems=0"]);
}

/// Written after the fields, so that it is what the container gets.
#[test]
fn files_by_name_are_seen_beside_the_fields() {
    let wanted = Wanted {
        cpus: "0-1",
        files: &[("cpuset.cpus", "2"), ("cpuset.mems", "1"), ("memory.high", "1")],
        by_field: &[(Field::CpusetCpus, OWN)],
        by_file: &[("cpuset.cpus", PIN), ("cpuset.mems", OWN), ("memory.high", PIN)],
        ..Wanted::default()
    };
    check(&request(&wanted, &Wanted::default()), &["10-pin new cpuset.cpus=2"]);
}

#[test]
fn what_nobody_is_noted_for_is_nobodys() {
    let wanted = Wanted { cpus: "2", ..Wanted::default() };
    check(&request(&wanted, &wanted), &[]);
    let noted = Wanted { by_field: &[(Field::CpusetCpus, PIN)], ..Wanted::default() };
    check(&request(&noted, &noted), &[]);
    let mut bare = request(&Wanted { cpus: "2", ..noted }, &Wanted::default());
    bare.container = None;
    check(&bare, &[]);
    bare = request(&Wanted::default(), &Wanted::default());
    bare.owners = None;
    bare.adjust = None;
    check(&bare, &[]);
    check(&ValidateContainerAdjustmentRequest::default(), &[]);
}
