//! Who is let do what, over real connections: each call a row, each client a letter. A apiserver, R reads /a/, W writes and reads /b/ and
//! writes /drop/, N shows no certificate, P comes over plain HTTP.

mod ask;
mod world;

use std::time::Duration;

use proto::etcd::etcdserverpb::compare::CompareTarget;
use proto::etcd::etcdserverpb::request_op::Request as Op;
use proto::etcd::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use tonic::Code;

use self::ask::{Ask, ask, watch_until_canceled};
use self::world::{World, runtime};

const RULES: &str = "
clients:
- {cn: kube-apiserver, read: [\"\"], write: [\"\"], admin: true}
- {cn: reader, read: [/a/]}
- {cn: writer, read: [/b/], write: [/b/, /drop/]}
- {cn: \"*\", read: [/public/]}
";

fn get(key: &str, end: &str) -> RangeRequest {
    let (key, range_end) = (key.to_owned().into(), end.to_owned().into());
    RangeRequest { key, range_end, ..RangeRequest::default() }
}

fn put(key: &str) -> PutRequest {
    PutRequest { key: key.to_owned().into(), value: "v".into(), ..PutRequest::default() }
}

fn leased(key: &str, lease: i64) -> PutRequest {
    PutRequest { lease, ..put(key) }
}

fn delete(key: &str, end: &str) -> DeleteRangeRequest {
    let (key, range_end) = (key.to_owned().into(), end.to_owned().into());
    DeleteRangeRequest { key, range_end, ..DeleteRangeRequest::default() }
}

fn txn(compared: &[&str], then: Vec<Op>, otherwise: Vec<Op>) -> TxnRequest {
    let of = |ops: Vec<Op>| ops.into_iter().map(|op| RequestOp { request: Some(op) }).collect();
    let compare = compared.iter().map(|key| Compare {
        key: (*key).to_owned().into(),
        target: CompareTarget::Mod.into(),
        ..Compare::default()
    });
    TxnRequest { compare: compare.collect(), success: of(then), failure: of(otherwise) }
}

fn rows() -> Vec<(Ask, &'static str)> {
    let inner = |op: Op| Op::RequestTxn(txn(&[], vec![], vec![op]));
    vec![
        (Ask::Range(get("/a/x", "")), "AR"),
        (Ask::Range(get("/a/", "/a0")), "AR"),
        (Ask::Range(get("/a/", "/b0")), "A"),
        (Ask::Range(get("\0", "\0")), "A"),
        (Ask::Range(get("/public/x", "")), "ARWNP"),
        (Ask::Range(RangeRequest { sort_order: 2, sort_target: 2, ..get("/a/", "/a0") }), "AR"),
        (Ask::RangeStream(get("/b/", "/b0")), "AW"),
        (Ask::RangeStream(get("/b/", "\0")), "A"),
        (Ask::Put(put("/b/y")), "AW"),
        (Ask::Put(put("/a/y")), "A"),
        (Ask::Put(put("/drop/x")), "AW"),
        (Ask::Put(PutRequest { prev_kv: true, ..put("/drop/x") }), "A"),
        (Ask::Put(leased("/b/y", 1)), "AW"),
        (Ask::Put(leased("/b/y", 2)), "A"),
        (Ask::Delete(delete("/b/z", "")), "AW"),
        (Ask::Delete(delete("/b/y", "/c")), "A"),
        (Ask::Delete(delete("/drop/", "/drop0")), "AW"),
        (Ask::Delete(DeleteRangeRequest { prev_kv: true, ..delete("/drop/", "/drop0") }), "A"),
        (Ask::Txn(txn(&["/b/c"], vec![Op::RequestPut(put("/b/c"))], vec![])), "AW"),
        (Ask::Txn(txn(&["/a/c"], vec![Op::RequestPut(put("/b/c"))], vec![])), "A"),
        (Ask::Txn(txn(&["/a/x"], vec![], vec![Op::RequestRange(get("/a/x", ""))])), "AR"),
        (Ask::Txn(txn(&[], vec![], vec![Op::RequestDeleteRange(delete("/a/x", ""))])), "A"),
        (Ask::Txn(txn(&[], vec![inner(Op::RequestPut(put("/a/x")))], vec![])), "A"),
        (Ask::Txn(txn(&[], vec![inner(Op::RequestPut(put("/b/x")))], vec![])), "AW"),
        (Ask::Txn(txn(&[], vec![], vec![])), "ARWNP"),
        (Ask::Compact, "A"),
        (Ask::Watch(get("/a/", "/a0")), "AR"),
        (Ask::Watch(get("/a/", "\0")), "A"),
        (Ask::Watch(get("", "\0")), "A"),
        (Ask::Grant, "ARWNP"),
        (Ask::Revoke(11), "AW"),
        (Ask::Revoke(12), "A"),
        (Ask::KeepAlive(2), "ARWNP"),
        (Ask::TimeToLive(13, true), "AR"),
        (Ask::TimeToLive(13, false), "ARWNP"),
        (Ask::Leases, "ARWNP"),
        (Ask::Members, "ARWNP"),
        (Ask::Status, "ARWNP"),
        (Ask::Alarms, "A"),
        (Ask::Defragment, "A"),
        (Ask::Hash, "A"),
        (Ask::HashKv, "A"),
        (Ask::Snapshot, "A"),
    ]
}

#[test]
fn every_call_is_allowed_to_whom_the_rules_say() {
    runtime().block_on(async {
        let mut world = World::start(Some(RULES), None).await;
        let apiserver = world.client('A').await;
        for lease in [1, 2, 11, 12, 13] {
            ask(&apiserver, &Ask::GrantAs(lease)).await;
        }
        for (key, lease) in [("/b/x", 1), ("/a/x", 2), ("/b/r", 11), ("/a/r", 12), ("/a/t", 13)] {
            assert_eq!(ask(&apiserver, &Ask::Put(leased(key, lease))).await, Code::Ok);
        }
        let mut clients = Vec::new();
        for letter in "PNRWA".chars() {
            clients.push((letter, world.client(letter).await));
        }
        for (row, expected) in rows() {
            for (letter, client) in &clients {
                let code = ask(client, &row).await;
                let is_allowed = code != Code::PermissionDenied;
                assert_eq!(is_allowed, expected.contains(*letter), "{letter} {row:?}: {code:?}");
            }
        }
        world.end().await;
    });
}

#[test]
fn without_rules_everybody_may_do_everything() {
    runtime().block_on(async {
        let mut world = World::start(Some("prefixes: []"), None).await;
        for letter in "PNR".chars() {
            let client = world.client(letter).await;
            for (row, _) in rows() {
                assert_ne!(ask(&client, &row).await, Code::PermissionDenied, "{letter} {row:?}");
            }
        }
        world.end().await;
    });
}

#[test]
fn a_watch_ends_when_its_right_does() {
    runtime().block_on(async {
        let mut world = World::start(Some(RULES), None).await;
        let reader = world.client('R').await;
        let watching = tokio::spawn(watch_until_canceled(reader.clone(), get("/a/", "/a0")));
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.write_policy("clients: [{cn: reader, read: [/other/]}]");
        let told = tokio::time::timeout(Duration::from_secs(30), watching).await.unwrap().unwrap();
        let words = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
        assert_eq!(told, words);
        let code = ask(&reader, &Ask::Range(get("/a/x", ""))).await;
        assert_eq!(code, Code::PermissionDenied, "the connection is the same, the rules are not");
        assert_eq!(ask(&reader, &Ask::Range(get("/other/x", ""))).await, Code::Ok);
        world.end().await;
    });
}

#[test]
fn no_client_leaves_the_key_prefix() {
    runtime().block_on(async {
        let mut world = World::start(None, Some("/registry")).await;
        let client = world.client('P').await;
        for (row, is_allowed) in [
            (Ask::Put(put("/registry/pods/a")), true),
            (Ask::Put(put("/registry")), false),
            (Ask::Put(put("/registry2/a")), false),
            (Ask::Put(put("compact_rev_key")), true),
            (Ask::Range(get("compact_rev_key", "compact_rev_kez")), false),
            (Ask::Range(get("/registry/", "/registry0")), true),
            (Ask::Range(get("\0", "\0")), false),
            (Ask::RangeStream(get("/other/", "/other0")), false),
            (Ask::Delete(delete("/registry/", "/registry0")), true),
            (Ask::Delete(delete("/", "0")), false),
            (Ask::Txn(txn(&["/other"], vec![], vec![])), false),
            (Ask::Watch(get("/other/", "/other0")), false),
            (Ask::Watch(get("/registry/pods/", "/registry/pods0")), true),
            (Ask::Compact, true),
            (Ask::Status, true),
        ] {
            let code = ask(&client, &row).await;
            assert_eq!(code == Code::InvalidArgument, !is_allowed, "{row:?}: {code:?}");
        }
        world.end().await;
    });
}
