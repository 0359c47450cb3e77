//! What is taken, what is not, and when it is over.

use super::*;

const NO_QUOTA: Room =
    Room { live_bytes: 1 << 40, quota_bytes: 0, free_bytes: None, least_free_bytes: 100 };
const QUOTA: Room = Room { live_bytes: 900, quota_bytes: 1000, ..NO_QUOTA };

#[track_caller]
fn check(room: Room, cost_bytes: u64, expected: Option<Cause>) {
    assert_eq!(room.lack(cost_bytes), expected, "{room:?} and {cost_bytes}");
}

#[test]
fn what_is_not_taken() {
    let disk = |free| Room { free_bytes: Some(free), ..QUOTA };
    check(NO_QUOTA, 1 << 50, None);
    check(QUOTA, 99, None);
    check(QUOTA, 100, Some(Cause::Quota));
    check(QUOTA, u64::MAX, Some(Cause::Quota));
    check(Room { live_bytes: 5000, ..QUOTA }, 0, None);
    check(disk(100), 1, None);
    check(disk(99), 1, Some(Cause::Disk));
    check(disk(99), 0, None);
    check(disk(0), 500, Some(Cause::Disk));
}

#[test]
fn an_alarm_is_over_when_there_is_room_and_some_more() {
    for (room, cause, expected) in [
        (QUOTA, Cause::Quota, false),
        (Room { live_bytes: 899, ..QUOTA }, Cause::Quota, true),
        (Room { live_bytes: 0, ..QUOTA }, Cause::Client, false),
        (NO_QUOTA, Cause::Quota, true),
        (Room { free_bytes: Some(124), ..NO_QUOTA }, Cause::Disk, false),
        (Room { free_bytes: Some(125), ..NO_QUOTA }, Cause::Disk, true),
        (Room { free_bytes: Some(99), live_bytes: 0, ..QUOTA }, Cause::Quota, false),
    ] {
        assert_eq!(room.is_over(cause), expected, "{room:?} {cause:?}");
    }
}

#[test]
fn a_transaction_costs_what_its_larger_branch_puts() {
    let put = |key: &'static str, value: &'static str| {
        let put = PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() };
        RequestOp { request: Some(Request::RequestPut(put)) }
    };
    let delete = RequestOp { request: Some(Request::RequestDeleteRange(Default::default())) };
    let of = |success: Vec<RequestOp>, failure: Vec<RequestOp>| TxnRequest {
        success,
        failure,
        ..TxnRequest::default()
    };
    let inner = |txn| RequestOp { request: Some(Request::RequestTxn(txn)) };
    for (request, expected) in [
        (of(vec![], vec![]), 0),
        (of(vec![delete.clone()], vec![delete.clone()]), 0),
        (of(vec![put("a", "xyz")], vec![]), 260),
        (of(vec![put("compact_rev_key", "12345678901234567890")], vec![]), 0),
        (of(vec![put("compact_rev_key", "123456789012345678901")], vec![]), 292),
        (of(vec![put("a", "x"), delete], vec![put("a", "xyz")]), 260),
        (of(vec![inner(of(vec![], vec![put("a", "xyz")])), put("b", "")], vec![]), 517),
    ] {
        assert_eq!(cost(&request), expected, "{request:?}");
    }
}

#[test]
fn causes_come_back_from_the_log() {
    for cause in [None, Some(Cause::Client), Some(Cause::Quota), Some(Cause::Disk)] {
        assert_eq!(of_number(number(cause)), cause);
    }
    assert_eq!(of_number(77), Some(Cause::Client));
}
