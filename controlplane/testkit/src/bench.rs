//! What every component of one test needs: a folder for logs and files, and where the programs lie. Starts nothing.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, thread};

use anyhow::Context as _;

use crate::programs::Programs;

/// One folder, one test. It is emptied at the start and left at the end, so that the logs of the last run can be read.
#[derive(Debug)]
pub struct Bench {
    folder: PathBuf,
    programs: Programs,
}

impl Bench {
    /// A bench named after the test that asks: the test harness names each thread after its test.
    pub fn of_test() -> anyhow::Result<Bench> {
        let thread = thread::current();
        let test = thread.name().unwrap_or("unnamed").replace("::", ".");
        Bench::in_folder(&logs().join(test))
    }

    /// A bench whose files lie in `folder`. What lies there is removed.
    pub fn in_folder(folder: &Path) -> anyhow::Result<Bench> {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("empty {}", folder.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        Ok(Bench { folder: folder.to_owned(), programs: Programs::find()? })
    }

    /// Where the logs lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A figure for a person: `cargo xtask test` prints it behind the tests, which the test harness does not with what a
    /// test prints.
    pub fn note(&self, line: &str) -> anyhow::Result<()> {
        let path = logs().join("figures");
        let file = File::options().create(true).append(true).open(&path);
        // One write, so that lines of two tests do not mix.
        file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
            .with_context(|| format!("write to {}", path.display()))
    }

    pub(crate) fn programs(&self) -> &Programs {
        &self.programs
    }

    /// A name that no other component of this bench has, with a folder of that name: "etcd", then "etcd-2".
    pub fn own_folder(&self, component: &str) -> anyhow::Result<PathBuf> {
        for number in 1.. {
            let name =
                if number == 1 { component.to_owned() } else { format!("{component}-{number}") };
            let folder = self.folder.join(name);
            match fs::create_dir(&folder) {
                Ok(()) => return Ok(folder),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("create {}", folder.display()));
                }
            }
        }
        unreachable!("invariant: the numbers do not end")
    }
}

/// Says where tests leave their logs; `cargo xtask test` sets it.
pub(crate) const LOGS: &str = "BERTH_E2E_LOGS";

fn logs() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    env::var_os(LOGS).map_or_else(|| repository.join("target/e2e-logs"), PathBuf::from)
}
