//! The machine as a picture. Cells of a fixed size, so that a CPU's number can be read at 8 CPUs as at
//! 512: a larger machine is a larger picture. Boxes are laid out in rows that wrap; sizes go up from
//! the cells, places come down from the page.

mod paint;

use proto::v1::{Cpu, Pool, Topology};

use super::{Group, Machine, NodeView, node_facts};
use paint::Page;

const CELL_W: usize = 36;
const CELL_H: usize = 20;
/// Around a box and between boxes.
const GAP: usize = 8;
const TITLE_H: usize = 18;
/// Four groups of eight cores fit; a row wraps here.
const MAX_W: usize = 1520;
/// Cores of one row where a node has several LLC groups, and where it has one.
const CORES_OF_MANY: usize = 8;
const CORES_OF_ONE: usize = 32;

impl Machine<'_> {
    /// The fill of a CPU in these pools: of the first, where it is in two.
    pub(super) fn colour(&self, pools: &[&str]) -> &'static str {
        pools.first().map_or("#ffffff", |pool| self.colour_of(pool))
    }

    fn colour_of(&self, pool: &str) -> &'static str {
        const MORE: [&str; 4] = ["#f7c6df", "#d8e8a8", "#c9c3f2", "#b8e6e1"];
        match pool {
            "share" => "#b9d7fb",
            "reclaim" => "#fbd3a1",
            "reserve" => "#d3d6da",
            "dedicated" => "#bfe5bf",
            "isolation" => "#e3c8f5",
            "system" => "#efe3b0",
            "interrupt" => "#f5bcbc",
            _ => {
                let idx = self.pools.iter().position(|(name, _)| *name == pool);
                MORE[idx.unwrap_or(0) % MORE.len()]
            }
        }
    }
}

/// A box of the picture with its size, before anybody knows where it goes.
struct Block<'a> {
    w: usize,
    h: usize,
    title: String,
    class: &'static str,
    inside: Inside<'a>,
}

enum Inside<'a> {
    /// Other boxes with their places in this one.
    Blocks(Vec<(usize, usize, Block<'a>)>),
    /// One core: its threads from top to bottom.
    Core(&'a [&'a Cpu]),
    Nothing,
}

pub(crate) fn svg(topology: &Topology, pools: &[Pool]) -> String {
    let machine = Machine::new(topology, pools);
    let mut blocks: Vec<Block<'_>> = machine
        .sockets
        .iter()
        .map(|(socket, nodes)| {
            let nodes = nodes.iter().map(node_block).collect();
            wrapped(format!("socket {socket}"), "socket", nodes, MAX_W - 2 * GAP)
        })
        .collect();
    blocks.extend(machine.bare.iter().map(|node| {
        let title = format!("node {}   {}   no CPUs", node.numa_node, node_facts(Some(node)));
        wrapped(title, "node", Vec::new(), MAX_W)
    }));
    let body = wrapped(String::new(), "page", blocks, MAX_W);
    let mut page = Page::new(&machine);
    draw(&mut page, GAP, GAP, &body);
    page.finish(body.w.max(paint::LEGEND_W) + 2 * GAP, body.h + GAP)
}

fn node_block<'a>(node: &'a NodeView<'a>) -> Block<'a> {
    let per_row = if node.groups.len() == 1 { CORES_OF_ONE } else { CORES_OF_MANY };
    let groups = node.groups.iter().map(|(llc, cores)| group_block(*llc, cores, per_row)).collect();
    let title = format!("node {}   {}", node.id, node_facts(node.node));
    wrapped(title, "node", groups, MAX_W - 4 * GAP)
}

fn group_block<'a>(llc: Option<u32>, cores: &'a Group<'a>, per_row: usize) -> Block<'a> {
    let title = llc.map_or_else(|| "LLC -".to_owned(), |llc| format!("LLC {llc}"));
    let core = |cpus: &'a Vec<&'a Cpu>| Block {
        w: CELL_W,
        h: cpus.len() * CELL_H,
        title: String::new(),
        class: "core",
        inside: Inside::Core(cpus),
    };
    let width = per_row * (CELL_W + GAP) + GAP;
    wrapped(title, "llc", cores.values().map(core).collect(), width)
}

/// Puts boxes into rows of at most `max_w` and a frame with a title around them.
fn wrapped<'a>(
    title: String,
    class: &'static str,
    blocks: Vec<Block<'a>>,
    max_w: usize,
) -> Block<'a> {
    let top = if title.is_empty() { 0 } else { TITLE_H };
    let (mut x, mut y, mut row_h) = (GAP, top + GAP / 2, 0);
    let mut w = GAP + paint::text_width(&title);
    let mut placed = Vec::new();
    for block in blocks {
        if x > GAP && x + block.w + GAP > max_w {
            (x, y, row_h) = (GAP, y + row_h + GAP, 0);
        }
        let right = x + block.w + GAP;
        (w, row_h) = (w.max(right), row_h.max(block.h));
        placed.push((x, y, block));
        x = right;
    }
    let inside = if placed.is_empty() { Inside::Nothing } else { Inside::Blocks(placed) };
    Block { w: w.max(CELL_W), h: y + row_h + GAP, title, class, inside }
}

fn draw(page: &mut Page<'_>, x: usize, y: usize, block: &Block<'_>) {
    page.frame(x, y, (block.w, block.h), block.class, &block.title);
    match &block.inside {
        Inside::Nothing => {}
        Inside::Blocks(blocks) => {
            blocks.iter().for_each(|(dx, dy, inner)| draw(page, x + dx, y + dy, inner));
        }
        Inside::Core(cpus) => {
            for (idx, cpu) in cpus.iter().enumerate() {
                page.cpu(x, y + idx * CELL_H, cpu);
            }
        }
    }
}
