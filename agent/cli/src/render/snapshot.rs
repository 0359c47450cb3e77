//! `berth snapshot`: the derived state as tables: the host, each workload, how fresh each source is.

use std::fmt::Write;

use proto::v1::{SignalState, Snapshot, SourceHealth, Workload};

use super::{Detail, Look, columns};
use crate::units::{age, bytes, cpus, duration, or_missing, percent};

pub(crate) fn snapshot(snapshot: &Snapshot, look: Look) -> String {
    let mut text = host(snapshot);
    text.push('\n');
    text.push_str(&workloads(snapshot, look.detail));
    text.push('\n');
    let rows = snapshot.sources.iter().map(source).collect();
    text + &columns(&["SOURCE", "AGE", "FAULT"], &["AGE"], rows)
}

fn host(snapshot: &Snapshot) -> String {
    let host = snapshot.host.unwrap_or_default();
    let ratio = |ratio: Option<f64>| or_missing(ratio, |ratio| percent(ratio * 100.0));
    let signal = snapshot.signal.clone().unwrap_or_default();
    let state = match signal.state() {
        SignalState::Good => "good",
        SignalState::Degraded => "degraded",
        SignalState::PressureOnly => "pressure only",
        SignalState::None => "none",
        SignalState::Unspecified => "unknown",
    };
    let why = if signal.why.is_empty() { String::new() } else { format!(": {}", signal.why) };
    let mut text = String::new();
    // writing to a String cannot fail
    let _ = writeln!(
        text,
        "{} old   busy {}   steal {}   memory {} of {} available\nrun-queue signal {state}{why}",
        age(snapshot.now_mono_ns.saturating_sub(snapshot.at_mono_ns)),
        ratio(host.busy_ratio),
        ratio(host.steal_ratio),
        or_missing(host.memory_available_bytes, bytes),
        or_missing(host.memory_total_bytes, bytes),
    );
    text
}

fn workloads(snapshot: &Snapshot, detail: Detail) -> String {
    let wide = detail == Detail::Wide;
    let mut header = vec!["NAME", "QOS", "POOL", "REQUEST", "USED", "WAIT P99", "MEMORY"];
    if wide {
        header.extend(["WAITS", "WAIT P50", "THROTTLED", "CGROUP"]);
    }
    let rows = snapshot.workloads.iter().map(|workload| row(workload, wide)).collect();
    let numbers = ["REQUEST", "USED", "WAIT P99", "MEMORY", "WAITS", "WAIT P50", "THROTTLED"];
    columns(&header, &numbers, rows)
}

fn row(workload: &Workload, wide: bool) -> Vec<String> {
    let runq = workload.runq.unwrap_or_default();
    let mut row = vec![
        workload.name.clone(),
        workload.qos.clone(),
        or_missing(workload.pool.clone(), |pool| pool),
        cpus(workload.request_milli_cpu),
        or_missing(workload.usage_milli_cpu, cpus),
        or_missing(runq.wait_p99_ns, duration),
        or_missing(workload.memory_current_bytes, bytes),
    ];
    if wide {
        let n_waits = workload.runq.as_ref().map(|runq| runq.n_waits.to_string());
        row.extend([
            or_missing(n_waits, |n| n),
            or_missing(runq.wait_p50_ns, duration),
            or_missing(workload.throttled_ratio, |ratio| percent(ratio * 100.0)),
            workload.cgroup.clone(),
        ]);
    }
    row
}

fn source(source: &SourceHealth) -> Vec<String> {
    let fault = source.fault.as_ref().map(|fault| match source.detail.is_empty() {
        true => fault.clone(),
        false => format!("{fault}: {}", source.detail),
    });
    vec![
        source.name.clone(),
        source.age_ns.map_or_else(|| "never read".to_owned(), age),
        fault.unwrap_or_else(|| "none".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::fixture;
    use crate::render::Paint;

    #[track_caller]
    fn check(of: &Snapshot, detail: Detail, expect: Expect) {
        expect.assert_eq(&snapshot(of, Look { detail, paint: Paint::Plain }));
    }

    #[test]
    fn tables() {
        let mut node = fixture::snapshot();
        node.sources.push(SourceHealth {
            name: "probe".into(),
            age_ns: None,
            fault: Some("unsupported".into()),
            detail: "no BTF".into(),
        });
        check(
            &node,
            Detail::Table,
            expect![[r#"
            0.4s old   busy 73 %   steal 0.4 %   memory 5.0 GiB of 8.0 GiB available
            run-queue signal good

            NAME       QOS              POOL     REQUEST  USED  WAIT P99   MEMORY
            batch/one  reclaimed_cores  reclaim     0.00  1.50    95.0ms  1.5 GiB
            batch/two  reclaimed_cores  -           0.00     -         -        -
            web        shared_cores     share       2.00  2.45     2.1ms  2.4 GiB

            SOURCE         AGE  FAULT
            host          0.4s  none
            probe   never read  unsupported: no BTF
        "#]],
        );
        check(
            &node,
            Detail::Wide,
            expect![[r#"
            0.4s old   busy 73 %   steal 0.4 %   memory 5.0 GiB of 8.0 GiB available
            run-queue signal good

            NAME       QOS              POOL     REQUEST  USED  WAIT P99   MEMORY  WAITS  WAIT P50  THROTTLED  CGROUP
            batch/one  reclaimed_cores  reclaim     0.00  1.50    95.0ms  1.5 GiB  12000     800us       42 %  /demo.slice/batch-one
            batch/two  reclaimed_cores  -           0.00     -         -        -      -         -       42 %  /demo.slice/batch-two
            web        shared_cores     share       2.00  2.45     2.1ms  2.4 GiB  12000      12us          -  /demo.slice/web

            SOURCE         AGE  FAULT
            host          0.4s  none
            probe   never read  unsupported: no BTF
        "#]],
        );
        check(
            &Snapshot::default(),
            Detail::Table,
            expect![[r#"
            0.0s old   busy -   steal -   memory - of - available
            run-queue signal unknown

            NAME  QOS  POOL  REQUEST  USED  WAIT P99  MEMORY

            SOURCE  AGE  FAULT
        "#]],
        );
    }
}
