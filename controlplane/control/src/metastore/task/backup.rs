//! `berth-control metastore backup`: the snapshot that a server streams, into a file that is either whole and right or not there.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use metastore::snapshot::intake;
use proto::etcd::etcdserverpb::SnapshotRequest;
use proto::etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use tonic::transport::Channel;

use super::client;
use super::progress::{Progress, bytes};
use super::{say, usage};
use crate::credentials::Credentials;

#[derive(Debug, clap::Args)]
pub(in crate::metastore) struct Args {
    /// Where the store is: http://HOST:PORT or https://HOST:PORT
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:2379")]
    endpoint: String,
    /// The file that is made; one that is there is never written over
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    credentials: Credentials,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<()> {
    if args.to.exists() {
        return usage(format!("{} is there already", args.to.display()));
    }
    let channel = client::connect(&args.endpoint, &args.credentials).await?;
    let n_bytes = fetch(channel, &args.to).await?;
    say(&format!(
        "{} has {} and the checksum that it must have",
        args.to.display(),
        bytes(n_bytes)
    ));
    Ok(())
}

/// Durable under its name when it returns, and never there in part.
pub(super) async fn fetch(channel: Channel, to: &Path) -> anyhow::Result<u64> {
    let temporary = with_suffix(to, ".part");
    let fetched = stream_into(channel, &temporary).await;
    let checked = fetched.and_then(|()| check(&temporary));
    let named = checked.and_then(|n_bytes| give_name(&temporary, to).map(|()| n_bytes));
    if named.is_err() {
        // Only room is lost if this fails too.
        let _ = fs::remove_file(&temporary);
    }
    named
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

async fn stream_into(channel: Channel, temporary: &Path) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).open(temporary);
    let file = file.with_context(|| format!("make {}", temporary.display()))?;
    let mut writer = BufWriter::with_capacity(1 << 20, &file);
    let mut client = MaintenanceClient::new(channel).max_decoding_message_size(usize::MAX);
    let parts = client.snapshot(SnapshotRequest::default()).await;
    let mut parts = parts.context("ask for a snapshot")?.into_inner();
    let mut progress = Progress::new("fetching");
    let mut taken = 0;
    while let Some(part) = parts.message().await.context("the snapshot ends before its end")? {
        taken += part.blob.len() as u64;
        let all = taken + part.remaining_bytes;
        progress.at(|| format!("{} of {}", bytes(taken), bytes(all)));
        writer.write_all(&part.blob).with_context(|| format!("write {}", temporary.display()))?;
    }
    writer.flush().and_then(|()| file.sync_all()).context("make the file durable")
}

/// As it lies on the disk, not as it came.
fn check(file: &Path) -> anyhow::Result<u64> {
    let mut file = File::open(file).context("read the file again")?;
    let mut progress = Progress::new("checking");
    Ok(intake::verified_bytes(&mut file, &mut |read| progress.at(|| bytes(read)))?)
}

/// A link, because a file that has come there meanwhile is not to be replaced.
fn give_name(temporary: &Path, to: &Path) -> anyhow::Result<()> {
    fs::hard_link(temporary, to).with_context(|| format!("give {} its name", to.display()))?;
    fs::remove_file(temporary).with_context(|| format!("remove {}", temporary.display()))?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or_else(|| Path::new("."))).context("open the folder")?;
    folder.sync_all().context("make the name durable")
}
