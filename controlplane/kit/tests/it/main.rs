//! The intake of reports over real sockets: a server that runs on threads of its own and can be killed, agents played by
//! the tests. One binary; a module per subject.

mod agents;
mod authority;
mod identity;
mod load;
mod odd;
mod reporter;
mod resume;
mod server;
mod streams;
