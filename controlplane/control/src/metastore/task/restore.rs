//! `berth-control metastore restore`: a new store of a snapshot file, or of an older state in a store's own log.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use metastore::copy::Copier;
use metastore::engine::log::{LogEngine, LogOptions};
use metastore::mvcc::Revision;
use metastore::rewind;
use metastore::snapshot::intake::{self, Intake};
use metastore::snapshot::reader::BoltFile;

use super::new_store::NewStore;
use super::progress::{Progress, bytes};
use super::{say, usage};

#[derive(Debug, clap::Args)]
pub(in crate::metastore) struct Args {
    /// A snapshot file, of `backup`, of etcdctl, or with --skip-hash-check an etcd's own member/snap/db
    #[arg(long, value_name = "FILE", required_unless_present = "from_data_dir")]
    from: Option<PathBuf>,
    /// The folder of a store that is stopped, or a copy of one that runs
    #[arg(long, value_name = "FOLDER", conflicts_with = "from", requires = "revision")]
    from_data_dir: Option<PathBuf>,
    /// With --from-data-dir: how the store was at this revision
    #[arg(long, value_name = "N", requires = "from_data_dir")]
    revision: Option<Revision>,
    /// The folder of the new store, which must not be there
    #[arg(long, value_name = "FOLDER")]
    data_dir: PathBuf,
    /// Go on at a revision that is so much higher, and forget those between: for clients that may have seen later ones than the file has.
    /// With --from-data-dir it is always above all revisions of that store
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    revision_bump: Revision,
    /// Take a file without a checksum
    #[arg(long, requires = "from")]
    skip_hash_check: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let new = NewStore::begin(&args.data_dir)?;
    match (&args.from, &args.from_data_dir, args.revision) {
        (Some(file), _, _) => from_file(args, file, new),
        (_, Some(folder), Some(revision)) => from_log(args, folder, revision, new),
        _ => usage("--from FILE, or --from-data-dir FOLDER with --revision N"),
    }
}

fn from_file(args: &Args, from: &Path, new: NewStore) -> anyhow::Result<()> {
    let engine = new.engine()?;
    let mut copier = Copier::begin(&engine)?;
    let taken = take_file(from, &mut copier, !args.skip_hash_check)?;
    bump(&mut copier, taken.revision, args.revision_bump)?;
    let revision = copier.finish()?;
    drop(engine);
    new.finish()?;
    let Intake { n_versions, leases, compacted, .. } = taken;
    let n_leases = leases.len();
    say(&format!(
        "{} is at revision {revision} with {n_versions} versions of keys since revision {compacted} and {n_leases} leases",
        args.data_dir.display()
    ));
    Ok(())
}

/// A snapshot into a log.
pub(super) fn take_file(
    from: &Path,
    copier: &mut Copier<'_>,
    is_checked: bool,
) -> anyhow::Result<Intake> {
    let what = || from.display().to_string();
    let mut file = File::open(from).with_context(what)?;
    let length = match is_checked {
        true => {
            let mut progress = Progress::new("checking");
            let mut checking = |read| progress.at(|| bytes(read));
            intake::verified_bytes(&mut file, &mut checking).with_context(what)?
        }
        false => file.metadata().with_context(what)?.len(),
    };
    let file = BoltFile::open(file, length).with_context(what)?;
    let mut progress = Progress::new("restoring");
    let taken = intake::take(&file, copier, &mut |n| progress.at(|| format!("{n} versions")));
    taken.with_context(what)
}

fn from_log(args: &Args, from: &Path, revision: Revision, new: NewStore) -> anyhow::Result<()> {
    let what = || from.display().to_string();
    if !from.join("FORMAT").is_file() {
        return usage(format!("{} is no folder of a store", from.display()));
    }
    let (old, _) = LogEngine::open(from, LogOptions::default()).with_context(what)?;
    let rewound = rewind::at(&old, revision).with_context(what)?;
    let engine = new.engine()?;
    let mut copier = Copier::begin(&engine)?;
    let mut progress = Progress::new("restoring");
    let mut copied = |n| progress.at(|| format!("{n} versions"));
    rewind::copy(&old, &rewound, &mut copier, &mut copied).with_context(what)?;
    drop(progress);
    // Clients have seen the revisions up to the newest with other contents.
    let above = rewound.newest - revision + i64::from(rewound.newest > revision);
    bump(&mut copier, revision, above + args.revision_bump)?;
    let now = copier.finish()?;
    drop(engine);
    new.finish()?;
    if !rewound.is_exact {
        say(
            "Leases are those of a later time: a key whose lease has ended since stays until it is deleted",
        );
    }
    say(&format!(
        "{} has what was there at revision {revision}, and is at revision {now}",
        args.data_dir.display()
    ));
    Ok(())
}

/// Whoever has seen something between the two is told to begin anew.
fn bump(copier: &mut Copier<'_>, from: Revision, by: Revision) -> anyhow::Result<()> {
    if by == 0 {
        return Ok(());
    }
    let Some(to) = from.checked_add(by) else {
        return usage(format!("--revision-bump {by}: above the last revision there can be"));
    };
    copier.transaction(to, &[])?;
    copier.compacted(to);
    Ok(())
}
