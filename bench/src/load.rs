//! The load programs: an open-loop latency-critical service, a batch hog and the calibration
//! loop. Every load ends by itself; starting and placing them is `demo`'s.

pub mod hog;
pub mod report;
pub mod service;
pub mod work;
