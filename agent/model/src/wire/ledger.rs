//! Wire form of the ledger: who was admitted and what was promised, as it stands in the checkpoint.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::wish::{Wish, nodes};
use super::{WireError, bad, parsed};
use crate::ledger as inner;
use crate::pod;
use crate::qos::{PodUid, WorkloadName};
use crate::units::{Bytes, MilliCpu, NumaNodeId, Timestamp};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    pub pods: BTreeMap<String, Resident>,
    pub remembered: BTreeMap<String, Remembered>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reserved_until_ns: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resident {
    name: String,
    owner: Option<String>,
    qos: String,
    wish: Wish,
    request_milli: u64,
    #[serde(default)]
    cpu_limit_milli: Option<u64>,
    memory_request_bytes: u64,
    containers: Vec<Container>,
    directives: Directives,
    running: bool,
    place: Place,
    ramp_until_ns: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Container {
    name: String,
    is_init: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Place {
    Own { cpus: String, nodes: String },
    Node { node: u16 },
    Pool,
    Anywhere,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    nodes: String,
    until_ns: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Directives {
    numa_bind_result: Option<String>,
    net_class_id: Option<u32>,
    nic_selection_result: Option<String>,
    gpu_selection_result: Option<String>,
    sriov_vf_result: Option<String>,
    resource_package: Option<String>,
    resource_pool: Option<String>,
    soft_evict_notify: bool,
    evict_score: Option<f64>,
    cpu_weight_demand_cores: Option<f64>,
    cpu_weight_burst_ratio: Option<f64>,
    pod_role: Option<String>,
    pod_type: Option<String>,
    skip_admission: bool,
    resize_policy: Option<String>,
    resize_resources: Option<BTreeMap<String, String>>,
    inplace_resizing: bool,
    aggregated_requests: Option<BTreeMap<String, String>>,
    main_container: Option<String>,
    rdt_class: Option<String>,
    rdt_mon_groups: bool,
}

/// The same fields on both sides; those of another type are named with their conversion.
macro_rules! directives {
    ($from:expr, $to:path { $bind:ident: $converted:expr }) => {{
        let from = $from;
        $to {
            $bind: $converted,
            net_class_id: from.net_class_id,
            nic_selection_result: from.nic_selection_result.clone(),
            gpu_selection_result: from.gpu_selection_result.clone(),
            sriov_vf_result: from.sriov_vf_result.clone(),
            resource_package: from.resource_package.clone(),
            resource_pool: from.resource_pool.clone(),
            soft_evict_notify: from.soft_evict_notify,
            evict_score: from.evict_score,
            cpu_weight_demand_cores: from.cpu_weight_demand_cores,
            cpu_weight_burst_ratio: from.cpu_weight_burst_ratio,
            pod_role: from.pod_role.clone(),
            pod_type: from.pod_type.clone(),
            skip_admission: from.skip_admission,
            resize_policy: from.resize_policy.clone(),
            resize_resources: from.resize_resources.clone(),
            inplace_resizing: from.inplace_resizing,
            aggregated_requests: from.aggregated_requests.clone(),
            main_container: from.main_container.clone(),
            rdt_class: from.rdt_class.clone(),
            rdt_mon_groups: from.rdt_mon_groups,
        }
    }};
}

impl From<&inner::Ledger> for Ledger {
    fn from(ledger: &inner::Ledger) -> Ledger {
        let pods = ledger.pods.iter().map(|(uid, one)| (uid.to_string(), Resident::from(one)));
        let remembered = ledger.remembered.iter().map(|(lineage, it)| {
            let kept = Remembered { nodes: it.nodes.to_string(), until_ns: it.until.0 };
            (lineage.clone(), kept)
        });
        let reserved = ledger.reserved.iter().map(|(uid, until)| (uid.to_string(), until.0));
        Ledger {
            pods: pods.collect(),
            remembered: remembered.collect(),
            reserved_until_ns: reserved.collect(),
        }
    }
}

impl TryFrom<Ledger> for inner::Ledger {
    type Error = WireError;

    fn try_from(ledger: Ledger) -> Result<inner::Ledger, WireError> {
        let mut read = inner::Ledger::default();
        for (uid, resident) in ledger.pods {
            let uid = PodUid::new(uid);
            read.pods.insert(uid.clone(), resident.read(uid)?);
        }
        for (uid, until_ns) in ledger.reserved_until_ns {
            read.reserved.insert(PodUid::new(uid), Timestamp(until_ns));
        }
        for (lineage, it) in ledger.remembered {
            let nodes = nodes("remembered.nodes", &it.nodes)?;
            let until = Timestamp(it.until_ns);
            read.remembered.insert(lineage, inner::Remembered { nodes, until });
        }
        Ok(read)
    }
}

impl From<&inner::Resident> for Resident {
    fn from(resident: &inner::Resident) -> Resident {
        let ask = &resident.ask;
        let containers = ask.containers.iter().map(|one| {
            let is_init = one.is_init;
            Container { name: one.name.clone(), is_init }
        });
        let bound = ask.directives.numa_bind_result.map(|nodes| nodes.to_string());
        Resident {
            name: ask.name.to_string(),
            owner: ask.owner.clone(),
            qos: ask.level.to_string(),
            wish: Wish::from(&ask.wish),
            request_milli: ask.cpu.0,
            cpu_limit_milli: ask.cpu_limit.map(|limit| limit.0),
            memory_request_bytes: ask.memory.0,
            containers: containers.collect(),
            directives: directives!(&ask.directives, Directives { numa_bind_result: bound }),
            running: ask.running,
            place: Place::from(resident.place),
            ramp_until_ns: resident.ramp_until.map(|until| until.0),
        }
    }
}

impl Resident {
    fn read(self, uid: PodUid) -> Result<inner::Resident, WireError> {
        let containers = self.containers.into_iter().map(|one| {
            let is_init = one.is_init;
            pod::AskContainer { name: one.name, is_init }
        });
        let bound = self.directives.numa_bind_result.as_deref();
        let bound = bound.map(|text| nodes("numa_bind_result", text)).transpose()?;
        let ask = pod::Ask {
            uid,
            name: WorkloadName::new(self.name),
            owner: self.owner,
            level: super::plan::qos(&self.qos)?,
            wish: self.wish.try_into()?,
            cpu: MilliCpu(self.request_milli),
            cpu_limit: self.cpu_limit_milli.map(MilliCpu),
            memory: Bytes(self.memory_request_bytes),
            containers: containers.collect(),
            directives: directives!(&self.directives, pod::Directives { numa_bind_result: bound }),
            running: self.running,
        };
        let ramp_until = self.ramp_until_ns.map(Timestamp);
        Ok(inner::Resident { ask, place: self.place.read()?, ramp_until })
    }
}

impl From<inner::Place> for Place {
    fn from(place: inner::Place) -> Place {
        match place {
            inner::Place::Own { cpus, nodes } => {
                Place::Own { cpus: cpus.to_string(), nodes: nodes.to_string() }
            }
            inner::Place::Node(node) => Place::Node { node: node.0 },
            inner::Place::Pool => Place::Pool,
            inner::Place::Anywhere => Place::Anywhere,
        }
    }
}

impl Place {
    fn read(self) -> Result<inner::Place, WireError> {
        Ok(match self {
            Place::Own { cpus, nodes: text } => {
                let nodes = nodes("place.nodes", &text)?;
                inner::Place::Own { cpus: parsed("place.cpus", &cpus)?, nodes }
            }
            Place::Node { node } if node < crate::numa::MAX_NODES => {
                inner::Place::Node(NumaNodeId(node))
            }
            Place::Node { node } => return Err(bad("place.node", node)),
            Place::Pool => inner::Place::Pool,
            Place::Anywhere => inner::Place::Anywhere,
        })
    }
}
