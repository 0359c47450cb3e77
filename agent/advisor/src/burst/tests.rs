//! Named cases of bursts.
