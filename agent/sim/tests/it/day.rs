//! A day of a node in a closed loop: services with a daily curve and bursts, batch work that takes
//! what is promised, headroom from what was measured a tick ago.
//!
//! The node has 64 CPUs on two NUMA nodes; services ask 24 CPUs and use 6 at night to 22 by day, with
//! noise and four bursts an hour of 4 to 16 CPUs for 10 to 120 s; their load is spread over all CPUs.
//! Batch work may run on the 40 CPUs that are not asked for, and really could take what services
//! leave of them. A tick is 5 s, a day 17280 ticks; the generator is a fixed sequence of numbers.
//!
//! Figures (printed with `--nocapture`): services alone use 23 % of the machine, with batch work 68 %,
//! which is 93 % of what batch work could take; more was promised than could be taken in 0.45 % of the
//! ticks, most of them the first of a burst. With the average of the window and nothing kept back it
//! would be 16.7 % of the ticks for 70 % of the machine.

use std::collections::BTreeMap;

use advisor::headroom::{HeadroomInput, headroom};
use advisor::hint::PlacementInput;
use advisor::layout::Layout;
use advisor::pool::{Held, Pools, pools};
use advisor::tally::Tally;
use model::annotation::QOS_LEVEL;
use model::headroom::{Amount, HeadroomPolicy, HeadroomState, ReclaimQuota, Smooth};
use model::ledger::{Ledger, Place, Resident};
use model::measured::{Measured, PodMeasure};
use model::placement::PlacementPolicy;
use model::pod::{Ask, Container, ContainerRole, Pod, Requests};
use model::qos::{PodUid, QosLevel, QosRules, WorkloadName};
use model::topology::Shape;
use model::{Bytes, CpuSet, MilliCpu, Nanos, Timestamp, Topology};

const TICK_S: u64 = 5;
const N_TICKS: u64 = 86_400 / TICK_S;
const N_CPUS: f64 = 64.0;

/// Load of services in CPUs, one number per tick.
struct Services {
    seed: u64,
    /// CPUs of the burst that is on, and ticks until it ends.
    burst: (f64, u64),
    drift: f64,
}

impl Services {
    /// 0..1, the upper bits of a linear congruence (Knuth's MMIX).
    fn random(&mut self) -> f64 {
        let next = self.seed.wrapping_mul(6_364_136_223_846_793_005);
        self.seed = next.wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as f64 / (1u64 << 31) as f64
    }

    fn load(&mut self, tick: u64) -> f64 {
        let hour = (tick * TICK_S) as f64 / 3600.0;
        let curve = 14.0 - 8.0 * (hour / 24.0 * std::f64::consts::TAU).cos();
        self.drift = self.drift * 0.95 + (self.random() - 0.5) * 0.4;
        let noise = (self.random() - 0.5) * 0.8;
        // Four an hour are one in 180 ticks.
        if self.burst.1 == 0 && self.random() < 1.0 / 180.0 {
            self.burst = (4.0 + self.random() * 12.0, 2 + (self.random() * 22.0) as u64);
        }
        let burst = if self.burst.1 > 0 { self.burst.0 } else { 0.0 };
        self.burst.1 = self.burst.1.saturating_sub(1);
        (curve + self.drift + noise + burst).clamp(0.0, N_CPUS)
    }
}

fn resident(name: &str, level: QosLevel, milli: u64) -> Resident {
    let requests = Requests { cpu: MilliCpu(milli), ..Requests::default() };
    let main = Container { name: "main".to_owned(), role: ContainerRole::App, requests };
    let pod = Pod {
        uid: PodUid::from(name),
        name: WorkloadName::from(name),
        owner: None,
        labels: BTreeMap::new(),
        annotations: [(QOS_LEVEL.to_owned(), level.name().to_owned())].into(),
        containers: vec![main],
        running: true,
    };
    let ask = Ask::of(&pod, &QosRules::default()).expect("a pod");
    Resident { ask, place: Place::Pool, ramp_until: None }
}

/// The node that does not change over the day.
struct Node {
    placement: PlacementPolicy,
    layout: Layout,
    ledger: Ledger,
    tally: Tally,
    pools: Pools,
    lent: CpuSet,
}

fn node() -> Node {
    let topology = Topology::synthetic(Shape {
        sockets: 2,
        nodes_per_socket: 1,
        llcs_per_node: 2,
        cores_per_llc: 8,
        threads_per_core: 2,
        memory_per_node: Bytes(1 << 36),
    });
    let placement = PlacementPolicy {
        reclaim_enabled: true,
        overlap_shared_reclaim: true,
        ..PlacementPolicy::default()
    };
    let layout = Layout::new(&topology, &placement).expect("a machine");
    let pods = [
        resident("web", QosLevel::SharedCores, 24_000),
        resident("batch", QosLevel::ReclaimedCores, 0),
    ];
    let pods = pods.into_iter().map(|one| (one.ask.uid.clone(), one)).collect();
    let ledger = Ledger { pods, ..Ledger::default() };
    let tally = Tally::of(&layout, &ledger, None, Timestamp(0));
    let pools = pools(&layout, &placement, &tally, &Held::default());
    let lent = pools["reclaim"].cpus;
    Node { placement, layout, ledger, tally, pools, lent }
}

impl Node {
    /// What is read at the end of a tick in which services used `load` CPUs and batch `taken`.
    fn measure(&self, load: f64, taken: f64) -> Measured {
        let everywhere = load / N_CPUS;
        let on_lent = taken / self.lent.len() as f64;
        let busy = |cpu: model::CpuId| match self.lent.contains(cpu) {
            true => (everywhere + on_lent).min(1.0),
            false => everywhere,
        };
        let cpu = Some(MilliCpu((taken * 1000.0) as u64));
        let batch = PodMeasure { cpu, ..PodMeasure::default() };
        Measured {
            pods: BTreeMap::from([(PodUid::from("batch"), batch)]),
            cpu_busy_ratio: self.layout.online.iter().map(|cpu| (cpu, busy(cpu))).collect(),
            memory: BTreeMap::new(),
        }
    }

    /// What batch work could really take, in CPUs.
    fn really(&self, load: f64) -> f64 {
        self.lent.len() as f64 * (1.0 - load / N_CPUS)
    }
}

/// Sums of a day.
#[derive(Debug, Default)]
struct Day {
    /// Ticks in which more was promised than could be taken, in hundredths of a percent.
    over_permyriad: u64,
    /// The same for services alone, and with batch work, in percent of the machine.
    alone_percent: u64,
    util_percent: u64,
    /// Of what could be taken.
    taken_percent: u64,
}

fn run(policy: &HeadroomPolicy) -> Day {
    let node = node();
    let quota = ReclaimQuota::default();
    let mut services = Services { seed: 1, burst: (0.0, 0), drift: 0.0 };
    let (mut state, mut promised, mut n_over) = (HeadroomState::default(), 0.0, 0u64);
    let (mut alone, mut taken_sum, mut really_sum) = (0.0, 0.0, 0.0);
    for tick in 0..N_TICKS {
        let load = services.load(tick);
        let really = node.really(load);
        let taken = f64::min(promised, really);
        n_over += u64::from(promised > really);
        (alone, taken_sum, really_sum) = (alone + load, taken_sum + taken, really_sum + really);
        let now = Timestamp(0).after(Nanos::from_secs((tick + 1) * TICK_S));
        let measured = node.measure(load, taken);
        let (told, next) = headroom(&HeadroomInput {
            placement: PlacementInput {
                now,
                layout: &node.layout,
                policy: &node.placement,
                ledger: &node.ledger,
                headroom: None,
            },
            tally: &node.tally,
            pools: &node.pools,
            policy,
            measured: &measured,
            measured_at: Some(now),
            quota: &quota,
            state: &state,
        });
        state = next;
        promised = told.cpu.value.map_or(0.0, |Amount(milli)| milli as f64 / 1000.0);
    }
    let percent = |cpus: f64| (cpus / N_TICKS as f64 / N_CPUS * 100.0).round() as u64;
    Day {
        over_permyriad: n_over * 10_000 / N_TICKS,
        alone_percent: percent(alone),
        util_percent: percent(alone + taken_sum),
        taken_percent: (taken_sum / really_sum * 100.0).round() as u64,
    }
}

#[test]
fn a_day_of_promises_is_kept() {
    let mut policy = HeadroomPolicy::default();
    policy.cpu_report.reserve = Amount(1000);
    let day = run(&policy);
    println!("smallest of two minutes, 1 CPU kept back: {day:?}");
    assert!(day.over_permyriad < 100, "{day:?}");
    assert!(day.util_percent >= 65 && day.taken_percent >= 90, "{day:?}");
    assert!(day.alone_percent < 30, "{day:?}");
    policy.cpu_report.window.smooth = Smooth::Average;
    policy.cpu_report.reserve = Amount(0);
    let average = run(&policy);
    println!("average, nothing kept back: {average:?}");
    // What the smallest value is for: an average is over what is there much of the time.
    assert!(average.over_permyriad > 1000, "{average:?}");
}
