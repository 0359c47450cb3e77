//! Reads what libtest prints: counts, names and the output of what failed. Pure; one reader per run.

/// What a run of one or more test binaries came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u32,
    pub(super) failed: u32,
    pub(super) skipped: u32,
    /// Skips with their reason, as `SKIP name: why` or libtest's `ignored` told them.
    pub(super) skips: Vec<Skip>,
    /// What is to be known beside the counts.
    pub(super) remarks: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Skip {
    pub(super) name: String,
    pub(super) why: String,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.skips.extend(other.skips);
        self.remarks.extend(other.remarks);
    }

    /// The closing line, for people and for machines.
    pub(super) fn line(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Counts the runs in `output`. Results come from each run's closing line, names from the lines of the tests.
pub(super) fn read(output: &str) -> Tally {
    let mut tally = Tally::default();
    let mut said = 0;
    for line in output.lines() {
        if let Some(counts) = line.strip_prefix("test result: ") {
            tally.passed += count(counts, "passed");
            tally.failed += count(counts, "failed");
            tally.skipped += count(counts, "ignored");
        } else if let Some(skip) = ignored(line) {
            tally.skips.push(skip);
        } else if let Some((name, why)) =
            line.strip_prefix("SKIP ").and_then(|rest| rest.split_once(": "))
        {
            // A test may say it more than once, and is still one.
            if !tally.skips.iter().any(|skip| skip.name == name) {
                said += 1;
                tally.skips.push(Skip { name: name.to_owned(), why: why.to_owned() });
            }
        }
    }
    // libtest saw these return, so they are among its passed.
    tally.passed = tally.passed.saturating_sub(said);
    tally.skipped += said;
    tally
}

/// The case that has begun and not ended: with one test thread, the last `test NAME ... ` without a result. What the
/// case prints meanwhile may stand between the two.
pub(super) fn running(output: &str) -> Option<&str> {
    let mut running = None;
    for line in output.lines() {
        if let Some((name, rest)) =
            line.strip_prefix("test ").and_then(|line| line.split_once(" ... "))
        {
            running = Some(name).filter(|_| !is_result(rest));
        } else if is_result(line) {
            running = None;
        }
    }
    running
}

fn is_result(text: &str) -> bool {
    text == "ok" || text == "FAILED" || text.starts_with("ignored")
}

fn count(counts: &str, what: &str) -> u32 {
    let number = counts.split([';', '.']).find_map(|part| part.trim().strip_suffix(what));
    number.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

/// `test name ... ignored` or `test name ... ignored, reason`.
fn ignored(line: &str) -> Option<Skip> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let why = result.strip_prefix("ignored")?.trim_start_matches(", ");
    Some(Skip { name: name.to_owned(), why: why.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::{Skip, read, running};

    #[track_caller]
    fn check(output: &str, line: &str, skips: &[(&str, &str)]) {
        let tally = read(output);
        let expected: Vec<_> = skips
            .iter()
            .map(|&(name, why)| Skip { name: name.to_owned(), why: why.to_owned() })
            .collect();
        assert_eq!((tally.line().as_str(), &tally.skips), (line, &expected), "{output}");
    }

    #[test]
    fn runs_are_added_up() {
        check("", "0 passed, 0 failed, 0 skipped", &[]);
        check(
            "test a ... ok\ntest b ... ok\n\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; \
             finished in 0.02s\n\nrunning 1 test\ntest c ... FAILED\n\ntest result: FAILED. 0 passed; 1 failed; \
             0 ignored; 0 measured; 12 filtered out; finished in 1.10s\n",
            "2 passed, 1 failed, 0 skipped",
            &[],
        );
    }

    #[test]
    fn skips_keep_their_names() {
        check(
            "test slow ... ignored, takes an hour\ntest odd ... ignored\n\
             test result: ok. 3 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.0s\n",
            "3 passed, 0 failed, 2 skipped",
            &[("slow", "takes an hour"), ("odd", "")],
        );
        check(
            "test gpu ... ok\ntest result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n\
             SKIP gpu: no device: none in PCI\n",
            "2 passed, 0 failed, 1 skipped",
            &[("gpu", "no device: none in PCI")],
        );
        check(
            "\nSKIP m::a: no data\ntest m::a ... ok\n\nSKIP m::b: no x\n\nSKIP m::b: no y\ntest m::b ... ok\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n",
            "1 passed, 0 failed, 2 skipped",
            &[("m::a", "no data"), ("m::b", "no x")],
        );
    }

    #[track_caller]
    fn check_running(output: &str, expected: Option<&str>) {
        assert_eq!(running(output), expected, "{output:?}");
    }

    #[test]
    fn the_case_that_did_not_end_is_known() {
        check_running("", None);
        check_running("running 2 tests\ntest a ... ok\ntest b::c ... ", Some("b::c"));
        check_running("test a ... ok\ntest b ... ok\n", None);
        check_running("test a ... FAILED\n", None);
        check_running("test a ... ignored, slow\n", None);
        // What a case prints comes in between.
        check_running("test a ... MEASURED x 5\n", Some("a"));
        check_running("test a ... MEASURED x 5\nok\n", None);
        check_running("test a ... MEASURED x 5\nok\ntest b ... ", Some("b"));
    }

    #[test]
    fn prose_of_a_test_is_no_result() {
        check(
            "thread 'x' panicked: test result was bad\nnot ok: 3 passed\n",
            "0 passed, 0 failed, 0 skipped",
            &[],
        );
    }
}
