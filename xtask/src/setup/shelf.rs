//! Folders of the cache come into being whole: what is made lies in a `.part` beside its place until it is on the disk, with a
//! list of its files. Owns how a whole folder is told from a damaged one; what is in it is the callers'.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::shell;

/// The list: a line `BYTES PATH` for each file.
const LIST: &str = ".files";

/// Are all files of `place` there, and none of them shorter than when it was made? A power cut, a full disk or a person may
/// have taken some; then it is made again.
pub(crate) fn is_whole(place: &Path) -> bool {
    let list = fs::read_to_string(place.join(LIST)).unwrap_or_default();
    let is_there = |line: &str| {
        let size = line.split_once(' ').and_then(|(bytes, path)| {
            Some((bytes.parse::<u64>().ok()?, fs::metadata(place.join(path)).ok()?.size()))
        });
        size.is_some_and(|(listed, found)| found >= listed)
    };
    !list.is_empty() && list.lines().all(is_there)
}

/// Puts `staging` where a damaged or an older `place` is, once it is on the disk.
pub(crate) fn put(staging: &Path, place: &Path) -> anyhow::Result<()> {
    let mut files = Vec::new();
    collect(staging, &mut files)?;
    ensure!(!files.is_empty(), "nothing was made in {}", staging.display());
    let mut list = String::new();
    for file in files {
        let path = file.strip_prefix(staging).unwrap_or(&file);
        let path = path.to_str().with_context(|| format!("odd name {}", file.display()))?;
        let size =
            fs::metadata(&file).with_context(|| format!("look at {}", file.display()))?.size();
        list += &format!("{size} {path}\n");
    }
    fs::write(staging.join(LIST), list).with_context(|| format!("list {}", staging.display()))?;
    sync(staging)?;
    remove(place)?;
    fs::rename(staging, place).with_context(|| format!("move into {}", place.display()))
}

/// Removes a folder if there is one.
pub(crate) fn remove(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    Ok(())
}

/// Two set-ups at a time would write into the same `.part`. The kernel drops the lock with its holder.
pub(crate) fn lock(shelf: &Path) -> anyhow::Result<File> {
    fs::create_dir_all(shelf).with_context(|| format!("create {}", shelf.display()))?;
    let path = shelf.join("lock");
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    file.lock().with_context(|| format!("lock {}", path.display()))?;
    Ok(file)
}

/// Regular files below `folder`; a link's target may be anywhere.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Without it a power cut after the move could leave the names of files that are empty.
fn sync(folder: &Path) -> anyhow::Result<()> {
    shell::quiet(Command::new("sync").arg("--file-system").arg(folder))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::{is_whole, put};

    fn make(shelf: &Path) -> std::path::PathBuf {
        let (staging, place) = (shelf.join("it.part"), shelf.join("it"));
        fs::create_dir_all(staging.join("bin")).unwrap();
        fs::write(staging.join("bin/a program"), "program").unwrap();
        fs::write(staging.join("empty"), "").unwrap();
        symlink("/nowhere", staging.join("link")).unwrap();
        put(&staging, &place).unwrap();
        place
    }

    /// `damage` is done to a whole folder.
    #[track_caller]
    fn check(damage: impl FnOnce(&Path), expected: bool) {
        let shelf = tempfile::tempdir().unwrap();
        let place = make(shelf.path());
        assert!(is_whole(&place));
        damage(&place);
        assert_eq!(is_whole(&place), expected);
        assert_eq!(make(shelf.path()), place);
        assert!(is_whole(&place), "made again in its place");
    }

    #[test]
    fn a_folder_is_whole_while_no_file_is_missing_or_shorter() {
        check(|_| {}, true);
        check(|place| fs::write(place.join("bin/a program"), "").unwrap(), false);
        check(|place| fs::write(place.join("bin/a program"), "progra").unwrap(), false);
        check(|place| fs::remove_file(place.join("empty")).unwrap(), false);
        check(|place| fs::remove_dir_all(place.join("bin")).unwrap(), false);
        check(|place| fs::write(place.join("states"), "made later").unwrap(), true);
        check(|place| fs::write(place.join("empty"), "grew").unwrap(), true);
        check(|place| fs::write(place.join(".files"), "").unwrap(), false);
        check(|place| fs::write(place.join(".files"), "x empty\n").unwrap(), false);
        check(|place| fs::remove_dir_all(place).unwrap(), false);
    }

    #[test]
    fn what_is_not_there_is_not_whole_and_nothing_is_not_put() {
        let shelf = tempfile::tempdir().unwrap();
        let (staging, place) = (shelf.path().join("it.part"), shelf.path().join("it"));
        assert!(!is_whole(&place));
        fs::create_dir(&staging).unwrap();
        assert!(put(&staging, &place).unwrap_err().to_string().contains("nothing was made"));
        assert!(!place.exists());
    }
}
