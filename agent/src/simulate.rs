//! `berth-agent simulate`: reads the document and the trees it names, prints what `sim` answers.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hostfs::HostRoot;
use model::Topology;
use sim::Transcript;

use crate::config;

/// Prints one line of JSON per step; `false` when the document itself was refused.
pub fn run(file: &Path) -> anyhow::Result<bool> {
    let transcript = answers(file)?;
    let mut out = std::io::stdout().lock();
    out.write_all(transcript.lines.as_bytes()).context("print the answers")?;
    out.flush().context("print the answers")?;
    Ok(!transcript.is_refused)
}

fn answers(file: &Path) -> anyhow::Result<Transcript> {
    let text = config::read_text(file).with_context(|| format!("read {}", file.display()))?;
    let folder = file.parent().unwrap_or_else(|| Path::new(""));
    Ok(sim::simulate(&text, &|tree| read_tree(folder, tree)))
}

/// A recorded tree has `sys` and `proc` in it; its path is taken from where the command runs, else
/// from the folder of the document, and may also be that of its `sys`.
fn read_tree(folder: &Path, tree: &str) -> Result<Topology, String> {
    let here = PathBuf::from(tree);
    let root = if here.is_dir() { here } else { folder.join(tree) };
    let is_sys = root.join("devices/system/cpu").is_dir() && root.ends_with("sys");
    let root = if is_sys { root.parent().unwrap_or(&root) } else { &root };
    hostfs::read_topology(&HostRoot::new(root)).map_err(|error| kit::chain(&error).to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// Two nodes of two cores of two threads, as sysfs shows them: core 0 is CPUs 0 and 4.
    fn machine() -> TempDir {
        let root = TempDir::new().expect("a folder");
        let write = |path: String, text: &str| {
            let path = root.path().join("tree/sys/devices/system").join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            fs::write(path, text).expect("a file");
        };
        write("cpu/online".to_owned(), "0-7\n");
        write("cpu/present".to_owned(), "0-7\n");
        for cpu in 0..8 {
            let (core, socket) = (cpu % 4, cpu % 4 / 2);
            let siblings = format!("{core},{}\n", core + 4);
            write(format!("cpu/cpu{cpu}/topology/thread_siblings_list"), &siblings);
            write(format!("cpu/cpu{cpu}/topology/core_id"), &format!("{core}\n"));
            write(format!("cpu/cpu{cpu}/topology/physical_package_id"), &format!("{socket}\n"));
        }
        write("node/node0/cpulist".to_owned(), "0-1,4-5\n");
        write("node/node1/cpulist".to_owned(), "2-3,6-7\n");
        root
    }

    fn said(root: &TempDir, document: &[u8]) -> anyhow::Result<Transcript> {
        let file = root.path().join("document.yaml");
        fs::write(&file, document)?;
        answers(&file)
    }

    #[test]
    fn a_recorded_tree_is_a_machine_as_a_shape_is() {
        let root = machine();
        let absolute = root.path().join("tree").display().to_string();
        let rest = "policy: {reserved_cpus: 2}\nsteps: [show: [pools]]\n";
        let shape = "machine: {sockets: 2, cores_per_numa: 2, threads_per_core: 2}\n";
        let expect = said(&root, format!("{shape}{rest}").as_bytes()).expect("answers");
        for tree in ["tree", "tree/sys", absolute.as_str()] {
            let document = format!("machine: {{tree: {tree}}}\n{rest}");
            assert_eq!(said(&root, document.as_bytes()).expect("answers"), expect, "{tree}");
        }
        let none = said(&root, b"machine: {tree: nowhere}").expect("an answer");
        assert!(none.is_refused && none.lines.contains("machine.tree: "), "{}", none.lines);
    }

    #[test]
    fn files_that_are_no_text_are_told() {
        let root = machine();
        let error = said(&root, b"machine: \xff").expect_err("no text");
        assert!(format!("{error:#}").contains("document.yaml"), "{error:#}");
        answers(&root.path().join("none.yaml")).unwrap_err();
        assert!(answers(root.path()).is_err(), "a folder is no document");
    }
}
