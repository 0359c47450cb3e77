//! (laid out, not yet filled)
