//! Messages against bytes written by hand from the field numbers of etcd 3.7's own `.proto` files, so that a wrong number or type here
//! is seen without an etcd.

use std::fmt::Debug;

use prost::Message;
use prost::bytes::Bytes;
use tonic::transport::Channel;

use super::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use super::etcdserverpb::range_request::{SortOrder, SortTarget};
use super::etcdserverpb::request_op::Request;
use super::etcdserverpb::{
    Compare, DeleteRangeRequest, DowngradeInfo, HashKvResponse, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse, Member, PutRequest, RangeRequest, RangeResponse, RangeStreamResponse,
    RequestOp, ResponseHeader, StatusResponse, TxnRequest, WatchResponse, auth_server,
    cluster_server, kv_client, kv_server, lease_client, lease_server, maintenance_client,
    maintenance_server, watch_client, watch_server,
};
use super::mvccpb::event::EventType;
use super::mvccpb::{Event, KeyValue};

/// Both directions: what etcd sends is understood, and what is sent is what etcd would.
#[track_caller]
fn check<M: Message + Default + PartialEq + Debug>(wire: &[u8], expect: &M) {
    assert_eq!(&M::decode(wire).expect("complete message"), expect);
    assert_eq!(expect.encode_to_vec(), wire);
}

fn text(value: &'static str) -> Bytes {
    Bytes::from_static(value.as_bytes())
}

#[test]
fn a_range_request_with_every_field() {
    check(
        &[
            0x0a, 1, b'a', // 1 key
            0x12, 1, b'b', // 2 range_end
            0x18, 10, // 3 limit
            0x20, 7, // 4 revision
            0x28, 2, // 5 sort_order
            0x30, 3, // 6 sort_target
            0x38, 1, // 7 serializable
            0x40, 1, // 8 keys_only
            0x48, 1, // 9 count_only
            0x50, 11, // 10 min_mod_revision
            0x58, 12, // 11 max_mod_revision
            0x60, 13, // 12 min_create_revision
            0x68, 14, // 13 max_create_revision
        ],
        &RangeRequest {
            key: text("a"),
            range_end: text("b"),
            limit: 10,
            revision: 7,
            sort_order: SortOrder::Descend.into(),
            sort_target: SortTarget::Mod.into(),
            serializable: true,
            keys_only: true,
            count_only: true,
            min_mod_revision: 11,
            max_mod_revision: 12,
            min_create_revision: 13,
            max_create_revision: 14,
        },
    );
}

#[test]
fn a_piece_of_a_range() {
    let range = RangeResponse {
        header: None,
        kvs: vec![KeyValue { key: text("k"), ..KeyValue::default() }],
        more: true,
        count: 300,
    };
    check(
        &[
            0x0a, 10, // 1 range_response
            0x12, 3, 0x0a, 1, b'k', // 2 kvs, 1 key
            0x18, 1, // 3 more
            0x20, 0xac, 0x02, // 4 count
        ],
        &RangeStreamResponse { range_response: Some(range) },
    );
}

#[test]
fn a_watch_response_with_fragment_and_events() {
    let kv = KeyValue { key: text("k"), mod_revision: 4, ..KeyValue::default() };
    let prev_kv = KeyValue {
        key: text("k"),
        create_revision: 2,
        mod_revision: 3,
        version: 1,
        value: text("v"),
        lease: 9,
    };
    check(
        &[
            0x0a, 8, // 1 header
            0x08, 1, // 1 cluster_id
            0x10, 2, // 2 member_id
            0x18, 3, // 3 revision
            0x20, 4, // 4 raft_term
            0x10, 6, // 2 watch_id
            0x18, 1, // 3 created
            0x20, 1, // 4 canceled
            0x28, 9, // 5 compact_revision
            0x32, 2, b'n', b'o', // 6 cancel_reason
            0x38, 1, // 7 fragment
            0x5a, 7, // 11 events: a put, whose type is 0 and not written
            0x12, 5, 0x0a, 1, b'k', 0x18, 4, // 2 kv: 1 key, 3 mod_revision
            0x5a, 25, // 11 events
            0x08, 1, // 1 type
            0x12, 5, 0x0a, 1, b'k', 0x18, 4, // 2 kv
            0x1a, 14, // 3 prev_kv
            0x0a, 1, b'k', // 1 key
            0x10, 2, // 2 create_revision
            0x18, 3, // 3 mod_revision
            0x20, 1, // 4 version
            0x2a, 1, b'v', // 5 value
            0x30, 9, // 6 lease
        ],
        &WatchResponse {
            header: Some(ResponseHeader { cluster_id: 1, member_id: 2, revision: 3, raft_term: 4 }),
            watch_id: 6,
            created: true,
            canceled: true,
            compact_revision: 9,
            cancel_reason: "no".into(),
            fragment: true,
            events: vec![
                Event { r#type: EventType::Put.into(), kv: Some(kv.clone()), prev_kv: None },
                Event { r#type: EventType::Delete.into(), kv: Some(kv), prev_kv: Some(prev_kv) },
            ],
        },
    );
}

#[test]
fn a_transaction_within_a_transaction() {
    let op = |request| RequestOp { request: Some(request) };
    let put = PutRequest {
        key: text("k"),
        value: text("v"),
        lease: 9,
        prev_kv: true,
        ignore_value: true,
        ignore_lease: true,
    };
    let delete = DeleteRangeRequest { key: text("d"), range_end: text("e"), prev_kv: true };
    let inner =
        TxnRequest { success: vec![op(Request::RequestDeleteRange(delete))], ..Default::default() };
    let range = RangeRequest { key: text("k"), ..Default::default() };
    let compare = Compare {
        result: CompareResult::NotEqual.into(),
        target: CompareTarget::Mod.into(),
        key: text("k"),
        range_end: text("l"),
        target_union: Some(TargetUnion::ModRevision(5)),
    };
    check(
        &[
            0x0a, 13, // 1 compare
            0x08, 3, // 1 result
            0x10, 2, // 2 target
            0x1a, 1, b'k', // 3 key
            0x30, 5, // 6 mod_revision
            0x82, 0x04, 1, b'l', // 64 range_end
            0x12, 16, 0x12, 14, // 2 success, 2 request_put
            0x0a, 1, b'k', // 1 key
            0x12, 1, b'v', // 2 value
            0x18, 9, // 3 lease
            0x20, 1, // 4 prev_kv
            0x28, 1, // 5 ignore_value
            0x30, 1, // 6 ignore_lease
            0x12, 14, 0x22, 12, // 2 success, 4 request_txn
            0x12, 10, 0x1a, 8, // 2 success, 3 request_delete_range
            0x0a, 1, b'd', // 1 key
            0x12, 1, b'e', // 2 range_end
            0x18, 1, // 3 prev_kv
            0x1a, 5, 0x0a, 3, // 3 failure, 1 request_range
            0x0a, 1, b'k', // 1 key
        ],
        &TxnRequest {
            compare: vec![compare],
            success: vec![op(Request::RequestPut(put)), op(Request::RequestTxn(inner))],
            failure: vec![op(Request::RequestRange(range))],
        },
    );
}

#[test]
fn the_time_to_live_of_a_lease() {
    check(
        &[0x08, 0xac, 0x02, 0x10, 1], // 1 ID, 2 keys
        &LeaseTimeToLiveRequest { id: 300, keys: true },
    );
    check(
        &[
            0x10, 7, // 2 ID
            0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, // 3 TTL
            0x20, 60, // 4 grantedTTL
            0x2a, 1, b'k', 0x2a, 1, b'l', // 5 keys
        ],
        &LeaseTimeToLiveResponse {
            header: None,
            id: 7,
            ttl: -1,
            granted_ttl: 60,
            keys: vec![text("k"), text("l")],
        },
    );
}

#[test]
fn a_status_with_every_field() {
    check(
        &[
            0x0a, 2, 0x08, 1, // 1 header, 1 cluster_id
            0x12, 5, b'3', b'.', b'7', b'.', b'0', // 2 version
            0x18, 100, // 3 dbSize
            0x20, 5, // 4 leader
            0x28, 6, // 5 raftIndex
            0x30, 7, // 6 raftTerm
            0x38, 8, // 7 raftAppliedIndex
            0x42, 1, b'e', // 8 errors
            0x48, 90, // 9 dbSizeInUse
            0x50, 1, // 10 isLearner
            0x5a, 3, b'3', b'.', b'7', // 11 storageVersion
            0x60, 0xac, 0x02, // 12 dbSizeQuota
            0x6a, 7, // 13 downgradeInfo
            0x08, 1, // 1 enabled
            0x12, 3, b'3', b'.', b'6', // 2 targetVersion
        ],
        &StatusResponse {
            header: Some(ResponseHeader { cluster_id: 1, ..Default::default() }),
            version: "3.7.0".into(),
            db_size: 100,
            leader: 5,
            raft_index: 6,
            raft_term: 7,
            raft_applied_index: 8,
            errors: vec!["e".into()],
            db_size_in_use: 90,
            is_learner: true,
            storage_version: "3.7".into(),
            db_size_quota: 300,
            downgrade_info: Some(DowngradeInfo { enabled: true, target_version: "3.6".into() }),
        },
    );
}

#[test]
fn a_hash_and_a_member() {
    check(
        &[0x10, 1, 0x18, 2, 0x20, 3], // 2 hash, 3 compact_revision, 4 hash_revision
        &HashKvResponse { header: None, hash: 1, compact_revision: 2, hash_revision: 3 },
    );
    check(
        &[0x08, 1, 0x12, 1, b'n', 0x1a, 1, b'p', 0x22, 1, b'c', 0x28, 1],
        &Member {
            id: 1,
            name: "n".into(),
            peer_ur_ls: vec!["p".into()],
            client_ur_ls: vec!["c".into()],
            is_learner: true,
        },
    );
}

#[test]
fn a_value_shares_the_buffer_it_came_in() {
    let wire = Bytes::from_static(&[0x0a, 1, b'k', 0x2a, 2, b'v', b'v']);
    let kv = KeyValue::decode(wire.clone()).expect("complete message");
    for field in [&kv.key, &kv.value] {
        assert!(wire.as_ptr_range().contains(&field.as_ptr()), "{field:?} is a copy");
    }
}

#[test]
fn services_have_the_names_that_clients_call() {
    for (name, expect) in [
        (kv_server::SERVICE_NAME, "etcdserverpb.KV"),
        (watch_server::SERVICE_NAME, "etcdserverpb.Watch"),
        (lease_server::SERVICE_NAME, "etcdserverpb.Lease"),
        (cluster_server::SERVICE_NAME, "etcdserverpb.Cluster"),
        (maintenance_server::SERVICE_NAME, "etcdserverpb.Maintenance"),
        (auth_server::SERVICE_NAME, "etcdserverpb.Auth"),
    ] {
        assert_eq!(name, expect);
    }
}

/// Holds when it compiles.
#[test]
fn a_client_is_made_over_a_channel() {
    let _: fn(Channel) -> kv_client::KvClient<Channel> = kv_client::KvClient::new;
    let _: fn(Channel) -> watch_client::WatchClient<Channel> = watch_client::WatchClient::new;
    let _: fn(Channel) -> lease_client::LeaseClient<Channel> = lease_client::LeaseClient::new;
    let _: fn(Channel) -> maintenance_client::MaintenanceClient<Channel> =
        maintenance_client::MaintenanceClient::new;
}
