//! Transactions against a small state: the cases of the specification, and what etcd refuses.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;

use proto::etcd::etcdserverpb::compare::TargetUnion;

use super::*;

/// A state, and the values that were put into it, by where they lie.
#[derive(Default)]
struct Store {
    state: State,
    values: RefCell<BTreeMap<u64, Bytes>>,
    lsn: u64,
}

impl Values for RefCell<BTreeMap<u64, Bytes>> {
    type Error = Infallible;

    fn value(&self, _key: &[u8], version: &Version) -> Result<Bytes, Infallible> {
        Ok(self.borrow().get(&version.place.lsn).cloned().unwrap_or_default())
    }
}

impl Store {
    fn txn(&mut self, request: &TxnRequest) -> Result<(TxnResponse, Revision), Refusal> {
        check::txn(request, check::MAX_TXN_OPS)?;
        let path = match decide(&self.state, request, &self.values) {
            Ok(path) => path,
            Err(TxnError::Refused(refusal)) => return Err(refusal),
            Err(TxnError::Value(never)) => match never {},
        };
        let mut payload = Vec::new();
        let mut writing = Writing::begin(&mut self.state, &mut payload, self.lsn);
        let response = match carry_out(&mut writing, request, &path, &self.values) {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let happening = writing.finish();
        assert_eq!(payload.is_empty(), happening.is_none());
        self.lsn += payload.len() as u64;
        for event in happening.iter().flat_map(|happening| &happening.events) {
            self.values.borrow_mut().insert(event.version.place.lsn, event.value.clone());
        }
        Ok((response, self.state.revision))
    }

    fn then(&mut self, ops: Vec<RequestOp>) -> Result<(TxnResponse, Revision), Refusal> {
        self.txn(&TxnRequest { success: ops, ..TxnRequest::default() })
    }
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn put(key: &str, value: &str) -> RequestOp {
    let (key, value) = (Bytes::from(key.to_owned()), Bytes::from(value.to_owned()));
    op(Request::RequestPut(PutRequest { key, value, ..PutRequest::default() }))
}

fn get(key: &str, end: &str) -> RequestOp {
    let (key, range_end) = (Bytes::from(key.to_owned()), Bytes::from(end.to_owned()));
    op(Request::RequestRange(RangeRequest { key, range_end, ..RangeRequest::default() }))
}

fn delete(key: &str, end: &str) -> RequestOp {
    let (key, range_end) = (Bytes::from(key.to_owned()), Bytes::from(end.to_owned()));
    op(Request::RequestDeleteRange(DeleteRangeRequest { key, range_end, prev_kv: true }))
}

fn mod_is(key: &str, revision: i64) -> Compare {
    Compare {
        key: Bytes::from(key.to_owned()),
        target: CompareTarget::Mod.into(),
        target_union: Some(TargetUnion::ModRevision(revision)),
        ..Compare::default()
    }
}

fn when(compare: Compare, then: Vec<RequestOp>, otherwise: Vec<RequestOp>) -> TxnRequest {
    TxnRequest { compare: vec![compare], success: then, failure: otherwise }
}

/// What an answer says, in short: `put@R`, `deleted N@R`, `key=value@mod` of a range.
fn said(response: &TxnResponse) -> Vec<String> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let kv = |kv: &KeyValue| format!("{}={}@{}", text(&kv.key), text(&kv.value), kv.mod_revision);
    let revision = |header: &Option<ResponseHeader>| header.as_ref().unwrap().revision;
    let one = |op: &ResponseOp| match op.response.as_ref().unwrap() {
        Response::ResponsePut(put) => format!("put@{}", revision(&put.header)),
        Response::ResponseDeleteRange(it) => {
            format!("deleted {}@{}", it.deleted, revision(&it.header))
        }
        Response::ResponseRange(it) => {
            let kvs: Vec<String> = it.kvs.iter().map(kv).collect();
            format!("[{}]@{}", kvs.join(" "), revision(&it.header))
        }
        Response::ResponseTxn(it) => format!("({})", said(it).join(", ")),
    };
    response.responses.iter().map(one).collect()
}

/// The life of a key as an apiserver leads it: succeeded, answers, revision after.
#[test]
fn the_shapes_of_an_apiserver() {
    let mut store = Store::default();
    let steps: [(TxnRequest, bool, &[&str], Revision); 9] = [
        (when(mod_is("a", 0), vec![put("a", "v1")], vec![]), true, &["put@2"], 2),
        (when(mod_is("a", 0), vec![put("a", "v1")], vec![]), false, &[], 2),
        (when(mod_is("a", 0), vec![put("a", "v")], vec![get("a", "")]), false, &["[a=v1@2]@2"], 2),
        (when(mod_is("a", 2), vec![put("a", "v2")], vec![get("a", "")]), true, &["put@3"], 3),
        (
            when(mod_is("a", 2), vec![delete("a", "")], vec![get("a", "")]),
            false,
            &["[a=v2@3]@3"],
            3,
        ),
        (
            when(mod_is("a", 3), vec![delete("a", "")], vec![get("a", "")]),
            true,
            &["deleted 1@4"],
            4,
        ),
        (when(mod_is("a", 3), vec![put("a", "v")], vec![get("a", "")]), false, &["[]@4"], 4),
        (when(mod_is("z", 0), vec![delete("z", "")], vec![]), true, &["deleted 0@4"], 4),
        (when(mod_is("a", 0), vec![put("a", "again")], vec![]), true, &["put@5"], 5),
    ];
    for (request, succeeded, answers, revision) in steps {
        let (response, after) = store.txn(&request).unwrap();
        assert_eq!((response.succeeded, after), (succeeded, revision), "{request:?}");
        assert_eq!(said(&response), answers, "{request:?}");
    }
    let again = store.state.view().get(b"a").copied().unwrap();
    assert_eq!((again.create_revision, again.number), (5, 1));
}

#[test]
fn a_transaction_sees_what_it_wrote() {
    let mut store = Store::default();
    let ops = vec![
        get("a", "c"),
        put("a", "1"),
        get("a", "c"),
        put("b", "2"),
        get("a", "c"),
        get("b", ""),
    ];
    let (response, revision) = store.then(ops).unwrap();
    let expected = ["[]@1", "put@2", "[a=1@2]@2", "put@2", "[a=1@2 b=2@2]@2", "[b=2@2]@2"];
    assert_eq!((said(&response).as_slice(), revision), (expected.map(str::to_owned).as_slice(), 2));
    let (response, _) =
        store.then(vec![delete("a", "z"), get("a", "z"), delete("a", "z")]).unwrap();
    assert_eq!(said(&response), ["deleted 2@3", "[]@3", "deleted 0@3"]);
}

/// What is inside is decided before the outside writes.
#[test]
fn transactions_inside_are_decided_first() {
    let mut store = Store::default();
    let inner = when(mod_is("a", 0), vec![put("b", "absent")], vec![put("b", "there")]);
    let ops = vec![put("a", "1"), op(Request::RequestTxn(inner)), get("b", "")];
    let (response, _) = store.then(ops).unwrap();
    assert_eq!(said(&response), ["put@2", "(put@2)", "[b=absent@2]@2"]);
}

#[test]
fn what_is_refused_changes_nothing() {
    let mut store = Store::default();
    store.then(vec![put("a", "1")]).unwrap();
    let keeps = PutRequest { key: "zz".into(), ignore_value: true, ..PutRequest::default() };
    let both = PutRequest { value: "v".into(), ..keeps.clone() };
    let leased = PutRequest { key: "b".into(), lease: 7, ..PutRequest::default() };
    let future = RangeRequest { key: "a".into(), revision: 99, ..RangeRequest::default() };
    let then = |inner: Vec<RequestOp>| {
        op(Request::RequestTxn(TxnRequest { success: inner, ..TxnRequest::default() }))
    };
    let either = when(mod_is("a", 0), vec![put("q", "1")], vec![put("q", "2")]);
    let changes = when(mod_is("a", 0), vec![put("q", "1")], vec![delete("q", "")]);
    let changes = op(Request::RequestTxn(changes));
    let neither = PutRequest { lease: 7, ..keeps.clone() };
    let negative = RangeRequest { revision: -1, ..future.clone() };
    let nested = |outside: usize, inside: usize| {
        let mut ops = vec![get("a", ""); outside - 1];
        ops.push(then(vec![get("a", ""); inside]));
        ops
    };
    let rows: Vec<(Vec<RequestOp>, Option<Refusal>)> = vec![
        (vec![put("", "v")], Some(Refusal::EmptyKey)),
        (vec![get("", "")], Some(Refusal::EmptyKey)),
        (vec![delete("", "")], Some(Refusal::EmptyKey)),
        (vec![put("b", "1"), put("b", "2")], Some(Refusal::DuplicateKey)),
        (vec![put("b", "1"), delete("a", "c")], Some(Refusal::DuplicateKey)),
        (vec![put("b", "1"), then(vec![put("b", "2")])], Some(Refusal::DuplicateKey)),
        (vec![delete("a", "c"), then(vec![put("b", "2")])], Some(Refusal::DuplicateKey)),
        (vec![op(Request::RequestTxn(either))], None),
        (vec![delete("x", "y"), delete("x", "z")], None),
        (vec![put("b", "1"), op(Request::RequestPut(keeps))], Some(Refusal::KeyNotFound)),
        (vec![op(Request::RequestPut(both))], Some(Refusal::ValueProvided)),
        (vec![put("c", "1"), op(Request::RequestPut(leased))], Some(Refusal::LeaseNotFound)),
        (vec![put("c", "1"), op(Request::RequestRange(future))], Some(Refusal::FutureRevision)),
        (vec![op(Request::RequestPut(neither))], Some(Refusal::LeaseNotFound)),
        (vec![op(Request::RequestRange(negative.clone()))], None),
        (vec![get("a", ""); 129], Some(Refusal::TooManyOps)),
        (nested(100, 28), None),
        (nested(100, 29), Some(Refusal::TooManyOps)),
        (vec![changes.clone()], None),
        (vec![changes.clone(), put("q", "1")], Some(Refusal::DuplicateKey)),
        (vec![put("q", "1"), changes.clone()], Some(Refusal::DuplicateKey)),
        (vec![then(vec![put("q", "1")]), then(vec![delete("q", "")])], Some(Refusal::DuplicateKey)),
        (vec![put("q", "1"), delete("a", "\0")], Some(Refusal::DuplicateKey)),
        (vec![RequestOp { request: None }], Some(Refusal::KeyNotFound)),
    ];
    for (ops, refusal) in rows {
        let before = store.state.revision;
        let done = store.then(ops.clone());
        assert_eq!(done.as_ref().err().copied(), refusal, "{ops:?}");
        assert!(refusal.is_none() || store.state.revision == before, "{ops:?}");
        assert!(store.state.view().get(b"c").is_none());
    }
    store.state.compacted = 1;
    let done = store.then(vec![op(Request::RequestRange(negative))]);
    assert_eq!(done.err(), Some(Refusal::Compacted));
}

#[test]
fn comparisons() {
    let mut store = Store::default();
    store.then(vec![put("a", "m")]).unwrap();
    store.then(vec![put("a", "n"), put("b", "m")]).unwrap();
    let rows: [(&str, &str, CompareResult, TargetUnion, bool); 15] = [
        ("a", "", CompareResult::Equal, TargetUnion::Version(2), true),
        ("a", "", CompareResult::Less, TargetUnion::Version(2), false),
        ("a", "", CompareResult::Greater, TargetUnion::Version(1), true),
        ("a", "", CompareResult::NotEqual, TargetUnion::CreateRevision(3), true),
        ("a", "", CompareResult::Equal, TargetUnion::ModRevision(3), true),
        ("a", "", CompareResult::Equal, TargetUnion::Value("n".into()), true),
        ("a", "", CompareResult::Greater, TargetUnion::Value("m".into()), true),
        ("a", "", CompareResult::Equal, TargetUnion::Lease(0), true),
        ("z", "", CompareResult::Equal, TargetUnion::Version(0), true),
        ("z", "", CompareResult::Equal, TargetUnion::Value("".into()), false),
        ("z", "", CompareResult::NotEqual, TargetUnion::Value("x".into()), false),
        ("a", "c", CompareResult::Equal, TargetUnion::ModRevision(3), true),
        ("a", "c", CompareResult::Equal, TargetUnion::Value("m".into()), false),
        ("a", "c", CompareResult::NotEqual, TargetUnion::Value("x".into()), true),
        ("x", "z", CompareResult::Equal, TargetUnion::ModRevision(0), true),
    ];
    for (key, end, result, union, expected) in rows {
        let target = match &union {
            TargetUnion::Version(_) => CompareTarget::Version,
            TargetUnion::CreateRevision(_) => CompareTarget::Create,
            TargetUnion::ModRevision(_) => CompareTarget::Mod,
            TargetUnion::Value(_) => CompareTarget::Value,
            TargetUnion::Lease(_) => CompareTarget::Lease,
        };
        let compare = Compare {
            result: result.into(),
            target: target.into(),
            key: Bytes::from(key.to_owned()),
            range_end: Bytes::from(end.to_owned()),
            target_union: Some(union),
        };
        let told = format!("{compare:?}");
        let (response, _) = store.txn(&when(compare, vec![], vec![])).unwrap();
        assert_eq!(response.succeeded, expected, "{told}");
    }
}

/// As in etcd, where a number that is no result holds, and a target that is none is equal.
#[test]
fn comparisons_that_nobody_knows() {
    let mut store = Store::default();
    store.then(vec![put("a", "m")]).unwrap();
    for (result, target, expected) in
        [(0, 9, true), (1, 9, false), (2, 9, false), (3, 9, false), (9, 0, true), (9, 9, true)]
    {
        let compare = Compare { result, target, ..mod_is("a", 99) };
        let (response, _) = store.txn(&when(compare, vec![], vec![])).unwrap();
        assert_eq!(response.succeeded, expected, "{result} {target}");
    }
}

#[test]
fn what_was_there_before_is_told_to_who_asks() {
    let mut store = Store::default();
    store.then(vec![put("a", "1")]).unwrap();
    let asks =
        PutRequest { key: "a".into(), value: "2".into(), prev_kv: true, ..Default::default() };
    let (response, _) = store.then(vec![op(Request::RequestPut(asks)), delete("b", "c")]).unwrap();
    let Some(Response::ResponsePut(answer)) = &response.responses[0].response else { panic!() };
    let previous = answer.prev_kv.as_ref().unwrap();
    assert_eq!((previous.value.as_ref(), previous.version), (b"1".as_slice(), 1));
    let keeps = PutRequest { key: "a".into(), ignore_value: true, ..Default::default() };
    store.then(vec![op(Request::RequestPut(keeps))]).unwrap();
    let (response, _) = store.then(vec![get("a", "")]).unwrap();
    assert_eq!(said(&response), ["[a=2@4]@4"]);
}
