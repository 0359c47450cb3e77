//! `[placement]`, and the keys of `[reserve]` and `[reclaim]` that are placement's: they stand where
//! an operator looks for them.

use model::placement::{NumaHintPolicy, PlacementPolicy, ReclaimReserve};
use model::policy::Reserve;
use model::{CpuSet, Nanos};
use toml::Spanned;

use super::check::Checker;
use super::{ConfigError, RawPlacement, RawReclaim, RawReserve};

pub(super) fn policy(
    check: &Checker<'_>,
    (reserve, placement): (RawReserve, RawPlacement),
    reclaim: &RawReclaim,
    default: &PlacementPolicy,
) -> Result<PlacementPolicy, ConfigError> {
    let floor = check.int("reclaim.floor_cpus", reclaim.floor_cpus.clone(), 1u16, 1..=1024)?;
    let remembered_ms = default.pre_occupation.0 / 1_000_000;
    Ok(PlacementPolicy {
        reserve: self::reserve(check, reserve)?,
        forbidden: interrupt_cpus(check, placement.interrupt_cpus)?,
        reclaim_reserve: ReclaimReserve::Count(floor),
        overlap_shared_reclaim: reclaim.overlap_share.unwrap_or(default.overlap_shared_reclaim),
        numa_hint: numa_hint(check, placement.numa_hint_policy, default.numa_hint)?,
        packing_keep_ratio: check.float(
            "placement.packing_keep_ratio",
            placement.packing_keep_ratio,
            default.packing_keep_ratio,
            0.0..=1.0,
        )?,
        pre_occupation: Nanos::from_millis(check.int(
            "placement.pre_occupation_ms",
            placement.pre_occupation_ms,
            remembered_ms,
            0..=86_400_000,
        )?),
        ..default.clone()
    })
}

fn reserve(check: &Checker<'_>, raw: RawReserve) -> Result<Reserve, ConfigError> {
    match raw.cpuset {
        None => Ok(Reserve::Count(check.int("reserve.cpus", raw.cpus, 0, 0..=1023)?)),
        Some(list) if raw.cpus.is_some() => {
            Err(check.refuse("reserve.cpuset", &list, "either reserve.cpus or reserve.cpuset"))
        }
        Some(list) => {
            let cpus: CpuSet =
                check.parsed("reserve.cpuset", &list, "a CPU list such as \"0,8\" or \"0-1\"")?;
            Ok(Reserve::Cpus(cpus))
        }
    }
}

fn interrupt_cpus(
    check: &Checker<'_>,
    list: Option<Spanned<String>>,
) -> Result<CpuSet, ConfigError> {
    match list {
        None => Ok(CpuSet::EMPTY),
        Some(list) => {
            check.parsed("placement.interrupt_cpus", &list, "a CPU list such as \"0,8\" or \"0-1\"")
        }
    }
}

fn numa_hint(
    check: &Checker<'_>,
    name: Option<Spanned<String>>,
    default: NumaHintPolicy,
) -> Result<NumaHintPolicy, ConfigError> {
    let Some(name) = name else { return Ok(default) };
    let found = NumaHintPolicy::ALL.into_iter().find(|one| one.name() == name.get_ref());
    let allowed = NumaHintPolicy::ALL.map(NumaHintPolicy::name).join(", ");
    found.ok_or_else(|| check.refuse("placement.numa_hint_policy", &name, &allowed))
}
