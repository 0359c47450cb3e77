//! The same node described in another order is the same node, and a node on which nothing changes is
//! left alone. Orders come from a fixed seed, a hundred of them each.

use sim::simulate;

const ORDERS: u64 = 100;

/// Numbers without a pattern (Knuth's MMIX generator), the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn shuffled(&mut self, rows: &[&str]) -> Vec<String> {
        let mut rows: Vec<String> = rows.iter().map(|row| (*row).to_owned()).collect();
        for last in (1..rows.len()).rev() {
            let at = self.below(last + 1);
            rows.swap(last, at);
        }
        rows
    }

    /// A map of YAML in one line.
    fn map(&mut self, rows: &[&str]) -> String {
        format!("{{{}}}", self.shuffled(rows).join(", "))
    }
}

fn answers(text: &str) -> String {
    let transcript = simulate(text, &|tree| Err(format!("no tree {tree}")));
    assert!(!transcript.is_refused, "{}", transcript.lines);
    assert!(!transcript.lines.contains("\"ok\":false"), "{}", transcript.lines);
    transcript.lines
}

fn pod(name: &str, level: &str, cpu: u64, more: &str) -> String {
    format!(
        "  - admit: {{pod: {{metadata: {{name: {name}, annotations: {{katalyst.kubewharf.io/qos_level: {level}{more}}}}}, \
         spec: {{containers: [{{name: main, resources: {{requests: {{cpu: \"{cpu}\"}}}}}}]}}, status: {{phase: Running}}}}}}\n"
    )
}

/// Keys of the policy, pods of a measurement and lists of CPUs in any order.
#[test]
fn maps_may_be_written_in_any_order() {
    let document = |numbers: &mut Numbers| {
        let machine = numbers.map(&[
            "sockets: 2",
            "numa_per_socket: 2",
            "cores_per_numa: 6",
            "threads_per_core: 2",
        ]);
        let policy = numbers.map(&[
            "reclaim_enabled: true",
            "reserved_cpus: \"0,2\"",
            "overlap_shared_reclaim: true",
            "provision_policy: canonical",
            "isolation: true",
            "reclaim_reserved_cpus: 8",
        ]);
        let bound = ", katalyst.kubewharf.io/memory_enhancement: '{\"numa_binding\":\"true\"}'";
        let pods = pod("web", "shared_cores", 6, "")
            + &pod("api", "shared_cores", 3, "")
            + &pod("db", "shared_cores", 4, bound)
            + &pod("own", "dedicated_cores", 4, bound)
            + &pod("ml", "reclaimed_cores", 8, "");
        let ticks: String = (0..4)
            .map(|_| {
                let usage = numbers.map(&["web: \"3\"", "api: \"1\"", "db: \"2500m\"", "ml: \"4\"", "own: \"1\""]);
                let samples = numbers.map(&["web: {runnable: 9}", "api: {runnable: 12}", "db: {runnable: 0}"]);
                let cpus = numbers.map(&["\"0-9\": 0.5", "\"10-19\": 0.25", "\"20-47\": 0.125"]);
                format!("  - tick: {{seconds: 30, usage: {usage}, samples: {{pods: {samples}, cpus: {cpus}}}}}\n")
            })
            .collect();
        answers(&format!(
            "machine: {machine}\npolicy: {policy}\nsteps:\n{pods}{ticks}  - show: [pools, pods, decisions, headroom]\n"
        ))
    };
    let first = document(&mut Numbers(1));
    for seed in 2..=ORDERS {
        assert_eq!(document(&mut Numbers(seed)), first, "seed {seed}");
    }
}

/// Pools follow who is here, not who came first.
#[test]
fn pods_without_cpus_of_their_own_may_come_in_any_order() {
    let pods = [
        pod("web", "shared_cores", 6, ""),
        pod("api", "shared_cores", 3, ""),
        pod(
            "shop",
            "shared_cores",
            2,
            ", katalyst.kubewharf.io/cpu_enhancement: '{\"cpuset_pool\":\"shop\"}'",
        ),
        pod("ml", "reclaimed_cores", 8, ""),
        pod("log", "system_cores", 0, ""),
        // who comes and goes leaves nothing behind
        pod("gone", "shared_cores", 4, "") + "  - remove: {pod: gone}\n",
    ];
    let rows: Vec<&str> = pods.iter().map(String::as_str).collect();
    let last = |numbers: &mut Numbers| {
        let pods = numbers.shuffled(&rows).concat();
        let text = format!(
            "machine: {{numa_per_socket: 2, cores_per_numa: 12}}\npolicy: {{reclaim_enabled: true}}\nsteps:\n{pods}  - tick\n  - show: [pools, pods]\n"
        );
        answers(&text).lines().last().expect("a line").to_owned()
    };
    let first = last(&mut Numbers(1));
    for seed in 2..=ORDERS {
        assert_eq!(last(&mut Numbers(seed)), first, "seed {seed}");
    }
}

/// After any disturbance and two quiet minutes not one file is written, nor anything decided.
#[test]
fn a_node_on_which_nothing_changes_is_left_alone() {
    let disturbances = [
        "demand web 3000",
        "demand db 2500",
        "burst web ml1",
        "burst db ml2",
        "wait 700",
        "tick 3",
        "offline 5",
        "online 5",
        "write ml1 cpu.weight 50",
        "kill ml2",
    ];
    for seed in 1..=ORDERS {
        let mut numbers = Numbers(seed);
        let n = 1 + numbers.below(disturbances.len());
        let before = numbers.shuffled(&disturbances)[..n].join("\n");
        let script = format!(
            "node 2x2x2\nworkload web shared 1000 200\nworkload db shared 500 100\nbatch ml1 3000\nbatch ml2 3000\n\
             tick 2\n{before}\ndemand web 200\ndemand db 100\ntick 120\ntick 30\n"
        );
        let trace = sim::run(&script).expect("understood");
        let (_, quiet) = trace.rsplit_once("> tick 30\n").expect("the last command");
        assert_eq!(quiet, "", "seed {seed}: {trace}");
    }
}
