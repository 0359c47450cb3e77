//! What an operator allows: how much may lie under a prefix and how fast it may be written, and who may read and write what. Pure values
//! and decisions; the file that says it is read by `policy::file`, who asks and when is the store's.

pub mod access;
pub mod bucket;
pub mod file;
pub mod growth;
pub mod limits;
pub mod prefixes;

pub use access::{Clients, Rights};
pub use bucket::Rate;
pub use limits::{Enforced, Exceeded};
pub use prefixes::Prefixes;

/// All that a policy file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    pub prefixes: Vec<PrefixLimit>,
    /// `None` lets everybody do everything.
    pub clients: Option<Clients>,
}

/// What all keys that begin with one prefix have together. What is `None` has no limit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PrefixLimit {
    pub prefix: String,
    /// Keys and values as they are now, without what they were.
    pub max_bytes: Option<u64>,
    pub max_keys: Option<u64>,
    pub rate: Option<Rate>,
}
