//! The published state as what a report says, made when an endpoint asks and kept for the others. Owns which state is
//! too old to be told.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use model::{Nanos, Timestamp};
use proto::v1;

use super::talk::Seen;
use super::{Deps, state};
use crate::node_state::NodeState;

/// A loop that has not turned for so long is stuck, as the admin port says too. Whoever is told nothing learns that the
/// node is not looked after; whoever is told the same again does not.
const STALE_AFTER: Nanos = Nanos::from_secs(30);

/// One for all endpoints of the thread.
pub(super) type SharedSource = Rc<RefCell<Source>>;

pub(super) struct Source {
    deps: Deps,
    /// Of which published state, and what it became.
    made: Option<(Weak<NodeState>, Arc<v1::NodeState>)>,
}

impl Source {
    pub(super) fn shared(deps: &Deps) -> SharedSource {
        Rc::new(RefCell::new(Source { deps: deps.clone(), made: None }))
    }

    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        self.fresh(now).is_some()
    }

    /// What is to be told to an endpoint that knows decisions up to `decided`.
    pub(super) fn seen(&mut self, decided: u64, now: Timestamp) -> Option<Seen> {
        let node = self.fresh(now)?;
        let (decisions, n_lost_decisions) = state::decisions(&node.decisions, decided, now);
        Some(Seen { state: self.converted(&node, now), decisions, n_lost_decisions })
    }

    fn fresh(&self, now: Timestamp) -> Option<Arc<NodeState>> {
        let node = self.deps.state.borrow().clone()?;
        (now.since(node.snapshot.at) <= STALE_AFTER).then_some(node)
    }

    fn converted(&mut self, node: &Arc<NodeState>, now: Timestamp) -> Arc<v1::NodeState> {
        if let Some((of, made)) = &self.made
            && std::ptr::eq(of.as_ptr(), Arc::as_ptr(node))
        {
            return Arc::clone(made);
        }
        let pods = self.deps.pods.as_ref().map(|pods| Arc::clone(&pods.borrow()));
        let pods = pods.as_ref().map_or(&[] as &[_], |pods| pods.as_slice());
        let made = Arc::new(state::of(node, pods, now));
        self.made = Some((Arc::downgrade(node), Arc::clone(&made)));
        made
    }
}
