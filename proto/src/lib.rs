//! The messages that Berth's programs exchange and those of a container runtime, a kubelet and etcd, generated from `proto/**` by
//! `cargo xtask codegen` and committed. Knows no inner type of any program: conversions live at each program's edge.

#[expect(clippy::allow_attributes_without_reason, reason = "tonic writes bare allows")]
#[expect(clippy::clone_on_ref_ptr, reason = "tonic clones its Arcs with a dot")]
#[expect(clippy::too_many_lines, reason = "one match arm per call in the generated server")]
#[path = "gen/berth.v1.rs"]
pub mod v1;

#[path = "gen/nri.pkg.api.v1alpha1.rs"]
pub mod nri;

#[expect(clippy::allow_attributes_without_reason, reason = "tonic writes bare allows")]
#[expect(clippy::clone_on_ref_ptr, reason = "tonic clones its Arcs with a dot")]
#[expect(clippy::too_many_lines, reason = "one match arm per call in the generated server")]
#[path = "gen/v1.rs"]
pub mod podresources;

#[path = "gen/ttrpc.rs"]
pub mod ttrpc;

#[cfg(feature = "etcd")]
pub mod etcd;

pub mod delta;
mod json;
