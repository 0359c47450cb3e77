//! The part of the turn's state that decisions depend on, taken out and put back: a recording begins
//! with it, and goes on with it after a gap.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::record::Standing;

use super::{TurnState, planning, reclaimed_of};
use crate::suppress::OverlayHistory;

impl TurnState {
    /// Between two ticks, so not while a job is under way: its Sample would be missing.
    pub fn standing(&self) -> Standing {
        Standing {
            policy: self.policy.clone(),
            sample: self.sample.clone(),
            snapshot: self.snapshot.clone(),
            plan: self.plan.clone(),
            overlay: self.overlay.clone(),
            overlay_ended_at: self.history.ended_at,
            n_repeats: self.history.n_repeats,
            calm_usage: self.history.calm_usage,
            generation: self.generation,
        }
    }

    /// Decides from here on as the turn did that `standing` was taken from. Of files it knows nothing:
    /// its Steps write what may stand there already.
    pub fn standing_at(standing: Standing) -> TurnState {
        let Standing { policy, sample, snapshot, plan, overlay, generation, .. } = standing;
        let reclaimed = plan.as_deref().map(reclaimed_of).unwrap_or_default();
        let slots = snapshot.as_deref().map_or_else(BTreeMap::new, planning::slots);
        let reach = snapshot.as_deref().map(|it| super::reach(&reclaimed, &it.topology));
        TurnState {
            sample,
            slots,
            snapshot,
            reclaimed: Arc::new(reclaimed),
            reach: reach.unwrap_or_default(),
            plan,
            overlay,
            history: OverlayHistory {
                ended_at: standing.overlay_ended_at,
                n_repeats: standing.n_repeats,
                calm_usage: standing.calm_usage,
            },
            generation,
            ..TurnState::new(policy)
        }
    }
}
