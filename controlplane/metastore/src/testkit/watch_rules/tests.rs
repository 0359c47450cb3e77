//! Each rule is seen to be broken by a stream that breaks it, and a good stream breaks none.

use super::*;
use proto::etcd::etcdserverpb::ResponseHeader;
use proto::etcd::mvccpb::KeyValue;

/// Revision 2: a and b; 3: a again; 4: a goes; 5: c.
fn chronicle() -> Chronicle {
    let put = |key: &'static str, value: &'static str| Change {
        key: Bytes::from(key),
        value: Some(Bytes::from(value)),
        lease: 0,
    };
    let mut chronicle = Chronicle::default();
    chronicle.add(2, vec![put("a", "1"), put("b", "1")]).unwrap();
    chronicle.add(3, vec![put("a", "2")]).unwrap();
    chronicle.add(4, vec![Change { key: Bytes::from("a"), value: None, lease: 0 }]).unwrap();
    chronicle.add(5, vec![put("c", "1")]).unwrap();
    chronicle
}

fn event(chronicle: &Chronicle, key: &'static str, revision: Revision) -> Event {
    let kv = chronicle.key_at(key.as_bytes(), revision).cloned();
    let kind = if kv.is_some() { EventType::Put } else { EventType::Delete };
    let gone = KeyValue { key: key.into(), mod_revision: revision, ..KeyValue::default() };
    let prev_kv = chronicle.key_at(key.as_bytes(), revision - 1).cloned();
    Event { r#type: kind.into(), kv: Some(kv.unwrap_or(gone)), prev_kv }
}

fn response(revision: Revision, events: Vec<Event>) -> WatchResponse {
    let header = Some(ResponseHeader { revision, ..ResponseHeader::default() });
    WatchResponse { header, events, ..WatchResponse::default() }
}

fn created(revision: Revision) -> WatchResponse {
    WatchResponse { created: true, ..response(revision, Vec::new()) }
}

/// Key and revision of each event, events of one answer in one row; a row without events is progress.
fn recorded(start: Revision, rows: &[(Revision, &[(&'static str, Revision)])]) -> Recorded {
    let chronicle = chronicle();
    let request = WatchCreateRequest {
        key: Bytes::from("a"),
        range_end: Bytes::from("c"),
        start_revision: start,
        prev_kv: true,
        ..WatchCreateRequest::default()
    };
    let mut responses = vec![created(1)];
    for (revision, events) in rows {
        let events = events.iter().map(|(key, at)| event(&chronicle, key, *at)).collect();
        responses.push(response(*revision, events));
    }
    Recorded { request, responses }
}

#[track_caller]
fn check(recorded: &Recorded, rules: &[Rule]) {
    let found = breaches(recorded, &chronicle(), 0);
    let mut found_rules: Vec<Rule> = found.iter().map(|breach| breach.rule).collect();
    found_rules.dedup();
    assert_eq!(found_rules, rules, "{found:?}");
}

const ALL: [(&str, Revision); 4] = [("a", 2), ("b", 2), ("a", 3), ("a", 4)];

#[test]
fn good_streams_break_no_rule() {
    check(&recorded(0, &[(4, &ALL)]), &[]);
    check(
        &recorded(2, &[(2, &ALL[..2]), (3, &ALL[2..3]), (3, &[]), (5, &ALL[3..]), (5, &[])]),
        &[],
    );
    check(&recorded(3, &[(4, &ALL[2..])]), &[]);
    check(&recorded(5, &[(5, &[])]), &[]);
    check(&recorded(9, &[]), &[]);
    let mut unmade = recorded(2, &[]);
    unmade.responses.clear();
    check(&unmade, &[]);
}

#[test]
fn each_rule_can_be_broken() {
    check(&recorded(2, &[(5, &ALL), (5, &[("c", 5)])]), &[Rule::Filter, Rule::Reliable]);
    check(&recorded(3, &[(4, &ALL)]), &[Rule::Filter, Rule::Resumable]);
    let unordered: [(&str, Revision); 4] = [ALL[0], ALL[1], ALL[3], ALL[2]];
    check(&recorded(2, &[(4, &unordered)]), &[Rule::Ordered, Rule::Reliable]);
    check(
        &recorded(2, &[(3, &ALL[..3]), (4, &ALL[2..])]),
        &[Rule::Unique, Rule::Atomic, Rule::Reliable],
    );
    check(&recorded(2, &[(2, &ALL[..1]), (4, &ALL[1..])]), &[Rule::Atomic]);
    check(&recorded(2, &[(3, &[]), (4, &ALL)]), &[Rule::Bookmarkable]);
    check(&recorded(2, &[(4, &ALL), (3, &[])]), &[Rule::Bookmarkable]);
    check(&recorded(2, &[(4, &ALL[2..])]), &[Rule::Resumable]);
    check(&recorded(2, &[(4, &[ALL[0], ALL[1], ALL[3]])]), &[Rule::Reliable]);
    check(&recorded(2, &[(3, &ALL[..3]), (4, &[])]), &[Rule::Reliable]);
    let mut from_now = recorded(0, &[(4, &ALL)]);
    from_now.responses[0] = created(2);
    check(&from_now, &[Rule::Bookmarkable, Rule::Resumable]);
}

#[test]
fn what_an_event_says_of_its_key() {
    let mut wrong = recorded(2, &[(4, &ALL)]);
    wrong.responses[1].events[2].prev_kv = None;
    check(&wrong, &[Rule::PreviousKv]);
    assert_eq!(breaches(&wrong, &chronicle(), 3), [], "compacted at that revision");
    let mut unasked = recorded(2, &[(4, &ALL)]);
    unasked.request.prev_kv = false;
    check(&unasked, &[Rule::PreviousKv]);
    let mut created = recorded(2, &[(4, &ALL)]);
    created.responses[1].events[2].kv.as_mut().unwrap().create_revision = 3;
    check(&created, &[Rule::IsCreate]);
}

#[test]
fn parts_of_an_answer_are_one() {
    let mut parts = recorded(2, &[(4, &ALL[..1]), (4, &ALL[1..])]);
    parts.responses[1].fragment = true;
    check(&parts, &[]);
}

#[test]
fn a_watch_goes_on_behind_what_it_reached() {
    assert_eq!(reached(&recorded(2, &[])), 0);
    assert_eq!(reached(&recorded(2, &[(9, &ALL)])), 4, "a header reaches nothing");
    assert_eq!(reached(&recorded(2, &[(4, &ALL), (9, &[])])), 9);
}

#[test]
fn a_watch_ends_where_what_it_wants_is_forgotten() {
    for (compact_revision, rules) in [(0, &[Rule::Reliable][..]), (4, &[Rule::Reliable]), (5, &[])]
    {
        let mut ended = recorded(2, &[(3, &ALL[..3])]);
        let canceled =
            WatchResponse { canceled: true, compact_revision, ..response(5, Vec::new()) };
        ended.responses.push(canceled);
        check(&ended, rules);
    }
}
