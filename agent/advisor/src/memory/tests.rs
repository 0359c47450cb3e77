//! Named cases of memory.
