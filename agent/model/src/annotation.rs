//! The keys of pods and nodes that mean something to the node: Katalyst's annotations and resource names
//! (katalyst-api, pkg/consts), Kubernetes' and Koordinator's where they say the same. Owns the
//! spelling only; what each key means is in `table`.

pub mod table;

/// The QoS level: one of `QosLevel::ALL`.
pub const QOS_LEVEL: &str = "katalyst.kubewharf.io/qos_level";
/// JSON objects of strings; their inner keys are flattened into one map.
pub const CPU_ENHANCEMENT: &str = "katalyst.kubewharf.io/cpu_enhancement";
pub const MEMORY_ENHANCEMENT: &str = "katalyst.kubewharf.io/memory_enhancement";
pub const NETWORK_ENHANCEMENT: &str = "katalyst.kubewharf.io/network_enhancement";
pub const ENHANCEMENTS: [&str; 3] = [CPU_ENHANCEMENT, MEMORY_ENHANCEMENT, NETWORK_ENHANCEMENT];

/// Inner keys of the enhancements.
pub mod inner {
    pub const CPUSET_POOL: &str = "cpuset_pool";
    pub const NUMA_SHARE: &str = "numa_share";
    pub const SUPPRESSION_TOLERANCE_RATE: &str = "suppression_tolerance_rate";
    pub const CPU_BURST_POLICY: &str = "cpu_burst_policy";
    pub const CPU_BURST_PERCENT: &str = "cpu_burst_percent";
    pub const CPU_BURST_THRESHOLD: &str = "cpu_burst_threshold";
    pub const ALIGN_BY_SOCKET: &str = "align_by_socket";
    pub const DISTRIBUTE_EVENLY: &str = "distribute_evenly_across_numa";
    pub const FULL_PCPUS_PAIRING: &str = "full_pcpus_pairing";
    pub const NUMA_BINDING: &str = "numa_binding";
    pub const NUMA_EXCLUSIVE: &str = "numa_exclusive";
    pub const RSS_OVERUSE_THRESHOLD: &str = "rss_overuse_threshold";
    pub const OOM_PRIORITY: &str = "oom_priority";
    pub const NAMESPACE_TYPE: &str = "namespace_type";
    pub const TOPOLOGY_AFFINITY_RESTRICTED: &str = "topology_affinity_restricted";
    /// Inner keys with a domain; a cluster may rename both (`QosRules`).
    pub const NUMA_NUMBER: &str = "katalyst.kubewharf.io/numa_number";
    pub const NUMA_IDS: &str = "katalyst.kubewharf.io/numa_ids";

    pub const ALL: [&str; 17] = [
        CPUSET_POOL,
        NUMA_SHARE,
        SUPPRESSION_TOLERANCE_RATE,
        CPU_BURST_POLICY,
        CPU_BURST_PERCENT,
        CPU_BURST_THRESHOLD,
        ALIGN_BY_SOCKET,
        DISTRIBUTE_EVENLY,
        FULL_PCPUS_PAIRING,
        NUMA_BINDING,
        NUMA_EXCLUSIVE,
        RSS_OVERUSE_THRESHOLD,
        OOM_PRIORITY,
        NAMESPACE_TYPE,
        TOPOLOGY_AFFINITY_RESTRICTED,
        NUMA_NUMBER,
        NUMA_IDS,
    ];
}

pub const NUMA_BIND_RESULT: &str = "katalyst.kubewharf.io/numa_bind_result";
pub const NET_CLASS_ID: &str = "katalyst.kubewharf.io/net_class_id";
pub const NIC_SELECTION_RESULT: &str = "katalyst.kubewharf.io/nic_selection_result";
pub const GPU_SELECTION_RESULT: &str = "katalyst.kubewharf.io/gpu_selection_result";
pub const SRIOV_VF_RESULT: &str = "katalyst.kubewharf.io/sriov_vf_result";
pub const RESOURCE_PACKAGE: &str = "katalyst.kubewharf.io/resource_package";
pub const RESOURCE_POOL: &str = "katalyst.kubewharf.io/resource_pool";
pub const SOFT_EVICT_NOTIFY: &str = "katalyst.kubewharf.io/pod_soft_evict_notify";
pub const EVICT_SCORE: &str = "katalyst.kubewharf.io/pod_evict_score";
pub const CPU_WEIGHT_DEMAND_CORES: &str = "katalyst.kubewharf.io/cpu_weight_demand_cores";
pub const CPU_WEIGHT_BURST_RATIO: &str = "katalyst.kubewharf.io/cpu_weight_burst_ratio";
pub const POD_TYPE: &str = "katalyst.kubewharf.io/pod_type";
pub const SKIP_QRM_ADMIT: &str = "katalyst.kubewharf.io/skip_qrm_admit";
/// A label.
pub const POD_ROLE: &str = "katalyst.kubewharf.io/pod_role";

pub const RESIZE_RESOURCES: &str = "pod.kubernetes.io/resizeResources";
pub const RESIZE_POLICY: &str = "pod.kubernetes.io/resizePolicy";
pub const INPLACE_UPDATE_RESIZING: &str = "pod.kubernetes.io/inplace-update-resizing";
/// `{"cpu":"5"}` replaces the sum of the containers' requests.
pub const AGGREGATED_REQUESTS: &str = "pod.kubernetes.io/pod-aggregated-requests";
pub const MAIN_CONTAINER_NAME: &str = "kubernetes.io/main-container-name";
pub const RDT_CLASS: &str = "rdt.resources.beta.kubernetes.io/pod";
pub const RDT_MON_GROUPS: &str = "rdt.resources.beta.kubernetes.io/need-mon-groups";

/// A label of Koordinator (koordinator.sh documentation, "QoS").
pub const KOORDINATOR_QOS: &str = "koordinator.sh/qosClass";

/// Annotations of a node whose resources are promised more than once, and the label of its pool.
pub mod overcommit {
    pub const NODE_POOL: &str = "katalyst.kubewharf.io/overcommit_node_pool";
    pub const CPU_RATIO: &str = "katalyst.kubewharf.io/cpu_overcommit_ratio";
    pub const MEMORY_RATIO: &str = "katalyst.kubewharf.io/memory_overcommit_ratio";
    pub const REALTIME_CPU_RATIO: &str = "katalyst.kubewharf.io/realtime_cpu_overcommit_ratio";
    pub const REALTIME_MEMORY_RATIO: &str =
        "katalyst.kubewharf.io/realtime_memory_overcommit_ratio";
    pub const ORIGINAL_CAPACITY_CPU: &str = "katalyst.kubewharf.io/original_capacity_cpu";
    pub const ORIGINAL_CAPACITY_MEMORY: &str = "katalyst.kubewharf.io/original_capacity_memory";
    pub const ORIGINAL_ALLOCATABLE_CPU: &str = "katalyst.kubewharf.io/original_allocatable_cpu";
    pub const ORIGINAL_ALLOCATABLE_MEMORY: &str =
        "katalyst.kubewharf.io/original_allocatable_memory";
    pub const CAPACITY_CPU: &str = "katalyst.kubewharf.io/overcommit_capacity_cpu";
    pub const CAPACITY_MEMORY: &str = "katalyst.kubewharf.io/overcommit_capacity_memory";
    pub const ALLOCATABLE_CPU: &str = "katalyst.kubewharf.io/overcommit_allocatable_cpu";
    pub const ALLOCATABLE_MEMORY: &str = "katalyst.kubewharf.io/overcommit_allocatable_memory";
}

/// Resource names of requests.
pub mod resource {
    pub const CPU: &str = "cpu";
    pub const MEMORY: &str = "memory";
    /// An integer number of milli-CPU.
    pub const RECLAIMED_MILLICPU: &str = "resource.katalyst.kubewharf.io/reclaimed_millicpu";
    pub const RECLAIMED_MEMORY: &str = "resource.katalyst.kubewharf.io/reclaimed_memory";
    /// Koordinator's names of the same two.
    pub const BATCH_CPU: &str = "kubernetes.io/batch-cpu";
    pub const BATCH_MEMORY: &str = "kubernetes.io/batch-memory";
}
