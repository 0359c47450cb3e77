//! The node agent: configuration, the loop, and the wiring of its edges.

pub mod config;
