//! The fast path's decision: does this burst call for holding batch work down, and for how long?
//! Microseconds, and independent of the number of pods. What "held down" means in files is
//! `effective`.
//!
//! # Approach
//! A burst begins an overlay that lives for `hold`. While it lives the victim waits little, so
//! its p99 cannot tell whether it still needs the CPU; its usage can: the overlay is renewed at
//! the tick while the victim uses clearly more than before the burst, for a bounded time, or
//! while it is still late because of batch work. An overlay that ends and is needed again at
//! once was too short: the next one lives twice as long, up to `max_doublings` times over, so that a
//! long burst does not become a saw-tooth of suppressions.

use model::decision::Decision;
use model::plan::Overlay;
use model::policy::Policy;
use model::qos::{QosLevel, WorkloadName};
use model::sample::Burst;
use model::snapshot::{Snapshot, WorkloadView};
use model::{MilliCpu, Nanos, SlotId, Timestamp};

use crate::plan::{Judge, Lateness};

/// With half of its periods throttled a victim mostly waits for its own quota.
const OWN_THROTTLE_RATIO: f64 = 0.5;

/// A burst that follows the end of an overlay within this many holds is the same burst.
const REBURST_HOLDS: u64 = 2;

/// The victim still needs the CPU while it uses this many percent of its usage before the burst.
const BUSY_PCT: u64 = 150;

/// ... and at least this much more; below it 150 % is noise.
const BUSY_MARGIN: MilliCpu = MilliCpu(50);

/// Usage alone renews an overlay for so long: a service that grew for good is not a burst, and
/// batch work must not starve for it.
const MAX_BY_USAGE: Nanos = Nanos::from_secs(30);

/// The second stage: the victim stays late although batch work is idle class. Idle class alone
/// costs batch work only what the victim takes; a quota costs it idle CPUs as well.
const LATE_ALTHOUGH_IDLE: &str = "suppress-throttle";

/// An interval that lies wholly inside the overlay: two ticks of a second.
const SETTLE: Nanos = Nanos::from_secs(2);

/// What is remembered of earlier overlays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverlayHistory {
    /// When the last overlay ended.
    pub ended_at: Option<Timestamp>,
    /// How often in a row an overlay had to begin again right after its end.
    pub n_repeats: u8,
    /// The victim's usage in the interval before the overlay began.
    pub calm_usage: Option<MilliCpu>,
}

impl OverlayHistory {
    /// How long the overlay in force lives per renewal.
    pub fn hold(&self, policy: &Policy) -> Nanos {
        let doublings = u32::from(self.n_repeats.min(policy.suppression.max_doublings));
        Nanos(policy.suppression.hold.0.saturating_mul(1 << doublings))
    }

    /// The history once an overlay begins at `now`.
    pub fn begun(&self, now: Timestamp, victim: &WorkloadView, policy: &Policy) -> OverlayHistory {
        let window = Nanos(self.hold(policy).0.saturating_mul(REBURST_HOLDS));
        let again = self.ended_at.is_some_and(|ended| now.since(ended) <= window);
        let n_repeats =
            if again { (self.n_repeats + 1).min(policy.suppression.max_doublings) } else { 0 };
        // In a repeated burst the usage before it is already the burst's own.
        let calm_usage = if again { self.calm_usage.or(victim.usage) } else { victim.usage };
        OverlayHistory { ended_at: None, n_repeats, calm_usage }
    }

    pub fn ended(&self, now: Timestamp) -> OverlayHistory {
        OverlayHistory { ended_at: Some(now), ..self.clone() }
    }
}

/// One burst and what is known about it.
#[derive(Clone, Copy, Debug)]
pub struct SuppressInput<'a> {
    pub now: Timestamp,
    pub burst: &'a Burst,
    pub victim_name: &'a WorkloadName,
    pub victim: &'a WorkloadView,
    /// `None`: nobody we track.
    pub offender_qos: Option<QosLevel>,
    /// Whether batch work may run on the victim's CPUs or on the same cores.
    pub meets_batch: bool,
    /// The overlay in force, if any.
    pub overlay: Option<&'a Overlay>,
    /// Of earlier overlays, for the length of this one.
    pub history: &'a OverlayHistory,
    pub policy: &'a Policy,
}

/// The overlay that is in force after the burst, and why.
pub fn suppress(input: &SuppressInput<'_>) -> (Option<Overlay>, Decision) {
    let standing = input.overlay.filter(|overlay| input.now < overlay.expires_at);
    if let Some((rule, why)) = refusal(input) {
        return (standing.cloned(), decision(input, rule, why.to_owned()));
    }
    let (overlay, rule) = match standing {
        Some(overlay) => {
            let expires_at = input.now.after(input.history.hold(input.policy));
            let expires_at = expires_at.max(overlay.expires_at);
            (Overlay { expires_at, ..overlay.clone() }, "suppress-renew")
        }
        None => {
            let history = input.history.begun(input.now, input.victim, input.policy);
            let first_wait_at = input.burst.first_wait_at;
            let hold = history.hold(input.policy);
            (
                begin(input.now, hold, input.victim_name, first_wait_at, input.policy),
                "suppress-begin",
            )
        }
    };
    let left_ms = overlay.expires_at.since(input.now).0 / 1_000_000;
    let result = format!("{} for {left_ms} ms", held(&overlay));
    (Some(overlay), decision(input, rule, result))
}

/// What the overlay does to batch work, as half a sentence.
fn held(overlay: &Overlay) -> String {
    match overlay.throttle {
        true => format!("batch work keeps {} mCPU", overlay.floor),
        false => "batch work runs only on idle CPUs".to_owned(),
    }
}

fn begin(
    now: Timestamp,
    hold: Nanos,
    victim: &WorkloadName,
    first_wait_at: Timestamp,
    policy: &Policy,
) -> Overlay {
    Overlay {
        began_at: now,
        expires_at: now.after(hold),
        floor: policy.suppression.floor,
        cpu_idle: policy.suppression.use_cpu_idle,
        throttle: !policy.suppression.use_cpu_idle,
        victim: victim.clone(),
        first_wait_at,
    }
}

fn refusal(input: &SuppressInput<'_>) -> Option<(&'static str, &'static str)> {
    let tracked = input.burst.offender != SlotId::UNTRACKED;
    if !input.policy.suppression.enabled {
        Some(("suppress-disabled", "suppression is switched off"))
    } else if input.victim.spec.qos.is_reclaimed() {
        Some(("suppress-victim-reclaimed", "batch work is not protected from itself"))
    } else if tracked && input.burst.offender == input.victim.slot {
        Some(("suppress-own-group", "its own tasks ran: a larger pool would help, not suppression"))
    } else if input.victim.throttled_ratio.is_some_and(|ratio| ratio >= OWN_THROTTLE_RATIO) {
        Some(("suppress-own-throttle", "it is throttled by its own cpu.max"))
    } else if input.offender_qos.is_some_and(|qos| !qos.is_reclaimed()) {
        Some(("suppress-offender-not-reclaimed", "the CPU was taken by work that is not batch"))
    } else if !input.meets_batch && input.offender_qos.is_none() {
        // Batch work that was seen there has not left yet, whatever the Plan says.
        Some(("suppress-elsewhere", "no batch work may run where it runs"))
    } else {
        None
    }
}

fn decision(input: &SuppressInput<'_>, rule: &'static str, result: String) -> Decision {
    let offender = match input.offender_qos {
        Some(qos) => format!("slot {} ({qos})", input.burst.offender),
        None => format!("slot {}", input.burst.offender),
    };
    Decision {
        at: input.now,
        rule,
        subject: input.victim_name.to_string(),
        inputs: vec![
            ("wait", format!("{} us", input.burst.wait.as_micros())),
            ("cpu", input.burst.cpu.to_string()),
            ("offender", offender),
            ("age", format!("{} us", input.now.since(input.burst.first_wait_at).as_micros())),
        ],
        result,
    }
}

/// The slow tick's look at the overlay.
#[derive(Clone, Copy, Debug)]
pub struct RenewInput<'a> {
    pub now: Timestamp,
    /// The overlay that was in force; it may have run out by `now`.
    pub overlay: &'a Overlay,
    pub history: &'a OverlayHistory,
    pub snapshot: &'a Snapshot,
    pub policy: &'a Policy,
}

/// Renews the overlay while its victim needs it, keeps it while it lives, `None` when it is over.
/// One that only lives on is no decision.
pub fn renew(input: &RenewInput<'_>) -> (Option<Overlay>, Option<Decision>) {
    let alive = input.now < input.overlay.expires_at;
    let victim = input.snapshot.workloads.get(&input.overlay.victim);
    let reason = victim.filter(|_| input.policy.suppression.enabled).and_then(|v| need(input, v));
    let (overlay, rule, result) = match reason {
        Some((rule, result)) => {
            let expires_at = input.now.after(input.history.hold(input.policy));
            let expires_at = expires_at.max(input.overlay.expires_at);
            let throttle = input.overlay.throttle || rule == LATE_ALTHOUGH_IDLE;
            (Some(Overlay { expires_at, throttle, ..input.overlay.clone() }), rule, result)
        }
        None if alive => return (Some(input.overlay.clone()), None),
        None => (None, "suppress-end", "batch work is let go".to_owned()),
    };
    let lived_ms = input.now.since(input.overlay.began_at).0 / 1_000_000;
    let decision = Decision {
        at: input.now,
        rule,
        subject: input.overlay.victim.to_string(),
        inputs: vec![
            ("lived", format!("{lived_ms} ms")),
            ("p99", shown(victim.and_then(WorkloadView::runq_p99), "us")),
            ("usage", shown(victim.and_then(|v| v.usage), "mCPU")),
            ("calm_usage", shown(input.history.calm_usage, "mCPU")),
        ],
        result,
    };
    (overlay, Some(decision))
}

fn shown(value: Option<impl std::fmt::Display>, unit: &str) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| format!("{value} {unit}"))
}

fn need(input: &RenewInput<'_>, victim: &WorkloadView) -> Option<(&'static str, String)> {
    if Judge::new(input.snapshot, input.policy).lateness(victim) == Lateness::Contended {
        let settled = input.now.since(input.overlay.began_at) >= SETTLE;
        // A quota of all CPUs takes nothing from batch work, and its periods cost everybody.
        let n_cpus = input.snapshot.topology.n_online() as u64;
        let binds = input.overlay.floor.0 < n_cpus * 1000;
        let rule = if settled && binds { LATE_ALTHOUGH_IDLE } else { "suppress-renew-late" };
        return Some((rule, "still late because of batch work".to_owned()));
    }
    let (usage, calm) = (victim.usage?, input.history.calm_usage?);
    let busy = usage.0 >= calm.0 * BUSY_PCT / 100 && usage.0 >= calm.0 + BUSY_MARGIN.0;
    let young = input.now.since(input.overlay.began_at) <= MAX_BY_USAGE;
    (busy && young)
        .then(|| ("suppress-renew-busy", "still busier than before the burst".to_owned()))
}

/// Begins an overlay at the tick for a workload that was late because of batch work although no
/// burst told so: the only way without BPF, and a second chance when a record was lost.
/// `seen_at` is the time of the Snapshot that shows it.
pub fn begin_late(
    now: Timestamp,
    seen_at: Timestamp,
    (name, victim): (&WorkloadName, &WorkloadView),
    history: &OverlayHistory,
    policy: &Policy,
) -> Option<(Overlay, Decision)> {
    if !policy.suppression.enabled {
        return None;
    }
    let hold = history.begun(now, victim, policy).hold(policy);
    let overlay = begin(now, hold, name, seen_at, policy);
    let decision = Decision {
        at: now,
        rule: "suppress-begin-late",
        subject: name.to_string(),
        inputs: vec![("p99", shown(victim.runq_p99(), "us"))],
        result: format!("{} for {} ms", held(&overlay), hold.0 / 1_000_000),
    };
    Some((overlay, decision))
}

#[cfg(test)]
mod tests;
