//! Frames as text, keys as changes of the view.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use expect_test::{Expect, expect};
use proto::v1::{CpuView, Finding, SignalState, Workload};

use super::keys::{Next, press};
use super::view::Focus;
use super::*;
use crate::fixture;

fn view() -> View {
    let mut view = View::new(SortKey::Usage, String::new(), Colors::Off);
    view.show(fixture::snapshot());
    view
}

fn keys(view: &mut View, text: &str) -> Next {
    let mut next = Next::Stay;
    for letter in text.chars() {
        let code = match letter {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            '\u{8}' => KeyCode::Backspace,
            letter => KeyCode::Char(letter),
        };
        next = press(view, KeyEvent::new(code, KeyModifiers::NONE));
    }
    next
}

#[track_caller]
fn check(view: &View, lines: u16, expect: Expect) {
    expect.assert_eq(&drawn(view, 110, lines));
}

#[test]
fn the_whole_screen() {
    check(
        &view(),
        18,
        expect![[r#"
            berth enforce   host: busy 73 %  steal 0.4 %  psi 12 %  mem 3.0 GiB of 8.0 GiB
            suppression: ON 1.4s for web, batch keeps 0.10 CPUs   214 so far, p50 3.2ms p99 11.4ms max 40.0ms
            signal: good   agent: 21 MiB, 0.4 % of a CPU, up 15m00s, probe loaded   data 0.4s old
             node0  VSBB
                     ▁▃▄
             node1  .RRx
                     ▇██
                    S share  R reclaim  B share+reclaim  V reserve  . no pool  x offline
            ! etl: no cgroup matches /etl.slice/*  [glob-matches-nothing]
            NAME      QOS       POOL     USED* REQUEST  WAIT P50  WAIT P99  THROTTLED    PSI   MEMORY STATE
            web       shared    share     2.45    2.00      12us     2.1ms          -   49 %  2.4 GiB
            batch/one reclaimed reclaim   1.50    0.00     800us    95.0ms       42 %   30 %  1.5 GiB suppressed
            batch/two reclaimed -            -    0.00         -         -       42 %      -        - suppressed




            / filter   ? help   q leaves
        "#]],
    );
}

#[test]
fn nothing_known_is_dashes_not_zeros() {
    let mut view = view();
    view.show(Snapshot::default());
    check(
        &view,
        10,
        expect![[r#"
        berth unknown   host: busy -  steal -  psi -  mem - of -
        suppression: off   none since the agent started
        signal: NONE   agent: -, - of a CPU, up 0.0s, NO PROBE   data 0.0s old

        NAME  QOS       POOL     USED* REQUEST  WAIT P50  WAIT P99  THROTTLED    PSI   MEMORY STATE
        no workloads: no cgroup matches a [[workload]] of the agent's config



        / filter   ? help   q leaves
    "#]],
    );
}

#[test]
fn before_the_first_snapshot() {
    let mut view = View::new(SortKey::Usage, String::new(), Colors::Off);
    check(
        &view,
        2,
        expect![[r#"
        waiting for the agent

    "#]],
    );
    view.lost = Some("cannot reach the agent at /x: gone".into());
    check(
        &view,
        2,
        expect![[r#"
        cannot reach the agent at /x: gone

    "#]],
    );
}

#[test]
fn a_lost_agent_and_old_data_are_said() {
    let mut view = view();
    view.since = Duration::from_secs(75);
    view.lost = Some("the agent at /x went away".into());
    let text = drawn(&view, 110, 18);
    assert!(text.contains("data 1m15s old"), "{text}");
    assert!(text.ends_with("the agent at /x went away; trying again\n"), "{text}");
}

#[test]
fn a_bad_signal_says_why() {
    let mut view = view();
    let snapshot = view.snapshot.as_mut().expect("set");
    let signal = snapshot.signal.as_mut().expect("set");
    signal.state = SignalState::PressureOnly.into();
    signal.why = "no BTF".into();
    snapshot.agent.as_mut().expect("set").probe_loaded = false;
    let text = drawn(&view, 110, 18);
    assert!(text.contains("signal: PSI ONLY (no BTF)"), "{text}");
    assert!(text.contains("NO PROBE"), "{text}");
}

#[track_caller]
fn check_order(view: &View, expect: &[&str]) {
    let snapshot = view.snapshot.as_ref().expect("set");
    let names: Vec<&str> =
        rows::chosen(view, &snapshot.workloads).iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, expect);
}

#[test]
fn every_sort_key_and_its_reverse() {
    let mut view = view();
    let rows: &[(&str, &[&str])] = &[
        ("c", &["web", "batch/one", "batch/two"]),
        ("p", &["batch/one", "web", "batch/two"]),
        ("t", &["batch/one", "batch/two", "web"]),
        ("s", &["web", "batch/one", "batch/two"]),
        ("m", &["web", "batch/one", "batch/two"]),
        ("n", &["batch/one", "batch/two", "web"]),
        ("l", &["batch/one", "batch/two", "web"]),
        ("nr", &["web", "batch/two", "batch/one"]),
    ];
    for (pressed, expect) in rows {
        assert_eq!(keys(&mut view, pressed), Next::Stay);
        check_order(&view, expect);
    }
}

#[test]
fn the_filter_matches_name_qos_and_pool() {
    let mut view = view();
    keys(&mut view, "/two");
    assert_eq!(view.focus, Focus::Filter);
    check_order(&view, &["batch/two"]);
    keys(&mut view, "\u{8}\u{8}\u{8}reclaim\n");
    assert_eq!((view.focus, view.filter.as_str()), (Focus::Table, "reclaim"));
    check_order(&view, &["batch/one", "batch/two"]);
    keys(&mut view, "/zzz");
    assert!(drawn(&view, 110, 18).contains("no workload passes the filter"));
    // letters that are commands elsewhere are letters here
    assert_eq!(keys(&mut view, "q"), Next::Stay);
    keys(&mut view, "\u{1b}");
    check_order(&view, &["web", "batch/one", "batch/two"]);
}

#[test]
fn ways_out() {
    assert_eq!(keys(&mut view(), "q"), Next::Leave);
    assert_eq!(keys(&mut view(), "\u{1b}"), Next::Leave);
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    for focus in [Focus::Table, Focus::Filter, Focus::Help] {
        let mut view = view();
        view.focus = focus;
        assert_eq!(press(&mut view, control_c), Next::Leave);
    }
}

#[test]
fn help_opens_and_any_key_closes_it() {
    let mut view = view();
    keys(&mut view, "?");
    check(
        &view,
        20,
        expect![[r#"
            berth enforce   host: busy 73 %  steal 0.4 %  psi 12 %  mem 3.0 GiB of 8.0 GiB
            suppression: ON 1.4s for web, batch keeps 0.10 CPUs   214 so far, p50 3.2ms p99 11.4ms max 40.0ms
            signal: good   agent: 21 MiB, 0.4 % of a CPU, up 15m00s, probe loaded   data 0.4s old
             node0  VSBB ┌ help ───────────────────────────────────────────────────────────────────────────┐
                     ▁▃▄ │c usage   p wait p99   t throttled   s pressure   m memory   n name   l QoS level│
             node1  .RRx │r         reverse the order                                                      │
                     ▇██ │/         filter by name, QoS or pool (Enter keeps it, Esc drops it)             │
                    S sha│j k       down, up (also arrows, PgDn, PgUp, Home)                               │
            ! etl: no cgr│?         this help                                                              │
            NAME      QOS│q         leave (also Esc, Ctrl-C)                                               │
            web       sha│                                                                                 │
            batch/one rec│WAIT      time from runnable to running, over the last second                    │ssed
            batch/two rec│THROTTLED share of periods in which its own cpu.max stopped it                   │ssed
                         │PSI       share of the last 10 s in which some thread waited for a CPU           │
                         │late      its p99 is over its target                                             │
                         │suppressed  held down, so that a service gets its CPU back                       │
                         └─────────────────────────────────────────────────────────────────────────────────┘


            / filter   ? help   q leaves
        "#]],
    );
    assert_eq!(keys(&mut view, "q"), Next::Stay);
    assert_eq!(view.focus, Focus::Table);
}

#[test]
fn scrolling_stops_at_both_ends() {
    let mut view = view();
    keys(&mut view, "jjjjjjj");
    assert_eq!(view.scroll, 2);
    keys(&mut view, "kkkkkkk");
    assert_eq!(view.scroll, 0);
}

/// 512 CPUs on 8 nodes must neither panic nor push the table off the screen.
#[test]
fn a_large_machine_on_a_small_screen() {
    let mut view = view();
    let snapshot = view.snapshot.as_mut().expect("set");
    snapshot.cpus = (0..512)
        .map(|cpu| CpuView { cpu, numa_node: cpu / 64, online: true, busy_ratio: Some(0.5) })
        .collect();
    let finding = snapshot.findings[0].clone();
    snapshot.findings = vec![Finding { ..finding }; 9];
    let workload: Workload = snapshot.workloads[0].clone();
    snapshot.workloads =
        (0..300).map(|idx| Workload { name: format!("w{idx:03}"), ..workload.clone() }).collect();
    for (columns, lines) in [(80, 24), (40, 10), (20, 3), (1, 1), (200, 60)] {
        let text = drawn(&view, columns, lines);
        assert_eq!(text.lines().count(), usize::from(lines));
    }
    let text = drawn(&view, 80, 24);
    assert!(text.contains("more rows of CPUs do not fit"), "{text}");
    assert!(text.contains("w000"), "{text}");
    assert!(text.contains("! and 6 more findings"), "{text}");
}

#[test]
fn one_frame_as_text_holds_every_workload_and_every_finding_to_its_end() {
    let mut snapshot = fixture::snapshot();
    snapshot.findings[0].message = "why ".repeat(60);
    let end = format!("why   [{}]", snapshot.findings[0].rule);
    let workload = snapshot.workloads[0].clone();
    snapshot.workloads =
        (0..100).map(|idx| Workload { name: format!("w{idx:03}"), ..workload.clone() }).collect();
    let args = TopArgs { once: true, sort: SortKey::Name, filter: String::new() };
    let text = once(&snapshot, &args);
    for idx in 0..100 {
        assert!(text.contains(&format!("w{idx:03}")), "w{idx:03} in {text}");
    }
    assert!(text.contains(&end), "{end:?} in {text}");
}
