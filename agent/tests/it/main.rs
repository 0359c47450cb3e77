//! What is decided on machines as they are: recorded trees, read as the agent reads its own. And reports as they leave
//! the agent, over real sockets, against the intake of a control plane.

mod recorded;
mod reports;

#[path = "../../../controlplane/kit/tests/it/authority.rs"]
mod authority;
#[path = "../../../controlplane/kit/tests/it/odd.rs"]
mod odd;
#[expect(dead_code, reason = "the control plane's own tests use more of it")]
#[path = "../../../controlplane/kit/tests/it/server.rs"]
mod server;
