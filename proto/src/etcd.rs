//! The API of etcd 3.7, generated from `proto/etcd`: a module for each package, side by side, since the code of one names another by
//! `super`. Owns messages, client and server traits; no behaviour.

#[path = "gen/authpb.rs"]
pub mod authpb;

#[expect(clippy::allow_attributes_without_reason, reason = "tonic writes bare allows")]
#[expect(clippy::clone_on_ref_ptr, reason = "tonic clones its Arcs with a dot")]
#[expect(clippy::too_many_lines, reason = "one match arm per call in the generated server")]
#[path = "gen/etcdserverpb.rs"]
pub mod etcdserverpb;

#[path = "gen/mvccpb.rs"]
pub mod mvccpb;

#[cfg(test)]
mod tests;
