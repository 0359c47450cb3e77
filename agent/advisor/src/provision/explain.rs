//! Sizes and quotas as decisions a person can recompute.

use model::decision::Decision;
use model::provision::{ProvisionState, SizeRule};
use model::qos::PoolName;

use super::region::Region;
use super::{ProvisionInput, Wanted, regulate};

pub(super) fn size(
    input: &ProvisionInput<'_>,
    region: &Region<'_>,
    wanted: &Wanted,
    n: usize,
) -> Decision {
    let ramp = &input.provision.ramp;
    let (lower, upper) = regulate::bounds(input, region);
    let mut inputs = wanted.inputs.clone();
    inputs.extend([
        ("requests", format!("{} mCPU", region.asked)),
        ("before", format!("{} CPUs", region.before)),
        ("wanted", format!("{} mCPU", wanted.milli)),
        ("ramp", format!("+{} -{} CPUs", ramp.max_up, ramp.max_down)),
        ("bounds", format!("{lower}..={upper} CPUs")),
    ]);
    Decision {
        at: input.now,
        rule: match wanted.rule {
            SizeRule::Pid => "provision-pid",
            SizeRule::Requests => "provision-requests",
            _ => "provision-canonical",
        },
        subject: region.name.to_string(),
        inputs,
        result: format!("{n} CPUs"),
    }
}

/// Quotas that changed.
pub(super) fn quota(input: &ProvisionInput<'_>, state: &ProvisionState) -> Vec<Decision> {
    let changed = state.quota.iter().filter(|(name, quota)| {
        input.state.quota.get::<PoolName>(name).is_none_or(|before| before != *quota)
    });
    let one = |(name, quota): (&PoolName, &model::MilliCpu)| Decision {
        at: input.now,
        rule: "provision-quota",
        subject: name.to_string(),
        inputs: vec![
            ("target", format!("{}", input.provision.quota_target_ratio)),
            (
                "before",
                input
                    .state
                    .quota
                    .get(name)
                    .map_or_else(|| "none".to_owned(), |q| format!("{q} mCPU")),
            ),
        ],
        result: format!("a quota of {quota} mCPU"),
    };
    changed.map(one).collect()
}
