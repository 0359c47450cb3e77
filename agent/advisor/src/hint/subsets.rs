//! Walking the sets of nodes of one size, in the order of their ids. Owns the order, the sums of a set
//! and the bound on the work; what a set is good for is the caller's.

use model::{NumaNodeId, NumaSet};

/// Sets that one call looks at: all of 16 nodes.
pub(super) const MOST: usize = 1 << 16;

/// What one node adds to a set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) id: NumaNodeId,
    /// Bit of the socket.
    pub(super) socket: u64,
    /// All online CPUs of the node.
    pub(super) n_cpus: usize,
    /// CPUs this pod could have.
    pub(super) avail: usize,
    /// Whole free cores among the free CPUs.
    pub(super) cores: usize,
    /// CPUs that pods without binding lose.
    pub(super) cost: usize,
}

/// Sums of a set of nodes, kept while walking: there are tens of thousands of sets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sums {
    pub(super) nodes: NumaSet,
    pub(super) avail: usize,
    pub(super) least_avail: usize,
    pub(super) cores: usize,
    pub(super) least_cores: usize,
    pub(super) cost: usize,
    pub(super) sockets: u64,
}

impl Sums {
    pub(super) const EMPTY: Sums = Sums {
        nodes: NumaSet::EMPTY,
        avail: 0,
        least_avail: usize::MAX,
        cores: 0,
        least_cores: usize::MAX,
        cost: 0,
        sockets: 0,
    };

    #[inline]
    pub(super) fn with(&self, room: &Room) -> Sums {
        let mut nodes = self.nodes;
        nodes.insert(room.id);
        Sums {
            nodes,
            avail: self.avail + room.avail,
            least_avail: self.least_avail.min(room.avail),
            cores: self.cores + room.cores,
            least_cores: self.least_cores.min(room.cores),
            cost: self.cost + room.cost,
            sockets: self.sockets | room.socket,
        }
    }
}

/// Calls `visit` with every set of `size` rooms that reaches `least` CPUs, until `budget` sets were
/// looked at.
pub(super) fn of_size(
    rooms: &[Room],
    size: usize,
    least: usize,
    budget: &mut usize,
    visit: &mut impl FnMut(&Sums),
) {
    let most = rooms.iter().map(|room| room.avail).max().unwrap_or(0);
    if size > 0 {
        step(&mut Walk { rooms, least, most, budget, visit }, 0, size, &Sums::EMPTY);
    }
}

struct Walk<'a, V> {
    rooms: &'a [Room],
    least: usize,
    /// The most one room adds.
    most: usize,
    budget: &'a mut usize,
    visit: &'a mut V,
}

fn step<V: FnMut(&Sums)>(walk: &mut Walk<'_, V>, from: usize, missing: usize, sums: &Sums) {
    let rooms = walk.rooms;
    let last = (rooms.len() + 1).saturating_sub(missing);
    for (idx, room) in rooms.iter().enumerate().take(last).skip(from) {
        // Even the best of the others would not be enough.
        let best = sums.avail + room.avail + missing.saturating_sub(1).saturating_mul(walk.most);
        if best < walk.least {
            continue;
        }
        if *walk.budget == 0 {
            return;
        }
        let sums = sums.with(room);
        if missing == 1 {
            *walk.budget -= 1;
            (walk.visit)(&sums);
        } else {
            step(walk, idx + 1, missing - 1, &sums);
        }
    }
}
