//! The CPUs that the kubelet keeps for the system, as part of the policy. Pure.

use cluster::configz::KubeletConfig;
use model::CpuSet;
use model::placement::PlacementPolicy;
use model::policy::Policy;

/// The policy with what the kubelet keeps, where that is something else than before.
pub fn keeping(policy: &Policy, kubelet: &KubeletConfig) -> Option<Policy> {
    let kept = kubelet.reserved_cpus.unwrap_or(CpuSet::EMPTY);
    let placement = PlacementPolicy { kept, ..policy.placement.clone() };
    (kept != policy.placement.kept).then(|| Policy { placement, ..policy.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(list: &str) -> CpuSet {
        list.parse().expect("a list")
    }

    #[track_caller]
    fn check(before: &str, told: Option<&str>, expect: Option<&str>) {
        let mut policy = Policy::default();
        policy.placement.kept = set(before);
        let kubelet = KubeletConfig { reserved_cpus: told.map(set), ..KubeletConfig::default() };
        let after = keeping(&policy, &kubelet);
        assert_eq!(after.as_ref().map(|after| after.placement.kept), expect.map(set));
        if let Some(after) = after {
            policy.placement.kept = after.placement.kept;
            assert_eq!(after, policy, "and nothing else");
        }
    }

    #[test]
    fn the_policy_changes_with_the_kubelets_word_only() {
        check("", None, None);
        check("", Some("0-1"), Some("0-1"));
        check("0-1", Some("0-1"), None);
        check("0-1", Some("0"), Some("0"));
        check("0-1", None, Some(""));
    }
}
