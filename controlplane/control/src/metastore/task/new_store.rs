//! A store in the making: a folder beside the one that it will be, which gets its name when everything is in it and durable. What is cut
//! short is never taken for a store.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use metastore::engine::log::{LogEngine, LogOptions};

use super::backup::with_suffix;
use super::usage;

#[derive(Debug)]
pub(super) struct NewStore {
    to: PathBuf,
    making: PathBuf,
}

impl NewStore {
    /// Leftovers of one that was cut short are removed: nobody can go on with them.
    pub(super) fn begin(to: &Path) -> anyhow::Result<NewStore> {
        let is_used = fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some());
        if is_used || to.is_file() {
            return usage(format!("{} is there already; name a new folder", to.display()));
        }
        let name: PathBuf = to.components().collect();
        let making = with_suffix(&name, ".making");
        if making.exists() {
            fs::remove_dir_all(&making)
                .with_context(|| format!("remove {}, left from before", making.display()))?;
        }
        Ok(NewStore { to: name, making })
    }

    pub(super) fn engine(&self) -> anyhow::Result<LogEngine> {
        if let Some(parent) = self.making.parent() {
            fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        }
        let opened = LogEngine::open(&self.making, LogOptions::default());
        Ok(opened.with_context(|| format!("make a log in {}", self.making.display()))?.0)
    }

    /// For a file that is needed meanwhile.
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        with_suffix(&self.to, suffix)
    }

    /// Throws away what there is so far.
    pub(super) fn again(&self) -> anyhow::Result<()> {
        fs::remove_dir_all(&self.making)
            .with_context(|| format!("remove {}", self.making.display()))
    }

    pub(super) fn finish(self) -> anyhow::Result<()> {
        let NewStore { to, making } = self;
        if to.is_dir() {
            fs::remove_dir(&to).with_context(|| format!("replace the empty {}", to.display()))?;
        }
        fs::rename(&making, &to).with_context(|| format!("give {} its name", to.display()))?;
        let parent = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        let parent =
            File::open(parent.unwrap_or_else(|| Path::new("."))).context("open the folder")?;
        parent.sync_all().context("make the name durable")
    }
}
