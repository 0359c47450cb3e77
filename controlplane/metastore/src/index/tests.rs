//! The index against a `BTreeMap`, and its shape after every step.
