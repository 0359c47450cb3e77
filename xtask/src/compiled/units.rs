//! Which units a build consisted of, by cargo's messages about it, and which files are whose. Knows how cargo names them: a folder
//! `PACKAGE-HASH` for each unit in `.fingerprint` and `build`, and files with the same hash in `deps`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;

/// One crate as it was compiled once, or one run of a build script.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Unit {
    /// `PACKAGE-HASH`.
    pub(super) folder: String,
    pub(super) hash: String,
}

impl Unit {
    /// `None` for a name that no unit has.
    pub(super) fn of_folder(name: &str) -> Option<Unit> {
        let hash = hash_of(name)?;
        Some(Unit { folder: name.to_owned(), hash: hash.to_owned() })
    }
}

/// The files of `deps` by the hash of their unit.
pub(super) fn by_hash(names: Vec<String>) -> BTreeMap<String, Vec<String>> {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in names {
        let hash = name.split('.').next().and_then(hash_of).map(str::to_owned);
        if let Some(hash) = hash {
            files.entry(hash).or_default().push(name);
        }
    }
    files
}

fn hash_of(name: &str) -> Option<&str> {
    let (_, hash) = name.rsplit_once('-')?;
    (hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(hash)
}

#[derive(Debug, Deserialize)]
struct Message {
    package_id: String,
    /// Of a crate.
    #[serde(default)]
    filenames: Vec<PathBuf>,
    /// Of a build script that has run.
    out_dir: Option<PathBuf>,
    /// Whether the crate was there already.
    #[serde(default)]
    fresh: bool,
}

/// Those of a build, of packages that do not lie in a folder of somebody who may change them.
#[derive(Debug, Default)]
pub(super) struct Units {
    pub(super) all: BTreeSet<Unit>,
    /// Some were compiled for this build.
    pub(super) has_new: bool,
}

pub(super) fn of(messages: &str) -> Units {
    let parsed = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let mut units = Units::default();
    for message in parsed {
        let Some(unit) = unit(&message) else { continue };
        units.all.insert(unit);
        units.has_new |= !message.fresh && message.out_dir.is_none();
    }
    units
}

fn unit(message: &Message) -> Option<Unit> {
    let (source, version) = message.package_id.split_once('#')?;
    if !source.starts_with("registry+") {
        return None;
    }
    let (package, _) = version.split_once('@')?;
    if let Some(out_dir) = &message.out_dir {
        return Unit::of_folder(out_dir.parent()?.file_name()?.to_str()?);
    }
    let file = message.filenames.first()?;
    // The program of a build script has a folder and no hash of its own.
    let folder = file.parent()?.file_name()?.to_str()?;
    if let Some(unit) = Unit::of_folder(folder) {
        return Some(unit);
    }
    let hash = hash_of(file.file_name()?.to_str()?.split('.').next()?)?;
    Unit::of_folder(&format!("{package}-{hash}"))
}

#[cfg(test)]
mod tests {
    use super::{Unit, by_hash, of};

    #[track_caller]
    fn check(message: &str, expected: Option<&str>) {
        let found = of(message).all;
        let expected = expected.map(|name| Unit::of_folder(name).expect("it is well formed"));
        assert_eq!(Vec::from_iter(found), Vec::from_iter(expected));
    }

    #[test]
    fn units_of_messages() {
        let serde = r#""package_id":"registry+https://example.com/index#serde-saphyr@1.0.2""#;
        let files = r#""filenames":["/t/ci/deps/libserde_saphyr-0afc7eb8f897406c.rlib","/t/x"]"#;
        check(&format!("{{{serde},{files}}}"), Some("serde-saphyr-0afc7eb8f897406c"));
        let script =
            r#""filenames":["/t/ci/build/serde-saphyr-13c5a68b88543f55/build-script-build"]"#;
        check(&format!("{{{serde},{script}}}"), Some("serde-saphyr-13c5a68b88543f55"));
        let ran = r#""out_dir":"/t/ci/build/serde-saphyr-e34d254a349895d8/out""#;
        check(&format!("{{{serde},{ran}}}"), Some("serde-saphyr-e34d254a349895d8"));
        check(&format!(r#"{{"package_id":"path+file:///w/model#0.1.0",{files}}}"#), None);
        check(r#"{"reason":"build-finished","success":true}"#, None);
        check("prose", None);
        check(&format!(r#"{{{serde},"filenames":["/t/ci/deps/libserde.rlib"]}}"#), None);
    }

    #[test]
    fn whether_a_build_has_compiled_anything() {
        let of_one = |package: &str, is_fresh: bool| {
            let file = "/t/ci/deps/libserde-0afc7eb8f897406c.rlib";
            of(&format!(
                r#"{{"package_id":"{package}","filenames":["{file}"],"fresh":{is_fresh}}}"#
            ))
        };
        let serde = "registry+https://example.com/index#serde@1.0.2";
        assert!(of_one(serde, false).has_new);
        assert!(!of_one(serde, true).has_new);
        assert!(!of_one("path+file:///w/model#0.1.0", false).has_new, "ours is no matter");
    }

    #[test]
    fn files_of_a_unit_have_its_hash() {
        let names = ["liba-0afc7eb8f897406c.rlib", "a-0afc7eb8f897406c.d", "b-0", "c.d"];
        let files = by_hash(names.map(str::to_owned).to_vec());
        assert_eq!(files.len(), 1);
        assert_eq!(files["0afc7eb8f897406c"], &names[..2]);
    }
}
