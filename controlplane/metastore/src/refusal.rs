//! Why a request is refused: code and words of etcd, which clients tell apart by the words (etcd's `api/v3rpc/rpctypes/error.go`). Owns
//! the table; who refuses what is elsewhere.

use thiserror::Error;

/// The words are part of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    #[error("etcdserver: key not found")]
    KeyNotFound,
    #[error("etcdserver: value is provided")]
    ValueProvided,
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    #[error("etcdserver: too many operations in txn request")]
    TooManyOps,
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    #[error("etcdserver: invalid sort option")]
    InvalidSortOption,
    #[error("etcdserver: request is too large")]
    RequestTooLarge,
    #[error("etcdserver: mvcc: database space exceeded")]
    NoSpace,
    #[error("etcdserver: too many requests")]
    TooManyRequests,
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    #[error("etcdserver: lease already exists")]
    LeaseExists,
    #[error("etcdserver: too large lease TTL")]
    LeaseTtlTooLarge,
    #[error("etcdserver: not capable")]
    NotCapable,
    #[error("etcdserver: server stopped")]
    Stopped,
    /// Whether a write is there is not known: never to be taken for one that is not.
    #[error("etcdserver: request timed out")]
    TimedOut,
    #[error("etcdserver: no leader")]
    NoLeader,
    #[error("etcdserver: corrupt cluster")]
    Corrupt,
    #[error("etcdserver: permission denied")]
    PermissionDenied,
    #[error("etcdserver: authentication is not enabled")]
    AuthNotEnabled,
    /// A stream of a range has no order but the keys' (etcd 3.7; without its name in front, as there).
    #[error("RangeStream does not support custom sort orders")]
    SortedStream,
    #[error("RangeStream does not support revision filters")]
    FilteredStream,
}

/// gRPC's codes, as far as they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    OutOfRange,
    Unimplemented,
    Unavailable,
    DataLoss,
}

impl Refusal {
    pub fn code(self) -> Code {
        match self {
            Refusal::Compacted | Refusal::FutureRevision | Refusal::LeaseTtlTooLarge => {
                Code::OutOfRange
            }
            Refusal::EmptyKey
            | Refusal::KeyNotFound
            | Refusal::ValueProvided
            | Refusal::LeaseProvided
            | Refusal::TooManyOps
            | Refusal::DuplicateKey
            | Refusal::InvalidSortOption
            | Refusal::RequestTooLarge => Code::InvalidArgument,
            Refusal::NoSpace | Refusal::TooManyRequests => Code::ResourceExhausted,
            Refusal::LeaseNotFound => Code::NotFound,
            Refusal::LeaseExists | Refusal::NotCapable | Refusal::AuthNotEnabled => {
                Code::FailedPrecondition
            }
            Refusal::Stopped | Refusal::TimedOut | Refusal::NoLeader => Code::Unavailable,
            Refusal::Corrupt => Code::DataLoss,
            Refusal::PermissionDenied => Code::PermissionDenied,
            Refusal::SortedStream | Refusal::FilteredStream => Code::Unimplemented,
        }
    }
}
