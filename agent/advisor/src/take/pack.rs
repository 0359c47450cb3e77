//! Packing: sockets, caches, cores, threads.

use model::{CpuId, CpuSet};

use super::{Cache, End, TooFew, by_kind, check};
use crate::layout::{Core, Layout};

/// `n` of the free CPUs, as close together as they can be had.
pub fn by_topology(
    layout: &Layout,
    free: &CpuSet,
    n: usize,
    cache: Cache,
) -> Result<CpuSet, TooFew> {
    let free = free.intersection(&layout.online);
    check(&free, n)?;
    let take = |free: &CpuSet, n| Packer::new(layout, free, n).pack(cache);
    Ok(by_kind(layout, &free, n, End::Low, take))
}

struct Packer<'a> {
    layout: &'a Layout,
    free: CpuSet,
    taken: CpuSet,
    missing: usize,
}

impl<'a> Packer<'a> {
    fn new(layout: &'a Layout, free: &CpuSet, n: usize) -> Packer<'a> {
        Packer { layout, free: *free, taken: CpuSet::EMPTY, missing: n }
    }

    fn pack(mut self, cache: Cache) -> CpuSet {
        if self.missing == self.free.len() {
            return self.free;
        }
        self.sockets();
        if cache == Cache::Align {
            self.caches();
        }
        let order = self.core_order();
        self.cores(&order);
        self.threads(&order);
        self.taken
    }

    fn take(&mut self, cpus: &CpuSet, n_cpus: usize) {
        self.taken = self.taken.union(cpus);
        self.free = self.free.difference(cpus);
        self.missing = self.missing.saturating_sub(n_cpus);
    }

    fn sockets(&mut self) {
        for socket in &self.layout.sockets {
            let n_cpus = socket.len();
            if n_cpus <= self.missing && n_cpus > 0 && socket.is_subset(&self.free) {
                self.take(socket, n_cpus);
            }
        }
    }

    /// Ends with a cache that holds all that is missing, or with none that is free.
    fn caches(&mut self) {
        while self.missing > 0 {
            let free = self.layout.llcs.iter().map(|llc| llc.intersection(&self.free));
            let mut sized: Vec<(usize, CpuSet)> = free.map(|llc| (llc.len(), llc)).collect();
            sized.retain(|(n_free, _)| *n_free > 0);
            // Stable, so that the lowest id is first among those of one size.
            sized.sort_by_key(|(n_free, _)| *n_free);
            if let Some((_, llc)) = sized.iter().find(|(n_free, _)| *n_free >= self.missing) {
                self.free = *llc;
                return;
            }
            let Some((largest, _)) = sized.last() else { return };
            let Some((n_free, llc)) = sized.iter().find(|(n_free, _)| n_free == largest) else {
                return;
            };
            self.take(llc, *n_free);
        }
    }

    /// Cores with a free thread: sockets with few free CPUs first, then cores with few, then ids.
    fn core_order(&self) -> Vec<(usize, &'a Core)> {
        let sockets = self.layout.sockets.iter();
        let by_socket: Vec<usize> = sockets.map(|s| s.intersection(&self.free).len()).collect();
        let n_free =
            |core: &Core| core.threads.iter().filter(|cpu| self.free.contains(**cpu)).count();
        let cores = self.layout.cores.iter().map(|core| (n_free(core), core));
        let mut order: Vec<(usize, &Core)> = cores.filter(|(n_free, _)| *n_free > 0).collect();
        order.sort_by_key(|(n_free, core)| {
            (by_socket.get(core.socket).copied().unwrap_or(0), core.socket, *n_free)
        });
        order
    }

    fn cores(&mut self, order: &[(usize, &Core)]) {
        for (n_free, core) in order {
            if *n_free == core.threads.len() && *n_free <= self.missing {
                let threads: CpuSet = core.threads.iter().copied().collect();
                self.take(&threads, *n_free);
            }
        }
    }

    fn threads(&mut self, order: &[(usize, &Core)]) {
        let threads = order.iter().flat_map(|(_, core)| core.threads.iter().copied());
        let free = self.free;
        let still_free: Vec<CpuId> = threads.filter(|cpu| free.contains(*cpu)).collect();
        for cpu in still_free.into_iter().take(self.missing) {
            self.take(&CpuSet::single(cpu), 1);
        }
    }
}
