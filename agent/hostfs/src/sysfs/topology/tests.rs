//! Small machines by hand; recorded ones are in `tests/it/recorded_machines.rs`.

use super::*;
use model::Bytes;

fn cpu(core: &str, package: u64) -> RawCpu {
    RawCpu {
        package: Some(package),
        core_siblings: Some(core.parse().expect("list")),
        ..RawCpu::default()
    }
}

fn node(cpus: &str, distances: &[u32]) -> RawNode {
    RawNode {
        cpus: cpus.parse().expect("list"),
        distances: distances.to_vec(),
        memory: Some(Bytes(1 << 30)),
    }
}

/// Two sockets of one SMT core each, two nodes.
fn two_nodes() -> RawMachine {
    RawMachine {
        cpus: [(0, cpu("0,2", 0)), (1, cpu("1,3", 1)), (2, cpu("0,2", 0)), (3, cpu("1,3", 1))]
            .map(|(id, cpu)| (CpuId(id), cpu))
            .into(),
        nodes: [(0, node("0,2", &[10, 21])), (1, node("1,3", &[21, 10]))]
            .map(|(id, node)| (NumaNodeId(id), node))
            .into(),
        ..RawMachine::default()
    }
}

fn quirks(machine: &RawMachine) -> Vec<String> {
    assemble(machine).quirks.iter().map(Quirk::to_string).collect()
}

#[test]
fn a_plain_machine_has_no_quirks() {
    let survey = assemble(&two_nodes());
    assert_eq!(survey.quirks, vec![]);
    let topology = survey.topology;
    assert_eq!(topology.online().to_string(), "0-3");
    assert_eq!(topology.siblings(CpuId(3)).to_string(), "1,3");
    assert_eq!(topology.cpus_of_node(NumaNodeId(1)).to_string(), "1,3");
    assert_eq!(topology.nodes[&NumaNodeId(0)].distances[&NumaNodeId(1)], 21);
    assert_eq!(topology.cpus[&CpuId(0)].llc, None, "no cache directory is not a cache of one");
}

#[test]
fn an_offline_cpu_without_a_place_is_only_in_offline() {
    let mut machine = two_nodes();
    machine.cpus.insert(CpuId(2), RawCpu { online: Some(false), ..RawCpu::default() });
    let topology = assemble(&machine).topology;
    assert_eq!(topology.offline.to_string(), "2");
    assert!(!topology.cpus.contains_key(&CpuId(2)));
    assert_eq!(topology.siblings(CpuId(0)).to_string(), "0");
    assert_eq!(topology.nodes[&NumaNodeId(0)].cpus.to_string(), "0");
}

#[test]
fn an_offline_cpu_with_a_place_keeps_it() {
    let mut machine = two_nodes();
    machine.online = Some("0-1,3".parse().expect("list"));
    let topology = assemble(&machine).topology;
    let cpu = &topology.cpus[&CpuId(2)];
    assert!(!cpu.online);
    assert_eq!((cpu.socket, cpu.node), (SocketId(0), NumaNodeId(0)));
}

#[test]
fn the_first_thread_offline_renames_the_core() {
    let mut machine = two_nodes();
    machine.online = Some("1-3".parse().expect("list"));
    assert_eq!(assemble(&machine).topology.cpus[&CpuId(2)].core, CoreId(2));
}

#[test]
fn a_machine_without_nodes_is_one_node_with_all_memory() {
    let machine = RawMachine { nodes: BTreeMap::new(), memory: Some(Bytes(7)), ..two_nodes() };
    let topology = assemble(&machine).topology;
    let node = &topology.nodes[&NumaNodeId(0)];
    assert_eq!((node.cpus.to_string().as_str(), node.memory), ("0-3", Some(Bytes(7))));
    assert_eq!(node.distances, BTreeMap::from([(NumaNodeId(0), 10)]));
    assert_eq!(quirks(&machine), ["the kernel shows no NUMA nodes, one is assumed"]);
}

#[test]
fn a_node_that_claims_anothers_cpus_is_ignored() {
    let mut machine = two_nodes();
    machine.nodes.insert(NumaNodeId(1), node("0-3", &[10, 10]));
    let topology = assemble(&machine).topology;
    assert_eq!(topology.nodes.len(), 1);
    assert_eq!(topology.cpus_of_node(NumaNodeId(0)).to_string(), "0-3");
    assert_eq!(
        quirks(&machine),
        [
            "NUMA node 1 claims CPUs of another node and is ignored",
            "CPUs 1,3 are on no NUMA node, 0 is assumed",
        ]
    );
}

#[test]
fn cpus_of_an_offline_node_form_a_node_without_memory() {
    let mut machine = two_nodes();
    machine.nodes.remove(&NumaNodeId(0));
    for id in [0, 2] {
        machine.cpus.get_mut(&CpuId(id)).expect("cpu").node = Some(NumaNodeId(0));
    }
    let topology = assemble(&machine).topology;
    assert_eq!(topology.cpus_of_node(NumaNodeId(0)).to_string(), "0,2");
    assert_eq!(topology.nodes[&NumaNodeId(0)].memory, None);
    assert_eq!(
        quirks(&machine),
        [
            "CPUs 0,2 are on NUMA node 0, which is offline",
            "the distances of NUMA node 1 do not fit the nodes",
        ]
    );
}

#[test]
fn distances_of_possible_nodes_are_understood() {
    let mut machine = two_nodes();
    machine.nodes.remove(&NumaNodeId(0));
    machine.nodes_online = Some([NumaNodeId(1)].into());
    machine.nodes_possible = Some([NumaNodeId(0), NumaNodeId(1)].into());
    let topology = assemble(&machine).topology;
    let distances = &topology.nodes[&NumaNodeId(1)].distances;
    assert_eq!(distances[&NumaNodeId(1)], 10, "{distances:?}");
}

#[test]
fn a_memory_only_node_has_no_cpus() {
    let mut machine = two_nodes();
    machine.nodes.insert(NumaNodeId(9), node("", &[31, 31, 10]));
    for id in [0, 1] {
        machine.nodes.get_mut(&NumaNodeId(id)).expect("node").distances.push(31);
    }
    let survey = assemble(&machine);
    assert_eq!(survey.quirks, vec![]);
    let far = &survey.topology.nodes[&NumaNodeId(9)];
    assert!(far.cpus.is_empty() && far.memory.is_some());
    assert_eq!(survey.topology.nodes[&NumaNodeId(0)].distances[&NumaNodeId(9)], 31);
}

#[test]
fn threads_with_different_core_ids_are_different_cores() {
    let mut machine = two_nodes();
    machine.cpus.get_mut(&CpuId(0)).expect("cpu").core_id = Some(0);
    machine.cpus.get_mut(&CpuId(2)).expect("cpu").core_id = Some(1);
    assert_eq!(assemble(&machine).topology.siblings(CpuId(0)).to_string(), "0");
}

#[test]
fn an_unusable_package_id_is_replaced_by_who_shares_the_package() {
    let mut machine = two_nodes();
    for (id, siblings) in [(0, "0,2"), (1, "1,3"), (2, "0,2"), (3, "1,3")] {
        let cpu = machine.cpus.get_mut(&CpuId(id)).expect("cpu");
        cpu.package = if id == 1 { Some(4_000_000) } else { None };
        cpu.package_siblings = Some(siblings.parse().expect("list"));
    }
    let sockets = assemble(&machine).topology.sockets();
    assert_eq!(sockets, [SocketId(0), SocketId(1)].into());
}

#[test]
fn an_empty_sys_is_an_error_that_names_the_folder() {
    let dir = tempfile::tempdir().expect("temp dir");
    let error = read_topology(&HostRoot::new(dir.path())).expect_err("no CPUs");
    assert!(error.to_string().ends_with("sys/devices/system/cpu lists no CPU"), "{error}");
}

#[test]
fn efficiency_cores_are_those_of_the_kernels_list_or_the_much_slower_ones() {
    let mut machine = two_nodes();
    let speed = |machine: &mut RawMachine, khz: [u64; 4]| {
        for (cpu, khz) in machine.cpus.values_mut().zip(khz) {
            cpu.max_khz = Some(khz);
        }
    };
    let efficiency = |machine: &RawMachine| assemble(machine).topology.efficiency.to_string();
    assert_eq!(efficiency(&machine), "", "speeds that are not known are alike");
    speed(&mut machine, [5_000_000, 3_900_000, 4_900_000, 3_900_000]);
    assert_eq!(efficiency(&machine), "1,3");
    speed(&mut machine, [5_000_000, 4_800_000, 4_900_000, 4_700_000]);
    assert_eq!(efficiency(&machine), "", "favoured cores are of one kind");
    machine.efficiency = Some("2-3,9".parse().expect("list"));
    assert_eq!(efficiency(&machine), "2-3");
}
