//! The agent's image: `berth-agent`, `berth`, the libraries that they need, and the loader. No distribution, no shell, no users.
//! The same programs and libraries give the same digest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::layout::{self, Files, Image};
use crate::ebpf;
use crate::test::build::{self, Profile};
use crate::vm::libs;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    output: super::Output,
    /// As a pod names it
    #[arg(long, default_value = REFERENCE)]
    name: String,
    /// `ci` is that of the tests: larger and slower, and there already after `cargo xtask test`
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
}

/// With a host in it, or a runtime would look for it at Docker Hub.
pub(crate) const REFERENCE: &str = concat!("localhost/berth-agent:", env!("CARGO_PKG_VERSION"));

const PROGRAMS: [&str; 2] = ["berth-agent", "berth"];
/// Is in the PATH of the image, so that `kubectl exec POD -- berth top` finds it.
const PLACE: &str = "usr/bin";

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let image = build(args.profile, &args.name)?;
    super::save(&image, &args.name, &args.output.or("berth-agent.tar"))
}

/// Builds the programs first.
pub(crate) fn build(profile: Profile, reference: &str) -> anyhow::Result<Image> {
    ebpf::ensure_built()?;
    let programs = build::agent_programs(profile, PROGRAMS)?;
    of(&programs, reference)
}

fn of(programs: &[PathBuf], reference: &str) -> anyhow::Result<Image> {
    let libraries = libraries(programs)?;
    let mut places = libraries.iter().map(|it| it.place.clone()).collect::<Vec<_>>();
    let copies = programs.iter().map(|program| {
        let name = program.file_name().context("a program has a name")?;
        Ok((program, Path::new(PLACE).join(name)))
    });
    let copies = copies.collect::<anyhow::Result<Vec<_>>>()?;
    places.extend(copies.iter().map(|(_, place)| place.clone()));
    let mut files = Files::default();
    for folder in folders(&places) {
        files.folder(text(&folder)?)?;
    }
    for library in &libraries {
        files.copy(&library.from, text(&library.place)?, 0o755)?;
    }
    for (from, place) in &copies {
        files.copy(from, text(place)?, 0o755)?;
    }
    layout::archive(reference, files, &["/usr/bin/berth-agent"])
}

/// A library, and where it goes.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Library {
    from: PathBuf,
    place: PathBuf,
}

fn libraries(programs: &[PathBuf]) -> anyhow::Result<BTreeSet<Library>> {
    let mut found = BTreeSet::new();
    for program in programs {
        found.extend(libs::needed_by(program)?);
    }
    placed(&found)
}

/// Where the loader of the image finds them. It has no list of folders (`ld.so.cache`) there: the folder of libc is one that
/// every loader knows by itself, whatever the distribution calls it, and the loader's own path stands in the programs.
fn placed(found: &BTreeSet<PathBuf>) -> anyhow::Result<BTreeSet<Library>> {
    let libc = found.iter().find(|path| path.ends_with("libc.so.6"));
    let Some(folder) = libc.and_then(|path| path.parent()) else {
        if found.is_empty() {
            return Ok(BTreeSet::new());
        }
        bail!(
            "the programs need {found:?}, among which is no glibc; the image is for programs of glibc"
        );
    };
    let mut libraries = BTreeSet::new();
    for from in found {
        let name = from.file_name().context("a library has a name")?;
        let is_loader = name.as_encoded_bytes().starts_with(b"ld-linux");
        let place = if is_loader { from.clone() } else { folder.join(name) };
        let place = place.strip_prefix("/").unwrap_or(&place).to_owned();
        libraries.insert(Library { from: from.clone(), place });
    }
    Ok(libraries)
}

/// The folders above the files, each before those in it.
fn folders(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let above = files.iter().flat_map(|file| file.ancestors().skip(1));
    above.filter(|folder| !folder.as_os_str().is_empty()).map(Path::to_owned).collect()
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::{folders, of, placed};

    #[track_caller]
    fn check(found: &[&str], expected: Result<&[&str], &str>) {
        let found: BTreeSet<_> = found.iter().map(PathBuf::from).collect();
        match (placed(&found), expected) {
            (Ok(libraries), Ok(expected)) => {
                let places = libraries.iter().map(|it| it.place.to_str().unwrap());
                assert_eq!(places.collect::<Vec<_>>(), expected);
            }
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (got, expected) => panic!("{got:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn libraries_go_where_the_loader_looks_by_itself() {
        check(&[], Ok(&[]));
        check(
            &["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2", "/opt/a/libm.so.6"],
            Ok(&[
                "lib/x86_64-linux-gnu/libc.so.6",
                "lib64/ld-linux-x86-64.so.2",
                "lib/x86_64-linux-gnu/libm.so.6",
            ]),
        );
        check(&["/lib/ld-musl-x86_64.so.1"], Err("no glibc"));
    }

    #[test]
    fn a_folder_comes_before_what_is_in_it() {
        let files = ["usr/bin/a", "usr/bin/b", "lib/c"].map(PathBuf::from);
        let expected = ["lib", "usr", "usr/bin"].map(PathBuf::from);
        assert_eq!(folders(&files), BTreeSet::from(expected));
        assert_eq!(folders(&[]), BTreeSet::new());
    }

    /// This test is a program of glibc, as the agent is.
    #[test]
    fn the_same_programs_give_the_same_digest_and_a_missing_one_is_named() {
        let programs = [std::env::current_exe().unwrap()];
        let image = of(&programs, "a.test/a:1").unwrap();
        assert_eq!(of(&programs, "a.test/a:1").unwrap().digest, image.digest);
        assert_eq!(image.digest.len(), "sha256:".len() + 64);
        let error = of(&[PathBuf::from("/nowhere/berth")], "a.test/a:1").unwrap_err();
        assert!(error.to_string().contains("/nowhere/berth"), "{error:#}");
    }
}
