//! `berth-agent simulate`: reads the document and the trees it names, prints what `sim` answers.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use hostfs::HostRoot;
use model::Topology;

/// Bytes of a document: far over any scenario.
const MAX_DOCUMENT: u64 = 64 << 20;

/// Prints one line of JSON per step; `false` when the document itself was refused.
pub fn run(file: &Path) -> anyhow::Result<bool> {
    let text = read_text(file).with_context(|| format!("read {}", file.display()))?;
    let folder = file.parent().unwrap_or_else(|| Path::new(""));
    let transcript = sim::simulate(&text, &|tree| read_tree(folder, tree));
    let mut out = std::io::stdout().lock();
    out.write_all(transcript.lines.as_bytes()).context("print the answers")?;
    out.flush().context("print the answers")?;
    Ok(!transcript.is_refused)
}

fn read_text(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(MAX_DOCUMENT + 1).read_to_string(&mut text)?;
    ensure!(text.len() as u64 <= MAX_DOCUMENT, "it has more than {MAX_DOCUMENT} bytes");
    Ok(text)
}

/// A recorded tree has `sys` and `proc` in it; its path is taken from where the command runs, else
/// from the folder of the document.
fn read_tree(folder: &Path, tree: &str) -> Result<Topology, String> {
    let here = PathBuf::from(tree);
    let root = if here.is_dir() { here } else { folder.join(tree) };
    hostfs::read_topology(&HostRoot::new(&root)).map_err(|error| kit::chain(&error).to_string())
}
