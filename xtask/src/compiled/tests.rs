//! Units go to the cache and into another checkout, whole and all of one time.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{Kept, Unit, Units};

const A: &str = "a-00000000000000aa";
const B: &str = "b-00000000000000bb";

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A build of one library, a build script that has run, and a crate of the workspace.
fn built(output: &Path) {
    write(output, "deps/liba-00000000000000aa.rlib", "rlib");
    write(output, "deps/a-00000000000000aa.d", "d");
    write(output, &format!(".fingerprint/{A}/lib-a"), "1");
    write(output, &format!("build/{B}/output"), "cargo::rustc-cfg=x");
    fs::create_dir_all(output.join("build").join(B).join("out")).unwrap();
    write(output, &format!(".fingerprint/{B}/run-build-script"), "2");
    write(output, "deps/libmodel-00000000000000cc.rlib", "ours");
    write(output, ".fingerprint/model-00000000000000cc/lib-model", "3");
}

fn units() -> Units {
    Units { all: [A, B].map(|name| Unit::of_folder(name).unwrap()).into(), has_new: false }
}

fn kept(folder: &Path, name: &str, checkout: &str) -> Kept {
    Kept { shelf: folder.join("shelf"), name: name.to_owned(), output: folder.join(checkout) }
}

/// A checkout that has built and kept its units.
fn first(folder: &Path) -> Kept {
    let first = kept(folder, "ci-1", "first");
    built(&first.output);
    first.keep(&units()).unwrap();
    first
}

#[test]
fn another_checkout_begins_with_what_one_has_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let first = kept(folder.path(), "ci-1", "first");
    let now = SystemTime::now() - Duration::from_secs(1000);
    assert_eq!(first.bring(now).unwrap(), 0, "nothing is kept yet");
    built(&first.output);
    first.keep(&units()).unwrap();

    let second = kept(folder.path(), "ci-1", "second");
    assert_eq!(second.bring(now).unwrap(), 2);
    let read = |name: &str| fs::read_to_string(second.output.join(name)).unwrap();
    assert_eq!(read("deps/liba-00000000000000aa.rlib"), "rlib");
    assert_eq!(read(&format!("build/{B}/output")), "cargo::rustc-cfg=x");
    assert!(second.output.join("build").join(B).join("out").is_dir());
    assert!(
        !second.output.join("deps/libmodel-00000000000000cc.rlib").exists(),
        "ours is not kept"
    );
    for name in ["deps/a-00000000000000aa.d", &format!(".fingerprint/{B}/run-build-script")] {
        let modified = fs::metadata(second.output.join(name)).unwrap().modified().unwrap();
        assert_eq!(modified, now, "{name}");
    }
    assert_eq!(second.bring(now).unwrap(), 0, "it is there");
}

#[test]
fn what_is_there_already_stays_and_what_is_damaged_is_not_brought() {
    let folder = tempfile::tempdir().unwrap();
    let first = first(folder.path());
    let second = kept(folder.path(), "ci-1", "second");
    write(&second.output, &format!(".fingerprint/{A}/lib-a"), "compiled here");
    assert_eq!(second.bring(SystemTime::now()).unwrap(), 1);
    let own = fs::read_to_string(second.output.join(".fingerprint").join(A).join("lib-a"));
    assert_eq!(own.unwrap(), "compiled here");

    fs::write(first.place().join("deps/liba-00000000000000aa.rlib"), "").unwrap();
    let third = kept(folder.path(), "ci-1", "third");
    let error = third.bring(SystemTime::now()).unwrap_err().to_string();
    assert!(error.contains("is damaged"), "{error}");
    assert!(!third.output.exists());
}

#[test]
fn what_had_to_be_compiled_again_takes_the_place_of_what_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    first(folder.path());
    let second = kept(folder.path(), "ci-1", "second");
    built(&second.output);
    write(&second.output, "deps/liba-00000000000000aa.rlib", "another");
    let is = || fs::read_to_string(second.place().join("deps/liba-00000000000000aa.rlib")).unwrap();
    second.keep(&units()).unwrap();
    assert_eq!(is(), "rlib");
    second.keep(&Units { has_new: true, ..units() }).unwrap();
    assert_eq!(is(), "another");
}

#[test]
fn one_lock_file_is_kept_for_each_profile() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["ci-1", "debug-1", "ci-2"] {
        let one = kept(folder.path(), name, name);
        built(&one.output);
        one.keep(&units()).unwrap();
    }
    let there = |name: &str| folder.path().join("shelf").join(name).exists();
    assert_eq!(["ci-1", "debug-1", "ci-2"].map(there), [false, true, true]);
}
