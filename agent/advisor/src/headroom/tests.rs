//! Named cases of headroom.
