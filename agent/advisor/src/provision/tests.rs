//! Named cases of sizes with the arithmetic.
