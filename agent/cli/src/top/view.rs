//! What the screen shows: the newest snapshot, and what the person chose.

use std::time::Duration;

use proto::v1::Snapshot;

use super::rows::SortKey;

/// NO_COLOR is honoured here too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colors {
    On,
    Off,
}

/// Whether keys are commands or letters of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Focus {
    Table,
    Filter,
    Help,
}

#[derive(Clone, Debug)]
pub(super) struct View {
    /// `None` until the first one came.
    pub(super) snapshot: Option<Snapshot>,
    /// Since it came, so that a silent agent is seen.
    pub(super) since: Duration,
    /// Why there are no new ones.
    pub(super) lost: Option<String>,
    pub(super) sort: SortKey,
    pub(super) reversed: bool,
    pub(super) filter: String,
    pub(super) focus: Focus,
    /// First workload row on the screen.
    pub(super) scroll: usize,
    pub(super) colors: Colors,
}

impl View {
    pub(super) fn new(sort: SortKey, filter: String, colors: Colors) -> View {
        View {
            snapshot: None,
            since: Duration::ZERO,
            lost: None,
            sort,
            reversed: false,
            filter,
            focus: Focus::Table,
            scroll: 0,
            colors,
        }
    }

    pub(super) fn show(&mut self, snapshot: Snapshot) {
        self.snapshot = Some(snapshot);
        self.since = Duration::ZERO;
        self.lost = None;
    }
}
