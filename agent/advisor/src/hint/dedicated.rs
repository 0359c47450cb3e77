//! Dedicated pods with NUMA binding: what each node has for this pod, and which sets of nodes keep
//! all its wishes. Owns the predicate that hints and admission share.

use model::pod::Ask;
use model::{MilliCpu, NumaSet};

use super::Hint;
use super::subsets::{self, Room, Sums};
use crate::layout::Layout;
use crate::tally::{Tally, Tenant};

/// Nodes from which on only the two smallest sizes are listed.
const MANY_NODES: usize = 16;

/// What the nodes have for one pod.
pub(crate) struct Rooms<'a> {
    ask: &'a Ask,
    /// Whole CPUs asked for, at least one.
    n_cpus: usize,
    threads_per_core: usize,
    /// Nodes with CPUs, ascending by id.
    rooms: Vec<Room>,
    /// CPUs per socket, and the most nodes one has.
    sockets: Vec<usize>,
    nodes_per_socket: usize,
    /// CPUs that pods without binding can do without.
    spare: usize,
}

/// Which number of nodes a set must have.
#[derive(Clone, Copy)]
enum Size {
    Any,
    Exactly(usize),
}

impl<'a> Rooms<'a> {
    /// Refuses what no machine of this shape could ever give.
    pub(crate) fn new(layout: &Layout, tally: &Tally, ask: &'a Ask) -> Result<Self, String> {
        let n_cpus = usize::try_from(ask.cpu.ceil_cpus()).unwrap_or(usize::MAX).max(1);
        let mut sockets = vec![0; layout.sockets.len()];
        for node in &layout.nodes {
            if let Some(socket) = node.socket {
                sockets[socket] += 1;
            }
        }
        let rooms = Rooms {
            ask,
            n_cpus,
            threads_per_core: layout.threads_per_core.max(1),
            rooms: rooms(layout, tally, ask),
            nodes_per_socket: sockets.into_iter().max().unwrap_or(1),
            sockets: layout.sockets.iter().map(|socket| socket.len()).collect(),
            spare: tally.unbound_spare(),
        };
        rooms.check_ids()?;
        Ok(rooms)
    }

    fn check_ids(&self) -> Result<(), String> {
        let all: NumaSet = self.rooms.iter().map(|room| room.id).collect();
        match self.ask.wish.numa_ids {
            Some(ids) if !ids.is_subset(all) => {
                Err(format!("numa_ids: {ids} are not all among the NUMA nodes with CPUs, {all}"))
            }
            _ => Ok(()),
        }
    }

    /// All possible sets with their preference.
    pub(crate) fn options(&self) -> Result<Vec<Hint>, String> {
        if let Some(ids) = self.ask.wish.numa_ids {
            self.check(ids)?;
            return Ok(vec![Hint { nodes: ids, preferred: true }]);
        }
        let (within, across) = self.possible();
        // Crossing sockets is better than not running, and never what anybody prefers.
        let options = if within.is_empty() { across } else { within };
        if options.is_empty() { Err(self.why_not()) } else { Ok(options) }
    }

    /// Possible sets that stay within a socket where they could, and those that do not.
    fn possible(&self) -> (Vec<Hint>, Vec<Hint>) {
        // A closed node is in no set.
        let open: Vec<Room> = self.rooms.iter().filter(|room| room.avail > 0).copied().collect();
        let (most_sockets, needless) = (self.fewest_sockets(), self.nodes_per_socket);
        let (mut within, mut across) = (Vec::new(), Vec::new());
        let (mut budget, mut smallest) = (subsets::MOST, None);
        let (first, last) = match self.size() {
            Size::Any => (self.fewest_nodes(), open.len()),
            Size::Exactly(size) => (size, size),
        };
        for size in first..=last {
            subsets::of_size(&open, size, self.n_cpus, &mut budget, &mut |sums| {
                if self.keeps_wishes(sums, most_sockets).is_ok() {
                    let crosses = size <= needless && sums.sockets.count_ones() > 1;
                    match crosses {
                        true => across.push(Hint { nodes: sums.nodes, preferred: false }),
                        // Sizes ascend: the first is the smallest.
                        false => {
                            let least = *smallest.get_or_insert(size);
                            within.push(Hint { nodes: sums.nodes, preferred: size == least });
                        }
                    }
                }
            });
            let listed_enough = smallest.is_some_and(|smallest| size > smallest);
            if open.len() > MANY_NODES && listed_enough {
                break;
            }
        }
        if within.is_empty() && across.is_empty() && budget == 0 {
            let nodes = self.greedy();
            across.extend(nodes.map(|nodes| Hint { nodes, preferred: false }));
        }
        (within, across)
    }

    /// The nodes with most CPUs, for machines with more sets than can be looked at.
    fn greedy(&self) -> Option<NumaSet> {
        let mut order: Vec<&Room> = self.rooms.iter().collect();
        order.sort_by_key(|room| std::cmp::Reverse(room.avail));
        let mut nodes = NumaSet::EMPTY;
        for room in order {
            nodes.insert(room.id);
            if self.check(nodes).is_ok() {
                return Some(nodes);
            }
        }
        None
    }

    /// Without exclusivity memory of a second node could not be accounted, unless it was named.
    fn size(&self) -> Size {
        match self.ask.wish.numa_number {
            Some(number) => Size::Exactly(usize::from(number)),
            None if self.ask.wish.numa_exclusive => Size::Any,
            None => Size::Exactly(1),
        }
    }

    /// The fewest nodes whose CPUs together are enough, reserved ones included.
    fn fewest_nodes(&self) -> usize {
        fewest(self.rooms.iter().map(|room| room.n_cpus).collect(), self.n_cpus)
    }

    /// Whether the pod could have this set; the reason when not.
    pub(crate) fn check(&self, nodes: NumaSet) -> Result<(), String> {
        let all: NumaSet = self.rooms.iter().map(|room| room.id).collect();
        if nodes.is_empty() || !nodes.is_subset(all) {
            return Err(format!("NUMA nodes {nodes} are not among those with CPUs, {all}"));
        }
        if let Some(ids) = self.ask.wish.numa_ids.filter(|ids| *ids != nodes) {
            return Err(format!("NUMA nodes {nodes} are not the numa_ids {ids}"));
        }
        if let (Size::Exactly(size), None) = (self.size(), self.ask.wish.numa_ids)
            && nodes.len() != size
        {
            return Err(format!("NUMA nodes {nodes} are {}, wanted are {size}", nodes.len()));
        }
        let members = self.rooms.iter().filter(|room| nodes.contains(room.id));
        let sums = members.fold(Sums::EMPTY, |sums, room| sums.with(room));
        if sums.avail < self.n_cpus {
            let (avail, n_cpus) = (sums.avail, self.n_cpus);
            return Err(format!("NUMA nodes {nodes} have {avail} CPUs for this pod of {n_cpus}"));
        }
        let kept = self.keeps_wishes(&sums, self.fewest_sockets());
        kept.map_err(|wish| format!("NUMA nodes {nodes} break {wish}"))
    }

    /// Everything but the sum of CPUs.
    fn keeps_wishes(&self, sums: &Sums, most_sockets: usize) -> Result<(), &'static str> {
        let wish = &self.ask.wish;
        if sums.cost > self.spare {
            return Err("what shared pods without NUMA binding asked for");
        }
        if sums.least_avail == 0 {
            return Err("exclusivity or numa_share of a node's pods");
        }
        if wish.align_by_socket && sums.sockets.count_ones() as usize > most_sockets {
            return Err("align_by_socket");
        }
        match (wish.distribute_evenly, wish.full_pcpus_pairing) {
            (true, _) => self.is_even(sums),
            (false, true) => {
                let paired = sums.cores >= self.n_cpus / self.threads_per_core;
                paired.then_some(()).ok_or("full_pcpus_pairing")
            }
            (false, false) => Ok(()),
        }
    }

    /// Every node gives the same number of CPUs and, if asked, the whole cores in it. An odd thread
    /// comes from one core more.
    fn is_even(&self, sums: &Sums) -> Result<(), &'static str> {
        let n_nodes = sums.nodes.len().max(1);
        let part = self.n_cpus / n_nodes;
        if !self.n_cpus.is_multiple_of(n_nodes) || sums.least_avail < part {
            return Err("distribute_evenly_across_numa");
        }
        let cores = part / self.threads_per_core;
        if self.ask.wish.full_pcpus_pairing && sums.least_cores < cores {
            return Err("full_pcpus_pairing");
        }
        Ok(())
    }

    fn fewest_sockets(&self) -> usize {
        fewest(self.sockets.clone(), self.n_cpus)
    }

    fn why_not(&self) -> String {
        let each = self.rooms.iter().map(|room| format!("{}: {}", room.id, room.avail));
        let each: Vec<String> = each.collect();
        let wish = &self.ask.wish;
        let wishes = [
            (wish.numa_exclusive, "numa_exclusive"),
            (wish.align_by_socket, "align_by_socket"),
            (wish.distribute_evenly, "distribute_evenly_across_numa"),
            (wish.full_pcpus_pairing, "full_pcpus_pairing"),
            (!wish.numa_share, "numa_share=false"),
        ];
        let named: Vec<&str> = wishes.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        let size = match self.size() {
            Size::Any => "no set of NUMA nodes".to_owned(),
            Size::Exactly(1) => "no single NUMA node".to_owned(),
            Size::Exactly(size) => format!("no {size} NUMA nodes"),
        };
        format!(
            "{size} can give {} CPUs with wishes [{}]; CPUs for this pod by node {{{}}}, shared pods \
             without NUMA binding can give up {}",
            self.n_cpus,
            named.join(", "),
            each.join(", "),
            self.spare
        )
    }
}

/// How many of the largest are needed to reach `least`; all of them when that is not enough.
fn fewest(mut sizes: Vec<usize>, least: usize) -> usize {
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let mut sum = 0;
    let enough = sizes.iter().position(|size| {
        sum += size;
        sum >= least
    });
    enough.map_or_else(|| sizes.len().max(1), |idx| idx + 1)
}

fn rooms(layout: &Layout, tally: &Tally, ask: &Ask) -> Vec<Room> {
    let tenant = Tenant::of(ask);
    let mut rooms = Vec::new();
    for (node, sums) in layout.nodes.iter().zip(&tally.nodes) {
        let Some(socket) = node.socket else { continue };
        let taken = sums.has_owned_cpu || !sums.pools.is_empty();
        let tolerated = sums.tenants.iter().all(|other| tenant.tolerates(other));
        let closed = !tolerated || (ask.wish.numa_exclusive && taken);
        rooms.push(Room {
            id: node.id,
            socket: 1 << (socket % 64),
            n_cpus: node.n_cpus,
            avail: if closed { 0 } else { sums.spare() },
            cores: 0,
            cost: if sums.is_bound() { 0 } else { sums.n_free },
        });
    }
    if ask.wish.full_pcpus_pairing {
        count_cores(layout, tally, &mut rooms);
    }
    rooms
}

/// Whole cores that a pod could have: of those that are free as many as leave others their CPUs.
fn count_cores(layout: &Layout, tally: &Tally, rooms: &mut [Room]) {
    for core in layout.cores.iter().filter(|core| layout.is_whole_in(core, &tally.free)) {
        let id = layout.nodes[core.node].id;
        if let Ok(idx) = rooms.binary_search_by_key(&id, |room| room.id) {
            rooms[idx].cores += 1;
        }
    }
    for room in rooms {
        room.cores = room.cores.min(room.avail / layout.threads_per_core);
    }
}

/// Whether a request can be counted in CPUs of one pod at all, for messages.
pub(super) fn cpus_text(cpu: MilliCpu) -> String {
    format!("{}.{:03} CPUs", cpu.0 / 1000, cpu.0 % 1000)
}
