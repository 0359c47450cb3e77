//! Server-side apply of whole objects under one field manager (KEP-555). Owns how the apiserver is asked and what its refusals mean; what
//! is written is the caller's.

use std::time::Duration;

use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::Value;
use thiserror::Error;
use tokio::time::timeout;

use crate::watching;

/// Who owns the fields that are written.
pub const FIELD_MANAGER: &str = "berth-agent";

/// An apiserver that hangs takes connections and never answers.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A kind of object; all are of the whole cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    /// As it stands in paths.
    pub plural: &'static str,
}

/// Katalyst's report of a node.
pub const CNR: Kind = Kind {
    group: "node.katalyst.kubewharf.io",
    version: "v1alpha1",
    kind: "CustomNodeResource",
    plural: "customnoderesources",
};
pub const NODE: Kind = Kind { group: "", version: "v1", kind: "Node", plural: "nodes" };

/// Which half of an object; each has its own rights and its own path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Main,
    Status,
}

/// Why the apiserver has not taken it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The kind is not installed or not in this version, or the object whose status is written is not there.
    #[error("write {what}: the apiserver has no such thing: {message}")]
    NotThere { what: String, message: String },
    #[error("write {what}: not allowed: {message}")]
    Forbidden { what: String, message: String },
    /// As long as it says the same, it is refused again.
    #[error("write {what}: refused with {code}: {message}")]
    Refused { what: String, code: u16, message: String },
    #[error("write {what}: {message}")]
    Unreachable { what: String, message: String },
}

/// Makes fields of an object what `object` says, and makes the object where it is not there.
pub async fn apply(
    client: &Client,
    kind: Kind,
    part: Part,
    name: &str,
    object: &Value,
) -> Result<(), WriteError> {
    let Kind { group, version, kind: it, plural } = kind;
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, it), plural);
    let objects: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(object);
    let what = what(kind, part, name);
    let asked = async {
        match part {
            Part::Main => objects.patch(name, &params, &patch).await,
            Part::Status => objects.patch_status(name, &params, &patch).await,
        }
    };
    match timeout(LIMIT, asked).await {
        Ok(answer) => answer.map(|_| ()).map_err(|error| refusal(what, &error)),
        Err(_elapsed) => {
            let message = format!("no answer within {} s", LIMIT.as_secs());
            Err(WriteError::Unreachable { what, message })
        }
    }
}

fn what(kind: Kind, part: Part, name: &str) -> String {
    match part {
        Part::Main => format!("{} {name}", kind.kind),
        Part::Status => format!("the status of {} {name}", kind.kind),
    }
}

fn refusal(what: String, error: &kube::Error) -> WriteError {
    let kube::Error::Api(status) = error else {
        return WriteError::Unreachable { what, message: watching::fault(error) };
    };
    let (code, message) = (status.code, status.message.clone());
    match code {
        404 => WriteError::NotThere { what, message },
        401 | 403 => WriteError::Forbidden { what, message },
        // It is busy, or another copy of it took over meanwhile.
        409 | 429 | 500.. => {
            WriteError::Unreachable { what, message: format!("{code}: {message}") }
        }
        _ => WriteError::Refused { what, code, message },
    }
}
