//! Named cases of bursts, the arithmetic beside each.

use model::ledger::{Place, Resident};
use model::pod::Ask;
use model::qos::{QosLevel, QosRules};
use model::{Nanos, annotation};
use proptest::prelude::*;

use super::*;
use crate::testkit::{SECOND, pod};

fn resident(level: QosLevel, wishes: &str) -> Result<Resident, String> {
    let mut pod = pod("web", level, 1000);
    pod.annotations.insert(annotation::CPU_ENHANCEMENT.to_owned(), wishes.to_owned());
    let ask = Ask::of(&pod, &QosRules::default()).map_err(|error| error.to_string())?;
    Ok(Resident { ask, place: Place::Pool, ramp_until: None })
}

fn ledger(wishes: &str) -> Ledger {
    let one = resident(QosLevel::SharedCores, wishes).expect("a pod");
    Ledger { pods: BTreeMap::from([(one.ask.uid.clone(), one)]), ..Ledger::default() }
}

/// The burst of a pod with a quota of 50 ms in 100 ms, in microseconds.
#[track_caller]
fn check(level: QosLevel, wishes: &str, expect: Option<u64>) {
    let one = resident(level, wishes).expect("a pod");
    let ledger = Ledger { pods: BTreeMap::from([(one.ask.uid.clone(), one)]), ..Ledger::default() };
    let rules = BurstRules::default();
    let (bursts, _) = bursts(&BurstInput {
        now: Timestamp(0),
        rules: &rules,
        ledger: &ledger,
        measured: None,
        quotas: &BTreeMap::new(),
        state: &BurstState::default(),
    });
    let max = CpuMax { quota: Some(Micros(50_000)), period: CpuMax::PERIOD };
    let burst = bursts[&PodUid::from("web")].percent.and_then(|percent| burst_of(max, percent));
    assert_eq!(burst, expect.map(Micros), "{wishes}");
}

#[test]
fn bursts_by_wish() {
    let shared = QosLevel::SharedCores;
    check(shared, "{}", None);
    check(shared, r#"{"cpu_burst_policy":"default"}"#, None);
    check(shared, r#"{"cpu_burst_policy":"closed"}"#, Some(0));
    check(shared, r#"{"cpu_burst_policy":"static","cpu_burst_percent":"30"}"#, Some(15_000));
    // 150 is read as 100
    check(shared, r#"{"cpu_burst_policy":"static","cpu_burst_percent":"150"}"#, Some(50_000));
    check(shared, r#"{"cpu_burst_policy":"static"}"#, Some(50_000));
    // reclaimed work never bursts
    let reclaimed = QosLevel::ReclaimedCores;
    check(reclaimed, r#"{"cpu_burst_policy":"static","cpu_burst_percent":"50"}"#, Some(0));
    check(reclaimed, "{}", None);
    // dynamic without a quota
    check(shared, r#"{"cpu_burst_policy":"dynamic"}"#, None);
    let error = resident(shared, r#"{"cpu_burst_policy":"invalid"}"#).expect_err("refused");
    assert!(error.contains("cpu_burst_policy: \"invalid\""), "{error}");
    let error = resident(shared, r#"{"cpu_burst_percent":"many"}"#).expect_err("refused");
    assert!(error.contains("cpu_burst_percent: \"many\""), "{error}");
    assert_eq!(burst_of(CpuMax::UNLIMITED, 100.0), None);
}

type Reading = (u64, Option<f64>, Option<u64>);

/// Percents after each reading (second, throttled ratio, mCPU) of a pod with a quota of 1000 mCPU.
fn percents(wishes: &str, readings: &[Reading]) -> Vec<f64> {
    let (ledger, rules) = (ledger(wishes), BurstRules::default());
    let uid = PodUid::from("web");
    let quotas = BTreeMap::from([(uid.clone(), MilliCpu(1000))]);
    let mut state = BurstState::default();
    let mut percents = Vec::new();
    for (s, throttled_ratio, cpu) in readings {
        let cpu = cpu.map(MilliCpu);
        let measure =
            PodMeasure { throttled_ratio: *throttled_ratio, cpu, ..PodMeasure::default() };
        let pods = BTreeMap::from([(uid.clone(), measure)]);
        let measured = Measured { pods, ..Measured::default() };
        let (bursts, next) = bursts(&BurstInput {
            now: Timestamp(s * SECOND),
            rules: &rules,
            ledger: &ledger,
            measured: Some(&measured),
            quotas: &quotas,
            state: &state,
        });
        state = next;
        percents.push(bursts[&uid].percent.expect("dynamic"));
    }
    percents
}

const DYNAMIC: &str = r#"{"cpu_burst_policy":"dynamic"}"#;

#[track_caller]
fn check_dynamic(wishes: &str, readings: &[Reading], expect: &[f64]) {
    assert_eq!(percents(wishes, readings), expect);
}

#[test]
fn a_dynamic_burst_follows_throttling() {
    let at = |s, throttled, cpu| (s, Some(throttled), Some(cpu));
    // twice throttled, a little, calm: less after a minute of calm
    check_dynamic(
        DYNAMIC,
        &[at(0, 0.2, 500), at(1, 0.2, 500), at(2, 0.04, 500), at(3, 0.01, 500), at(63, 0.0, 500)],
        &[10.0, 20.0, 20.0, 20.0, 10.0],
    );
    // work that uses all of its quota saves nothing
    check_dynamic(DYNAMIC, &[at(0, 0.2, 500), at(1, 0.9, 900)], &[10.0, 0.0]);
    // not measured: as it was
    let rows = [at(0, 0.2, 500), (1, None, Some(500)), (2, Some(0.2), None), (3, None, None)];
    check_dynamic(DYNAMIC, &rows, &[10.0, 10.0, 10.0, 10.0]);
    // bounds of the pod
    let bounded =
        r#"{"cpu_burst_policy":"dynamic","cpu_burst_percent":"15","cpu_burst_threshold":"0.5"}"#;
    let rows = [at(0, 0.6, 500), at(1, 0.6, 500), at(2, 0.4, 500)];
    check_dynamic(bounded, &rows, &[10.0, 15.0, 15.0]);
    // never more than the quota
    let rows: Vec<Reading> = (0..20).map(|s| at(s, 1.0, 500)).collect();
    assert_eq!(percents(DYNAMIC, &rows).last(), Some(&100.0));
}

#[test]
fn a_dynamic_burst_begins_again_when_the_pod_comes_back() {
    let (rules, uid) = (BurstRules::default(), PodUid::from("web"));
    let held = PodBurst { percent: 50, calm_since: None };
    let state = BurstState { pods: BTreeMap::from([(uid, held)]) };
    let (_, next) = bursts(&BurstInput {
        now: Timestamp(0),
        rules: &rules,
        ledger: &Ledger::default(),
        measured: None,
        quotas: &BTreeMap::new(),
        state: &state,
    });
    assert_eq!(next, BurstState::default());
    assert_eq!(rules.calm_for, Nanos::from_secs(60));
}

proptest! {
    /// The oracle counts steps by itself: no reading moves it by more than one, and nothing over the
    /// quota is ever written.
    #[test]
    fn a_burst_moves_by_one_step_and_stays_in_its_bounds(
        readings in proptest::collection::vec((0u64..100, 0.0f64..1.0, 0u64..2000), 1..40),
        quota in 1u64..1_000_000,
    ) {
        let readings: Vec<Reading> =
            readings.into_iter().map(|(s, throttled, cpu)| (s, Some(throttled), Some(cpu))).collect();
        let mut before = 0.0;
        for percent in percents(DYNAMIC, &readings) {
            prop_assert!((percent - before).abs() <= 10.0 && (0.0..=100.0).contains(&percent));
            let max = CpuMax { quota: Some(Micros(quota)), period: CpuMax::PERIOD };
            prop_assert!(burst_of(max, percent).expect("a quota") <= Micros(quota));
            before = percent;
        }
    }
}
