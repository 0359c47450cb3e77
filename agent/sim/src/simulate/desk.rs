//! The node that steps change: machine, residents, clock. Owns the state; a step that is refused
//! leaves it as it was.

use std::collections::BTreeMap;

use advisor::admit::{self, Admission};
use advisor::hint::{self, Hints, PlacementInput};
use advisor::layout::Layout;
use advisor::pool::{self, Placement, Pools};
use advisor::provision::{self, ProvisionInput};
use advisor::tally::Tally;
use model::decision::Decision;
use model::ledger::{Ledger, Resident};
use model::measured::Measured;
use model::placement::PlacementPolicy;
use model::pod::{Ask, Pod};
use model::provision::{ProvisionPolicy, ProvisionState};
use model::qos::{PodUid, PoolName};
use model::{Bytes, CpuSet, MilliCpu, Nanos, NumaSet, Timestamp, Topology};

/// Decisions that are kept: those of the last steps.
const MAX_DECISIONS: usize = 1000;

pub(super) struct Desk {
    topology: Topology,
    policy: PlacementPolicy,
    layout: Layout,
    pub(super) ledger: Ledger,
    pub(super) now: Timestamp,
    decisions: Vec<Decision>,
    provision: ProvisionPolicy,
    /// What the last measurements decided.
    state: ProvisionState,
    /// The last measurements.
    measured: Measured,
}

impl Desk {
    pub(super) fn new(
        topology: Topology,
        policy: PlacementPolicy,
        provision: ProvisionPolicy,
    ) -> Result<Desk, String> {
        let layout = Layout::new(&topology, &policy);
        let layout = layout.map_err(|error| format!("policy.reserved_cpus: {error}"))?;
        let (ledger, now) = (Ledger::default(), Timestamp(0));
        let (state, measured) = (ProvisionState::default(), Measured::default());
        let decisions = Vec::new();
        Ok(Desk { topology, policy, layout, ledger, now, decisions, provision, state, measured })
    }

    pub(super) fn input(&self) -> PlacementInput<'_> {
        PlacementInput {
            now: self.now,
            layout: &self.layout,
            policy: &self.policy,
            ledger: &self.ledger,
            headroom: None,
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

    /// Passes time; the pods whose ramp-up ended meanwhile.
    pub(super) fn pass(&mut self, span: Nanos) -> Vec<String> {
        let before = self.now;
        self.now = self.now.after(span);
        let ended = |one: &&Resident| one.is_ramping(before) && !one.is_ramping(self.now);
        let ended = self.ledger.pods.values().filter(ended);
        ended.map(|one| one.ask.name.to_string()).collect()
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
        let pools = pool::pools(&self.layout, &self.policy, &tally);
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
        }
    }

    /// Pools follow what was measured now.
    pub(super) fn measure(&mut self, measured: Measured) {
        self.measured = measured;
        let tally = Tally::of(&self.layout, &self.ledger, None, self.now);
        let provisioned = provision::provision(&self.provision_input(&tally));
        self.state = provisioned.state;
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
