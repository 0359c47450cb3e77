//! The other annotations of a pod: results of the scheduler, in-place resize, weights, classes. Owns
//! their reading into types; a value that cannot be understood names its key.

use std::collections::BTreeMap;

use crate::annotation;
use crate::numa::NumaSet;
use crate::qos::Keys;

/// What a pod's annotations and labels say beside level and enhancements. `None`: not said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Directives {
    /// What a scheduler bound the pod to; -1 is none.
    pub numa_bind_result: Option<NumaSet>,
    pub net_class_id: Option<u32>,
    pub nic_selection_result: Option<String>,
    pub gpu_selection_result: Option<String>,
    pub sriov_vf_result: Option<String>,
    pub resource_package: Option<String>,
    pub resource_pool: Option<String>,
    pub soft_evict_notify: bool,
    pub evict_score: Option<f64>,
    pub cpu_weight_demand_cores: Option<f64>,
    pub cpu_weight_burst_ratio: Option<f64>,
    pub pod_role: Option<String>,
    pub pod_type: Option<String>,
    /// Admitted without an allocation.
    pub skip_admission: bool,
    pub resize_policy: Option<String>,
    pub resize_resources: Option<BTreeMap<String, String>>,
    pub inplace_resizing: bool,
    /// Replaces the sum of the containers' requests, per resource.
    pub aggregated_requests: Option<BTreeMap<String, String>>,
    pub main_container: Option<String>,
    pub rdt_class: Option<String>,
    pub rdt_mon_groups: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {value:?} is not allowed; allowed are {allowed}")]
pub struct DirectiveError {
    pub key: &'static str,
    pub value: String,
    pub allowed: &'static str,
}

impl Directives {
    pub fn read(annotations: &Keys, labels: &Keys) -> Result<Directives, DirectiveError> {
        use annotation as key;
        let text = |key: &str| annotations.get(key).cloned();
        let number = |key| read_number(annotations, key);
        let flag = |key| read_flag(annotations, key);
        let resources = |key| read_resources(annotations, key);
        Ok(Directives {
            numa_bind_result: read_bind_result(annotations)?,
            net_class_id: read_class_id(annotations)?,
            nic_selection_result: text(key::NIC_SELECTION_RESULT),
            gpu_selection_result: text(key::GPU_SELECTION_RESULT),
            sriov_vf_result: text(key::SRIOV_VF_RESULT),
            resource_package: text(key::RESOURCE_PACKAGE),
            resource_pool: text(key::RESOURCE_POOL),
            soft_evict_notify: flag(key::SOFT_EVICT_NOTIFY)?,
            evict_score: number(key::EVICT_SCORE)?,
            cpu_weight_demand_cores: number(key::CPU_WEIGHT_DEMAND_CORES)?,
            cpu_weight_burst_ratio: number(key::CPU_WEIGHT_BURST_RATIO)?,
            pod_role: labels.get(key::POD_ROLE).cloned(),
            pod_type: text(key::POD_TYPE),
            skip_admission: flag(key::SKIP_QRM_ADMIT)?,
            resize_policy: text(key::RESIZE_POLICY),
            resize_resources: resources(key::RESIZE_RESOURCES)?,
            inplace_resizing: flag(key::INPLACE_UPDATE_RESIZING)?,
            aggregated_requests: resources(key::AGGREGATED_REQUESTS)?,
            main_container: text(key::MAIN_CONTAINER_NAME).filter(|name| !name.is_empty()),
            rdt_class: text(key::RDT_CLASS),
            rdt_mon_groups: flag(key::RDT_MON_GROUPS)?,
        })
    }
}

fn refused(key: &'static str, value: &str, allowed: &'static str) -> DirectiveError {
    DirectiveError { key, value: value.chars().take(120).collect(), allowed }
}

fn read_flag(annotations: &Keys, key: &'static str) -> Result<bool, DirectiveError> {
    match annotations.get(key).map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(value) => Err(refused(key, value, "\"true\" and \"false\"")),
    }
}

fn read_number(annotations: &Keys, key: &'static str) -> Result<Option<f64>, DirectiveError> {
    let Some(value) = annotations.get(key) else { return Ok(None) };
    let number: Option<f64> = value.trim().parse().ok();
    match number.filter(|number| number.is_finite() && *number >= 0.0) {
        Some(number) => Ok(Some(number)),
        None => Err(refused(key, value, "finite numbers from 0")),
    }
}

fn read_class_id(annotations: &Keys) -> Result<Option<u32>, DirectiveError> {
    let key = annotation::NET_CLASS_ID;
    let Some(value) = annotations.get(key) else { return Ok(None) };
    let number = value.trim().parse();
    number.map(Some).map_err(|_bad| refused(key, value, "whole numbers of 32 bits"))
}

fn read_bind_result(annotations: &Keys) -> Result<Option<NumaSet>, DirectiveError> {
    let key = annotation::NUMA_BIND_RESULT;
    match annotations.get(key).map(|value| value.trim()) {
        None | Some("-1" | "") => Ok(None),
        Some(value) => match NumaSet::parse(value) {
            Some(nodes) => Ok(Some(nodes)),
            None => Err(refused(key, value, "-1 and lists of NUMA node ids below 64")),
        },
    }
}

fn read_resources(
    annotations: &Keys,
    key: &'static str,
) -> Result<Option<BTreeMap<String, String>>, DirectiveError> {
    let Some(value) = annotations.get(key) else { return Ok(None) };
    let read = serde_json::from_str(value);
    read.map(Some)
        .map_err(|_bad| refused(key, value, "JSON objects of strings, like {\"cpu\":\"5\"}"))
}
