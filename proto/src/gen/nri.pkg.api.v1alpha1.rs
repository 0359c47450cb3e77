//! @generated from `proto` by `cargo xtask codegen`; do not edit. Owns messages,
//! client and server traits; no behaviour.

/// Plugin -> runtime, method RegisterPlugin.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct RegisterPluginRequest {
    #[prost(string, tag = "1")]
    pub plugin_name: ::prost::alloc::string::String,
    /// Two digits: the place among the plugins.
    #[prost(string, tag = "2")]
    pub plugin_idx: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    pub nri_version: ::prost::alloc::string::String,
}
/// Plugin -> runtime, method UpdateContainers.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct UpdateContainersRequest {
    #[prost(message, repeated, tag = "1")]
    pub update: ::prost::alloc::vec::Vec<ContainerUpdate>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct UpdateContainersResponse {
    #[prost(message, repeated, tag = "1")]
    pub failed: ::prost::alloc::vec::Vec<ContainerUpdate>,
}
/// Runtime -> plugin; the method has the name of the request.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ConfigureRequest {
    #[prost(string, tag = "1")]
    pub config: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub runtime_name: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    pub runtime_version: ::prost::alloc::string::String,
    /// Milliseconds.
    #[prost(int64, tag = "4")]
    pub registration_timeout: i64,
    /// Milliseconds.
    #[prost(int64, tag = "5")]
    pub request_timeout: i64,
    #[prost(string, tag = "6")]
    pub nri_version: ::prost::alloc::string::String,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ConfigureResponse {
    /// Bit `number of the event - 1` for each that the plugin wants.
    #[prost(int32, tag = "2")]
    pub events: i32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SynchronizeRequest {
    #[prost(message, repeated, tag = "1")]
    pub pods: ::prost::alloc::vec::Vec<PodSandbox>,
    #[prost(message, repeated, tag = "2")]
    pub containers: ::prost::alloc::vec::Vec<Container>,
    /// The rest comes with another request.
    #[prost(bool, tag = "3")]
    pub more: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SynchronizeResponse {
    #[prost(message, repeated, tag = "1")]
    pub update: ::prost::alloc::vec::Vec<ContainerUpdate>,
    /// Echoes the request's.
    #[prost(bool, tag = "2")]
    pub more: bool,
}
/// RunPodSandbox, StopPodSandbox, RemovePodSandbox, PostUpdatePodSandbox.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PodSandboxRequest {
    #[prost(message, optional, tag = "1")]
    pub pod: ::core::option::Option<PodSandbox>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct UpdatePodSandboxRequest {
    #[prost(message, optional, tag = "1")]
    pub pod: ::core::option::Option<PodSandbox>,
    #[prost(message, optional, tag = "2")]
    pub overhead_linux_resources: ::core::option::Option<LinuxResources>,
    #[prost(message, optional, tag = "3")]
    pub linux_resources: ::core::option::Option<LinuxResources>,
}
/// CreateContainer, StopContainer, RemoveContainer and all that tells a state.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ContainerRequest {
    #[prost(message, optional, tag = "1")]
    pub pod: ::core::option::Option<PodSandbox>,
    #[prost(message, optional, tag = "2")]
    pub container: ::core::option::Option<Container>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CreateContainerResponse {
    #[prost(message, optional, tag = "1")]
    pub adjust: ::core::option::Option<ContainerAdjustment>,
    #[prost(message, repeated, tag = "2")]
    pub update: ::prost::alloc::vec::Vec<ContainerUpdate>,
}
/// What all plugins together want of a container that is about to be made, for those who may refuse it.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ValidateContainerAdjustmentRequest {
    #[prost(message, optional, tag = "1")]
    pub pod: ::core::option::Option<PodSandbox>,
    /// Before anybody adjusted it.
    #[prost(message, optional, tag = "2")]
    pub container: ::core::option::Option<Container>,
    #[prost(message, optional, tag = "3")]
    pub adjust: ::core::option::Option<ContainerAdjustment>,
    /// Other containers that a plugin changes on the occasion.
    #[prost(message, repeated, tag = "4")]
    pub update: ::prost::alloc::vec::Vec<ContainerUpdate>,
    #[prost(message, optional, tag = "5")]
    pub owners: ::core::option::Option<OwningPlugins>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ValidateContainerAdjustmentResponse {
    /// The container is not made.
    #[prost(bool, tag = "1")]
    pub reject: bool,
    #[prost(string, tag = "2")]
    pub reason: ::prost::alloc::string::String,
}
/// Which plugin set what, by container.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct OwningPlugins {
    #[prost(btree_map = "string, message", tag = "1")]
    pub owners: ::prost::alloc::collections::BTreeMap<::prost::alloc::string::String, FieldOwners>,
}
/// By number of the field (Field); a plugin is called by its place and its name, as in 50-berth.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct FieldOwners {
    #[prost(btree_map = "int32, string", tag = "1")]
    pub simple: ::prost::alloc::collections::BTreeMap<i32, ::prost::alloc::string::String>,
    #[prost(btree_map = "int32, message", tag = "2")]
    pub compound: ::prost::alloc::collections::BTreeMap<i32, CompoundFieldOwners>,
}
/// By key of a map.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CompoundFieldOwners {
    #[prost(btree_map = "string, string", tag = "1")]
    pub owners: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct UpdateContainerRequest {
    #[prost(message, optional, tag = "1")]
    pub pod: ::core::option::Option<PodSandbox>,
    #[prost(message, optional, tag = "2")]
    pub container: ::core::option::Option<Container>,
    #[prost(message, optional, tag = "3")]
    pub linux_resources: ::core::option::Option<LinuxResources>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct UpdateContainerResponse {
    #[prost(message, repeated, tag = "1")]
    pub update: ::prost::alloc::vec::Vec<ContainerUpdate>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StopContainerResponse {
    #[prost(message, repeated, tag = "1")]
    pub update: ::prost::alloc::vec::Vec<ContainerUpdate>,
}
/// How runtimes before 2.2 tell what needs no answer.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StateChangeEvent {
    #[prost(enumeration = "Event", tag = "1")]
    pub event: i32,
    #[prost(message, optional, tag = "2")]
    pub pod: ::core::option::Option<PodSandbox>,
    #[prost(message, optional, tag = "3")]
    pub container: ::core::option::Option<Container>,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Empty {}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PodSandbox {
    #[prost(string, tag = "1")]
    pub id: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub name: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    pub uid: ::prost::alloc::string::String,
    #[prost(string, tag = "4")]
    pub namespace: ::prost::alloc::string::String,
    #[prost(btree_map = "string, string", tag = "5")]
    pub labels: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
    #[prost(btree_map = "string, string", tag = "6")]
    pub annotations: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
    #[prost(string, tag = "7")]
    pub runtime_handler: ::prost::alloc::string::String,
    #[prost(message, optional, tag = "8")]
    pub linux: ::core::option::Option<LinuxPodSandbox>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct LinuxPodSandbox {
    #[prost(message, optional, tag = "1")]
    pub pod_overhead: ::core::option::Option<LinuxResources>,
    #[prost(message, optional, tag = "2")]
    pub pod_resources: ::core::option::Option<LinuxResources>,
    #[prost(string, tag = "3")]
    pub cgroup_parent: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Container {
    #[prost(string, tag = "1")]
    pub id: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub pod_sandbox_id: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    pub name: ::prost::alloc::string::String,
    #[prost(enumeration = "ContainerState", tag = "4")]
    pub state: i32,
    #[prost(btree_map = "string, string", tag = "5")]
    pub labels: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
    #[prost(btree_map = "string, string", tag = "6")]
    pub annotations: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
    #[prost(message, optional, tag = "11")]
    pub linux: ::core::option::Option<LinuxContainer>,
    #[prost(uint32, tag = "12")]
    pub pid: u32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct LinuxContainer {
    #[prost(message, optional, tag = "3")]
    pub resources: ::core::option::Option<LinuxResources>,
    #[prost(message, optional, tag = "4")]
    pub oom_score_adj: ::core::option::Option<OptionalInt>,
    #[prost(string, tag = "5")]
    pub cgroups_path: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct LinuxResources {
    #[prost(message, optional, tag = "1")]
    pub memory: ::core::option::Option<LinuxMemory>,
    #[prost(message, optional, tag = "2")]
    pub cpu: ::core::option::Option<LinuxCpu>,
    /// Files of cgroup v2 by name.
    #[prost(btree_map = "string, string", tag = "6")]
    pub unified: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
}
/// Bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct LinuxMemory {
    #[prost(message, optional, tag = "1")]
    pub limit: ::core::option::Option<OptionalInt64>,
    #[prost(message, optional, tag = "2")]
    pub reservation: ::core::option::Option<OptionalInt64>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct LinuxCpu {
    #[prost(message, optional, tag = "1")]
    pub shares: ::core::option::Option<OptionalUInt64>,
    /// Microseconds.
    #[prost(message, optional, tag = "2")]
    pub quota: ::core::option::Option<OptionalInt64>,
    #[prost(message, optional, tag = "3")]
    pub period: ::core::option::Option<OptionalUInt64>,
    #[prost(string, tag = "6")]
    pub cpus: ::prost::alloc::string::String,
    #[prost(string, tag = "7")]
    pub mems: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ContainerAdjustment {
    #[prost(btree_map = "string, string", tag = "2")]
    pub annotations: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
    #[prost(message, optional, tag = "6")]
    pub linux: ::core::option::Option<LinuxContainerAdjustment>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct LinuxContainerAdjustment {
    #[prost(message, optional, tag = "2")]
    pub resources: ::core::option::Option<LinuxResources>,
    #[prost(message, optional, tag = "4")]
    pub oom_score_adj: ::core::option::Option<OptionalInt>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ContainerUpdate {
    #[prost(string, tag = "1")]
    pub container_id: ::prost::alloc::string::String,
    #[prost(message, optional, tag = "2")]
    pub linux: ::core::option::Option<LinuxContainerUpdate>,
    #[prost(bool, tag = "3")]
    pub ignore_failure: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct LinuxContainerUpdate {
    #[prost(message, optional, tag = "1")]
    pub resources: ::core::option::Option<LinuxResources>,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct OptionalInt {
    #[prost(int64, tag = "1")]
    pub value: i64,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct OptionalInt64 {
    #[prost(int64, tag = "1")]
    pub value: i64,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct OptionalUInt64 {
    #[prost(uint64, tag = "1")]
    pub value: u64,
}
/// Fields that Berth looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum Field {
    None = 0,
    CpusetCpus = 21,
    CpusetMems = 22,
    CgroupsUnified = 27,
}
impl Field {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::CpusetCpus => "CPUSET_CPUS",
            Self::CpusetMems => "CPUSET_MEMS",
            Self::CgroupsUnified => "CGROUPS_UNIFIED",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "NONE" => Some(Self::None),
            "CPUSET_CPUS" => Some(Self::CpusetCpus),
            "CPUSET_MEMS" => Some(Self::CpusetMems),
            "CGROUPS_UNIFIED" => Some(Self::CgroupsUnified),
            _ => None,
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum Event {
    Unknown = 0,
    RunPodSandbox = 1,
    StopPodSandbox = 2,
    RemovePodSandbox = 3,
    CreateContainer = 4,
    PostCreateContainer = 5,
    StartContainer = 6,
    PostStartContainer = 7,
    UpdateContainer = 8,
    PostUpdateContainer = 9,
    StopContainer = 10,
    RemoveContainer = 11,
    UpdatePodSandbox = 12,
    PostUpdatePodSandbox = 13,
    ValidateContainerAdjustment = 14,
}
impl Event {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::RunPodSandbox => "RUN_POD_SANDBOX",
            Self::StopPodSandbox => "STOP_POD_SANDBOX",
            Self::RemovePodSandbox => "REMOVE_POD_SANDBOX",
            Self::CreateContainer => "CREATE_CONTAINER",
            Self::PostCreateContainer => "POST_CREATE_CONTAINER",
            Self::StartContainer => "START_CONTAINER",
            Self::PostStartContainer => "POST_START_CONTAINER",
            Self::UpdateContainer => "UPDATE_CONTAINER",
            Self::PostUpdateContainer => "POST_UPDATE_CONTAINER",
            Self::StopContainer => "STOP_CONTAINER",
            Self::RemoveContainer => "REMOVE_CONTAINER",
            Self::UpdatePodSandbox => "UPDATE_POD_SANDBOX",
            Self::PostUpdatePodSandbox => "POST_UPDATE_POD_SANDBOX",
            Self::ValidateContainerAdjustment => "VALIDATE_CONTAINER_ADJUSTMENT",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "UNKNOWN" => Some(Self::Unknown),
            "RUN_POD_SANDBOX" => Some(Self::RunPodSandbox),
            "STOP_POD_SANDBOX" => Some(Self::StopPodSandbox),
            "REMOVE_POD_SANDBOX" => Some(Self::RemovePodSandbox),
            "CREATE_CONTAINER" => Some(Self::CreateContainer),
            "POST_CREATE_CONTAINER" => Some(Self::PostCreateContainer),
            "START_CONTAINER" => Some(Self::StartContainer),
            "POST_START_CONTAINER" => Some(Self::PostStartContainer),
            "UPDATE_CONTAINER" => Some(Self::UpdateContainer),
            "POST_UPDATE_CONTAINER" => Some(Self::PostUpdateContainer),
            "STOP_CONTAINER" => Some(Self::StopContainer),
            "REMOVE_CONTAINER" => Some(Self::RemoveContainer),
            "UPDATE_POD_SANDBOX" => Some(Self::UpdatePodSandbox),
            "POST_UPDATE_POD_SANDBOX" => Some(Self::PostUpdatePodSandbox),
            "VALIDATE_CONTAINER_ADJUSTMENT" => Some(Self::ValidateContainerAdjustment),
            _ => None,
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum ContainerState {
    ContainerUnknown = 0,
    ContainerCreated = 1,
    ContainerPaused = 2,
    ContainerRunning = 3,
    ContainerStopped = 4,
}
impl ContainerState {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::ContainerUnknown => "CONTAINER_UNKNOWN",
            Self::ContainerCreated => "CONTAINER_CREATED",
            Self::ContainerPaused => "CONTAINER_PAUSED",
            Self::ContainerRunning => "CONTAINER_RUNNING",
            Self::ContainerStopped => "CONTAINER_STOPPED",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "CONTAINER_UNKNOWN" => Some(Self::ContainerUnknown),
            "CONTAINER_CREATED" => Some(Self::ContainerCreated),
            "CONTAINER_PAUSED" => Some(Self::ContainerPaused),
            "CONTAINER_RUNNING" => Some(Self::ContainerRunning),
            "CONTAINER_STOPPED" => Some(Self::ContainerStopped),
            _ => None,
        }
    }
}
