//! What is taken back when nobody keeps it any more: the agent stops, or only watches. Owns what that is, and the last word.

use cluster::Client;
use cluster::node::NodeHeard;
use cluster::write::{self, NODE, Part, TOPOLOGY};
use tracing::{info, warn};

use super::capacity;
use crate::config::ApiserverConfig;

/// What is to be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kubernetes) struct Left {
    /// In the status of the Node.
    promise: bool,
    /// Nothing in a `NodeResourceTopology` tells its readers that nobody keeps it any more.
    topology: bool,
}

impl Left {
    /// Whatever wrote it, in an earlier life or in this one.
    pub(in crate::kubernetes) fn by(config: &ApiserverConfig, heard: &NodeHeard) -> Left {
        let own = heard.node.as_deref();
        Left {
            promise: own.is_some_and(capacity::shows),
            topology: own.is_some() && config.report.topology,
        }
    }

    pub(super) fn is_something(self) -> bool {
        self.promise || self.topology
    }
}

/// Nobody is here any more who would hold reclaimed pods down or know who owns which CPUs: what says so goes.
pub(in crate::kubernetes) async fn withdraw(config: &ApiserverConfig, left: Left) {
    if !left.is_something() {
        return;
    }
    let client = match cluster::connect(&config.access).await {
        Ok(client) => client,
        Err(error) => {
            warn!(error = %kit::chain(&error), "Nothing is taken back");
            return;
        }
    };
    if left.promise {
        withdraw_promise(&client, &config.node).await;
    }
    if left.topology {
        withdraw_topology(&client, &config.node).await;
    }
}

async fn withdraw_promise(client: &Client, node: &str) {
    match write::apply(client, NODE, Part::Status, node, &capacity::nothing(node)).await {
        Ok(()) => info!("Nothing is promised to reclaimed pods any more"),
        Err(error) => {
            let error = kit::chain(&error);
            warn!(%error, "What was promised to reclaimed pods is not taken back");
        }
    }
}

async fn withdraw_topology(client: &Client, node: &str) {
    match write::delete(client, TOPOLOGY, node).await {
        Ok(()) => info!("Schedulers are told of no NUMA node any more"),
        Err(error) => {
            let error = kit::chain(&error);
            warn!(%error, "What schedulers are told of NUMA nodes is not taken back");
        }
    }
}

#[cfg(test)]
mod tests {
    use cluster::Access;
    use cluster::node::OwnNode;
    use model::annotation::resource::RECLAIMED_MILLICPU;

    use super::*;
    use crate::config::Report;

    /// By what the Node promises (`None`: nothing is heard of it) and whether zones are told.
    #[track_caller]
    fn check(promised: Option<&str>, topology: bool, expect: Left) {
        let own = promised.map(|amount| {
            let capacity = [(RECLAIMED_MILLICPU.to_owned(), amount.to_owned())].into();
            OwnNode { capacity, ..OwnNode::default() }.into()
        });
        let config = ApiserverConfig {
            configz: None,
            access: Access::Pod,
            node: "n".to_owned(),
            report: Report { cnr: true, capacity: true, events: true, topology },
            report_in_observe: false,
        };
        assert_eq!(Left::by(&config, &NodeHeard { node: own, fault: None }), expect);
    }

    #[test]
    fn what_was_never_told_is_not_taken_back() {
        let nothing = Left { promise: false, topology: false };
        check(None, true, nothing);
        check(Some("0"), false, nothing);
        check(Some("1500"), false, Left { promise: true, topology: false });
        check(Some("0"), true, Left { promise: false, topology: true });
        check(Some("1500"), true, Left { promise: true, topology: true });
    }
}
