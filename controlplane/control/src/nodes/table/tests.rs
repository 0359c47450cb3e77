//! What a person is shown of values that agents, and others, wrote.

use expect_test::{Expect, expect};

use super::*;

const NOW: u64 = 1_790_000_100_000;
const BUSY: &str = r#"{"schema":1,"cluster":"prod","node":"n1","reported_unix_ms":1790000097500,"mode":"enforce","signal":"good",
  "capacity":{"milli_cpu":64000,"memory_bytes":274877906944,"numa_nodes":[]},"headroom":{"milli_cpu":12250,"memory_bytes":null,
  "numa_nodes":[]},"usage_milli_cpu":31990,"pools":[{"name":"share","cpus":"0-47","n_cpus":48},{"name":"reclaim","cpus":"48-63"}],
  "n_findings":2,"findings":[{"severity":"note","rule":"slow-source","subject":"a","message":"late"},
  {"severity":"warning","rule":"stale-source","subject":"b","message":"PSI was not read\u001b[2J for 9 s"}],"n_pods":31,"n_suppressed":4}"#;

#[track_caller]
fn check(values: &[(&str, &str)], is_wide: bool, expect: &Expect) {
    let rows: Vec<Row> =
        values.iter().map(|(name, value)| Row::of(name, value.as_bytes())).collect();
    expect.assert_eq(&text(&rows, is_wide, NOW));
}

#[test]
fn nodes_are_rows() {
    let quiet = r#"{"reported_unix_ms":1789999800000,"behind":"gap"}"#;
    let values = [("n1", BUSY), ("n2", quiet), ("n3", "no JSON"), ("n4", "{}")];
    check(
        &values,
        false,
        &expect![[r#"
        NODE  AGE  MODE     SIGNAL         CPU  USED  HEADROOM  PODS  FINDINGS
        n1     2s  enforce  good          64.0  32.0      12.2    31  2 (warning stale-source)
        n2     5m  -        behind (gap)     -     -         -     -  -
        n3      -  -        -                -     -         -     -  not a report: expected ident at line 1 column 2
        n4      -  -        -                -     -         -     -  -
    "#]],
    );
    check(
        &values[..1],
        true,
        &expect![[r#"
        NODE  AGE  MODE     SIGNAL   CPU  USED  HEADROOM  PODS  FINDINGS                  HELD   MEMORY  POOLS                     WORST
        n1     2s  enforce  good    64.0  32.0      12.2    31  2 (warning stale-source)     4  256.0Gi  share=0-47 reclaim=48-63  PSI was not read?[2J for 9 s
    "#]],
    );
    check(&[], false, &expect!["No node reports into this store: no key below /berth/nodes/.\n"]);
}

#[test]
fn a_change_is_a_line() {
    let row = Row::of("n1", BUSY.as_bytes());
    let expect = "n1  age=2s mode=enforce signal=good cpu=64.0 used=32.0 headroom=12.2 pods=31 \
                  findings=2 (warning stale-source)\n";
    assert_eq!(line(&row, false, NOW), expect);
}

#[test]
fn ages_are_short() {
    for (seconds, told) in [(0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h")] {
        assert_eq!(age(Some(NOW - seconds * 1000), NOW), told, "{seconds}");
    }
    assert_eq!((age(None, NOW), age(Some(NOW + 5), NOW)), ("-".to_owned(), "0s".to_owned()));
}
