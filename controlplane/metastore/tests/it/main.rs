//! Tests of the metastore from outside, over its protocol.

#[cfg(test)]
mod parity;
