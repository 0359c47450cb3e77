//! The node that steps change: machine, residents, clock. Owns the state; a step that is refused
//! leaves it as it was.

use std::collections::BTreeMap;

use advisor::admit::{self, Admission};
use advisor::headroom::cpu::quota_by_pool;
use advisor::hint::{self, Hints, PlacementInput};
use advisor::layout::Layout;
use advisor::pool::{self, Placement, Pools};
use advisor::provision::{self, ProvisionInput};
use advisor::tally::Tally;
use model::decision::Decision;
use model::headroom::ReclaimQuota;
use model::ledger::{Ledger, Resident};
use model::measured::Measured;
use model::placement::PlacementPolicy;
use model::pod::{Ask, Pod};
use model::provision::{ProvisionPolicy, ProvisionState};
use model::qos::{PodUid, PoolName, QosLevel};
use model::{Bytes, CpuSet, MilliCpu, Nanos, NumaSet, Timestamp, Topology};
use serde_json::Value as Json;

use super::advice::AdvicePolicy;
use super::advise::{Advice, Seen};
use super::zones;

/// Decisions that are kept: those of the last steps.
const MAX_DECISIONS: usize = 1000;

pub(super) struct Desk {
    topology: Topology,
    policy: PlacementPolicy,
    layout: Layout,
    pub(super) ledger: Ledger,
    pub(super) now: Timestamp,
    decisions: Vec<Decision>,
    measured: Measured,
    measured_at: Option<Timestamp>,
    quota: ReclaimQuota,
    advice: Advice,
    provision: ProvisionPolicy,
    /// What the last measurements decided.
    state: ProvisionState,
}

impl Desk {
    pub(super) fn new(
        topology: Topology,
        policy: PlacementPolicy,
        (advice, provision): (AdvicePolicy, ProvisionPolicy),
    ) -> Result<Desk, String> {
        let layout = Layout::new(&topology, &policy);
        let layout = layout.map_err(|error| format!("policy.reserved_cpus: {error}"))?;
        Ok(Desk {
            topology,
            policy,
            layout,
            ledger: Ledger::default(),
            now: Timestamp(0),
            decisions: Vec::new(),
            measured: Measured::default(),
            measured_at: None,
            quota: ReclaimQuota::default(),
            advice: Advice::new(advice),
            provision,
            state: ProvisionState::default(),
        })
    }

    pub(super) fn input(&self) -> PlacementInput<'_> {
        PlacementInput {
            now: self.now,
            layout: &self.layout,
            policy: &self.policy,
            ledger: &self.ledger,
            headroom: self.advice.cpu_per_numa(),
        }
    }

    pub(super) fn ask(&self, pod: &Pod) -> Result<Ask, String> {
        Ask::of(pod, &self.policy.qos).map_err(|error| error.to_string())
    }

    pub(super) fn hints(&self, ask: &Ask) -> Hints {
        hint::hints(&self.input(), ask)
    }

    pub(super) fn admit(&mut self, ask: &Ask, given: Option<NumaSet>) -> Result<PodUid, String> {
        let admission = admit::admit(&self.input(), ask, given);
        self.accept(admission.map_err(|refusal| refusal.to_string()), ask, "admit")
    }

    pub(super) fn resize(&mut self, ask: &Ask) -> Result<PodUid, String> {
        let admission = admit::resize(&self.input(), ask);
        self.accept(admission.map_err(|refusal| refusal.to_string()), ask, "resize")
    }

    fn accept(
        &mut self,
        admission: Result<Admission, String>,
        ask: &Ask,
        rule: &'static str,
    ) -> Result<PodUid, String> {
        match admission {
            Ok(Admission { resident, decision }) => {
                self.decide(decision);
                let uid = resident.ask.uid.clone();
                self.ledger.pods.insert(uid.clone(), resident);
                Ok(uid)
            }
            Err(reason) => {
                let inputs = vec![("request", format!("{} mCPU", ask.cpu))];
                let (at, subject) = (self.now, ask.name.to_string());
                let result = format!("refused: {reason}");
                self.decide(Decision { at, rule, subject, inputs, result });
                Err(reason)
            }
        }
    }

    fn decide(&mut self, decision: Decision) {
        if self.decisions.len() == MAX_DECISIONS {
            self.decisions.remove(0);
        }
        self.decisions.push(decision);
    }

    pub(super) fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    pub(super) fn placement(&self, uid: &PodUid) -> Option<(&Resident, Placement)> {
        let resident = self.ledger.pods.get(uid)?;
        let (tally, pools) = self.pools();
        Some((resident, pool::placement(&self.layout, &tally, &pools, resident, self.now)))
    }

    pub(super) fn remove(&mut self, uid: &PodUid) -> Result<Resident, String> {
        let mut ledger = self.ledger.clone();
        let removed = admit::remove(&self.input(), &mut ledger, uid);
        let removed = removed.map_err(|refusal| refusal.to_string())?;
        self.ledger = ledger;
        Ok(removed)
    }

    /// Takes a pod out as an eviction does. System pods stay: the node needs them.
    pub(super) fn evict(&mut self, uid: &PodUid, reason: &str) -> Result<Resident, String> {
        let found = self.ledger.pods.get(uid).cloned();
        let subject =
            found.as_ref().map_or_else(|| uid.to_string(), |one| one.ask.name.to_string());
        let mut inputs = vec![("reason", reason.to_owned())];
        if let Some(one) = &found {
            inputs.push(("level", one.ask.level.to_string()));
            inputs.push(("request", format!("{} mCPU", one.ask.cpu)));
        }
        let outcome = match found {
            Some(one) if one.ask.level == QosLevel::SystemCores => {
                Err(format!("{subject} is of {}, which are never evicted", one.ask.level))
            }
            _ => self.remove(uid),
        };
        let result = match &outcome {
            Ok(_) => format!("evicted: {reason}"),
            Err(why) => format!("refused: {why}"),
        };
        self.decide(Decision { at: self.now, rule: "evict", subject, inputs, result });
        outcome
    }

    /// Passes time, at whose end something was measured; the pods whose ramp-up ended meanwhile.
    pub(super) fn pass(&mut self, span: Nanos, measured: Option<Measured>) -> Vec<String> {
        let before = self.now;
        self.now = self.now.after(span);
        let ended = |one: &&Resident| one.is_ramping(before) && !one.is_ramping(self.now);
        let ended = self.ledger.pods.values().filter(ended);
        let ended = ended.map(|one| one.ask.name.to_string()).collect();
        if let Some(measured) = measured {
            (self.measured, self.measured_at) = (measured, Some(self.now));
            self.provision_pools();
        }
        self.advise();
        ended
    }

    /// What follows from measurements, by its name in `show`.
    pub(super) fn advised(&self, name: &str, tally: &Tally, pools: &Pools) -> Option<Json> {
        let seen = self.seen(tally, pools);
        match name {
            "headroom" => Some(self.advice.show_headroom(&seen)),
            "memory" => Some(self.advice.show_memory(&seen)),
            "bursts" => Some(self.advice.show_bursts(&seen)),
            _ => None,
        }
    }

    /// The machine with who occupies it.
    pub(super) fn zones(&self) -> Json {
        let (topology, input) = (&self.topology, &self.input());
        zones::show(&zones::Seen { topology, input, headroom: self.advice.told_per_numa() })
    }

    /// One tick of what follows from measurements.
    fn advise(&mut self) {
        let (tally, pools) = self.pools();
        let mut advice = std::mem::take(&mut self.advice);
        advice.advance(&self.seen(&tally, &pools));
        self.advice = advice;
    }

    fn seen<'a>(&'a self, tally: &'a Tally, pools: &'a Pools) -> Seen<'a> {
        Seen {
            placement: self.input(),
            tally,
            pools,
            measured: &self.measured,
            measured_at: self.measured_at,
            quota: &self.quota,
        }
    }

    /// Turns CPUs on or off; refused where it would leave nothing to run on.
    pub(super) fn set_online(&mut self, cpus: &CpuSet, online: bool) -> Result<(), String> {
        let mut topology = self.topology.clone();
        for id in cpus.iter() {
            let cpu = topology.cpus.get_mut(&id);
            cpu.ok_or_else(|| format!("CPU {id} is not on this machine"))?.online = online;
            match online {
                true => topology.offline.remove(id),
                false => _ = topology.offline.insert(id),
            }
        }
        let layout = Layout::new(&topology, &self.policy).map_err(|error| error.to_string())?;
        (self.topology, self.layout) = (topology, layout);
        Ok(())
    }

    pub(super) fn pools(&self) -> (Tally, Pools) {
        let tally = Tally::of(&self.layout, &self.ledger, None, self.now);
        let tally = provision::standing(&self.provision_input(&tally));
        let pools = pool::pools(&self.layout, &self.policy, &tally, &pool::Held::default());
        (tally, pools)
    }

    fn provision_input<'a>(&'a self, tally: &'a Tally) -> ProvisionInput<'a> {
        ProvisionInput {
            now: self.now,
            layout: &self.layout,
            policy: &self.policy,
            provision: &self.provision,
            ledger: &self.ledger,
            tally,
            measured: &self.measured,
            state: &self.state,
            max_quota_growth: None,
        }
    }

    /// Pools follow what was measured now.
    fn provision_pools(&mut self) {
        let tally = Tally::of(&self.layout, &self.ledger, None, self.now);
        let provisioned = provision::provision(&self.provision_input(&tally));
        self.state = provisioned.state;
        self.quota = quota_by_pool(&self.layout, &self.state.quota);
        for decision in provisioned.decisions {
            self.decide(decision);
        }
    }

    pub(super) fn quota(&self) -> &BTreeMap<PoolName, MilliCpu> {
        &self.state.quota
    }

    pub(super) fn node_ids(&self) -> NumaSet {
        self.layout.nodes.iter().map(|node| node.id).collect()
    }

    /// `None` where the machine does not say.
    pub(super) fn memory(&self) -> Option<Bytes> {
        self.layout.memory
    }

    pub(super) fn online(&self) -> CpuSet {
        self.layout.online
    }
}
