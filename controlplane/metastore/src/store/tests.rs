//! The store over real threads: what is acknowledged survives power cuts, faults of the engine and people who leave, and nothing is told
//! that is not so.

mod deferral;
mod examine;
mod faults;
mod leaving;
mod live;
mod power_cuts;
mod requests;
mod rig;
mod room;
mod together;
