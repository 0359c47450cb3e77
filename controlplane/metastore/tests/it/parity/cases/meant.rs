//! Where this store is meant to answer otherwise than etcd 3.7, or etcd answers what nobody can mean. Each has its reason, and fails here
//! when one of both changes.

use proto::etcd::etcdserverpb::{
    LeaseGrantRequest, MemberListRequest, PutRequest, RangeRequest, StatusRequest,
};
use tokio::runtime::Runtime;
use tonic::Code;

use super::super::answer::Answer;
use super::super::client::Client;
use super::super::op::Op;
use super::super::ours::Kept;
use super::super::pair::Pair;
use super::super::settings::Settings;
use super::{inside, put, range, to_delete, to_put, txn};

#[test]
fn what_is_meant_to_differ() {
    let settings = Settings::from_environment();
    Runtime::new().expect("threads can be started").block_on(async {
        let mut pair = Pair::start(&settings, Kept::InLog).await;
        let lease = LeaseGrantRequest { id: 1, ttl: 600 };
        pair.step(&Op::Grant(lease)).await.expect("the same");
        let held = PutRequest { lease: 1, ..put("a", "v") };
        pair.step(&Op::Put(held)).await.expect("the same");
        leases_are_told_with_keys_only(&mut pair).await;
        a_message_is_larger_than_any(&mut pair).await;
        a_key_is_put_and_deleted_in_one_transaction(&mut pair).await;
        // Behind what differs in state, since the two are not the same any more.
        shapes(&mut pair.etcd, &mut pair.ours).await;
    });
}

/// etcd 3.7 reads only keys from its index, which has no leases; 3.6 told them.
async fn leases_are_told_with_keys_only(pair: &mut Pair) {
    let keys_only = Op::Range(RangeRequest { keys_only: true, ..range("a", "") });
    let lease = |answer| match answer {
        Some(Answer::Range(range)) => range.kvs.first().map(|kv| kv.lease),
        _ => None,
    };
    let told = (lease(pair.etcd.ask(&keys_only).await), lease(pair.ours.ask(&keys_only).await));
    assert_eq!(told, (Some(0), Some(1)));
}

/// What gRPC says by itself, in both languages; what etcd refuses is smaller.
async fn a_message_is_larger_than_any(pair: &mut Pair) {
    let put = Op::Put(put("b", &"x".repeat(3_000_000)));
    let code = |answer| match answer {
        Some(Answer::Refused { code, .. }) => Some(code),
        _ => None,
    };
    let told = (code(pair.etcd.ask(&put).await), code(pair.ours.ask(&put).await));
    assert_eq!(told, (Some(Code::ResourceExhausted), Some(Code::OutOfRange)));
}

/// etcd refuses a key that is put and deleted in one transaction, and overlooks two forms of it.
async fn a_key_is_put_and_deleted_in_one_transaction(pair: &mut Pair) {
    let forms = [
        vec![to_put("b"), to_delete("a", "\0")],
        vec![inside(vec![to_put("b")], vec![]), inside(vec![to_delete("b", "")], vec![])],
    ];
    for form in forms {
        let form = txn(form);
        let (etcd, ours) = (pair.etcd.ask(&form).await, pair.ours.ask(&form).await);
        assert!(matches!(etcd, Some(Answer::Txn(_))), "{etcd:?}");
        let message = "etcdserver: duplicate key given in txn request".to_owned();
        assert_eq!(ours, Some(Answer::Refused { code: Code::InvalidArgument, message }));
    }
}

/// Numbers and addresses are each server's own; how many there are is not.
async fn shapes(etcd: &mut Client, ours: &mut Client) {
    let mut members = Vec::new();
    let mut versions = Vec::new();
    for client in [etcd, ours] {
        let list = client.cluster.member_list(MemberListRequest::default()).await;
        let list = list.expect("members are told").into_inner().members;
        let one = |it: &proto::etcd::etcdserverpb::Member| {
            (it.name.clone(), it.client_ur_ls.len(), it.is_learner, it.id != 0)
        };
        members.push(list.iter().map(one).collect::<Vec<_>>());
        let status = client.maintenance.status(StatusRequest::default()).await;
        let status = status.expect("a status is told").into_inner();
        let is_leader = status.header.is_some_and(|it| it.member_id == status.leader);
        let sizes = (status.db_size > 0, status.errors.len(), status.is_learner);
        versions.push((status.version, status.storage_version, is_leader, sizes));
    }
    assert_eq!(members[0], members[1]);
    assert_eq!(versions[0], versions[1]);
}
