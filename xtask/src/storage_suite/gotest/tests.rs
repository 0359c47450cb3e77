//! Tables of what a Go test program prints and what is read of it. Runs no such program.

use super::{Counts, Failure, Reader, Tally};

/// `^` stands for SYN.
fn read(output: &str) -> Tally {
    let mut reader = Reader::default();
    output.replace('^', "\u{16}").lines().for_each(|line| reader.line(line));
    reader.end()
}

fn counts(of: Counts) -> [u32; 3] {
    [of.passed, of.failed, of.skipped]
}

/// `failures` are names and the lines shown of each.
#[track_caller]
fn check(output: &str, whole: [u32; 3], parts: [u32; 3], failures: &[(&str, &[&str])]) {
    let tally = read(output);
    assert_eq!((counts(tally.whole), counts(tally.parts)), (whole, parts), "{output}");
    let owned = |tail: &[&str]| tail.iter().map(ToString::to_string).collect::<Vec<_>>();
    let expected: Vec<_> = failures.iter().map(|(name, tail)| (*name, owned(tail))).collect();
    let found = tally.failures.iter().map(|it| (it.name.as_str(), it.tail.clone()));
    let found: Vec<_> = found.collect();
    assert_eq!(found, expected, "{output}");
}

#[test]
fn verdicts_of_tests_and_of_their_parts_are_counted_apart() {
    check("", [0; 3], [0; 3], &[]);
    check("^PASS\n", [0; 3], [0; 3], &[]);
    check(
        "^=== RUN   TestA\n^=== RUN   TestA/one\n^--- PASS: TestA/one (0.00s)\n^--- PASS: TestA (0.10s)\n\
         ^=== RUN   TestB\n^=== NAME  TestB\n    b_test.go:3: not here\n^--- SKIP: TestB (0.00s)\n^PASS\n",
        [1, 0, 1],
        [1, 0, 0],
        &[],
    );
}

#[test]
fn a_failed_test_comes_before_its_parts_each_with_its_own_output() {
    check(
        "I1127 a log line before any test\n\
         ^=== RUN   TestA\n^=== RUN   TestA/one\n^=== RUN   TestA/two\n^=== NAME  TestA/one\n    a_test.go:9: \u{f}want 1\u{e}\n\
         ^=== NAME  TestA/two\n    fine\n^--- FAIL: TestA/one (0.20s)\n^--- PASS: TestA/two (0.00s)\n\
         ^--- FAIL: TestA (0.31s)\n^FAIL\n",
        [0, 1, 0],
        [1, 1, 0],
        &[("TestA", &[]), ("TestA/one", &["    a_test.go:9: want 1"])],
    );
}

/// A test that prints without a line break is followed by the verdict on the same line.
#[test]
fn what_tests_print_is_no_verdict_and_hides_none() {
    check(
        "^=== RUN   TestA\n--- FAIL: TestA (0.00s)\nhalf a line^--- PASS: TestA (0.00s)\n^PASS\n",
        [1, 0, 0],
        [0; 3],
        &[],
    );
}

#[test]
fn tests_beside_each_other_keep_their_output() {
    check(
        "^=== RUN   TestA\n^=== PAUSE TestA\n^=== RUN   TestB\n^=== PAUSE TestB\n^=== CONT  TestA\n^=== CONT  TestB\nof b\n\
         ^=== NAME  TestA\nof a\n^--- FAIL: TestB (0.00s)\n^--- FAIL: TestA (0.00s)\n",
        [0, 2, 0],
        [0; 3],
        &[("TestA", &["of a"]), ("TestB", &["of b"])],
    );
}

#[test]
fn a_test_that_the_program_did_not_survive_has_failed() {
    let tally =
        read("^=== RUN   TestA\nwaits\npanic: test timed out after 1m0s\n\trunning tests:\n");
    let tail = ["waits", "panic: test timed out after 1m0s", "\trunning tests:"];
    let failure =
        Failure { name: "TestA".to_owned(), seconds: None, tail: tail.map(str::to_owned).to_vec() };
    assert_eq!((counts(tally.whole), tally.failures), ([0, 1, 0], vec![failure]));
}

#[test]
fn the_beginning_of_a_panic_is_kept_and_the_end_of_anything_else() {
    let many: String = (0..100).map(|number| format!("line {number}\n")).collect();
    let frames = "\tk8s.io/apiserver/pkg/storage/a_test.go:7 +0x1\n".repeat(30);
    let panicked =
        read(&format!("^=== RUN   TestA\n^--- FAIL: TestA (0.00s)\npanic: no\n{many}{frames}"));
    let tail = &panicked.failures[0].tail;
    assert_eq!(tail[..3], ["panic: no", "line 0", "line 1"].map(str::to_owned));
    assert!(tail.len() == 20 && tail[3..].iter().all(|line| line.contains("a_test.go:7")));
    let failed = read(&format!("^=== RUN   TestA\n{many}^--- FAIL: TestA (1.50s)\n"));
    let failure = &failed.failures[0];
    assert_eq!((failure.tail.len(), failure.tail[39].as_str()), (40, "line 99"));
    assert_eq!(failure.seconds, Some(1.5));
}

#[test]
fn what_runs_longest_is_known() {
    let mut reader = Reader::default();
    assert_eq!(reader.running(), None);
    for line in ["=== RUN   TestA", "=== RUN   TestA/one", "--- PASS: TestA/one (0.00s)"] {
        reader.line(&format!("\u{16}{line}"));
        assert_eq!(reader.running(), Some("TestA"));
    }
    reader.line("\u{16}--- PASS: TestA (0.00s)");
    assert_eq!((reader.running(), reader.whole().sum()), (None, 1));
}
