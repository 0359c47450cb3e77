//! Server-side apply of whole objects under one field manager (KEP-555), and their end. Owns how the apiserver is asked and what its
//! refusals mean; what is written is the caller's.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIGroup;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GetParams, Patch, PatchParams, Request};
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
/// What schedulers that know of NUMA nodes read (scheduler-plugins, NodeResourceTopologyMatch).
pub const TOPOLOGY: Kind = Kind {
    group: "topology.node.k8s.io",
    version: "v1alpha2",
    kind: "NodeResourceTopology",
    plural: "noderesourcetopologies",
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
    /// The kind is not installed, or not in this version.
    #[error("write {what}: the apiserver serves no {plural} of {group}/{version}; {served}")]
    NotServed {
        what: String,
        plural: &'static str,
        group: &'static str,
        version: &'static str,
        /// Of that group, in words.
        served: String,
    },
    /// The object whose status is written.
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
    let objects = objects(client, kind);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(object);
    let asked = async {
        match part {
            Part::Main => objects.patch(name, &params, &patch).await,
            Part::Status => objects.patch_status(name, &params, &patch).await,
        }
    };
    let mut answer = within_limit(asked, kind, &what(kind, part, name)).await;
    if let Err(WriteError::NotServed { served, .. }) = &mut answer {
        *served = versions_of(client, kind.group).await;
    }
    answer
}

/// Takes an object away. Where it is not there, or nothing of its kind, there is nothing to do.
pub async fn delete(client: &Client, kind: Kind, name: &str) -> Result<(), WriteError> {
    let objects = objects(client, kind);
    let params = DeleteParams::default();
    let what = format!("the end of {} {name}", kind.kind);
    match within_limit(objects.delete(name, &params), kind, &what).await {
        Err(WriteError::NotServed { .. } | WriteError::NotThere { .. }) => Ok(()),
        answer => answer,
    }
}

fn objects(client: &Client, kind: Kind) -> Api<DynamicObject> {
    let Kind { group, version, kind, plural } = kind;
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    Api::all_with(client.clone(), &resource)
}

async fn within_limit<T>(
    asked: impl Future<Output = kube::Result<T>>,
    kind: Kind,
    what: &str,
) -> Result<(), WriteError> {
    match timeout(LIMIT, asked).await {
        Ok(answer) => answer.map(drop).map_err(|error| refusal(kind, what.to_owned(), &error)),
        Err(_elapsed) => {
            let message = format!("no answer within {} s", LIMIT.as_secs());
            Err(WriteError::Unreachable { what: what.to_owned(), message })
        }
    }
}

/// What the apiserver serves of a group, in words.
async fn versions_of(client: &Client, group: &str) -> String {
    let asked = async {
        let request = Request::new("/apis").get(group, &GetParams::default());
        client.request::<APIGroup>(request.map_err(kube::Error::BuildRequest)?).await
    };
    match timeout(LIMIT, asked).await {
        Ok(Ok(group)) => {
            let versions: Vec<String> =
                group.versions.into_iter().map(|version| version.version).collect();
            format!("it has {} of that group", versions.join(", "))
        }
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
            "it has nothing of that group".to_owned()
        }
        Ok(Err(_)) | Err(_) => "what it has of that group is not known".to_owned(),
    }
}

fn what(kind: Kind, part: Part, name: &str) -> String {
    match part {
        Part::Main => format!("{} {name}", kind.kind),
        Part::Status => format!("the status of {} {name}", kind.kind),
    }
}

fn refusal(kind: Kind, what: String, error: &kube::Error) -> WriteError {
    let kube::Error::Api(status) = error else {
        return WriteError::Unreachable { what, message: watching::fault(error) };
    };
    let (code, message) = (status.code, status.message.clone());
    match code {
        // An object that is not there is told of in a Status; a path that is not there in plain text.
        404 if status.reason == "NotFound" => WriteError::NotThere { what, message },
        404 => {
            let Kind { group, version, plural, .. } = kind;
            WriteError::NotServed { what, plural, group, version, served: String::new() }
        }
        401 | 403 => WriteError::Forbidden { what, message },
        // A kind whose schema lacks a field, or has it of another type: the apiserver takes that for a fault of its own.
        500 if message.contains(NOT_BY_SCHEMA) => WriteError::Refused { what, code, message },
        // It is busy, or another copy of it took over meanwhile.
        409 | 429 | 500.. => {
            WriteError::Unreachable { what, message: format!("{code}: {message}") }
        }
        _ => WriteError::Refused { what, code, message },
    }
}

/// Seen at 1.36, before the field and what is wrong with it.
const NOT_BY_SCHEMA: &str = "failed to create typed patch object";

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    /// What the apiserver answers -> what that means, and whether its own words are in it.
    #[track_caller]
    fn check(code: u16, reason: &str, message: &str, expect: &str) {
        let status = Status::failure(message, reason).with_code(code).boxed();
        let error = refusal(CNR, "CustomNodeResource n".to_owned(), &kube::Error::Api(status));
        assert_eq!(error.to_string(), format!("write CustomNodeResource n: {expect}"));
    }

    #[test]
    fn a_refusal_says_what_is_missing() {
        let gone = "customnoderesources.node.katalyst.kubewharf.io \"n\" not found";
        check(404, "NotFound", gone, &format!("the apiserver has no such thing: {gone}"));
        let no_path =
            "the apiserver serves no customnoderesources of node.katalyst.kubewharf.io/v1alpha1; ";
        check(404, "Failed to parse error data", "404 page not found", no_path);
        check(403, "Forbidden", "no", "not allowed: no");
        check(401, "Unauthorized", "no", "not allowed: no");
        check(422, "Invalid", "must be string", "refused with 422: must be string");
        let field = "failed to create typed patch object (/n; g/v1, Kind=K): .status.x: field not declared in schema";
        check(500, "InternalError", field, &format!("refused with 500: {field}"));
        check(500, "InternalError", "etcd", "500: etcd");
        check(409, "Conflict", "again", "409: again");
    }
}
