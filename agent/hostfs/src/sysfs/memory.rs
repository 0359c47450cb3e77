//! Memory of each NUMA node as it is used now. Files are read by path: they are small, and so seldom
//! read that held descriptors would buy nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::measured::NodeMemory;
use model::{Bytes, NumaNodeId};

use crate::error::ReadError;
use crate::file::read_path;
use crate::procfs::parse::low_watermarks;
use crate::root::HostRoot;
use crate::sysfs::parse;
use crate::sysfs::raw::numbered;

/// Which nodes there are, and the watermarks as last read.
#[derive(Debug)]
pub struct NodeMemoryFiles {
    nodes: Vec<(NumaNodeId, PathBuf)>,
    zoneinfo: PathBuf,
    low_pages: BTreeMap<NumaNodeId, u64>,
}

impl NodeMemoryFiles {
    /// A kernel without NUMA has no node directory: then there are no nodes.
    pub fn open(host: &HostRoot) -> Result<NodeMemoryFiles, ReadError> {
        let dirs = numbered(&host.sys().join("devices/system/node"), "node")?;
        let files = dirs.into_iter().map(|(id, dir)| (NumaNodeId(id), dir.join("meminfo")));
        let zoneinfo = host.proc().join("zoneinfo");
        let mut open =
            NodeMemoryFiles { nodes: files.collect(), zoneinfo, low_pages: BTreeMap::new() };
        open.read_watermarks()?;
        Ok(open)
    }

    /// `/proc/zoneinfo` has a paragraph for every CPU in every zone, a megabyte on a large machine,
    /// and its watermarks change when memory is plugged or an operator tunes them.
    pub fn read_watermarks(&mut self) -> Result<(), ReadError> {
        self.low_pages = match read_path(&self.zoneinfo, low_watermarks) {
            Err(ReadError::Absent { .. }) => BTreeMap::new(),
            read => read?,
        };
        Ok(())
    }

    /// Use of every node; one whose file does not tell total and free is left out.
    pub fn read(&self) -> Result<BTreeMap<NumaNodeId, NodeMemory>, ReadError> {
        let page = rustix::param::page_size() as u64;
        let mut all = BTreeMap::new();
        for (id, path) in &self.nodes {
            let memory = match read_path(path, parse::node_meminfo) {
                Err(ReadError::Absent { .. }) => continue,
                read => read?,
            };
            let (Some(total), Some(free)) = (memory.total, memory.free) else { continue };
            let low = self.low_pages.get(id).map(|pages| Bytes(pages.saturating_mul(page)));
            let inactive_file = memory.inactive_file;
            let of_node =
                NodeMemory { total, free, inactive_file, low_watermark: low, reclaimed_used: None };
            all.insert(*id, of_node);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, HostRoot) {
        let dir = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        let root = HostRoot::new(dir.path());
        (dir, root)
    }

    #[test]
    fn nodes_with_and_without_memory_watermarks_and_files() {
        let node0 = "Node 0 MemTotal: 8 kB\nNode 0 MemFree: 4 kB\nNode 0 Inactive(file): 1 kB\n";
        let (_dir, root) = host(&[
            ("sys/devices/system/node/node0/meminfo", node0),
            ("sys/devices/system/node/node1/cpulist", "1"),
            ("sys/devices/system/node/node2/meminfo", "Node 2 MemTotal: 0 kB\n"),
            ("proc/zoneinfo", "Node 0, zone Normal\n  low 2\n"),
        ]);
        let read = NodeMemoryFiles::open(&root).and_then(|files| files.read()).expect("read");
        let page = rustix::param::page_size() as u64;
        let expect = NodeMemory {
            total: Bytes(8192),
            free: Bytes(4096),
            inactive_file: Some(Bytes(1024)),
            low_watermark: Some(Bytes(2 * page)),
            reclaimed_used: None,
        };
        assert_eq!(read, BTreeMap::from([(NumaNodeId(0), expect)]));
        let (_dir, bare) = host(&[("proc/stat", "")]);
        let read = NodeMemoryFiles::open(&bare).and_then(|files| files.read()).expect("read");
        assert_eq!(read, BTreeMap::new());
    }
}
