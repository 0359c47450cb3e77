//! Good histories are accepted and bad ones are not.

use super::*;

/// `called answered text`: `x=1` writes, `x?1` has seen, `x:1` is the guard, `-` is not there, `!` failed; `..` was never answered.
fn operation(text: &str) -> Operation {
    let mut words = text.split(' ');
    let called = words.next().unwrap().parse().unwrap();
    let at = words.next().unwrap().parse().ok();
    let mut call = Call::default();
    let (mut succeeded, mut seen, mut revision) = (true, Vec::new(), 0);
    for word in words {
        let cell = || {
            let (key, value) = word.split_at(1);
            let key = usize::from(key.as_bytes()[0] - b'x');
            (key, value[1..].parse().ok())
        };
        match word.as_bytes() {
            b"!" => succeeded = false,
            [b'@', ..] => revision = word[1..].parse().unwrap(),
            [_, b'=', ..] => call.then.push(cell()),
            [_, b'?', ..] => seen.push(cell()),
            [_, b':', ..] => call.guard.push(cell()),
            _ => panic!("{word}"),
        }
    }
    let answer = at.map(|at| Answer { at, succeeded, revision, seen });
    Operation { called, call, answer }
}

#[track_caller]
fn check_is(is_good: bool, lines: &[&str]) {
    let mut operations: Vec<Operation> = lines.iter().map(|line| operation(line)).collect();
    // Rows that say nothing of revisions are answered with revisions that fit any order.
    if !lines.iter().any(|line| line.contains('@')) {
        let mut one_by_one = operations.clone();
        one_by_one.iter_mut().flat_map(|one| &mut one.answer).for_each(|one| one.revision = 0);
        operations = one_by_one;
        return assert_eq!(check_without_revisions(&operations).is_ok(), is_good, "{lines:?}");
    }
    assert_eq!(check(3, &operations).is_ok(), is_good, "{lines:?}");
}

/// All orders of the answered operations' revisions are as good as another: the brute force over them stays tiny.
fn check_without_revisions(operations: &[Operation]) -> Result<(), Nonlinear> {
    let mut ranks: Vec<Revision> = (1..=operations.len() as Revision).collect();
    let mut last = Ok(());
    permutations(&mut ranks, 0, &mut |ranks| {
        let mut ranked = operations.to_vec();
        for (one, rank) in ranked.iter_mut().zip(ranks) {
            one.answer.iter_mut().for_each(|answer| answer.revision = *rank);
        }
        last = check(3, &ranked);
        last.is_ok()
    });
    last
}

fn permutations(
    items: &mut [Revision],
    from: usize,
    found: &mut impl FnMut(&[Revision]) -> bool,
) -> bool {
    if from == items.len() {
        return found(items);
    }
    for other in from..items.len() {
        items.swap(from, other);
        if permutations(items, from + 1, found) {
            return true;
        }
        items.swap(from, other);
    }
    false
}

#[test]
fn histories_that_can_be() {
    check_is(true, &[]);
    check_is(true, &["1 2 x=1", "3 4 x?1"]);
    // A read beside a write sees it or does not.
    check_is(true, &["1 4 x=1", "2 3 x?1"]);
    check_is(true, &["1 4 x=1", "2 3 x?-"]);
    check_is(true, &["1 6 x=1", "2 3 x?-", "4 5 x?1"]);
    // Without an answer: never, at once, or long after.
    check_is(true, &["1 .. x=1", "2 3 x?-"]);
    check_is(true, &["1 .. x=1", "2 3 x?1"]);
    check_is(true, &["1 .. x=1", "2 3 x=2", "4 5 x?2", "6 7 x?1"]);
    check_is(true, &["1 2 x:- x=1", "3 4 x:1 x=2", "5 6 x:1 x=3 ! x?2"]);
    check_is(true, &["1 2 x=1 y=2", "3 4 x?1 y?2"]);
    check_is(true, &["1 2 x=1 @2", "1 3 x=2 @3", "4 5 x?2 @3"]);
    check_is(true, &["1 2 x:- x=1", "3 .. x:1 x=2", "4 5 x:1 x=3", "6 7 x?3"]);
    check_is(true, &["1 2 x=1 @2", "3 4 x=- @3", "5 6 x=- @3", "7 8 x?- @3"]);
}

#[test]
fn histories_that_cannot_be() {
    check_is(false, &["1 2 x=1", "3 4 x?-"]);
    check_is(false, &["1 2 x?1"]);
    // Seen, and then not seen.
    check_is(false, &["1 6 x=1", "2 3 x?1", "4 5 x?-"]);
    check_is(false, &["1 .. x=1", "2 3 x?1", "4 5 x?-"]);
    check_is(false, &["1 .. x=1", "2 3 x?1", "4 5 x=2", "6 7 x?1"]);
    // Both have won.
    check_is(false, &["1 3 x:- x=1", "2 4 x:- x=2"]);
    // Refused, and true all the time.
    check_is(false, &["1 2 x=1", "3 4 x:1 x=2 !"]);
    // Half of a transaction.
    check_is(false, &["1 2 x=1 y=2", "3 4 x?1 y?-"]);
    check_is(false, &["1 .. x=1 y=2", "3 4 x?1 y?-"]);
    // The older revision is the later one, or is given twice.
    check_is(false, &["1 2 x=1 @3", "3 4 x=2 @2"]);
    check_is(false, &["1 2 x=1 @2", "1 3 x=2 @2"]);
    check_is(false, &["1 2 x=1 @2", "1 3 x=2 @3", "4 5 x?1 @3"]);
    // A compare that is unknown cannot have happened when its guard never held.
    check_is(false, &["1 2 x=1", "3 .. x:7 x=2", "4 5 x?2"]);
}

#[test]
fn the_operation_that_does_not_fit_is_named() {
    let operations: Vec<Operation> =
        ["1 2 x=1 @2", "3 4 x=2 @3", "5 6 x?1 @3"].map(operation).into();
    assert_eq!(check(1, &operations), Err(Nonlinear::NoOrder { nth: 2, n_explained: 2 }));
}

/// A thousand kills leave ninety thousand operations in a group.
#[test]
fn a_long_history_is_decided() {
    let mut operations = Vec::new();
    for round in 0..12_000_u64 {
        for client in 0..8 {
            let value = round * 8 + client + 1;
            let answer = Answer {
                at: round * 100 + 50 + client,
                succeeded: true,
                revision: value as Revision,
                seen: vec![(0, value.checked_sub(1).filter(|value| *value > 0))],
            };
            let call = Call { guard: Vec::new(), then: vec![(0, Some(value))] };
            // Every tenth has no answer: the next one has seen it.
            let answer = (value % 10 != 0).then_some(answer);
            operations.push(Operation { called: round * 100 + client, call, answer });
        }
    }
    assert_eq!(check(1, &operations), Ok(()));
    operations[90_000].call.then[0].1 = Some(9_999_999);
    assert!(check(1, &operations).is_err());
}
