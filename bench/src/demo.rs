//! The demo inside the guest: the same service and the same batch pods under several managers,
//! one phase each, measured alike. Printing, plotting and bars are `xtask demo`'s.

pub mod agent;
pub mod driver;
pub mod measure;
pub mod outcome;
pub mod phase;
pub mod stage;
pub mod take;
pub mod tree;
pub mod witness;
