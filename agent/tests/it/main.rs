//! What is decided on machines as they are: recorded trees, read as the agent reads its own.

mod recorded;
