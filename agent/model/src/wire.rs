//! The one form in which values of the agent are written to files and JSON: serde structs beside
//! the inner types, which derive no Serialize, and a document around them with kind and schema
//! number. Owns names of fields and the reading of older schemas; does no I/O.
//!
//! A field may be added with a default under the same schema number; anything else is a new
//! number, a reader for the old one, and one more recorded sample in `testdata/`.

pub mod advice;
mod container;
mod delta;
mod ledger;
mod outcome;
mod plan;
mod policy;
mod provision;
pub mod recording;
mod sample;
mod snapshot;
mod turn;
mod wish;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use ledger::Ledger;
pub use plan::{Decision, KnobTable, Knobs, MoreKnobs, Overlay, Plan, PoolPlan, WorkloadPlan};
pub use policy::Policy;
pub use provision::ProvisionState;
pub use sample::Sample;
pub use snapshot::Snapshot;
pub use turn::Turn;
pub use wish::Wish;

/// The schema that is written.
pub const SCHEMA: u32 = 1;

/// Why bytes are not a document of ours.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("not JSON with kind and schema, where a document of kind {wanted:?} was expected")]
    NotADocument { wanted: &'static str, source: serde_json::Error },
    #[error("schema {found} of {wanted:?} cannot be read: this version knows up to {SCHEMA}")]
    UnknownSchema { wanted: &'static str, found: u32 },
    #[error("a document of kind {found:?}, where {wanted:?} was expected")]
    WrongKind { wanted: &'static str, found: String },
    #[error("the body of this {wanted:?} does not have the shape of schema {schema}")]
    BadBody { wanted: &'static str, schema: u32, source: serde_json::Error },
    #[error("{field} cannot be {value:?}")]
    BadValue { field: &'static str, value: String },
    #[error("a document of kind {kind:?} cannot be written")]
    Write { kind: &'static str, source: serde_json::Error },
}

/// A wire type that stands in documents of its own.
pub trait Document: Serialize + DeserializeOwned {
    const KIND: &'static str;
}

impl Document for Plan {
    const KIND: &'static str = "plan";
}

impl Document for Overlay {
    const KIND: &'static str = "overlay";
}

impl Document for KnobTable {
    const KIND: &'static str = "knobs";
}

impl Document for Snapshot {
    const KIND: &'static str = "snapshot";
}

impl Document for Sample {
    const KIND: &'static str = "sample";
}

impl Document for Turn {
    const KIND: &'static str = "turn";
}

impl Document for Policy {
    const KIND: &'static str = "policy";
}

impl Document for Decision {
    const KIND: &'static str = "decision";
}

impl Document for ProvisionState {
    const KIND: &'static str = "provision";
}

#[derive(Serialize)]
struct Written<'a, T> {
    kind: &'static str,
    schema: u32,
    body: &'a T,
}

/// Kind and schema are looked at before the body: a body of tomorrow must not be read as one of
/// today that happens to fit.
#[derive(Deserialize)]
struct Read {
    kind: String,
    schema: u32,
    body: serde_json::Value,
}

/// One line of JSON.
pub fn to_json<T: Document>(body: &T) -> Result<String, WireError> {
    let document = Written { kind: T::KIND, schema: SCHEMA, body };
    serde_json::to_string(&document).map_err(|source| WireError::Write { kind: T::KIND, source })
}

/// Reads what `to_json` of this or an earlier version wrote.
pub fn from_json<T: Document>(bytes: &[u8]) -> Result<T, WireError> {
    let wanted = T::KIND;
    let read: Read = serde_json::from_slice(bytes)
        .map_err(|source| WireError::NotADocument { wanted, source })?;
    if read.kind != wanted {
        return Err(WireError::WrongKind { wanted, found: read.kind });
    }
    if read.schema == 0 || read.schema > SCHEMA {
        return Err(WireError::UnknownSchema { wanted, found: read.schema });
    }
    let bad_body = |source| WireError::BadBody { wanted, schema: read.schema, source };
    serde_json::from_value(read.body).map_err(bad_body)
}

/// The kind that a document says it is, for readers of several.
pub fn kind_of(bytes: &[u8]) -> Result<String, WireError> {
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    let read: Kind = serde_json::from_slice(bytes)
        .map_err(|source| WireError::NotADocument { wanted: "any", source })?;
    Ok(read.kind)
}

/// Reads a value that has a text form, naming the field when it has not.
fn parsed<T: std::str::FromStr>(field: &'static str, text: &str) -> Result<T, WireError> {
    text.parse().map_err(|_error| WireError::BadValue { field, value: text.to_owned() })
}

fn bad(field: &'static str, value: impl ToString) -> WireError {
    WireError::BadValue { field, value: value.to_string() }
}

#[cfg(test)]
mod tests;
